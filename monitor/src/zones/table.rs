//! [`Table`]: what an agent knows of the children of one of the zones it is in, and the functions for that zone.
//!
//! Of two issues of a row the one with the higher stamp counts, everywhere: a version, which whoever issues a row makes higher than all that it
//! knows of (Lamport, "Time, clocks, and the ordering of events", CACM 21(7), 1978), then the generator. Astrolabe (van Renesse, Birman and
//! Vogels, ACM TOCS 21(2), 2003) compares stamps within one generator only, and lets the last one to arrive win: then tables of different agents
//! can differ until the next round of rows, and there has to be one. Clocks of hosts play no part in either.
//!
//! A row that is gone leaves its stamp behind for a while, so that an old one that is still about cannot come back. A newer one can: it was not
//! gone.
//!
//! * **Invariants**, in [`Table::check`]: (T1) children are in order, each once; (T2) the digest is that of the rows and functions; (T3) the row of a slot has
//!   the slot's stamp.
//! * **Bounds**: [`CHILDREN_MAX`] children, [`FUNCTIONS_MAX`] functions of each kind.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use gcs::time::Time;
use smallvec::SmallVec;

use super::{
    contact::{Told, relay_of},
    function::{FUNCTIONS_MAX, Function},
};
use crate::{
    row::Row,
    sketch::hash::{FNV, fnv, mix},
    trust::{Id, REVOCATIONS_MAX, Revocation, SEAL, Seal},
    value::Value,
};

/// Children of a zone. Who has more makes a level more.
pub const CHILDREN_MAX: usize = 256;
/// Contacts of a child that are looked at.
pub const CONTACTS: usize = 3;

/// One life of one agent, which makes rows: random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generator(pub u64);

/// Which issue of a row. The higher one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Higher than those of all issues that its generator knew of.
    pub version: u64,
    /// Who made it.
    pub generator: Generator,
}

/// A row as it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Which one it is.
    pub stamp: Stamp,
    /// What it says.
    pub row: Row,
    /// Who says so, where agents have keys.
    pub seal: Option<Seal>,
    /// Bytes of the encoded row, and of its seal.
    pub bytes: usize,
}

impl Issue {
    /// An issue of this row.
    pub fn new(stamp: Stamp, row: Row) -> Self {
        Self { stamp, bytes: row.encoded_len(), row, seal: None }
    }

    /// The same, signed.
    #[must_use]
    pub fn sealed(self, seal: Option<Seal>) -> Self {
        let bytes = self.row.encoded_len() + if seal.is_some() { SEAL } else { 0 };
        Self { seal, bytes, ..self }
    }

    /// Where the agents are that speak for it; at most [`CONTACTS`].
    pub fn contacts(&self) -> SmallVec<[SocketAddr; CONTACTS]> {
        self.told().map(|(_, told)| told.contact).collect()
    }

    /// The same with all that it says of them, and as it says so.
    pub(super) fn told(&self) -> impl Iterator<Item = (&Value, Told)> {
        let contacts = self.row.get("contacts").elements().iter();
        let told = |value: &'_ Value| value.as_text().and_then(|text| text.parse().ok());
        contacts.filter_map(move |value| Some((value, told(value)?))).take(CONTACTS)
    }
}

/// What is known of a child.
#[derive(Clone, Debug)]
pub struct Slot {
    child: Arc<str>,
    /// None while it is gone.
    issue: Option<Arc<Issue>>,
    /// Who says that it is gone, where agents have keys.
    gone: Option<Seal>,
    /// Where it was reached last, also while it is gone.
    contacts: SmallVec<[SocketAddr; CONTACTS]>,
    /// What it says of its load: who has less is asked to speak for others first.
    burden: i64,
    /// How many agents it is, or was, with those of them that were missing.
    expected: i64,
    /// Of its last row.
    stamp: Stamp,
    /// Since when it shows that row, or is gone.
    since: Time,
}

impl Slot {
    /// The child's name within the zone.
    pub fn child(&self) -> &Arc<str> {
        &self.child
    }

    /// Its row, unless it is gone.
    pub fn issue(&self) -> Option<&Arc<Issue>> {
        self.issue.as_ref()
    }

