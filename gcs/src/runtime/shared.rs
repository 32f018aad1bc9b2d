//! What the application's handles and the driver's thread share.
//!
//! Towards the driver: messages are appended to one buffer, which the driver takes as a whole. Towards the application:
//! events are moved in batches, and their bytes are accounted so that the group waits for a slow application. Locks are
//! held for a push or a swap; wake-ups happen only when the other side may be waiting.

use super::clock::Clock;
use crate::{
    blocks::Snapshot,
    endpoint::{Event, ForceError, LeaveReason, Stats},
    id::MemberId,
    message::Outgoing,
    net::TransportStats,
    report::Report,
    time::Time,
    view::{ViewChange, ViewId},
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::{Notify, oneshot, watch};

/// How many bytes of messages wait for the driver before casts have to wait.
pub(crate) const PENDING_BYTES: usize = 1 << 20;

/// Where a process stands in its group.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The present view; None before the first one.
    pub view: Option<Arc<ViewChange>>,
    /// This process in its present life; None before the first view.
    pub me: Option<MemberId>,
    /// Whether a quorum is out of reach.
    pub blocked: bool,
    /// Why this process is no longer in the group.
    pub left: Option<LeaveReason>,
    /// Whether the endpoint has stopped.
    pub stopped: bool,
}

/// Counters and queue lengths of a group handle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// The endpoint's counters.
    pub endpoint: Stats,
    /// The transport's counters.
    pub transport: TransportStats,
    /// Bytes of frames and messages that the endpoint holds on to.
    pub held_bytes: usize,
    /// Bytes of messages that wait for the endpoint.
    pub pending_bytes: usize,
    /// Bytes of events that wait for the application.
    pub queued_bytes: usize,
}

/// Something for the driver other than messages.
pub(crate) enum Command {
    Leave,
    Renew,
    State { view: ViewId, snapshot: Arc<dyn Snapshot> },
    Contacts(Vec<SocketAddr>),
    Report(oneshot::Sender<Report>),
    ForcePrimary(oneshot::Sender<Result<(), ForceError>>),
}

#[derive(Default)]
struct Inbox {
    casts: Outgoing,
    commands: Vec<Command>,
    closed: bool,
}

#[derive(Default)]
struct Outbox {
    events: VecDeque<Event>,
    closed: bool,
}

/// What the driver takes at once.
pub(crate) struct Taken {
    pub(crate) casts: Option<Outgoing>,
    pub(crate) commands: Vec<Command>,
}

/// Why messages were not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
    Witness,
}

/// What the application says of itself.
pub(crate) type About = Box<dyn Fn() -> String + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    queue_bytes: usize,
    /// Whether this process only votes.
    pub(crate) witness: bool,
    pub(crate) about: Option<About>,
    inbox: Mutex<Inbox>,
    /// Set when there is something new in the inbox: a polling driver looks here first.
    pub(crate) news: AtomicBool,
    pub(crate) wake: Notify,
    room: Notify,
    outbox: Mutex<Outbox>,
    arrived: Notify,
    queued: AtomicUsize,
    pub(crate) congested: AtomicBool,
    lease_until: AtomicU64,
    pub(crate) status: watch::Sender<Status>,
    stats: Mutex<GroupStats>,
    pub(crate) abandoned: AtomicBool,
}

impl Shared {
    pub(crate) fn new(clock: Clock, queue_bytes: usize) -> Self {
        Self {
            clock,
            queue_bytes,
            witness: false,
            about: None,
            inbox: Mutex::default(),
            news: AtomicBool::new(false),
            wake: Notify::new(),
            room: Notify::new(),
            outbox: Mutex::default(),
            arrived: Notify::new(),
            queued: AtomicUsize::new(0),
            congested: AtomicBool::new(false),
            lease_until: AtomicU64::new(0),
            status: watch::Sender::new(Status::default()),
            stats: Mutex::default(),
            abandoned: AtomicBool::new(false),
        }
    }

    // The application's side.

    /// Hands messages to the driver, all or none, that take so many bytes with their lengths.
    pub(crate) fn push(&self, bytes: usize, messages: impl FnOnce(&mut Outgoing)) -> Result<(), Refused> {
        let mut inbox = self.inbox.lock();
        if inbox.closed {
            return Err(Refused::Closed);
        }
        if self.witness {
            return Err(Refused::Witness);
        }
        // What is larger than the bound goes alone.
        if !inbox.casts.is_empty() && inbox.casts.byte_len() + bytes > PENDING_BYTES {
            return Err(Refused::Full);
        }
        let first = inbox.casts.is_empty();
        inbox.casts.reserve(bytes);
        messages(&mut inbox.casts);
        drop(inbox);
        // The driver knows of a buffer that is not empty.
        if first {
            self.notify_driver();
        }
        Ok(())
    }

    /// The same, but waits for room.
    pub(crate) async fn push_wait<M: AsRef<[u8]>>(&self, messages: &[M]) -> Result<(), Refused> {
        let bytes = messages.iter().map(|m| m.as_ref().len() + 4).sum();
        let push = |casts: &mut Outgoing| messages.iter().for_each(|m| casts.push(m.as_ref()));
        self.retry(|| self.push(bytes, push)).await
    }

