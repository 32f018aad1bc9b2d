//! What an agent with keys makes of what it hears: it signs what it says itself, and takes only what certificates allow.
//!
//! ```text
//!   row, gone ──known already──► nothing          row, gone of a signer that is not known ──► held, Whose ──► whoever has sent it
//!      │ new                                                                                    │ ◄── Chains
//!      └──► its second, its signer's right, its signature ──► taken ◄────────────────────────────┘
//! ```
//! A row is looked at only if it is newer than what the table has, so that each is verified once. A revocation counts at once: what was signed
//! with a certificate that it calls back is forgotten, with its stamps.
//!
//! An agent whose clock is wrong hears nothing that counts, and keeps what it has: the tables of those whose clocks are right do not change, and
//! its own do not, either, until somebody sets the clock.
//!
//! * **Bounds**: [`HELD`] items and [`HELD_BYTES`] wait for certificates, the oldest makes room; [`ASKED`] questions are remembered; certificates
//!   are sent out of what exchanges may send.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use gcs::time::Time;

use super::{Agent, Sends};
use crate::{
    row::Row,
    trust::{
        Counters, EventSeal, FunctionSeal, Keys, Need, Place, Refusal, RequestSeal, Revocation, Seal, Signer,
        Verdict,
    },
    zones::{
        event::Fired,
        message::{Body, Item, Message, ROWS_MAX, Subject},
        name::ZoneName,
        table::{Issue, Outcome, Slot, Stamp},
    },
};

const HELD: usize = 256;
const HELD_BYTES: usize = 128 << 10;
/// Questions that are not asked again for some time.
const ASKED: usize = 256;
const AGAIN: Duration = Duration::from_millis(200);
/// Before its certificate expires an agent lets others speak, in seconds: its row is issued anew several times meanwhile.
const RETIRES_S: u64 = 3600;

/// How an item came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Came {
    /// As news in the ring of this level, about a table of this level.
    News(usize, usize),
    /// In an exchange of the table of this level.
    Rows(usize),
    /// As part of the answer to the lookup of this number.
    Part(u32),
}

#[derive(Debug)]
struct Held {
    item: Item,
    signer: Signer,
    from: SocketAddr,
    came: Came,
}

/// The keys of an agent, and what waits for those of others.
#[derive(Debug)]
pub(super) struct Trust {
    keys: Keys,
    held: VecDeque<Held>,
    held_bytes: usize,
    asked: BTreeMap<(SocketAddr, Signer), Time>,
    to_ask: BTreeMap<SocketAddr, BTreeSet<Signer>>,
    /// Somebody has set the clock.
    pub(super) clock_set: bool,
}

impl Trust {
    /// Its invariants.
    pub(super) fn check(&self) {
        assert!(self.held.len() <= HELD && self.asked.len() <= ASKED, "K1: too much waits for certificates");
        let bytes: usize = self.held.iter().map(|held| held.item.bytes()).sum();
        assert!(bytes == self.held_bytes && bytes <= HELD_BYTES, "K2: {bytes} bytes wait for certificates");
    }

    fn hold(&mut self, now: Time, held: Held) {
        self.held_bytes += held.item.bytes();
        let (from, signer) = (held.from, held.signer);
        self.held.push_back(held);
        while self.held.len() > HELD || self.held_bytes > HELD_BYTES {
            let Some(oldest) = self.held.pop_front() else { break };
            self.held_bytes -= oldest.item.bytes();
        }
        self.ask(now, from, signer);
    }

    /// Who says that a standing query has fired here.
    pub(super) fn seal_event(&self, query: &str, fired: &Fired) -> Box<EventSeal> {
        Box::new(self.keys.seal_event(query, fired))
    }

    fn ask(&mut self, now: Time, from: SocketAddr, signer: Signer) {
        let question = (from, signer);
        self.asked.retain(|_, at| now.since(*at) < AGAIN);
        if self.asked.len() < ASKED && self.asked.insert(question, now).is_none() {
            self.to_ask.entry(question.0).or_default().insert(question.1);
        }
    }
}

