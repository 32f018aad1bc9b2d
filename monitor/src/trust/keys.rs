//! [`Keys`]: what an agent signs with, and by which certificates it believes others.
//!
//! Certificates do not travel with rows: a row has a [`Seal`] of [`SEAL`] bytes, which names its signer, and who does not know that one yet asks
//! whoever has sent the row for the chain, once.
//!
//! The version of a row that is signed begins with the second in which it was made ([`Keys::version`]). So what claims to be of the future is
//! refused, and nobody can give a row a stamp that no later one exceeds; and an old row cannot come back when its child is forgotten.
//!
//! * **Bounds**: [`SIGNERS_MAX`] chains, and only those that are right; [`CHECKS_A_SECOND`](super::CHECKS_A_SECOND). One sentence for each reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use gcs::time::Time;
use serde::{Deserialize, Serialize};

use super::{
    budget::Budget,
    chain::{Certificate, Chain},
    event::EventSeal,
    grant::{Anchor, Kind},
    identity::Identity,
    key::{Signature, short},
    may::Need,
    refusal::Refusal,
    request::RequestSeal,
    revocation::Revocation,
    statement::{Alive, Gone, RowIssue},
    verifier::{Counters, Verifier},
};
use crate::{
    row::Row,
    zones::{event::Fired, function::Said, name::ZoneName, table::Stamp},
};

/// Bytes that a seal adds to a row.
pub const SEAL: usize = 72;
/// Chains of others that are remembered.
pub const SIGNERS_MAX: usize = 4096;
/// Bits of a version below the second in which a row was made.
const BELOW: u32 = 16;
/// So long after it was learned, a chain may not be known to others.
const FRESH: Duration = Duration::from_secs(5);

/// Names the certificate of who has signed: the first bytes of its id. Others get in only with a certificate that is right, so nobody can
/// choose one that is somebody else's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signer([u8; 8]);

impl Signer {
    /// Who is at the end of a chain.
    fn of(certificate: &Certificate) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&certificate.id().as_bytes()[..8]);
        Self(first)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        short(&self.0, f)
    }
}

/// Who says a row, or that somebody is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Who has signed.
    pub signer: Signer,
    /// What is signed is a [`RowIssue`] or a [`Gone`].
    pub signature: Signature,
}

/// What is to be made of something that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Right,
    /// It may: ask whoever has sent it who that is.
    Unknown(Signer),
    /// It does not, and is counted.
    Refused,
}

/// Where something is said.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// In whose table.
    pub zone: &'a ZoneName,
    /// Of which child.
    pub child: &'a str,
}

#[derive(Debug)]
struct Known {
    chain: Arc<Chain>,
    learned: Time,
}

/// The keys of an agent.
#[derive(Debug)]
pub struct Keys {
    identity: Identity,
    own: Signer,
    verifier: Verifier,
    signers: BTreeMap<Signer, Known>,
    budget: Budget,
    /// Of its own, lest who floods a subscriber keeps rows from being looked at.
    events: Budget,
    /// Reasons that were told.
    told: BTreeSet<&'static str>,
    /// Those that are to be.
    reasons: Vec<String>,
}

impl Keys {
    /// Those of an agent that believes in these authorities.
    ///
    /// # Errors
    /// [`Refusal::Anchors`]; [`Refusal::NotAllowed`] if it is no agent's identity.
    pub fn new(identity: Identity, anchors: Vec<Anchor>) -> Result<Self, Refusal> {
        let grant = identity.grant();
        let subject = identity.chain().subject().filter(|_| grant.kind == Kind::Agent);
        let Some(subject) = subject else {
            let (who, what) = (grant.to_string(), "rows: it is no agent".to_owned());
            return Err(Refusal::NotAllowed { who, what });
        };
        let own = Signer::of(subject);
        let known = Known { chain: Arc::new(identity.chain().clone()), learned: Time::ZERO };
        let signers = BTreeMap::from([(own, known)]);
        let (budget, events) = (Budget::new(), Budget::new());
        let verifier = Verifier::new(anchors)?;
        let (told, reasons) = (BTreeSet::new(), Vec::new());
        Ok(Self { identity, own, verifier, signers, budget, events, told, reasons })
    }

