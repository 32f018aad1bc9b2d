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

use super::function::{FUNCTIONS_MAX, Function};
use crate::{
    row::Row,
    sketch::hash::{FNV, fnv, mix},
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
    /// Bytes of the encoded row.
    pub bytes: usize,
}

impl Issue {
    /// An issue of this row.
    pub fn new(stamp: Stamp, row: Row) -> Self {
        Self { stamp, bytes: row.encoded_len(), row }
    }

    /// Where the agents are that speak for it; at most [`CONTACTS`].
    pub fn contacts(&self) -> SmallVec<[SocketAddr; CONTACTS]> {
        let contacts = self.row.get("contacts").elements().iter();
        contacts.filter_map(Value::as_text).filter_map(|text| text.parse().ok()).take(CONTACTS).collect()
    }
}

/// What is known of a child.
#[derive(Clone, Debug)]
pub struct Slot {
    child: Arc<str>,
    /// None while it is gone.
    issue: Option<Arc<Issue>>,
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

    /// How many agents it is, or was, with those of them that were missing already.
    pub fn expected(&self) -> i64 {
        self.expected
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
    digest: u64,
}

/// What a row adds to the digest of a table; the same on all machines. It tells apart what differs by accident, not by malice: who lies
/// here keeps itself from repairs.
pub(super) fn mark(child: &str, stamp: Stamp) -> u64 {
    mix(mix(fnv(FNV, child.as_bytes()) ^ stamp.generator.0).wrapping_add(stamp.version))
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
    pub fn speakers(&self) -> SmallVec<[SocketAddr; CONTACTS]> {
        let mut first: SmallVec<[&Slot; CONTACTS]> = SmallVec::new();
        for slot in self.slots.iter().filter(|slot| slot.issue.is_some()) {
            let at = first.iter().position(|other| slot.burden < other.burden).unwrap_or(first.len());
            if at < CONTACTS {
                first.truncate(CONTACTS - 1);
                first.insert(at.min(first.len()), slot);
            }
        }
        let nth = |n: usize| first.iter().filter_map(move |slot| slot.contacts.get(n).copied());
        (0..CONTACTS).flat_map(nth).take(CONTACTS).collect()
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
                    Slot { child, issue: None, contacts, burden: 0, expected: 0, stamp, since: now },
                );
                at
            }
        };
        self.show(now, at, issue.stamp, Some(issue.clone()));
        Outcome::Adopted
    }

    /// A child is gone, as far as it has not issued anything newer. Whether that changes anything.
    pub fn gone(&mut self, now: Time, child: &str, stamp: Stamp) -> bool {
        let Ok(at) = self.position(child) else { return false };
        let slot = &mut self.slots[at];
        if slot.issue.is_none() || slot.stamp > stamp {
            return false;
        }
        self.show(now, at, stamp, None);
        true
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
        let over = self.functions.extract_if(.., |_, function| !function.is_valid(now_s));
        self.digest = over.fold(self.digest, |digest, (_, function)| digest ^ function.mark());
    }

    fn show(&mut self, now: Time, at: usize, stamp: Stamp, issue: Option<Arc<Issue>>) {
        let slot = &mut self.slots[at];
        (slot.stamp, slot.since) = (stamp, now);
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
        let digest = rows.chain(self.functions().map(|function| function.mark())).fold(0, |a, b| a ^ b);
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
        assert!(table.gone(now, "a", issue(1, 7).stamp));
        assert_eq!((shown(&table), offer(&mut table, 1, 7)), (None, Outcome::Known));
        assert_eq!(offer(&mut table, 1, 8), Outcome::Adopted);
        assert!(!table.gone(now, "a", issue(1, 7).stamp), "that was before it said something new");
        assert_eq!(shown(&table), Some((1, 8)));
        assert!(!table.gone(now, "b", issue(1, 7).stamp), "nobody knows it");
    }

    #[test]
    fn what_is_gone_is_forgotten_after_a_while() {
        let (mut table, remember) = (Table::default(), Duration::from_millis(100));
        offer(&mut table, 1, 7);
        table.gone(Time::from_ms(100), "a", issue(1, 7).stamp);
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
            table.gone(Time::ZERO, child, issue(9, 9).stamp);
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
