//! Lookups: the table of a zone that an agent is not in. Who is asked either is in that zone, or names others who are nearer to it.
//!
//! ```text
//!   /eu/ams/h1 ──Ask /us/nyc──► /us/bos/h7   (speaks for /us)
//!              ◄──Nearer──────               (who speaks for /us/nyc)
//!              ──Ask /us/nyc──► /us/nyc/h2
//!              ◄──Part, Part──               (the table)
//! ```
//! * **Bounds**: [`LOOKUPS`] at a time, [`TRIES`] questions for each; what is answered, by a bucket of its own.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use gcs::time::Time;
use smallvec::SmallVec;
use thiserror::Error;

use super::{Agent, Sends};
use crate::zones::{
    function::{FUNCTIONS_MAX, Function},
    message::{Body, Item, Message, ROWS_MAX, Subject},
    name::ZoneName,
    table::{CHILDREN_MAX, CONTACTS, Issue},
};

const LOOKUPS: usize = 64;
/// Messages that one lookup may take: each level once, and some that get lost.
const TRIES: u8 = 24;
/// Items of a table.
const ITEMS: usize = 2 * CHILDREN_MAX + 3 * FUNCTIONS_MAX;

/// Names a lookup of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lookup(u32);

/// The table of a zone, at one moment.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which zone.
    pub zone: ZoneName,
    /// Who said so; none if it is a zone of the agent that was asked.
    pub from: Option<SocketAddr>,
    /// The rows of its children.
    pub rows: Vec<(Arc<str>, Arc<Issue>)>,
    /// Children that are gone, and not forgotten.
    pub gone: Vec<Arc<str>>,
    /// The functions that count in the zone, and the standing queries and announcements for it.
    pub functions: Vec<Arc<Function>>,
    /// How many agents were there at some time that is not forgotten.
    pub expected: i64,
}

/// Why there is no table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LookupError {
    /// Too many at a time.
    #[error("{LOOKUPS} lookups are under way already: try again")]
    Busy,
    /// The zone around it does not have it.
    #[error("there is no zone {0}; or all of its agents are gone")]
    NoSuchZone(ZoneName),
    /// Nobody answered.
    #[error("nobody who is in {0}, or knows who is, has answered")]
    Silent(ZoneName),
}

/// One that is under way.
#[derive(Debug)]
struct Pending {
    lookup: Lookup,
    zone: ZoneName,
    /// Who may know; the first is asked.
    whom: SmallVec<[SocketAddr; CONTACTS]>,
    until: Time,
    tries: u8,
    /// Items of the table, as whoever is asked says.
    of: Option<usize>,
    parts: BTreeMap<Subject, Item>,
    expected: i64,
}

/// Those of an agent.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    pending: Vec<Pending>,
    done: Vec<(Lookup, Result<Found, LookupError>)>,
}

impl Lookups {
    pub(super) fn next_timer(&self) -> Time {
        self.pending.iter().map(|pending| pending.until).min().unwrap_or(Time::NEVER)
    }

    fn asked(&self, from: SocketAddr, number: u32) -> Option<usize> {
        let fits = |p: &Pending| p.lookup.0 == number && p.whom.first() == Some(&from);
        self.pending.iter().position(fits)
    }

    /// The zone that whoever is there was asked for.
    pub(super) fn zone(&self, from: SocketAddr, number: u32) -> Option<ZoneName> {
        self.asked(from, number).map(|at| self.pending[at].zone.clone())
    }

    /// Some of a table.
    pub(super) fn on_part(
        &mut self,
        from: SocketAddr,
        number: u32,
        of: Option<(u32, i64)>,
        items: Vec<Item>,
    ) {
        let Some(at) = self.asked(from, number) else { return };
        let pending = &mut self.pending[at];
        if let Some((of, expected)) = of {
            (pending.of, pending.expected) = (Some((of as usize).min(ITEMS)), expected);
        }
        for item in items {
            if pending.parts.len() < ITEMS {
                pending.parts.insert(item.subject(), item);
            }
        }
        if pending.of.is_some_and(|of| pending.parts.len() >= of) {
            let pending = self.pending.swap_remove(at);
            let items = pending.parts.into_values();
            let found = Found::new(pending.zone, Some(from), items, pending.expected);
            self.done.push((pending.lookup, Ok(found)));
        }
    }
}

impl Found {
    fn new(
        zone: ZoneName,
        from: Option<SocketAddr>,
        items: impl IntoIterator<Item = Item>,
        expected: i64,
    ) -> Self {
        let (mut rows, mut gone, mut functions) = (Vec::new(), Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Issue(child, issue) => rows.push((child, issue)),
                Item::Gone(child, ..) => gone.push(child),
                Item::Function(function) => functions.push(function),
                Item::Revocation(_) => {}
            }
        }
        Self { zone, from, rows, gone, functions, expected }
    }
}