impl Agent {
    /// The agent with keys: it signs, and takes only what is signed by those who may.
    ///
    /// # Errors
    /// [`Refusal::OtherKey`]: the keys are another agent's.
    pub fn with_keys(self, keys: Keys) -> Result<Self, Refusal> {
        if *keys.name() != self.name {
            return Err(Refusal::OtherKey {
                what: format!("agent {}, but to agent {}", self.name, keys.name()),
            });
        }
        let (held, asked, to_ask) = (VecDeque::new(), BTreeMap::new(), BTreeMap::new());
        let trust = Trust { keys, held, held_bytes: 0, asked, to_ask, clock_set: false };
        Ok(Self { trust: Some(Box::new(trust)), ..self })
    }

    /// What was verified and refused; None for an agent without keys.
    #[must_use]
    pub fn verified(&self) -> Option<&Counters> {
        self.trust.as_ref().map(|trust| trust.keys.counters())
    }

    /// Why something was refused: each reason once, in one sentence.
    pub fn reasons(&mut self) -> Vec<String> {
        self.trust.as_mut().map_or_else(Vec::new, |trust| trust.keys.reasons())
    }

    /// Takes a revocation, and tells others of it. Whether it is new.
    ///
    /// # Errors
    /// Why it does not count; [`Refusal::NoCertificate`] without keys.
    pub fn revoke(&mut self, now: Time, revocation: &Arc<Revocation>) -> Result<bool, Refusal> {
        let now_s = self.seconds(now);
        let trust = self.trust.as_mut().ok_or(Refusal::NoCertificate)?;
        trust.keys.revoke(now, now_s, revocation)?;
        let new = self.take_revocation(now, revocation);
        if new {
            self.pass_on(now, 0, &Subject::Revocation(revocation.id()), None);
        }
        Ok(new)
    }

    /// An issue of its own, signed if it has keys.
    pub(crate) fn sealed(&self, level: usize, child: &str, stamp: Stamp, row: Row) -> Arc<Issue> {
        let seal = self.trust.as_ref().map(|trust| {
            let place = Place { zone: &self.zones[level], child };
            trust.keys.seal_row(place, stamp, &row)
        });
        Arc::new(Issue::new(stamp, row).sealed(seal))
    }

    /// Says that a child is gone, signed if it has keys. Whether that is news.
    pub(super) fn say_gone(&mut self, now: Time, level: usize, child: &str, stamp: Stamp) -> bool {
        let place = Place { zone: &self.zones[level], child };
        let seal = self.trust.as_ref().map(|trust| trust.keys.seal_gone(place, stamp));
        self.tables[level].gone(now, child, stamp, seal)
    }

    pub(super) fn has_keys(&self) -> bool {
        self.trust.is_some()
    }

    /// That a child is there, signed.
    pub(super) fn proof(&self, level: usize, child: &str, number: u32) -> Option<Seal> {
        let place = Place { zone: &self.zones[level], child };
        self.trust.as_ref().map(|trust| trust.keys.seal_alive(place, number))
    }

    /// Whether somebody who may has signed that a child is there. If it is not known who that is, it is asked for, and the question asked again.
    pub(super) fn is_proven(
        &mut self,
        now: Time,
        from: SocketAddr,
        level: usize,
        child: &str,
        number: u32,
        seal: &Seal,
    ) -> bool {
        let (now_s, place) = (self.seconds(now), Place { zone: &self.zones[level], child });
        let Some(trust) = &mut self.trust else { return true };
        let verdict = trust.keys.alive((now, now_s), place, number, seal);
        if let Verdict::Unknown(signer) = verdict {
            trust.ask(now, from, signer);
        }
        verdict == Verdict::Right
    }

    /// The lowest version of what is issued now.
    pub(super) fn lowest_version(&self, now: Time) -> u64 {
        self.trust.as_ref().map_or(0, |_| Keys::version(self.seconds(now)))
    }

    /// Whether an item for a table is news that may be taken. Without keys everything may.
    pub(super) fn admits(
        &mut self,
        now: Time,
        level: usize,
        item: &Item,
        from: SocketAddr,
        came: Came,
    ) -> bool {
        if self.trust.is_none() {
            return !matches!(item, Item::Revocation(_));
        }
        let table = &self.tables[level];
        let news = match item {
            Item::Issue(child, issue) => table.is_news(child, issue.stamp),
            Item::Gone(child, stamp, _) if *child == self.parts[level] => {
                table.issue(child).is_none_or(|issue| issue.stamp <= *stamp)
            }
            Item::Gone(child, stamp, _) => table.is_gone_news(child, *stamp),
            Item::Function(function) => {
                let held = table.function(&function.said().name);
                held.is_none_or(|held| held.order() < function.order())
            }
            Item::Revocation(revocation) => level == 0 && table.is_revocation_news(revocation),
        };
        let zone = self.zones[level].clone();
        news && self.believes(now, &zone, item, from, came)
    }

