//! [`Route`]: events of one standing query that an agent passes on, its own and others'.
//!
//! ```text
//!   fire ──► kept until confirmed ──┐                               ┌─► who speaks for the next zone
//!                                   ├─► queue ── a message each 50 ms ┤
//!   others' ──► passed: from whom ──┘                               └─► the agent that has asked
//! ```
//! * **Bounds**: [`QUEUE`] events that wait, [`TOLD`] of them with what they tell; [`KEPT`] own ones that are not confirmed; [`PASSED`] of others.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use gcs::time::Time;
use smallvec::SmallVec;

use super::inbox::SPAN;
use crate::zones::{
    event::{EventId, Fired, Told},
    kind::Delivery,
    message,
};

/// Between two messages with events of one query; the first does not wait.
const GATHER: Duration = Duration::from_millis(50);
/// Events that wait.
const QUEUE: usize = 1024;
/// Events that wait with what they tell; others are only counted.
const TOLD: usize = 64;
/// When more wait than this, a message is mostly of events that are only counted.
const FEW: usize = 16;
/// And tells so many bytes.
const STORM_BYTES: usize = 600;
/// Own events that are not confirmed.
const KEPT: usize = 128;
/// Events of others about which it is remembered who has sent them.
const PASSED: usize = 2048;
/// For so long: then whoever has fired says it again.
const PASSED_FOR: Duration = Duration::from_secs(20);
/// An event that comes again so soon is a copy, and goes nowhere.
const COPY: Duration = Duration::from_millis(400);
/// Until an event is said again for the first time; later twice, four times … as long, up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_millis(1000);
const RETRY_MAX: Duration = Duration::from_secs(8);
/// Neighbours that are remembered for one event.
const NEIGHBOURS: usize = 4;

type Neighbours = SmallVec<[SocketAddr; NEIGHBOURS]>;

/// Of one standing query.
#[derive(Debug)]
pub(super) struct Route {
    /// Of own events. An agent at which the query did not stand for a while begins to count anew, under another number.
    origin: u64,
    nth: u32,
    /// Own events that were given up since the last one that was not.
    lost: u32,
    kept: BTreeMap<u32, Kept>,
    passed: BTreeMap<EventId, Passed>,
    /// When events of others came first.
    came: VecDeque<(Time, EventId)>,
    queue: VecDeque<Waiting>,
    told: usize,
    /// When a message is due.
    at: Option<Time>,
    /// Not before.
    next: Time,
}

/// An own event that is not confirmed.
#[derive(Debug)]
struct Kept {
    fired: Fired,
    tries: u32,
    retry_at: Time,
    waits: bool,
    sent: Neighbours,
}

/// An event of somebody else's.
#[derive(Debug)]
struct Passed {
    from: Neighbours,
    sent: Neighbours,
    tries: u32,
    at: Time,
    waits: bool,
}

/// An event in the queue.
#[derive(Debug)]
struct Waiting {
    lane: Lane,
    fired: Fired,
}

/// Events that go the same way: for which level this agent speaks when it sends them, and how many times it has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) level: usize,
    pub(super) tries: u32,
}

fn remember(neighbours: &mut Neighbours, one: SocketAddr) {
    if !neighbours.contains(&one) {
        if neighbours.len() >= NEIGHBOURS {
            neighbours.remove(0);
        }
        neighbours.push(one);
    }
}

impl Route {
    /// The way of events of a query; its own are those of this origin.
    pub(super) fn new(origin: u64) -> Self {
        Self {
            origin,
            nth: 0,
            lost: 0,
            kept: BTreeMap::new(),
            passed: BTreeMap::new(),
            came: VecDeque::new(),
            queue: VecDeque::new(),
            told: 0,
            at: None,
            next: Time::ZERO,
        }
    }

    /// When something is due.
    pub(super) fn next_timer(&self) -> Time {
        let retries = self.kept.values().filter(|kept| !kept.waits).map(|kept| kept.retry_at);
        retries.min().unwrap_or(Time::NEVER).min(self.at.unwrap_or(Time::NEVER))
    }

    /// Whether a message is due.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// The query has fired here; `seal` vouches for it. Whether it is not given up.
    pub(super) fn fire(
        &mut self,
        now: Time,
        level: usize,
        (told, rows): (Told, u32),
        delivery: Delivery,
        seal: impl FnOnce(&mut Fired),
    ) -> bool {
        let oldest = self.kept.keys().next();
        let too_old = oldest.is_some_and(|oldest| self.nth - oldest >= SPAN - 1);
        if delivery == Delivery::AtLeastOnce && (self.kept.len() >= KEPT || too_old) {
            self.lost = self.lost.saturating_add(1);
            return false;
        }
        self.nth = self.nth.saturating_add(1);
        let (nth, lost) = (self.nth, std::mem::take(&mut self.lost));
        let id = EventId { origin: self.origin, nth };
        let mut fired = Fired { id, rows, lost, told: Some(told), seal: None };
        seal(&mut fired);
        let lane = Lane { level, tries: 0 };
        if delivery == Delivery::AtMostOnce {
            return self.wait(now, lane, fired, delivery);
        }
        let waits = self.wait(now, lane, fired.clone(), delivery);
        let sent = Neighbours::new();
        self.kept.insert(nth, Kept { fired, tries: 0, retry_at: now + RETRY, waits, sent });
        true
    }