impl Agent {
    /// Asks for the table of a zone, wherever it is. The answer is in [`Self::found`] some time later.
    ///
    /// # Errors
    /// There are too many already, or there is no such zone.
    pub fn look_up(&mut self, now: Time, zone: &ZoneName) -> Result<Lookup, LookupError> {
        let lookups = &self.lookups;
        if lookups.pending.len() + lookups.done.len() >= LOOKUPS {
            return Err(LookupError::Busy);
        }
        let lookup = loop {
            let lookup = Lookup(self.number());
            if self.lookups.pending.iter().all(|pending| pending.lookup != lookup) {
                break lookup;
            }
        };
        if let Some(level) = self.zones.iter().position(|own| own == zone) {
            let (items, expected) = self.table_items(now, level);
            let found = Found::new(zone.clone(), None, items, expected);
            self.lookups.done.push((lookup, Ok(found)));
            return Ok(lookup);
        }
        let whom: SmallVec<[SocketAddr; CONTACTS]> = self.nearer(zone).into_iter().collect();
        if whom.is_empty() {
            return Err(LookupError::NoSuchZone(zone.clone()));
        }
        let (zone, parts) = (zone.clone(), BTreeMap::new());
        let pending = Pending { lookup, zone, whom, until: now, tries: 0, of: None, parts, expected: 0 };
        self.lookups.pending.push(pending);
        Ok(lookup)
    }

    /// What has come of lookups.
    pub fn found(&mut self) -> Vec<(Lookup, Result<Found, LookupError>)> {
        std::mem::take(&mut self.lookups.done)
    }

    /// Asks, and asks others where nobody has answered.
    pub(super) fn continue_lookups(&mut self, now: Time, sends: &mut Sends) {
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.lookups.pending).into_iter().partition(|pending| pending.until <= now);
        self.lookups.pending = waiting;
        for mut pending in due {
            if pending.tries >= TRIES {
                let error = LookupError::Silent(pending.zone);
                self.lookups.done.push((pending.lookup, Err(error)));
                continue;
            }
            if pending.tries > 0 {
                pending.whom.rotate_left(1);
            }
            pending.tries += 1;
            pending.until = now + self.patience(pending.whom[0]);
            let message = Message { zone: pending.zone.clone(), body: Body::Ask(pending.lookup.0) };
            sends.push((pending.whom[0], message));
            self.lookups.pending.push(pending);
        }
    }

    /// Others are nearer.
    pub(super) fn on_nearer(
        &mut self,
        now: Time,
        from: SocketAddr,
        number: u32,
        mut whom: Vec<SocketAddr>,
        sends: &mut Sends,
    ) {
        let Some(at) = self.lookups.asked(from, number) else { return };
        whom.retain(|whom| *whom != self.contact);
        whom.truncate(CONTACTS);
        if whom.is_empty() {
            let pending = self.lookups.pending.swap_remove(at);
            self.lookups.done.push((pending.lookup, Err(LookupError::NoSuchZone(pending.zone))));
            return;
        }
        let pending = &mut self.lookups.pending[at];
        // The next in line is asked first.
        pending.whom = whom.into_iter().collect();
        pending.whom.rotate_right(1);
        pending.until = now;
        self.continue_lookups(now, sends);
    }

    /// Somebody asks for a table.
    pub(super) fn on_ask(
        &mut self,
        now: Time,
        from: SocketAddr,
        number: u32,
        zone: &ZoneName,
        sends: &mut Sends,
    ) {
        let Some(level) = self.zones.iter().position(|own| own == zone) else {
            let message = Message { zone: zone.clone(), body: Body::Nearer(number, self.nearer(zone)) };
            if self.for_answers.take(now, self.config.exchange_rate, message.bytes()) {
                sends.push((from, message));
            }
            return;
        };
        let (items, expected) = self.table_items(now, level);
        let of = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let first = self.draw(items.len());
        let (before, after) = items.split_at(first);
        let mut items = after.iter().chain(before).cloned().peekable();
        let mut empty = items.peek().is_none();
        while empty || items.peek().is_some() {
            empty = false;
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(item) = items.next_if(|item| part.is_empty() || bytes + item.bytes() <= ROWS_MAX) {
                bytes += item.bytes();
                part.push(item);
            }
            let message = Message { zone: zone.clone(), body: Body::Part(number, (of, expected), part) };
            if !self.for_answers.take(now, self.config.exchange_rate, message.bytes()) {
                return;
            }
            sends.push((from, message));
        }
    }

    /// Who is nearer to a zone that this agent is not in.
    pub(super) fn nearer(&self, zone: &ZoneName) -> Vec<SocketAddr> {
        let level = self.common(zone);
        let child = zone.parts().nth(level).unwrap_or_default();
        let slot = self.tables[level].slot(child).filter(|slot| slot.issue().is_some());
        slot.map_or_else(Vec::new, |slot| slot.contacts().to_vec())
    }

    /// All of one of its tables, with the functions that count there; and how many agents there were.
    fn table_items(&self, now: Time, level: usize) -> (Vec<Item>, i64) {
        let table = &self.tables[level];
        let rows = table.slots().iter().map(|slot| match slot.issue() {
            Some(issue) => Item::Issue(slot.child().clone(), issue.clone()),
            None => Item::Gone(slot.child().clone(), slot.stamp(), slot.gone()),
        });
        let functions = self.functions(now, level).into_iter();
        let others = self.others(now, level).filter(|other| !other.said().text.is_empty());
        let items = rows.chain(functions.chain(others).cloned().map(Item::Function)).collect();
        (items, table.members().1)
    }
}
