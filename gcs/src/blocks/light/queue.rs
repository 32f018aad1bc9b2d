//! The events that wait for the readers of light groups: a queue for each, and one bound for all of them.

use super::LightEvent;
use crate::id::MemberId;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// How many bytes of events wait in all queues of a process together.
pub(super) struct Budget {
    limit: usize,
    queued: AtomicUsize,
    /// Somebody has read something, while much is queued.
    pub(super) read: Notify,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, queued: AtomicUsize::new(0), read: Notify::new() }
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    /// Whether nothing more is to be queued. `was`: what this said before; it is so until half of the queues is empty.
    pub(super) fn is_full(&self, was: bool) -> bool {
        self.queued() > if was { self.limit / 2 } else { self.limit }
    }

    fn free(&self, bytes: usize) {
        let before = self.queued.fetch_sub(bytes, Ordering::AcqRel);
        if before > self.limit / 2 {
            self.read.notify_one();
        }
    }
}

/// The events of one membership.
pub(super) struct Queue {
    budget: Arc<Budget>,
    inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<LightEvent>,
    bytes: usize,
    /// Nothing more comes.
    ended: bool,
    /// Nobody reads.
    deaf: bool,
}

impl Queue {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, inner: Mutex::default(), arrived: Notify::new() }
    }

    pub(super) fn push(&self, event: LightEvent) {
        self.push_all(std::iter::once(event));
    }

    pub(super) fn push_all(&self, events: impl Iterator<Item = LightEvent>) {
        let mut inner = self.inner.lock();
        let mut bytes = 0;
        for event in events {
            // The others are taken from where they come, too.
            if !inner.ended && !inner.deaf {
                bytes += weight(&event);
                inner.ended = matches!(event, LightEvent::Left(_));
                inner.events.push_back(event);
            }
        }
        inner.bytes += bytes;
        self.budget.queued.fetch_add(bytes, Ordering::AcqRel);
        drop(inner);
        if bytes > 0 {
            self.arrived.notify_one();
        }
    }

    /// The next event, None if there is none at present; and whether none will come.
    pub(super) fn pop(&self) -> (Option<LightEvent>, bool) {
        let mut inner = self.inner.lock();
        let event = inner.events.pop_front();
        let bytes = event.as_ref().map_or(0, weight);
        inner.bytes -= bytes;
        let ended = inner.ended && inner.events.is_empty();
        drop(inner);
        if bytes > 0 {
            self.budget.free(bytes);
        }
        (event, ended)
    }

    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// How much waits here, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    /// Forgets what waits. `deaf`: and what will come.
    pub(super) fn clear(&self, deaf: bool) {
        let mut inner = self.inner.lock();
        inner.deaf |= deaf;
        inner.events = VecDeque::new();
        let bytes = std::mem::take(&mut inner.bytes);
        drop(inner);
        self.budget.free(bytes);
    }
}

/// What an event counts for, in bytes.
fn weight(event: &LightEvent) -> usize {
    let held = match event {
        LightEvent::Message { bytes, .. } => bytes.len(),
        LightEvent::View(v) => v.members.len() * size_of::<MemberId>(),
        LightEvent::Away | LightEvent::Left(_) => 0,
    };
    held + size_of::<LightEvent>()
}