    /// Tries to push until there is room.
    pub(crate) async fn retry<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            match attempt() {
                Err(Refused::Full) => room.await,
                other => return other,
            }
        }
    }

    /// Waits until less than half of the buffer is used, or the endpoint has stopped.
    pub(crate) async fn has_room(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            {
                let inbox = self.inbox.lock();
                if inbox.closed || inbox.casts.byte_len() < PENDING_BYTES / 2 {
                    return;
                }
            }
            room.await;
        }
    }

    pub(crate) fn command(&self, command: Command) {
        self.inbox.lock().commands.push(command);
        self.notify_driver();
    }

    fn notify_driver(&self) {
        self.news.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Moves all waiting events to `into`. False when there are none and there will be none.
    pub(crate) fn take_events(&self, into: &mut VecDeque<Event>) -> bool {
        let mut outbox = self.outbox.lock();
        if into.is_empty() {
            std::mem::swap(into, &mut outbox.events)
        } else {
            into.append(&mut outbox.events)
        }
        !(into.is_empty() && outbox.closed)
    }

    pub(crate) async fn events_arrived(&self) {
        self.arrived.notified().await;
    }

    /// The application has taken these events out of its own hands' queue.
    pub(crate) fn consumed(&self, bytes: usize) {
        let before = self.queued.fetch_sub(bytes, Ordering::AcqRel);
        let half = self.queue_bytes / 2;
        if before > half && before - bytes <= half && self.congested.load(Ordering::Acquire) {
            self.notify_driver();
        }
    }

    /// The application wants no events any more.
    pub(crate) fn close_events(&self) {
        let mut outbox = self.outbox.lock();
        outbox.closed = true;
        outbox.events.clear();
        self.queued.store(0, Ordering::Release);
        drop(outbox);
        self.notify_driver();
    }

    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.notify_driver();
    }

    pub(crate) fn lease_valid(&self) -> bool {
        self.clock.now().0 < self.lease_until.load(Ordering::Acquire)
    }

    pub(crate) fn stats(&self) -> GroupStats {
        let mut stats = *self.stats.lock();
        stats.pending_bytes = self.inbox.lock().casts.byte_len();
        stats.queued_bytes = self.queued.load(Ordering::Relaxed);
        stats
    }

    // The driver's side.

    /// Takes commands, and the messages if they are wanted now or the process leaves.
    pub(crate) fn take(&self, writable: bool) -> Taken {
        let mut inbox = self.inbox.lock();
        let commands = std::mem::take(&mut inbox.commands);
        let leaving = commands.iter().any(|c| matches!(c, Command::Leave));
        let casts =
            ((writable || leaving) && !inbox.casts.is_empty()).then(|| std::mem::take(&mut inbox.casts));
        drop(inbox);
        if casts.is_some() {
            self.room.notify_waiters();
        }
        Taken { casts, commands }
    }

    /// Hands events to the application.
    pub(crate) fn deliver(&self, events: &mut Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut outbox = self.outbox.lock();
        if outbox.closed {
            events.clear();
            return;
        }
        let first = outbox.events.is_empty();
        self.queued.fetch_add(events.iter().map(weight).sum(), Ordering::AcqRel);
        outbox.events.extend(events.drain(..));
        drop(outbox);
        if first {
            self.arrived.notify_one();
        }
    }

    /// Whether the application's congestion has begun (true) or ended (false) since the last call.
    pub(crate) fn congestion_changed(&self) -> Option<bool> {
        let queued = self.queued.load(Ordering::Acquire);
        let was = self.congested.load(Ordering::Acquire);
        let is = if was { queued > self.queue_bytes / 2 } else { queued > self.queue_bytes };
        if is && !was {
            self.congested.store(true, Ordering::Release);
            // The application may have drained the queue before it could see the flag.
            if self.queued.load(Ordering::Acquire) <= self.queue_bytes / 2 {
                self.congested.store(false, Ordering::Release);
                return None;
            }
        } else if !is && was {
            self.congested.store(false, Ordering::Release);
        }
        (is != was).then_some(is)
    }

    pub(crate) fn set_lease(&self, until: Time) {
        self.lease_until.store(until.0, Ordering::Release);
    }

    pub(crate) fn set_stats(&self, stats: GroupStats) {
        *self.stats.lock() = stats;
    }

    /// Takes no more messages. To be called before anybody is told that this process has left.
    pub(crate) fn close_inbox(&self) {
        self.inbox.lock().closed = true;
        self.room.notify_waiters();
        self.set_lease(Time::ZERO);
    }

    /// The end: nothing more goes in either direction.
    pub(crate) fn close(&self) {
        self.close_inbox();
        self.outbox.lock().closed = true;
        self.arrived.notify_one();
        self.status.send_modify(|s| s.stopped = true);
    }
}

/// What an event counts for in the queue, in bytes.
pub(crate) fn weight(event: &Event) -> usize {
    let held = match event {
        Event::Messages(m) => m.byte_len(),
        Event::StateChunk { data, .. } => data.len(),
        _ => 0,
    };
    held + size_of::<Event>()
}