    /// An event of somebody else's, to be passed on.
    pub(super) fn pass(
        &mut self,
        now: Time,
        level: usize,
        from: SocketAddr,
        fired: Fired,
        delivery: Delivery,
    ) {
        let id = fired.id;
        if id.origin == self.origin {
            return;
        }
        if let Some(passed) = self.passed.get_mut(&id) {
            remember(&mut passed.from, from);
            if passed.waits || now.since(passed.at) < COPY {
                return;
            }
            passed.tries += 1;
            let lane = Lane { level, tries: passed.tries };
            let waits = self.wait(now, lane, fired, delivery);
            self.passed.entry(id).and_modify(|passed| passed.waits = waits);
            return;
        }
        if !self.wait(now, Lane { level, tries: 0 }, fired, delivery) {
            return;
        }
        if self.came.len() >= PASSED {
            self.forget_oldest();
        }
        let (from, sent) = (Neighbours::from_slice(&[from]), Neighbours::new());
        self.passed.insert(id, Passed { from, sent, tries: 0, at: now, waits: true });
        self.came.push_back((now, id));
    }

    /// Puts an event into the queue, if there is room. If not, it comes again, or is counted.
    fn wait(&mut self, now: Time, lane: Lane, mut fired: Fired, delivery: Delivery) -> bool {
        if self.queue.len() >= QUEUE {
            // What somebody has signed stays as it is.
            let open = self.queue.back_mut().filter(|last| last.fired.seal.is_none());
            if let (Delivery::AtMostOnce, Some(last)) = (delivery, open) {
                last.fired.lost = last.fired.lost.saturating_add(1).saturating_add(fired.lost);
            }
            return false;
        }
        if self.told >= TOLD {
            fired.untell();
        }
        self.told += usize::from(fired.told.is_some());
        self.queue.push_back(Waiting { lane, fired });
        self.at.get_or_insert(self.next.max(now));
        true
    }

    /// Puts own events that are not confirmed into the queue again.
    pub(super) fn retry(&mut self, now: Time, level: usize, mut jitter: impl FnMut() -> Duration) {
        let due = self.kept.values_mut().filter(|kept| !kept.waits && kept.retry_at <= now);
        let due = due.map(|kept| {
            kept.tries = kept.tries.saturating_add(1);
            kept.retry_at = now + (RETRY * (1 << kept.tries.min(3))).min(RETRY_MAX) + jitter();
            (Lane { level, tries: kept.tries }, kept.fired.clone())
        });
        for (lane, fired) in due.collect::<Vec<_>>() {
            let nth = fired.id.nth;
            let waits = self.wait(now, lane, fired, Delivery::AtLeastOnce);
            self.kept.entry(nth).and_modify(|kept| kept.waits = waits);
        }
    }

    /// Takes what goes into the next message, if anything.
    pub(super) fn batch(&mut self) -> Option<(Lane, Vec<Fired>)> {
        self.at = None;
        let lane = self.queue.front()?.lane;
        let storm = self.queue.len() > FEW;
        let (mut bytes, mut taken) = (0, Vec::new());
        while let Some(at) = self.queue.iter().position(|waiting| waiting.lane == lane) {
            let Some(waiting) = self.queue.get_mut(at) else { break };
            let was_told = waiting.fired.told.is_some();
            if storm && was_told && !taken.is_empty() && bytes + waiting.fired.bytes() > STORM_BYTES {
                waiting.fired.untell();
                self.told -= 1;
            }
            let more = waiting.fired.bytes();
            if bytes + more > message::ROWS_MAX && !taken.is_empty() {
                break;
            }
            bytes += more;
            let Some(waiting) = self.queue.remove(at) else { break };
            self.told -= usize::from(waiting.fired.told.is_some());
            taken.push(waiting.fired);
        }
        Some((lane, taken))
    }

    /// What was taken cannot be sent before.
    pub(super) fn put_back(&mut self, until: Time, lane: Lane, fired: Vec<Fired>) {
        for fired in fired.into_iter().rev() {
            self.told += usize::from(fired.told.is_some());
            self.queue.push_front(Waiting { lane, fired });
        }
        self.at = Some(until);
    }

    /// These were sent.
    pub(super) fn sent(&mut self, now: Time, fired: &[Fired], to: &[SocketAddr]) {
        self.next = now + GATHER;
        self.at = (!self.queue.is_empty()).then_some(self.next);
        for fired in fired {
            let sent = if fired.id.origin == self.origin {
                self.kept.get_mut(&fired.id.nth).map(|kept| {
                    kept.waits = false;
                    &mut kept.sent
                })
            } else {
                self.passed.get_mut(&fired.id).map(|passed| {
                    (passed.waits, passed.at) = (false, now);
                    &mut passed.sent
                })
            };
            if let Some(sent) = sent {
                to.iter().for_each(|to| remember(sent, *to));
            }
        }
    }

    /// Somebody whom these events were sent to has them confirmed: who else is to hear of it.
    pub(super) fn confirmed(
        &mut self,
        by: SocketAddr,
        ids: &[EventId],
    ) -> BTreeMap<SocketAddr, Vec<EventId>> {
        let mut back: BTreeMap<SocketAddr, Vec<EventId>> = BTreeMap::new();
        for id in ids {
            if id.origin == self.origin {
                if self.kept.get(&id.nth).is_some_and(|kept| kept.sent.contains(&by)) {
                    self.kept.remove(&id.nth);
                }
            } else if self.passed.get(id).is_some_and(|passed| passed.sent.contains(&by)) {
                let from = self.passed.remove(id).map(|passed| passed.from).unwrap_or_default();
                from.into_iter().for_each(|to| back.entry(to).or_default().push(*id));
            }
        }
        back
    }

    /// Forgets events of others that were passed on long ago.
    pub(super) fn forget(&mut self, now: Time) {
        while self.came.front().is_some_and(|(came, _)| now.since(*came) > PASSED_FOR) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.came.pop_front() {
            self.passed.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
