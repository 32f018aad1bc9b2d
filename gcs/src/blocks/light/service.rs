//! The thread behind [`super::LightGroups`]: what the processes' group delivers goes through [`Memberships`] into the queues of
//! the readers.
//!
//! While the queues are full, nothing is taken from the processes' group, which waits in turn. If nobody reads anything for
//! as long as the patience is, the longest queue is closed and its membership ends.
//!
//! Bounds: [`IN_FLIGHT`] messages to be cast before requests wait, besides what rebirths and dropped handles call for (one
//! for each membership).

use super::{
    Ending, JoinError, LightEvent, LightStats,
    memberships::{Memberships, SeatId},
    queue::{Budget, Queue},
};
use crate::{
    endpoint::Event,
    group::{CastError, Events, Group},
    message::Messages,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{collections::BTreeMap, future::pending, iter, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

const IN_FLIGHT: usize = 1024;
/// Events that are looked at before requests are.
const ROUND: usize = 64;

/// Where a membership stands, for who casts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Away,
    /// In the light group with this id.
    Member(u64),
    /// Still in it, but casts no more.
    Leaving,
    Ended(Ending),
}

impl Standing {
    fn leave(&mut self) -> bool {
        let was_member = matches!(self, Self::Member(_));
        if was_member {
            *self = Self::Leaving;
        }
        was_member
    }
}

pub(super) type Answer = oneshot::Sender<Result<Claim, JoinError>>;

pub(super) enum Request {
    Join { name: Arc<str>, queue: Arc<Queue>, standing: watch::Sender<Standing>, answer: Answer },
    Leave(SeatId),
}

/// Somebody holds this membership. When it is dropped, the membership ends.
pub(super) struct Claim {
    pub(super) seat: SeatId,
    dropped: mpsc::UnboundedSender<SeatId>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = self.dropped.send(self.seat);
    }
}

/// A membership that somebody waits for or holds, the latter even after its end: what waits in its queue counts.
struct Seat {
    queue: Arc<Queue>,
    standing: watch::Sender<Standing>,
    /// Who waits for the first view.
    answer: Option<Answer>,
}

pub(super) struct Service {
    group: Group,
    memberships: Memberships,
    seats: BTreeMap<SeatId, Seat>,
    budget: Arc<Budget>,
    patience: Duration,
    stats: Arc<Mutex<LightStats>>,
    /// At most one word for each claim.
    dropped: mpsc::UnboundedSender<SeatId>,
    full_since: Option<Instant>,
    stopped: bool,
}

impl Service {
    pub(super) fn new(
        group: Group,
        budget: Arc<Budget>,
        patience: Duration,
        stats: Arc<Mutex<LightStats>>,
        dropped: mpsc::UnboundedSender<SeatId>,
    ) -> Self {
        Self {
            group,
            memberships: Memberships::new(),
            seats: BTreeMap::new(),
            budget,
            patience,
            stats,
            dropped,
            full_since: None,
            stopped: false,
        }
    }