    /// When the first of its own certificates expires, in seconds since 1970.
    #[must_use]
    pub fn ends_s(&self) -> u64 {
        let links = self.identity.chain().certificates().iter();
        links.map(|link| link.grant().validity.expires_s()).min().unwrap_or(0)
    }

    /// Which agent it is.
    #[must_use]
    pub fn name(&self) -> &ZoneName {
        &self.identity.grant().zone
    }

    /// Whether its own certificate holds at this second since 1970.
    ///
    /// # Errors
    /// Why not: nobody would believe it.
    pub fn check(&mut self, now_s: u64) -> Result<(), Refusal> {
        self.verifier.chain(now_s, self.identity.chain())
    }

    /// What was looked at and refused.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        self.verifier.counters()
    }

    /// Why something was refused: each reason once, when it occurs first.
    pub fn reasons(&mut self) -> Vec<String> {
        std::mem::take(&mut self.reasons)
    }

    fn tell(&mut self, refusal: &Refusal) {
        if self.told.insert(refusal.name()) {
            self.reasons.push(refusal.to_string());
        }
    }

    /// Counts a refusal, and tells of it once.
    pub fn refuse(&mut self, refusal: &Refusal) {
        self.verifier.note(refusal);
        self.tell(refusal);
    }

    /// The lowest version of a row that is made at this second.
    #[must_use]
    pub const fn version(now_s: u64) -> u64 {
        now_s << BELOW
    }

    /// Whether a version claims to be of a later second than clocks may differ.
    #[must_use]
    pub const fn is_future(&self, now_s: u64, version: u64) -> bool {
        version >> BELOW > now_s.saturating_add(self.verifier.skew_s())
    }

    /// Signs an issue of a row.
    #[must_use]
    pub fn seal_row(&self, place: Place<'_>, stamp: Stamp, row: &Row) -> Seal {
        let bytes = row.encode();
        let signature = issue(place, stamp, &bytes).sign(self.identity.key());
        Seal { signer: self.own, signature }
    }

    /// Signs that a child is gone.
    #[must_use]
    pub fn seal_gone(&self, place: Place<'_>, stamp: Stamp) -> Seal {
        Seal { signer: self.own, signature: gone(place, stamp).sign(self.identity.key()) }
    }

    /// Signs that a child is there.
    #[must_use]
    pub fn seal_alive(&self, place: Place<'_>, number: u32) -> Seal {
        let alive = Alive { zone: place.zone, child: place.child, number };
        Seal { signer: self.own, signature: alive.sign(self.identity.key()) }
    }

    /// Whether it counts that a child is there.
    pub fn alive(
        &mut self,
        (now, now_s): (Time, u64),
        place: Place<'_>,
        number: u32,
        seal: &Seal,
    ) -> Verdict {
        let what = || format!("that {:?} is there in {}", place.child, place.zone);
        let alive = Alive { zone: place.zone, child: place.child, number };
        self.judge(now, Some(seal), what, Ok(()), |verifier, chain, signature| {
            verifier.alive(now_s, chain, &alive, signature)
        })
    }

    /// Whether a row counts. One that is older than `oldest_s` seconds, and as much again as clocks may differ, does not.
    pub fn row(
        &mut self,
        (now, now_s): (Time, u64),
        place: Place<'_>,
        stamp: Stamp,
        row: &Row,
        seal: Option<&Seal>,
        oldest_s: u64,
    ) -> Verdict {
        let what = || format!("the row of {:?} in {}", place.child, place.zone);
        let age = now_s.saturating_sub(stamp.version >> BELOW);
        let outcome = self.timely(now_s, stamp, what).and_then(|()| match age {
            _ if seal.is_some() && age > oldest_s => Err(Refusal::Old { what: what(), seconds: age }),
            _ => Ok(()),
        });
        self.judge(now, seal, what, outcome, |verifier, chain, signature| {
            verifier.row(now_s, chain, &issue(place, stamp, &row.encode()), signature)
        })
    }

    /// Whether it counts that a child is gone.
    pub fn gone(
        &mut self,
        (now, now_s): (Time, u64),
        place: Place<'_>,
        stamp: Stamp,
        seal: Option<&Seal>,
    ) -> Verdict {
        let what = || format!("that {:?} is gone in {}", place.child, place.zone);
        let outcome = self.timely(now_s, stamp, what);
        self.judge(now, seal, what, outcome, |verifier, chain, signature| {
            verifier.gone(now_s, chain, &gone(place, stamp), signature)
        })
    }

    fn timely(&self, now_s: u64, stamp: Stamp, what: impl Fn() -> String) -> Result<(), Refusal> {
        let seconds = (stamp.version >> BELOW).saturating_sub(now_s);
        match self.is_future(now_s, stamp.version) {
            true => Err(Refusal::Future { what: what(), seconds }),
            false => Ok(()),
        }
    }

    fn judge(
        &mut self,
        now: Time,
        seal: Option<&Seal>,
        what: impl Fn() -> String,
        timely: Result<(), Refusal>,
        look: impl FnOnce(&mut Verifier, &Chain, &Signature) -> Result<(), Refusal>,
    ) -> Verdict {
        let Some(seal) = seal else {
            self.refuse(&Refusal::Open(what()));
            return Verdict::Refused;
        };
        if let Err(refusal) = timely {
            self.refuse(&refusal);
            return Verdict::Refused;
        }
        let Some(chain) = self.signers.get(&seal.signer).map(|known| known.chain.clone()) else {
            return Verdict::Unknown(seal.signer);
        };
        match self.look(now, |verifier| look(verifier, &chain, &seal.signature)) {
            Ok(()) => Verdict::Right,
            Err(_) => Verdict::Refused,
        }
    }

    /// Looks as long as there is something left of what may be looked at.
    fn look<T>(
        &mut self,
        now: Time,
        look: impl FnOnce(&mut Verifier) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if !self.budget.any(now) {
            self.refuse(&Refusal::Busy);
            return Err(Refusal::Busy);
        }
        let before = self.verifier.counters().signatures;
        let outcome = look(&mut self.verifier);
        self.budget.spend(self.verifier.counters().signatures - before);
        outcome.inspect_err(|refusal| self.tell(refusal))
    }

    /// Signs that a standing query has fired here, and what it tells.
    #[must_use]
    pub fn seal_event(&self, query: &str, fired: &Fired) -> EventSeal {
        EventSeal::sign(query, fired, self.identity.key(), self.identity.chain())
    }

    /// Whether an event of a standing query for a zone counts, and by whom it is.
    pub fn event(
        &mut self,
        (now, now_s): (Time, u64),
        query: &str,
        zone: &ZoneName,
        fired: &Fired,
    ) -> Option<Signer> {
        if !self.events.any(now) {
            self.refuse(&Refusal::Busy);
            return None;
        }
        let before = self.verifier.counters().signatures;
        let outcome = self.verifier.event(now_s, query, zone, fired);
        self.events.spend(self.verifier.counters().signatures - before);
        outcome.inspect_err(|refusal| self.tell(refusal)).ok().map(|by| Signer::of(&by))
    }

    /// Whether a request to this agent, its method and its content, is by a client who may.
    ///
    /// # Errors
    /// Why not.
    pub fn request(
        &mut self,
        (now, now_s): (Time, u64),
        seal: &RequestSeal,
        request: (&str, &[u8]),
        needs: &[Need<'_>],
    ) -> Result<(), Refusal> {
        let name = self.name().clone();
        let request = seal.request(&name, request);
        self.look(now, |verifier| verifier.requests(now_s, seal.signer(), &request, needs, seal.signature()))
    }

    /// For which zone a function is, if it counts.
    ///
    /// # Errors
    /// Why not.
    pub fn function(&mut self, now: Time, now_s: u64, said: &Said) -> Result<ZoneName, Refusal> {
        self.look(now, |verifier| verifier.function(now_s, said))
    }

    /// Takes a revocation. Whether it is new.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn revoke(&mut self, now: Time, now_s: u64, revocation: &Revocation) -> Result<bool, Refusal> {
        let new = self.look(now, |verifier| verifier.revoke(now_s, revocation))?;
        let revoked: Vec<Signer> = self.signers.keys().copied().filter(|of| self.is_revoked(*of)).collect();
        if revoked.contains(&self.own) && new {
            self.tell(&Refusal::Revoked { what: format!("the certificate of this agent, {},", self.name()) });
        }
        Ok(new)
    }

    /// Whether a signer's chain was revoked.
    #[must_use]
    pub fn is_revoked(&self, signer: Signer) -> bool {
        self.signers.get(&signer).is_some_and(|known| self.verifier.is_revoked(&known.chain))
    }

    /// Whether this chain was.
    #[must_use]
    pub fn is_chain_revoked(&self, chain: &Chain) -> bool {
        self.verifier.is_revoked(chain)
    }

    /// The chain of a signer.
    #[must_use]
    pub fn chain(&self, signer: Signer) -> Option<&Arc<Chain>> {
        self.signers.get(&signer).map(|known| &known.chain)
    }

    /// The same, if it was learned only now: others may not know it.
    #[must_use]
    pub fn fresh(&self, now: Time, signer: Signer) -> Option<&Arc<Chain>> {
        let known = self.signers.get(&signer).filter(|known| now.since(known.learned) < FRESH);
        known.map(|known| &known.chain)
    }

    /// How many chains it remembers.
    #[must_use]
    pub fn signers(&self) -> usize {
        self.signers.len()
    }

    /// Takes a chain, if it is right and an agent's. Whose it is, if it is new.
    pub fn learn(&mut self, now: Time, now_s: u64, chain: &Arc<Chain>) -> Option<Signer> {
        let subject = chain.subject().filter(|subject| subject.grant().kind == Kind::Agent)?;
        let signer = Signer::of(subject);
        if self.signers.contains_key(&signer) || self.signers.len() >= SIGNERS_MAX {
            return None;
        }
        self.look(now, |verifier| verifier.chain(now_s, chain)).ok()?;
        self.signers.insert(signer, Known { chain: chain.clone(), learned: now });
        Some(signer)
    }

    /// Forgets the chains of all who have signed none of what is held.
    pub fn keep(&mut self, now: Time, held: &BTreeSet<Signer>) {
        let own = self.own;
        self.signers.retain(|of, known| *of == own || held.contains(of) || now.since(known.learned) < FRESH);
    }

    /// Chains that everybody has known for long, such as in a tree that has grown.
    pub(crate) fn settle(&mut self, chains: impl IntoIterator<Item = Arc<Chain>>) {
        let known = chains.into_iter().filter_map(|chain| Some((Signer::of(chain.subject()?), chain)));
        let known = known.map(|(signer, chain)| (signer, Known { chain, learned: Time::ZERO }));
        self.signers.extend(known.take(SIGNERS_MAX));
    }

    /// Its own chain.
    pub(crate) fn own_chain(&self) -> Arc<Chain> {
        Arc::new(self.identity.chain().clone())
    }
}

fn issue<'a>(place: Place<'a>, stamp: Stamp, row: &'a [u8]) -> RowIssue<'a> {
    let (generator, version) = (stamp.generator.0, stamp.version);
    RowIssue { zone: place.zone, child: place.child, generator, version, row }
}

fn gone(place: Place<'_>, stamp: Stamp) -> Gone<'_> {
    Gone { zone: place.zone, child: place.child, generator: stamp.generator.0, version: stamp.version }
}