    /// Whether what is said in a zone is said by those who may. If they are not known, it is held until they are.
    fn believes(&mut self, now: Time, zone: &ZoneName, item: &Item, from: SocketAddr, came: Came) -> bool {
        let now_s = self.seconds(now);
        let Some(trust) = &mut self.trust else { return true };
        let keys = &mut trust.keys;
        let verdict = match item {
            Item::Issue(child, issue) => {
                // Whoever is there issues its row anew long before.
                let oldest_s = self.config.remember.as_secs().saturating_sub(AHEAD_S);
                let (place, seal) = (Place { zone, child }, issue.seal.as_ref());
                keys.row((now, now_s), place, issue.stamp, &issue.row, seal, oldest_s)
            }
            Item::Gone(child, stamp, seal) => {
                keys.gone((now, now_s), Place { zone, child }, *stamp, seal.as_ref())
            }
            Item::Function(function) => match keys.function(now, now_s, function.said()) {
                Ok(of) if of == *zone || (matches!(came, Came::Part(_)) && of.contains(zone)) => {
                    Verdict::Right
                }
                Ok(of) => {
                    keys.refuse(&elsewhere(&function.said().name, &of, zone));
                    Verdict::Refused
                }
                Err(_) => Verdict::Refused,
            },
            Item::Revocation(revocation) => match keys.revoke(now, now_s, revocation) {
                Ok(_) => Verdict::Right,
                Err(_) => Verdict::Refused,
            },
        };
        if let Verdict::Unknown(signer) = verdict {
            trust.hold(now, Held { item: item.clone(), signer, from, came });
        }
        verdict == Verdict::Right
    }

    /// Those of the events of a query for a zone that their agents have signed, and by whom, and those that are only counted. Without keys all are
    /// believed.
    pub(super) fn believed(
        &mut self,
        now: Time,
        query: &str,
        zone: &ZoneName,
        fired: Vec<Fired>,
    ) -> Vec<(Option<Signer>, Fired)> {
        let now_s = self.seconds(now);
        let believed = fired.into_iter().filter_map(|fired| match &mut self.trust {
            None => Some((None, fired)),
            Some(_) if fired.told.is_none() && fired.seal.is_none() => Some((None, fired)),
            Some(trust) => {
                let by = trust.keys.event((now, now_s), query, zone, &fired)?;
                Some((Some(by), fired))
            }
        });
        believed.collect()
    }