    /// Where it is reached, or was.
    pub fn contacts(&self) -> &[SocketAddr] {
        &self.contacts
    }

    /// Who is lower speaks for others first.
    fn rank(&self) -> (bool, bool, i64) {
        let is_relayed = self.contacts.first().is_some_and(|contact| relay_of(*contact).is_some());
        (self.burden == i64::MAX, is_relayed, self.burden)
    }

    /// How many agents it is, or was, with those of them that were missing already.
    pub fn expected(&self) -> i64 {
        self.expected
    }

    /// Who says that it is gone, where agents have keys.
    pub fn gone(&self) -> Option<Seal> {
        self.gone
    }

    /// Of its row, or of the last one before it was gone.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Since when it shows its row, or is gone, by the clock of this agent.
    pub fn since(&self) -> Time {
        self.since
    }
}

/// What became of an issue that was offered to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The table has it now, and had not.
    Adopted,
    /// The table had it, or a newer one.
    Known,
    /// There are too many children already.
    Full,
}

/// The rows of a zone's children, and the functions for the zone.
#[derive(Clone, Debug, Default)]
pub struct Table {
    slots: Vec<Slot>,
    functions: BTreeMap<Arc<str>, Arc<Function>>,
    /// Of the whole tree: in the table of the root only, and where agents have keys.
    revocations: BTreeMap<Id, Arc<Revocation>>,
    digest: u64,
}

/// What a row adds to the digest of a table; the same on all machines. It tells apart what differs by accident, not by malice: who lies
/// here keeps itself from repairs.
pub(super) fn mark(child: &str, stamp: Stamp) -> u64 {
    mix(mix(fnv(FNV, child.as_bytes()) ^ stamp.generator.0).wrapping_add(stamp.version))
}

/// What a revocation adds to the digest.
pub(super) fn revocation_mark(revocation: &Revocation) -> u64 {
    let (links, expires_s) = strength(revocation);
    mix(fnv(FNV, revocation.id().as_bytes()) ^ expires_s ^ (links.0 as u64) << 48)
}

/// Of two revocations of one certificate, the stronger one is kept.
fn strength(revocation: &Revocation) -> (std::cmp::Reverse<usize>, u64) {
    (std::cmp::Reverse(revocation.signer().certificates().len()), revocation.validity().expires_s())
}

impl Table {
    /// All slots, by child.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The rows that there are, by child.
    pub fn issues(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Issue>)> {
        self.slots.iter().filter_map(|slot| slot.issue.as_ref().map(|issue| (&slot.child, issue)))
    }

