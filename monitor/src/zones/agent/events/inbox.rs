//! [`Inbox`]: what has come for a standing query of this agent's, each event once.
//!
//! Where agents have keys, what is told is signed, and what is only counted is not. So that a forged number keeps nothing from being told, those are
//! remembered apart; what was counted and is told all the same does not count again.
//!
//! * **Bounds**: [`INBOX`] events that nobody has taken yet, [`ORIGINS`] agents, as many again of those that are only counted, [`SPAN`] events of one
//!   of them out of order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    trust::Signer,
    zones::{
        event::{Event, EventId, Fired},
        kind::Delivery,
        name::ZoneName,
    },
};

/// Events that nobody has taken.
const INBOX: usize = 1024;
/// Lives of agents from which events have come.
const ORIGINS: usize = 1 << 17;
/// An agent keeps no event that is older than so many of its later ones: what is missing before is not to come.
pub(super) const SPAN: u32 = 256;

/// What has come.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Whose agents are asked.
    zone: ZoneName,
    delivery: Delivery,
    /// Who asks has keys.
    closed: bool,
    /// By who has signed, if anybody has: who takes the number of another agent keeps nothing of theirs out.
    seen: BTreeMap<(u64, Option<Signer>), Seen>,
    /// Those that nobody has signed, where agents have keys.
    counted: BTreeMap<u64, Seen>,
    events: VecDeque<Event>,
    lost: u64,
}

/// Which events of one agent have come.
#[derive(Debug, Default)]
struct Seen {
    /// All up to this one.
    all: u32,
    others: BTreeSet<u32>,
}

impl Seen {
    fn has(&self, nth: u32) -> bool {
        nth <= self.all || self.others.contains(&nth)
    }

    fn add(&mut self, nth: u32) {
        self.others.insert(nth);
        while self.others.first().is_some_and(|first| first - self.all == 1)
            || self.others.len() > SPAN as usize
        {
            self.all = self.others.pop_first().unwrap_or(self.all);
        }
    }
}

impl Inbox {
    pub(super) fn new(zone: ZoneName, delivery: Delivery, closed: bool) -> Self {
        let (seen, counted) = (BTreeMap::new(), BTreeMap::new());
        Self { zone, delivery, closed, seen, counted, events: VecDeque::new(), lost: 0 }
    }

    /// The zone whose agents are asked.
    pub(super) fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// Takes what has come, with who has signed it; which of it is to be confirmed. What there is no room for comes again, or is counted.
    pub(super) fn take(&mut self, fired: Vec<(Option<Signer>, Fired)>) -> Vec<EventId> {
        let taken = fired.into_iter().filter_map(|(by, fired)| {
            let id = fired.id;
            self.take_one(by, fired).then_some(id)
        });
        let taken: Vec<EventId> = taken.collect();
        if self.delivery == Delivery::AtLeastOnce { taken } else { Vec::new() }
    }

    /// Whether it has come, from whom it is, or from anybody if nobody has signed it.
    fn has(&self, by: Option<Signer>, EventId { origin, nth }: EventId) -> bool {
        if !self.is_apart(by) {
            return self.seen.get(&(origin, by)).is_some_and(|seen| seen.has(nth));
        }
        let mut told = self.seen.range((origin, None)..).take_while(|((of, _), _)| *of == origin);
        told.any(|(_, seen)| seen.has(nth)) || self.was_counted(origin, nth)
    }

    fn is_apart(&self, by: Option<Signer>) -> bool {
        self.closed && by.is_none()
    }

    fn was_counted(&self, origin: u64, nth: u32) -> bool {
        self.counted.get(&origin).is_some_and(|seen| seen.has(nth))
    }

    /// Whether one more agent can be remembered.
    fn has_room(&self, by: Option<Signer>, origin: u64) -> bool {
        match self.is_apart(by) {
            true => self.counted.len() < ORIGINS || self.counted.contains_key(&origin),
            false => self.seen.len() < ORIGINS || self.seen.contains_key(&(origin, by)),
        }
    }