    /// Whether a request to this agent is signed by a client who may.
    ///
    /// # Errors
    /// Why it does not count; [`Refusal::NoCertificate`] without keys.
    pub fn allow(
        &mut self,
        now: Time,
        seal: &RequestSeal,
        request: (&str, &[u8]),
        needs: &[Need<'_>],
    ) -> Result<(), Refusal> {
        let now_s = self.seconds(now);
        let trust = self.trust.as_mut().ok_or(Refusal::NoCertificate)?;
        trust.keys.request((now, now_s), seal, request, needs)
    }

    /// Whether a function that is installed here is signed for its zone.
    pub(super) fn may_install(
        &mut self,
        now: Time,
        zone: &ZoneName,
        function: &crate::zones::function::Function,
    ) -> Result<(), Refusal> {
        let now_s = self.seconds(now);
        let Some(trust) = &mut self.trust else { return Ok(()) };
        let of = trust.keys.function(now, now_s, function.said())?;
        if of == *zone { Ok(()) } else { Err(elsewhere(&function.said().name, &of, zone)) }
    }

    pub(super) fn take_revocation(&mut self, now: Time, revocation: &Arc<Revocation>) -> bool {
        match self.tables[0].offer_revocation(revocation) {
            Outcome::Adopted => {
                self.expel_revoked(now);
                true
            }
            Outcome::Known => false,
            Outcome::Full => {
                self.counters.refused += 1;
                false
            }
        }
    }

    /// What was signed with a certificate that was revoked counts no longer.
    fn expel_revoked(&mut self, now: Time) {
        let Some(trust) = &self.trust else { return };
        let keys = &trust.keys;
        let (mut rows, mut functions) = (Vec::new(), Vec::new());
        for (level, table) in self.tables.iter_mut().enumerate() {
            let is_revoked = |slot: &Slot| {
                slot.issue().and_then(|issue| issue.seal).is_some_and(|seal| keys.is_revoked(seal.signer))
            };
            if table.expel(now, is_revoked) {
                rows.push(level);
            }
            let over = table.expel_functions(|function| {
                let seal = FunctionSeal::decode(&function.said().seal);
                seal.is_ok_and(|seal| keys.is_chain_revoked(seal.signer()))
            });
            if over {
                functions.push(level);
            }
        }
        rows.into_iter().for_each(|level| self.expelled(now, level));
        if !functions.is_empty() {
            // Standing queries may be among them.
            self.others_changed += 1;
        }
        functions.into_iter().for_each(|level| self.functions_changed(now, level));
    }

    /// Rows of a table are gone without anybody having said so.
    fn expelled(&mut self, now: Time, level: usize) {
        self.changed(now, level);
        // The row of the own zone may be one of them.
        if level < self.leaf() {
            self.changed(now, level + 1);
        }
    }

    /// Somebody has set the clock: what is of the future by it would never be replaced, and its own rows are of another time.
    pub(super) fn look_at_versions(&mut self, now: Time) {
        let now_s = self.seconds(now);
        let Some(trust) = self.trust.as_mut().filter(|trust| trust.clock_set) else { return };
        trust.clock_set = false;
        let keys = &trust.keys;
        let mut expelled = Vec::new();
        for (level, table) in self.tables.iter_mut().enumerate() {
            if table.expel(now, |slot| keys.is_future(now_s, slot.stamp().version)) {
                expelled.push(level);
            }
        }
        if keys.is_future(now_s, self.version) {
            self.version = 0;
        }
        expelled.into_iter().for_each(|level| self.expelled(now, level));
        self.reissue_at = now;
    }

    /// Whether nobody will believe it soon. Others are to speak for its zones before.
    pub(super) fn is_about_to_expire(&self, now: Time) -> bool {
        let soon = self.seconds(now).saturating_add(RETIRES_S);
        self.trust.as_ref().is_some_and(|trust| trust.keys.ends_s() < soon)
    }

    /// Whether the row of a zone is to be issued again though it says the same: it would be too old for those who come.
    pub(super) fn is_worn(&self, now: Time, stamp: Stamp) -> bool {
        let refresh = self.config.refresh.as_secs();
        self.trust.is_some() && Keys::version(self.seconds(now).saturating_sub(refresh)) > stamp.version
    }

    /// Asks for the certificates that are missing.
    pub(super) fn ask_whose(&mut self, sends: &mut Sends) {
        let Some(trust) = &mut self.trust else { return };
        for (to, signers) in std::mem::take(&mut trust.to_ask) {
            let body = Body::Whose(signers.into_iter().collect());
            sends.push((to, Message { zone: ZoneName::root(), body }));
        }
    }

    /// Somebody asks for certificates.
    pub(super) fn on_whose(&mut self, now: Time, from: SocketAddr, signers: &[Signer], sends: &mut Sends) {
        let Some(trust) = &self.trust else { return };
        let mut chains =
            signers.iter().take(HELD).filter_map(|signer| trust.keys.chain(*signer).cloned()).peekable();
        let mut messages = Vec::new();
        while chains.peek().is_some() {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(chain) =
                chains.next_if(|chain| part.is_empty() || bytes + chain.about_bytes() <= ROWS_MAX)
            {
                bytes += chain.about_bytes();
                part.push(chain);
            }
            messages.push(Message { zone: ZoneName::root(), body: Body::Chains(part) });
        }
        drop(chains);
        for message in messages {
            if !self.may_exchange(now, from, message.bytes()) {
                return;
            }
            sends.push((from, message));
        }
    }

    /// Certificates: what has waited for them is taken.
    pub(super) fn on_chains(&mut self, now: Time, chains: &[Arc<crate::trust::Chain>]) {
        let now_s = self.seconds(now);
        let Some(trust) = &mut self.trust else { return };
        let learned: BTreeSet<Signer> =
            chains.iter().filter_map(|chain| trust.keys.learn(now, now_s, chain)).collect();
        if learned.is_empty() {
            return;
        }
        let (due, waiting): (VecDeque<Held>, VecDeque<Held>) =
            std::mem::take(&mut trust.held).into_iter().partition(|held| learned.contains(&held.signer));
        trust.held_bytes = waiting.iter().map(|held| held.item.bytes()).sum();
        trust.held = waiting;
        let before = self.tables[self.leaf()].slots().len();
        for held in due {
            match held.came {
                Came::News(ring, level) => {
                    if self.take(now, level, &held.item, held.from, held.came) {
                        self.pass_on(now, level, &held.item.subject(), Some(ring));
                    }
                }
                Came::Rows(level) => {
                    if self.take(now, level, &held.item, held.from, held.came) {
                        self.pass_below(now, level, &held.item.subject());
                    }
                }
                Came::Part(number) => self.take_part(now, held.from, number, None, vec![held.item]),
            }
        }
        self.meet(now, before);
    }

    /// Others of its zone that it has not known may not know of it.
    pub(super) fn meet(&mut self, now: Time, before: usize) {
        let leaf = self.leaf();
        if self.tables[leaf].slots().len() > before {
            let own = self.parts[leaf].clone();
            self.pass_on(now, leaf, &Subject::Child(own), None);
        }
    }

    /// Some of the answer to a lookup: what certificates allow of it.
    pub(super) fn take_part(
        &mut self,
        now: Time,
        from: SocketAddr,
        number: u32,
        of: Option<(u32, i64)>,
        mut items: Vec<Item>,
    ) {
        let Some(zone) = self.lookups.zone(from, number) else { return };
        if self.trust.is_some() {
            items.retain(|item| self.believes(now, &zone, item, from, Came::Part(number)));
        }
        self.lookups.on_part(from, number, of, items);
    }

    /// The certificates of those who have signed these, as far as others may not know them yet.
    pub(super) fn introduction(&self, now: Time, items: &[(u8, Item)]) -> Option<Message> {
        let trust = self.trust.as_ref()?;
        let seal = |item: &Item| -> Option<Seal> {
            match item {
                Item::Issue(_, issue) => issue.seal,
                Item::Gone(_, _, seal) => *seal,
                Item::Function(_) | Item::Revocation(_) => None,
            }
        };
        let signers: BTreeSet<Signer> =
            items.iter().filter_map(|(_, item)| seal(item)).map(|s| s.signer).collect();
        let chains: Vec<_> =
            signers.into_iter().filter_map(|signer| trust.keys.fresh(now, signer).cloned()).collect();
        (!chains.is_empty()).then(|| Message { zone: ZoneName::root(), body: Body::Chains(chains) })
    }

    /// Forgets certificates that nothing is signed with any more.
    pub(super) fn forget_signers(&mut self, now: Time) {
        let Some(trust) = &mut self.trust else { return };
        let seals = |slot: &Slot| slot.issue().and_then(|issue| issue.seal).or(slot.gone());
        let slots = self.tables.iter().flat_map(|table| table.slots());
        let held: BTreeSet<Signer> = slots.filter_map(seals).map(|seal| seal.signer).collect();
        trust.keys.keep(now, &held);
    }

    /// Everybody's certificates are known to it, as in a tree that has grown.
    pub(crate) fn settle_keys(&mut self, chains: impl IntoIterator<Item = Arc<crate::trust::Chain>>) {
        if let Some(trust) = &mut self.trust {
            trust.keys.settle(chains);
        }
    }

    /// What others have to see in order to believe it.
    pub(crate) fn chain(&self) -> Option<Arc<crate::trust::Chain>> {
        self.trust.as_ref().map(|trust| trust.keys.own_chain())
    }
}

/// How far clocks may be apart, and what is about to be forgotten is not taken.
const AHEAD_S: u64 = 300;

fn elsewhere(name: &str, of: &ZoneName, zone: &ZoneName) -> Refusal {
    Refusal::NotAllowed {
        who: format!("function {name} is signed for {of}: whoever has signed it"),
        what: format!("it for {zone}"),
    }
}
