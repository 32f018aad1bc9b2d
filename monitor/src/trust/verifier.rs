//! [`Verifier`]: looks whether what others say counts.
//!
//! What costs nothing comes first: what a certificate allows, its time, whether it was revoked, whether each may issue the next. Then signatures,
//! from the anchor's side on, so that nobody without a key makes us look at more than [`ANCHORS_MAX`]. What was found right once is not looked
//! at again while it is in the cache; times and revocations always are.

use std::collections::BTreeMap;

use smallvec::{SmallVec, smallvec};

use super::{
    cache::Cache,
    chain::{Certificate, Chain, Id},
    function::{self, FunctionSeal},
    grant::{Anchor, Grant},
    key::{PublicKey, Purpose, Signature},
    may::Need,
    refusal::Refusal,
    replay::Replay,
    revocation::{Revocation, Revoked},
    statement::{Alive, Gone, Request, RowIssue},
    validity::Validity,
};
use crate::zones::{event::Fired, function::Said as Function, name::ZoneName};

/// Anchors of a verifier: the one that there is, the one that it is to be replaced by, and as much again.
pub const ANCHORS_MAX: usize = 4;
/// Certificates that are remembered; about 100 bytes each.
const CACHE: usize = 4096;
/// How far clocks may be apart, in seconds.
const SKEW_S: u64 = 300;
/// Whose signature is missing where it could be that of more than one.
const ANYBODY: &str = "any authority that is trusted here";

/// How often a verifier has said what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Statements that count.
    pub accepted: u64,
    /// Those that do not, by [`Refusal::name`].
    pub refused: BTreeMap<&'static str, u64>,
    /// Signatures that were looked at.
    pub signatures: u64,
    /// Those that did not have to be, because they were known.
    pub cached: u64,
}

/// Looks whether what others say counts.
#[derive(Debug)]
pub struct Verifier {
    anchors: Vec<Grant>,
    cache: Cache,
    revoked: Revoked,
    replay: Replay,
    skew_s: u64,
    counters: Counters,
}

impl Verifier {
    /// One that believes in these authorities, 1 to [`ANCHORS_MAX`].
    ///
    /// # Errors
    /// [`Refusal::Anchors`].
    pub fn new(anchors: Vec<Anchor>) -> Result<Self, Refusal> {
        if !(1..=ANCHORS_MAX).contains(&anchors.len()) {
            return Err(Refusal::Anchors);
        }
        Ok(Self {
            anchors: anchors.into_iter().map(Grant::anchor).collect(),
            cache: Cache::new(CACHE),
            revoked: Revoked::default(),
            replay: Replay::default(),
            skew_s: SKEW_S,
            counters: Counters::default(),
        })
    }

    /// How far clocks may be apart, in seconds; 5 minutes if nothing is said.
    #[must_use]
    pub fn with_skew_s(self, skew_s: u64) -> Self {
        Self { skew_s, ..self }
    }

    /// How many certificates it remembers, at least two; 4096 if nothing is said.
    #[must_use]
    pub fn with_cache(self, certificates: usize) -> Self {
        Self { cache: Cache::new(certificates), ..self }
    }

    /// How often it has said what.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many certificates and functions it remembers to be right.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    /// How many certificates it remembers to be revoked.
    #[must_use]
    pub fn revoked(&self) -> usize {
        self.revoked.len()
    }

    /// How far clocks may be apart, in seconds.
    #[must_use]
    pub const fn skew_s(&self) -> u64 {
        self.skew_s
    }

    /// Whether one of these certificates was revoked.
    #[must_use]
    pub fn is_revoked(&self, chain: &Chain) -> bool {
        chain.certificates().iter().any(|link| self.revoked.has(link))
    }

    /// Counts what was refused before it came here, such as bytes that are no chain.
    pub fn note(&mut self, refusal: &Refusal) {
        *self.counters.refused.entry(refusal.name()).or_default() += 1;
    }

    fn counted<T>(&mut self, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        match &outcome {
            Ok(_) => self.counters.accepted += 1,
            Err(refusal) => self.note(refusal),
        }
        outcome
    }

    /// Whether a chain holds at `now_s`, in seconds since 1970.
    ///
    /// # Errors
    /// Why not.
    pub fn chain(&mut self, now_s: u64, chain: &Chain) -> Result<(), Refusal> {
        let outcome = self.walk(now_s, chain);
        self.counted(outcome)
    }

    /// Whether a row is by somebody who may make it.
    ///
    /// # Errors
    /// Why not.
    pub fn row(
        &mut self,
        now_s: u64,
        by: &Chain,
        row: &RowIssue<'_>,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        let may = |grant: &Grant| grant.may_sign_row(row.zone, row.child);
        let bytes = row.bytes();
        // The same one is not looked at twice, such as in answers to lookups.
        let id = Some(Id::of(Purpose::Row, &bytes, signature));
        let said = Said { purpose: Purpose::Row, bytes: &bytes, signature, id };
        let outcome = self.statement(now_s, by, &said, may);
        self.counted(outcome).map(drop)
    }