    fn take_one(&mut self, by: Option<Signer>, fired: Fired) -> bool {
        let EventId { origin, nth } = fired.id;
        if self.has(by, fired.id) {
            return true;
        }
        let counted = fired.told.is_none() && self.events.back().is_some_and(|last| last.told.is_none());
        let room = counted || self.events.len() < INBOX;
        if !room || !self.has_room(by, origin) {
            if self.delivery == Delivery::AtMostOnce {
                self.lost = self.lost.saturating_add(1).saturating_add(fired.lost.into());
            }
            return false;
        }
        let times = u64::from(!self.was_counted(origin, nth));
        let seen = match self.is_apart(by) {
            true => self.counted.entry(origin).or_default(),
            false => self.seen.entry((origin, by)).or_default(),
        };
        seen.add(nth);
        let lost = u64::from(fired.lost).saturating_add(std::mem::take(&mut self.lost));
        match self.events.back_mut() {
            Some(last) if counted => {
                last.times = last.times.saturating_add(1);
                last.rows = last.rows.saturating_add(fired.rows.into());
                last.lost = last.lost.saturating_add(lost);
            }
            _ => self.events.push_back(Event { told: fired.told, times, rows: fired.rows.into(), lost }),
        }
        true
    }

    /// At most so many of the oldest.
    pub(super) fn events(&mut self, most: usize) -> impl Iterator<Item = Event> {
        self.events.drain(..most.min(self.events.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(origin: u64, nth: u32) -> Fired {
        Fired { id: EventId { origin, nth }, rows: 2, lost: 0, told: None, seal: None }
    }

    fn inbox(delivery: Delivery) -> Inbox {
        Inbox::new(ZoneName::root(), delivery, false)
    }

    fn take(inbox: &mut Inbox, fired: Vec<Fired>) -> Vec<EventId> {
        inbox.take(fired.into_iter().map(|fired| (None, fired)).collect())
    }

    fn told(origin: u64, nth: u32) -> Fired {
        let told = crate::zones::event::Told { agent: "/a/b".into(), at_ms: 0, rows: Vec::new() };
        Fired { told: Some(told), ..fired(origin, nth) }
    }

    #[test]
    fn each_event_counts_once_in_whatever_order_they_come() {
        let mut inbox = inbox(Delivery::AtLeastOnce);
        for nth in [3, 1, 3, 2, 1, 5, 4, 5] {
            assert_eq!(take(&mut inbox, vec![fired(7, nth)]), [EventId { origin: 7, nth }]);
        }
        take(&mut inbox, vec![fired(8, 1), fired(8, u32::MAX)]);
        let events: Vec<Event> = inbox.events(10).collect();
        assert_eq!((events.len(), events[0].times, events[0].rows), (1, 7, 14));
    }

    #[test]
    fn what_there_is_no_room_for_is_not_confirmed_or_is_counted() {
        let mut sure = inbox(Delivery::AtLeastOnce);
        let many = || (0..INBOX as u64 + 1).map(|origin| told(origin, 1)).collect::<Vec<_>>();
        assert_eq!(take(&mut sure, many()).len(), INBOX);
        assert_eq!(sure.events(1).count(), 1);
        assert_eq!(take(&mut sure, many()).len(), INBOX + 1, "now there is");
        assert_eq!(sure.events(usize::MAX).map(|event| event.times).sum::<u64>(), INBOX as u64);
        let mut once = inbox(Delivery::AtMostOnce);
        assert!(take(&mut once, many()).is_empty());
        assert_eq!(once.events(usize::MAX).count(), INBOX);
        take(&mut once, vec![told(0, 2)]);
        assert_eq!(once.events(1).map(|event| event.lost).sum::<u64>(), 1);
    }

    #[test]
    fn who_leaves_gaps_does_not_fill_the_memory() {
        let mut seen = Seen::default();
        (1..100_000).for_each(|n| seen.add(2 * n));
        assert!(seen.others.len() <= SPAN as usize && seen.has(2) && seen.has(199_998) && !seen.has(199_997));
    }
}