    /// Runs until the process has left the group, or nobody holds a handle.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut dropped: mpsc::UnboundedReceiver<SeatId>,
        mut events: Events,
    ) {
        let mut asked = Vec::new();
        while !self.stopped {
            self.look_at_queues();
            self.cast_waiting();
            self.publish();
            let waiting = self.memberships.casts();
            let room = self.group.shared().has_room();
            let impatient = self.full_since.map(|since| since + self.patience);
            let timer = async {
                match impatient {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                event = events.next(), if impatient.is_none() => self.on_events(event, &mut events),
                n = requests.recv_many(&mut asked, IN_FLIGHT), if waiting < IN_FLIGHT => {
                    self.stopped |= n == 0;
                    asked.drain(..).for_each(|r| self.on_request(r, &mut dropped));
                }
                Some(seat) = dropped.recv() => self.on_dropped(seat),
                () = self.budget.read.notified(), if impatient.is_some() => self.full_since = Some(Instant::now()),
                () = timer => self.close_longest(),
                () = room, if waiting > 0 => {}
            }
        }
        self.publish();
        for mut seat in std::mem::take(&mut self.seats).into_values() {
            seat.end(Ending::Stopped);
        }
    }

    fn on_request(&mut self, request: Request, dropped: &mut mpsc::UnboundedReceiver<SeatId>) {
        // Who has dropped a handle may join again.
        while let Ok(seat) = dropped.try_recv() {
            self.on_dropped(seat);
        }
        match request {
            Request::Join { name, queue, standing, answer } => {
                self.give_up(&name);
                match self.memberships.join(&name) {
                    Ok(seat) => drop(self.seats.insert(seat, Seat { queue, standing, answer: Some(answer) })),
                    Err(e) => drop(answer.send(Err(e))),
                }
            }
            Request::Leave(seat) => {
                // Before the leave is cast: whatever is cast is in front of it.
                if let Some(s) = self.seats.get(&seat) {
                    s.standing.send_if_modified(Standing::leave);
                }
                self.memberships.leave(seat);
            }
        }
        self.tell(0);
    }

    /// A join that nobody waits for any more does not stand in the way of another one.
    fn give_up(&mut self, name: &str) {
        if let Some(seat) = self.memberships.seat_of(name)
            && self.seats.get(&seat).is_some_and(|s| s.answer.as_ref().is_some_and(Answer::is_closed))
        {
            self.memberships.leave(seat);
            self.tell(0);
        }
    }

    fn on_dropped(&mut self, seat: SeatId) {
        self.seats.remove(&seat);
        self.memberships.leave(seat);
        self.tell(0);
    }

    fn on_events(&mut self, first: Option<Event>, events: &mut Events) {
        let Some(first) = first else {
            self.stopped = true;
            return;
        };
        self.on_event(first);
        for _ in 1..ROUND {
            if self.budget.is_full(false) || self.stopped {
                return;
            }
            match events.try_next() {
                Some(event) => self.on_event(event),
                None => return,
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::View(change) => self.memberships.view(&change),
            Event::Messages(messages) => self.on_messages(&messages),
            Event::StateRequested { view } => self.group.provide_state(view, self.memberships.snapshot()),
            Event::StateChunk { index, last, data, .. } => {
                if let Err(e) = self.memberships.restore(index, last, &data) {
                    tracing::error!(error = %e, "leaving the group: its light groups were not understood");
                    // The handle is dropped with this service: better gone than wrong.
                    self.stopped = true;
                }
            }
            Event::Left(_) => self.stopped = true,
            Event::Blocked
            | Event::Resumed
            | Event::Lease(_)
            | Event::Writable(_)
            | Event::Watch(..)
            | Event::Forced(_)
            | Event::Transitional(_) => {}
        }
        self.tell(0);
    }

    fn on_messages(&mut self, messages: &Messages) {
        let Some(from) = self.memberships.process(messages.from) else { return };
        for message in messages.iter_shared() {
            self.memberships.deliver(from, &message);
        }
        self.tell(messages.byte_len());
    }

    /// Hands on what has happened. `held`: how many bytes of memory a message holds on to.
    fn tell(&mut self, held: usize) {
        while let Some((id, event)) = self.memberships.next_event() {
            let Some(seat) = self.seats.get_mut(&id) else { continue };
            match event {
                LightEvent::View(view) => {
                    let (joined, group) = (view.joined, view.group);
                    seat.queue.push(LightEvent::View(view));
                    if joined {
                        seat.standing.send_replace(Standing::Member(group));
                    }
                    if let Some(answer) = seat.answer.take() {
                        let _ = answer.send(Ok(Claim { seat: id, dropped: self.dropped.clone() }));
                    }
                }
                message @ LightEvent::Message { .. } => {
                    let more = iter::from_fn(|| self.memberships.next_message(id));
                    seat.queue.push_all(iter::once(message).chain(more).map(|m| detach(m, held)));
                }
                LightEvent::Away => {
                    seat.standing.send_replace(Standing::Away);
                    seat.queue.push(LightEvent::Away);
                }
                LightEvent::Left(why) => {
                    if seat.end(why) {
                        self.seats.remove(&id);
                    }
                }
            }
        }
    }

    fn cast_waiting(&mut self) {
        while let Some(message) = self.memberships.next_cast() {
            match self.group.try_cast(&message) {
                Ok(()) => {}
                Err(CastError::WouldBlock) => return self.memberships.cast_later(message),
                Err(CastError::Left | CastError::TooLarge(_) | CastError::Witness) => {
                    self.stopped = true;
                    return;
                }
            }
        }
    }

    fn look_at_queues(&mut self) {
        let full = self.budget.is_full(self.full_since.is_some());
        self.full_since = full.then(|| self.full_since.unwrap_or_else(Instant::now));
    }

    /// Nobody reads: the reader that is furthest behind loses its membership, and what it has not read.
    fn close_longest(&mut self) {
        self.full_since = None;
        let longest = self.seats.iter_mut().max_by_key(|(_, s)| s.queue.bytes());
        if let Some((id, seat)) = longest {
            seat.queue.clear(false);
            seat.end(Ending::TooSlow);
            self.memberships.leave(*id);
        }
        self.tell(0);
    }

    fn publish(&self) {
        *self.stats.lock() = LightStats { queued_bytes: self.budget.queued(), ..self.memberships.stats() };
    }
}

/// A small message does not hold on to a large frame for as long as it waits for its reader.
fn detach(event: LightEvent, held: usize) -> LightEvent {
    match event {
        LightEvent::Message { from, bytes } if bytes.len() < held / 2 => {
            LightEvent::Message { from, bytes: Bytes::copy_from_slice(&bytes) }
        }
        other => other,
    }
}

impl Seat {
    /// The membership is over. Returns whether nobody has ever held it.
    fn end(&mut self, why: Ending) -> bool {
        if !matches!(*self.standing.borrow(), Standing::Ended(_)) {
            self.queue.push(LightEvent::Left(why));
            self.standing.send_replace(Standing::Ended(why));
        }
        let Some(answer) = self.answer.take() else { return false };
        let error = if why == Ending::Full { JoinError::Full } else { JoinError::Stopped };
        let _ = answer.send(Err(error));
        true
    }
}