    /// Whether that somebody is gone is said by one who may.
    ///
    /// # Errors
    /// Why not.
    pub fn gone(
        &mut self,
        now_s: u64,
        by: &Chain,
        gone: &Gone<'_>,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        let may = |grant: &Grant| grant.may_sign_gone(gone.zone, gone.child);
        let said = Said { purpose: Purpose::Gone, bytes: &gone.bytes(), signature, id: None };
        let outcome = self.statement(now_s, by, &said, may);
        self.counted(outcome).map(drop)
    }

    /// Whether that somebody is there is said by an agent of the zone.
    ///
    /// # Errors
    /// Why not.
    pub fn alive(
        &mut self,
        now_s: u64,
        by: &Chain,
        alive: &Alive<'_>,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        let may = |grant: &Grant| grant.may_sign_gone(alive.zone, alive.child);
        let said = Said { purpose: Purpose::Alive, bytes: &alive.bytes(), signature, id: None };
        let outcome = self.statement(now_s, by, &said, may);
        self.counted(outcome).map(drop)
    }

    /// Whether an event of a standing query for a zone is by the agent that it says. By whom it is.
    ///
    /// # Errors
    /// Why not.
    pub fn event(
        &mut self,
        now_s: u64,
        query: &str,
        zone: &ZoneName,
        fired: &Fired,
    ) -> Result<Certificate, Refusal> {
        let outcome = self.look_at_event(now_s, query, zone, fired);
        self.counted(outcome)
    }

    fn look_at_event(
        &mut self,
        now_s: u64,
        query: &str,
        zone: &ZoneName,
        fired: &Fired,
    ) -> Result<Certificate, Refusal> {
        let agent = fired.told.as_ref().map(|told| told.agent.as_str());
        let open = || Refusal::Open(format!("an event of {} for {query}", agent.unwrap_or("some agent")));
        let seal = fired.seal.as_deref().ok_or_else(open)?;
        let (bytes, by, signature) = seal.read(query, fired)?;
        // It comes more than once: by two ways, or again.
        let id = Some(Id::of(Purpose::Event, &bytes, signature));
        let said = Said { purpose: Purpose::Event, bytes: &bytes, signature, id };
        // No anchor is an agent.
        let subject = by.subject().cloned().ok_or(Refusal::NoCertificate)?;
        self.statement(now_s, &by, &said, |grant| grant.may_sign_event(zone, agent))?;
        Ok(subject)
    }

