//! The application in a simulated process: yours, or the simulator's own [`Workload`](super::Workload).

use super::{
    envelope::{self, MessageId},
    kv::Op,
    trace::What,
};
use crate::{
    blocks::Snapshot,
    id::MemberId,
    message::Outgoing,
    rng::Rng,
    time::Time,
    view::{ViewChange, ViewId},
};
use std::{sync::Arc, time::Duration};

/// A replicated service in one process. Deterministic: time and randomness come from the context.
///
/// A new value is made for every life of a process.
pub trait App {
    /// The process has started; it is not in a view yet.
    fn started(&mut self, cx: &mut AppContext<'_>) {
        let _ = cx;
    }

    /// A view was installed.
    fn view(&mut self, change: &ViewChange, cx: &mut AppContext<'_>) {
        let _ = (change, cx);
    }

    /// A message was delivered.
    fn message(&mut self, from: MemberId, id: MessageId, payload: &[u8], cx: &mut AppContext<'_>);

    /// Contact with a quorum was lost (true), or is there again (false).
    fn blocked(&mut self, blocked: bool, cx: &mut AppContext<'_>) {
        let _ = (blocked, cx);
    }

    /// A time asked for with [`AppContext::wake_after`] or [`World::wake_at`](super::World::wake_at) has come.
    fn wake(&mut self, cx: &mut AppContext<'_>) {
        let _ = cx;
    }

    /// Freezes the present state for processes that join.
    fn snapshot(&mut self) -> Arc<dyn Snapshot>;

    /// A part of the state. With `index` 0: forget what you have.
    fn restore(&mut self, index: u64, last: bool, chunk: &[u8], cx: &mut AppContext<'_>);

    /// A digest of the state that must be the same at all members at the beginning of a view (oracle A1). None if the
    /// application has no such state, or not yet.
    fn digest(&self) -> Option<u64> {
        None
    }
}

/// What an application may do. Everything is carried out after its handler returns, in order.
#[derive(Debug)]
pub struct AppContext<'a> {
    /// The process's own time.
    pub now: Time,
    /// The process in its present life.
    pub me: MemberId,
    /// The process's number, from 0.
    pub process: usize,
    /// The view it is in.
    pub view: Option<ViewId>,
    /// By the process's own time: until then no other part of the group has gone on without it.
    pub lease_until: Time,
    /// Whether the group takes messages without piling them up.
    pub writable: bool,
    /// Whether the simulation is coming to its end: nothing new is to be cast, and casts are not taken.
    pub quiet: bool,
    /// Randomness.
    pub rng: &'a mut Rng,
    pub(super) life: u32,
    pub(super) count: &'a mut u32,
    pub(super) actions: &'a mut Actions,
}

/// What an application wants done.
#[derive(Debug, Default)]
pub(super) struct Actions {
    pub(super) casts: Outgoing,
    pub(super) said: Vec<What>,
    pub(super) wake_after: Option<Duration>,
    pub(super) leave: bool,
    pub(super) congested: Option<bool>,
}

impl AppContext<'_> {
    /// Casts a message to the group. None if nothing is taken any more, see [`AppContext::quiet`].
    pub fn cast(&mut self, payload: &[u8]) -> Option<MessageId> {
        if self.quiet {
            return None;
        }
        *self.count += 1;
        let id = MessageId::new(self.process, self.life, *self.count);
        self.actions.casts.push(&envelope::wrap(id, payload));
        self.actions.said.push(What::Sent { id, digest: envelope::digest(payload), view: self.view });
        Some(id)
    }

    /// Asks for a call of [`App::wake`]. Only the last request counts.
    pub fn wake_after(&mut self, delay: Duration) {
        self.actions.wake_after = Some(delay);
    }

    /// Leaves the group.
    pub fn leave(&mut self) {
        self.actions.leave = true;
    }

    /// Takes no more messages for now (true), or does again (false).
    pub fn congested(&mut self, congested: bool) {
        self.actions.congested = Some(congested);
    }

    /// Tells oracles of your own something.
    pub fn note(&mut self, tag: &'static str, value: u64) {
        self.actions.said.push(What::Note { tag, value });
    }

    /// Tells oracle A3 that a client began an operation, carried by this message.
    pub fn invoked(&mut self, id: MessageId, op: Op) {
        self.actions.said.push(What::Invoked { id, op });
    }

    /// Tells oracle A3 what the client was answered.
    pub fn returned(&mut self, id: MessageId, value: u64) {
        self.actions.said.push(What::Returned { id, value });
    }
}