    /// The functions for the zone, by name; also those that are removed, and those that are about to be forgotten.
    pub fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.functions.values()
    }

    /// The function of this name.
    pub fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.functions.get(name)
    }

    /// How many agents there are, and how many were in the zone at a time that is not forgotten yet.
    pub fn members(&self) -> (i64, i64) {
        let count = |row: &Row| row.get("nmembers").as_int().unwrap_or(0).max(0);
        let present = self.issues().map(|(_, issue)| count(&issue.row)).fold(0, i64::saturating_add);
        let expected = self.slots.iter().map(|slot| slot.expected.max(0)).fold(0, i64::saturating_add);
        (present, expected.max(present))
    }

    /// The slot of a child.
    pub fn slot(&self, child: &str) -> Option<&Slot> {
        self.position(child).ok().map(|at| &self.slots[at])
    }

    /// The row of a child, unless it is gone.
    pub fn issue(&self, child: &str) -> Option<&Arc<Issue>> {
        self.slot(child).and_then(Slot::issue)
    }

    /// Who speaks for the zone: of the children with the lowest burden, then with the first names, the first contact each, then the second.
    /// Views of it may differ for a while; nothing that must be done by one only depends on it.
    /// Who can be dialled comes before who is reached at a relay.
    pub fn speakers(&self) -> SmallVec<[SocketAddr; CONTACTS]> {
        self.speaking().map(|(_, contact)| contact).collect()
    }

    /// The same as the children say it, with all that they say of it.
    pub(super) fn speakers_told(&self) -> impl Iterator<Item = Value> {
        self.speaking().map(|(slot, contact)| {
            let mut told = slot.issue.iter().flat_map(|issue| issue.told());
            let same = told.find(|(_, told)| told.contact == contact);
            same.map_or_else(|| Value::text(contact.to_string()), |(text, _)| text.clone())
        })
    }

    fn speaking(&self) -> impl Iterator<Item = (&Slot, SocketAddr)> {
        let mut first: SmallVec<[&Slot; CONTACTS]> = SmallVec::new();
        for slot in self.slots.iter().filter(|slot| slot.issue.is_some()) {
            let at = first.iter().position(|other| slot.rank() < other.rank()).unwrap_or(first.len());
            if at < CONTACTS {
                first.truncate(CONTACTS - 1);
                first.insert(at.min(first.len()), slot);
            }
        }
        let places = (0..CONTACTS).flat_map(|nth| (0..CONTACTS).map(move |of| (of, nth)));
        let contact = move |(of, nth): (usize, usize)| {
            let slot = *first.get(of)?;
            Some((slot, *slot.contacts.get(nth)?))
        };
        places.filter_map(contact).take(CONTACTS)
    }

    /// Equal for tables that show the same issues.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The rows that have changed after `since`.
    pub fn changed(&self, since: Time) -> impl Iterator<Item = (&Arc<str>, &Arc<Issue>)> {
        let changed = self.slots.iter().filter(move |slot| slot.since > since);
        changed.filter_map(|slot| slot.issue.as_ref().map(|issue| (&slot.child, issue)))
    }

    fn position(&self, child: &str) -> Result<usize, usize> {
        self.slots.binary_search_by(|slot| slot.child.as_ref().cmp(child))
    }

    /// Takes an issue if it is news.
    pub fn offer(&mut self, now: Time, child: &Arc<str>, issue: &Arc<Issue>) -> Outcome {
        let at = match self.position(child) {
            Ok(at) if self.slots[at].stamp >= issue.stamp => return Outcome::Known,
            Ok(at) => at,
            Err(_) if self.slots.len() >= CHILDREN_MAX => return Outcome::Full,
            Err(at) => {
                let (child, contacts, stamp) = (child.clone(), SmallVec::new(), issue.stamp);
                self.slots.insert(
                    at,
                    Slot {
                        child,
                        issue: None,
                        gone: None,
                        contacts,
                        burden: 0,
                        expected: 0,
                        stamp,
                        since: now,
                    },
                );
                at
            }
        };
        self.show(now, at, issue.stamp, Some(issue.clone()));
        Outcome::Adopted
    }

    /// Whether an issue with this stamp is news.
    pub(super) fn is_news(&self, child: &str, stamp: Stamp) -> bool {
        self.slot(child).is_none_or(|slot| slot.stamp < stamp)
    }

    /// Whether it is news that a child is gone after an issue.
    pub(super) fn is_gone_news(&self, child: &str, stamp: Stamp) -> bool {
        self.slot(child).is_some_and(|slot| slot.issue.is_some() && slot.stamp <= stamp)
    }

    /// A child is gone, as far as it has not issued anything newer, as somebody says. Whether that changes anything.
    pub fn gone(&mut self, now: Time, child: &str, stamp: Stamp, seal: Option<Seal>) -> bool {
        let Ok(at) = self.position(child) else { return false };
        if !self.is_gone_news(child, stamp) {
            return false;
        }
        self.show(now, at, stamp, None);
        self.slots[at].gone = seal;
        true
    }

    /// Forgets all children for which this says so, as if they had never been there. Whether there was one.
    pub(super) fn expel(&mut self, now: Time, mut whom: impl FnMut(&Slot) -> bool) -> bool {
        let gone: Vec<usize> = (0..self.slots.len()).rev().filter(|at| whom(&self.slots[*at])).collect();
        for at in &gone {
            let stamp = self.slots[*at].stamp;
            self.show(now, *at, stamp, None);
            self.slots.remove(*at);
        }
        !gone.is_empty()
    }

    /// Forgets all functions for which this says so. Whether there was one.
    pub(super) fn expel_functions(&mut self, mut which: impl FnMut(&Function) -> bool) -> bool {
        let before = self.functions.len();
        let over = self.functions.extract_if(.., |_, function| which(function));
        self.digest = over.fold(self.digest, |digest, (_, function)| digest ^ function.mark());
        before != self.functions.len()
    }

    /// The revocations.
    pub fn revocations(&self) -> impl Iterator<Item = &Arc<Revocation>> {
        self.revocations.values()
    }

    /// The revocation of this certificate.
    pub(super) fn revocation(&self, of: Id) -> Option<&Arc<Revocation>> {
        self.revocations.get(&of)
    }

    /// Whether a revocation is another one than that of the same certificate that is here.
    pub(super) fn is_revocation_news(&self, revocation: &Revocation) -> bool {
        let held = self.revocation(revocation.id());
        held.is_none_or(|held| revocation_mark(held) != revocation_mark(revocation))
    }

    /// Takes a revocation that was verified. When there are too many, one by an authority nearer to the root takes the place of one by
    /// an authority farther from it.
    pub(super) fn offer_revocation(&mut self, revocation: &Arc<Revocation>) -> Outcome {
        let (id, links) = (revocation.id(), |r: &Revocation| r.signer().certificates().len());
        if let Some(held) = self.revocations.get(&id) {
            // The same certificate, revoked by two: everybody keeps the same one.
            if strength(held) >= strength(revocation) {
                return Outcome::Known;
            }
            self.drop_revocation(id);
        } else if self.revocations.len() >= REVOCATIONS_MAX {
            let weakest = self.revocations.iter().max_by_key(|(id, held)| (links(held), **id));
            let Some(weakest) = weakest.filter(|(_, held)| links(held) > links(revocation)) else {
                return Outcome::Full;
            };
            let weakest = *weakest.0;
            self.drop_revocation(weakest);
        }
        self.digest ^= revocation_mark(revocation);
        self.revocations.insert(id, revocation.clone());
        Outcome::Adopted
    }

    fn drop_revocation(&mut self, id: Id) {
        let dropped = self.revocations.remove(&id);
        self.digest ^= dropped.map_or(0, |revocation| revocation_mark(&revocation));
    }

    /// Takes a function if there is none of its name, or an older one.
    pub fn offer_function(&mut self, function: &Arc<Function>) -> Outcome {
        match self.functions.get(function.said().name.as_str()) {
            Some(held) if held.order() >= function.order() => return Outcome::Known,
            Some(held) => self.digest ^= held.mark(),
            None if self.functions().filter(|held| held.is_like(function)).count() >= FUNCTIONS_MAX => {
                return Outcome::Full;
            }
            None => {}
        }
        self.digest ^= function.mark();
        self.functions.insert(function.said().name.as_str().into(), function.clone());
        Outcome::Adopted
    }

    /// Children that are gone are forgotten after so long, and functions that are over at this second since 1970.
    pub fn forget(&mut self, now: Time, now_s: u64, remember: Duration) {
        self.slots.retain(|slot| slot.issue.is_some() || now.since(slot.since) < remember);
        self.expel_functions(|function| !function.is_valid(now_s));
        let over =
            self.revocations.extract_if(.., |_, revocation| revocation.validity().expires_s() <= now_s);
        self.digest = over.fold(self.digest, |digest, (_, revocation)| digest ^ revocation_mark(&revocation));
    }

    fn show(&mut self, now: Time, at: usize, stamp: Stamp, issue: Option<Arc<Issue>>) {
        let slot = &mut self.slots[at];
        (slot.stamp, slot.since, slot.gone) = (stamp, now, None);
        if let Some(old) = &slot.issue {
            self.digest ^= mark(&slot.child, old.stamp);
        }
        if let Some(new) = &issue {
            self.digest ^= mark(&slot.child, new.stamp);
            slot.contacts = new.contacts();
            slot.burden = new.row.get("burden").as_int().unwrap_or(0);
            let expected = new.row.get("expected").as_int().or(new.row.get("nmembers").as_int());
            slot.expected = expected.unwrap_or(0);
        }
        slot.issue = issue;
    }

    /// Its invariants.
    pub fn check(&self) {
        assert!(self.slots.is_sorted_by(|a, b| a.child < b.child), "T1: children out of order");
        let rows = self.issues().map(|(child, issue)| mark(child, issue.stamp));
        let functions = self.functions().map(|function| function.mark());
        let revocations = self.revocations().map(|revocation| revocation_mark(revocation));
        let digest = rows.chain(functions).chain(revocations).fold(0, |a, b| a ^ b);
        assert_eq!(digest, self.digest, "T2: the digest is wrong");
        for slot in &self.slots {
            let shown = slot.issue.as_ref().is_none_or(|issue| issue.stamp == slot.stamp);
            assert!(shown, "T3: {} shows an old row", slot.child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(generator: u64, version: u64) -> Arc<Issue> {
        let stamp = Stamp { generator: Generator(generator), version };
        Arc::new(Issue::new(stamp, Row::new([("version", Value::Int(version.cast_signed()))])))
    }

    fn offer(table: &mut Table, generator: u64, version: u64) -> Outcome {
        let outcome = table.offer(Time::ZERO, &"a".into(), &issue(generator, version));
        table.check();
        outcome
    }

    fn shown(table: &Table) -> Option<(u64, u64)> {
        table.issue("a").map(|issue| (issue.stamp.generator.0, issue.stamp.version))
    }

    #[test]
    fn the_higher_stamp_counts_in_whatever_order_they_come() {
        let issues = [(1, 7), (2, 3), (2, 7), (3, 6), (1, 6)];
        for first in 0..issues.len() {
            let mut table = Table::default();
            for (generator, version) in issues.iter().cycle().skip(first).take(issues.len()) {
                offer(&mut table, *generator, *version);
            }
            assert_eq!(shown(&table), Some((2, 7)));
            assert_eq!(offer(&mut table, 2, 7), Outcome::Known);
        }
    }

    #[test]
    fn what_is_gone_does_not_come_back_by_hearsay_but_by_itself() {
        let (mut table, now) = (Table::default(), Time::ZERO);
        offer(&mut table, 1, 7);
        assert!(table.gone(now, "a", issue(1, 7).stamp, None));
        assert_eq!((shown(&table), offer(&mut table, 1, 7)), (None, Outcome::Known));
        assert_eq!(offer(&mut table, 1, 8), Outcome::Adopted);
        assert!(!table.gone(now, "a", issue(1, 7).stamp, None), "that was before it said something new");
        assert_eq!(shown(&table), Some((1, 8)));
        assert!(!table.gone(now, "b", issue(1, 7).stamp, None), "nobody knows it");
    }

    #[test]
    fn what_is_gone_is_forgotten_after_a_while() {
        let (mut table, remember) = (Table::default(), Duration::from_millis(100));
        offer(&mut table, 1, 7);
        table.gone(Time::from_ms(100), "a", issue(1, 7).stamp, None);
        table.forget(Time::from_ms(199), 0, remember);
        assert_eq!(offer(&mut table, 1, 7), Outcome::Known);
        table.forget(Time::from_ms(200), 0, remember);
        assert!(table.slots().is_empty());
        assert_eq!(offer(&mut table, 1, 7), Outcome::Adopted);
        table.forget(Time::from_ms(9999), 0, remember);
        assert_eq!(shown(&table), Some((1, 7)), "it is not gone");
    }

    #[test]
    fn those_with_the_lowest_burden_speak_first() {
        let mut table = Table::default();
        let contact = |n: usize| SocketAddr::from(([10, 0, 0, u8::try_from(n).unwrap()], 1));
        for (n, burden) in [2, 1, 0, 1, 0].into_iter().enumerate() {
            let stamp = Stamp { version: 1, generator: Generator(1) };
            let contacts = Value::list([contact(n), contact(100 + n)].map(|c| c.to_string().into()));
            let row = Row::new([("burden", Value::Int(burden)), ("contacts", contacts)]);
            table.offer(Time::ZERO, &format!("c{n}").into(), &Arc::new(Issue::new(stamp, row)));
        }
        assert_eq!(table.speakers().as_slice(), [2, 4, 1].map(contact));
        for child in ["c2", "c4", "c1"] {
            table.gone(Time::ZERO, child, issue(9, 9).stamp, None);
        }
        assert_eq!(table.speakers().as_slice(), [3, 0, 103].map(contact));
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let mut table = Table::default();
        for n in 0..1000_u64 {
            let outcome = table.offer(Time::ZERO, &format!("c{n}").into(), &issue(n, 1));
            assert_eq!(outcome == Outcome::Full, n >= 256);
        }
        table.check();
    }
}