    /// For which zone a function is, if it counts.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn function(&mut self, now_s: u64, said: &Function) -> Result<ZoneName, Refusal> {
        let outcome = self.look_at_function(now_s, said);
        self.counted(outcome)
    }

    fn look_at_function(&mut self, now_s: u64, function: &Function) -> Result<ZoneName, Refusal> {
        if function.seal.is_empty() {
            return Err(Refusal::Unsigned(function.name.clone()));
        }
        function::named(function)?;
        let seal = FunctionSeal::decode(&function.seal)?;
        let what = || format!("function {}", function.name);
        let seconds = function.expires_s.saturating_sub(function.issued_s);
        Validity::new(function.issued_s, seconds).check(now_s, self.skew_s, what)?;
        seal.signer().outlives(function.expires_s, what)?;
        let bytes = function::signed(seal.zone(), function);
        let id = Some(Id::of(Purpose::Function, &bytes, seal.signature()));
        let said = Said { purpose: Purpose::Function, bytes: &bytes, signature: seal.signature(), id };
        self.statement(now_s, seal.signer(), &said, |grant| {
            grant.may_sign_function(seal.zone(), &function.kind)
        })?;
        Ok(seal.zone().clone())
    }

    /// Whether a client may ask for this, which needs `need`. What is more than a question counts once.
    ///
    /// # Errors
    /// Why not.
    pub fn request(
        &mut self,
        now_s: u64,
        by: &Chain,
        request: &Request<'_>,
        need: Need<'_>,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        self.requests(now_s, by, request, &[need], signature)
    }

    /// The same of a request that needs several rights.
    ///
    /// # Errors
    /// Why not.
    pub fn requests(
        &mut self,
        now_s: u64,
        by: &Chain,
        request: &Request<'_>,
        needs: &[Need<'_>],
        signature: &Signature,
    ) -> Result<(), Refusal> {
        let outcome = self.look_at_request(now_s, by, request, needs, signature);
        self.counted(outcome)
    }

    fn look_at_request(
        &mut self,
        now_s: u64,
        by: &Chain,
        request: &Request<'_>,
        needs: &[Need<'_>],
        signature: &Signature,
    ) -> Result<(), Refusal> {
        let away = now_s.abs_diff(request.at_s);
        if away > self.skew_s {
            return Err(Refusal::Stale { seconds: away });
        }
        let may = |grant: &Grant| needs.iter().try_for_each(|need| grant.may_request(request.target, *need));
        let said = Said { purpose: Purpose::Request, bytes: &request.bytes(), signature, id: None };
        let key = self.statement(now_s, by, &said, may)?;
        if needs.iter().all(|need| *need == Need::Read) {
            return Ok(());
        }
        self.replay.take(now_s, self.skew_s, request.at_s, key, request.nonce)
    }

    /// Takes a revocation. Whether it is new, and so to be passed on.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn revoke(&mut self, now_s: u64, revocation: &Revocation) -> Result<bool, Refusal> {
        let outcome = self.look_at_revocation(now_s, revocation);
        self.counted(outcome)
    }

    fn look_at_revocation(&mut self, now_s: u64, revocation: &Revocation) -> Result<bool, Refusal> {
        let what = || format!("the revocation of {}", revocation.id());
        revocation.validity().check(now_s, self.skew_s, what)?;
        let (bytes, signature) = revocation.signed();
        let said = Said { purpose: Purpose::Revocation, bytes: &bytes, signature, id: None };
        let may = |grant: &Grant| grant.may_revoke(revocation.zone());
        self.statement(now_s, revocation.signer(), &said, may)?;
        self.revoked.insert(now_s, self.skew_s, revocation)
    }

    /// Whether something is said by the end of a chain, or by an anchor if there is none, who may say it. By which key.
    fn statement(
        &mut self,
        now_s: u64,
        by: &Chain,
        said: &Said<'_>,
        may: impl Fn(&Grant) -> Result<(), Refusal>,
    ) -> Result<PublicKey, Refusal> {
        let keys: SmallVec<[PublicKey; ANCHORS_MAX]> = match by.subject() {
            Some(subject) => {
                may(subject.grant())?;
                self.walk(now_s, by)?;
                smallvec![subject.grant().key]
            }
            None => self.anchors.iter().filter(|anchor| may(anchor).is_ok()).map(|a| a.key).collect(),
        };
        if keys.is_empty() {
            return Err(Refusal::NoCertificate);
        }
        let key = keys.into_iter().find(|key| self.is_signed(*key, said));
        let who = || by.subject().map_or_else(|| ANYBODY.to_owned(), |subject| subject.grant().to_string());
        key.ok_or_else(|| Refusal::Forged { what: said.purpose.to_string(), by: who() })
    }

    fn walk(&mut self, now_s: u64, chain: &Chain) -> Result<(), Refusal> {
        let links = chain.certificates();
        let first = links.first().ok_or(Refusal::NoCertificate)?;
        for link in links {
            let grant = link.grant();
            grant.validity.check(now_s, self.skew_s, || grant.to_string())?;
            if self.revoked.has(link) {
                return Err(Refusal::Revoked { what: grant.to_string() });
            }
        }
        for pair in links.windows(2) {
            pair[0].grant().may_issue(pair[1].grant())?;
        }
        let anchors = self.anchors.iter();
        let near: SmallVec<[PublicKey; ANCHORS_MAX]> =
            anchors.filter(|a| a.may_issue(first.grant()).is_ok()).map(|a| a.key).collect();
        if near.is_empty() {
            return self.anchors.iter().try_for_each(|anchor| anchor.may_issue(first.grant()));
        }
        if !near.into_iter().any(|key| self.is_issued(key, first)) {
            return Err(forged(first, ANYBODY.to_owned()));
        }
        for pair in links.windows(2) {
            if !self.is_issued(pair[0].grant().key, &pair[1]) {
                return Err(forged(&pair[1], pair[0].grant().to_string()));
            }
        }
        Ok(())
    }

    fn is_issued(&mut self, by: PublicKey, certificate: &Certificate) -> bool {
        let (grant, signature) = (certificate.grant(), certificate.signature());
        let id = Some(certificate.id());
        self.is_signed(by, &Said { purpose: grant.purpose(), bytes: &grant.encode(), signature, id })
    }

    fn is_signed(&mut self, by: PublicKey, said: &Said<'_>) -> bool {
        if said.id.is_some_and(|id| self.cache.has(by, id)) {
            self.counters.cached += 1;
            return true;
        }
        self.counters.signatures += 1;
        let right = by.verify(said.purpose, said.bytes, said.signature);
        if let Some(id) = said.id.filter(|_| right) {
            self.cache.insert(by, id);
        }
        right
    }
}

fn forged(certificate: &Certificate, by: String) -> Refusal {
    Refusal::Forged { what: format!("the certificate of {}", certificate.grant()), by }
}

/// Something that was signed.
struct Said<'a> {
    purpose: Purpose,
    bytes: &'a [u8],
    signature: &'a Signature,
    /// If it is worth remembering.
    id: Option<Id>,
}
