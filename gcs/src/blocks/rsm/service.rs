//! The thread of a replica: requests in, events in, casts and answers out.
//!
//! ```text
//! request ─► waiting (not ready, or no room) ─► cast ─► delivered ─► answered
//!                 ▲                              │ deadline: Unknown
//!                 └── excluded and back, not in the table of applied operations
//! ```
//! Bounds: [`IN_FLIGHT`] operations; more requests wait in the channel, and then their callers.

use super::{
    ExecuteError, codec,
    codec::OpId,
    replica::{Applied, Replica},
    sessions::{REPLIES, Seen},
};
use crate::{
    blocks::StateMachine,
    endpoint::Event,
    group::{CastError, Events, Group},
    id::MemberId,
    runtime::clock,
    view::ViewChange,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

/// Below the number of replies that the table keeps, so that none of them can be missing from it.
const IN_FLIGHT: usize = REPLIES / 2;
/// Commands that are said again after a merge travel together up to about so many bytes.
const RECONCILE_BYTES: usize = 64 << 10;

type Answer = oneshot::Sender<Result<Vec<Bytes>, ExecuteError>>;

pub(super) enum Work {
    Commands(Vec<Bytes>),
    Queries(Vec<Bytes>),
}

pub(super) struct Request {
    pub(super) work: Work,
    pub(super) reply: Answer,
}

enum What {
    Commands(Vec<Bytes>, Answer),
    Barrier(Vec<(Vec<Bytes>, Answer)>),
}

struct Pending {
    what: What,
    deadline: Instant,
    /// Whether it has been cast at least once: whoever gives up cannot know then.
    cast: bool,
}

pub(super) struct Service<M> {
    group: Group,
    replica: Replica<M>,
    client: u128,
    next: u64,
    deadline: Duration,
    pending: BTreeMap<u64, Pending>,
    /// Counters of pending operations that are to be cast.
    waiting: VecDeque<u64>,
    me: Option<MemberId>,
    ready: watch::Sender<bool>,
    stopped: bool,
}

impl<M: StateMachine> Service<M> {
    pub(super) fn new(
        group: Group,
        machine: M,
        client: u128,
        deadline: Duration,
        ready: watch::Sender<bool>,
    ) -> Self {
        Self {
            group,
            replica: Replica::new(machine),
            client,
            next: 1,
            deadline,
            pending: BTreeMap::new(),
            waiting: VecDeque::new(),
            me: None,
            ready,
            stopped: false,
        }
    }

    /// Runs until the process has left, or nobody holds a handle.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>, mut events: Events) {
        let (mut batch, mut asked) = (Vec::new(), Vec::new());
        while !self.stopped {
            self.cast_waiting();
            let deadline = self.pending.first_key_value().map(|(_, p)| p.deadline);
            let timer = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let may_cast = *self.ready.borrow() && !self.waiting.is_empty();
            let room = self.group.shared().has_room();
            // In no fixed order: a busy group must not keep requests from being looked at.
            tokio::select! {
                more = events.next_batch(&mut batch) => {
                    batch.drain(..).for_each(|e| self.on_event(e));
                    self.stopped |= !more;
                }
                n = requests.recv_many(&mut asked, IN_FLIGHT), if self.pending.len() < IN_FLIGHT => {
                    self.stopped |= n == 0;
                    self.on_requests(&mut asked);
                }
                () = timer => self.expire(),
                () = room, if may_cast => {}
            }
        }
        for (_, p) in std::mem::take(&mut self.pending) {
            p.fail(ExecuteError::Stopped);
        }
    }

    /// Gives requests their names. All queries share one barrier.
    fn on_requests(&mut self, asked: &mut Vec<Request>) {
        let mut queries = Vec::new();
        // The group's word, not that of the events read so far: who has seen it go on is not to be refused.
        let blocked = self.group.shared().status.borrow().blocked;
        for Request { work, reply } in asked.drain(..) {
            if blocked {
                let _ = reply.send(Err(ExecuteError::NoQuorum));
                continue;
            }
            match work {
                Work::Commands(commands) => self.enqueue(What::Commands(commands, reply)),
                Work::Queries(list) => queries.push((list, reply)),
            }
        }
        if !queries.is_empty() {
            self.enqueue(What::Barrier(queries));
        }
    }

    fn enqueue(&mut self, what: What) {
        let counter = self.next;
        self.next += 1;
        let deadline = Instant::now() + self.deadline;
        self.pending.insert(counter, Pending { what, deadline, cast: false });
        self.waiting.push_back(counter);
    }

    fn cast_waiting(&mut self) {
        if !*self.ready.borrow() {
            return;
        }
        while let Some(counter) = self.waiting.pop_front() {
            let answered = self.pending.first_key_value().map_or(counter, |(c, _)| *c);
            let Some(p) = self.pending.get_mut(&counter) else { continue };
            let commands = match &p.what {
                What::Commands(c, _) => Some(c.as_slice()),
                What::Barrier(_) => None,
            };
            let id = OpId { client: self.client, counter };
            match self.group.try_cast(&codec::encode(id, answered, clock::wall_ns() / 1_000_000, commands)) {
                Ok(()) => p.cast = true,
                Err(CastError::WouldBlock) => {
                    self.waiting.push_front(counter);
                    return;
                }
                Err(CastError::Left | CastError::TooLarge(_) | CastError::Witness) => self.stopped = true,
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::View(change) => self.on_view(&change),
            Event::Messages(messages) => {
                for m in messages.iter() {
                    let applied = self.replica.deliver(m);
                    self.answer(applied);
                }
            }
            Event::StateRequested { view } => self.group.provide_state(view, self.replica.snapshot()),
            Event::StateChunk { index, last, data, .. } => self.on_chunk(index, last, &data),
            Event::Left(_) => self.stopped = true,
            Event::Blocked
            | Event::Resumed
            | Event::Lease(_)
            | Event::Writable(_)
            | Event::Watch(..)
            | Event::Forced(_)
            | Event::Transitional(_) => {}
        }
    }

    fn on_view(&mut self, change: &ViewChange) {
        let me = change.view.member(change.rank).map(|m| m.id);
        let reborn = self.me.is_some() && self.me != me;
        self.me = me;
        if change.awaits_state {
            self.reconcile(change);
            // The state that follows is that of this view's beginning: the view is in it.
            self.ready.send_replace(false);
            return;
        }
        self.replica.machine.view_changed(&change.view);
        if reborn {
            self.resubmit();
        }
        self.ready.send_replace(true);
    }

    /// This replica's part of the group merges into another one: what the first member of the part wants to say again waits
    /// with the other commands until the state is there.
    fn reconcile(&mut self, change: &ViewChange) {
        let me = change.view.member(change.rank).map(|m| m.id);
        let mine = change.merged.iter().find(|c| c.members.iter().any(|m| Some(*m) == me));
        let Some(mine) = mine else { return };
        let commands = self.replica.machine.reconcile(change);
        if mine.members.first().copied() != me {
            return;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for command in commands {
            bytes += command.len();
            batch.push(command);
            if bytes >= RECONCILE_BYTES {
                self.enqueue(What::Commands(std::mem::take(&mut batch), oneshot::channel().0));
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            self.enqueue(What::Commands(batch, oneshot::channel().0));
        }
    }

    fn on_chunk(&mut self, index: u64, last: bool, data: &[u8]) {
        if let Err(e) = self.replica.restore(index, data) {
            tracing::error!(error = %e, "leaving the group: its state was not understood");
            // The handle is dropped with this service: better gone than wrong.
            self.stopped = true;
        } else if last {
            self.resubmit();
            self.ready.send_replace(true);
        }
    }

    /// After a rebirth: what was cast may or may not have been applied; the table knows.
    fn resubmit(&mut self) {
        self.waiting.clear();
        for counter in self.pending.keys().copied().collect::<Vec<_>>() {
            let id = OpId { client: self.client, counter };
            match self.replica.look_up(id) {
                Seen::New => self.waiting.push_back(counter),
                Seen::Done(replies) => self.answer(Some(Applied::Commands(id, Some(replies)))),
                Seen::Forgotten => self.answer(Some(Applied::Commands(id, None))),
            }
        }
    }

    /// Answers whoever waits for a delivered operation.
    fn answer(&mut self, applied: Option<Applied>) {
        let (Some(Applied::Barrier(id)) | Some(Applied::Commands(id, _))) = &applied else { return };
        if id.client != self.client {
            return;
        }
        let Some(p) = self.pending.remove(&id.counter) else { return };
        match (p.what, applied) {
            (What::Commands(_, reply), Some(Applied::Commands(_, replies))) => {
                let _ = reply.send(replies.ok_or(ExecuteError::Unknown));
            }
            (What::Barrier(queries), _) => {
                for (list, reply) in queries {
                    let _ = reply.send(Ok(list.iter().map(|q| self.replica.query(q)).collect()));
                }
            }
            // A name is used for one thing only.
            (What::Commands(..), _) => debug_assert!(false, "a barrier with the name of commands"),
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.pending.first_entry().filter(|e| e.get().deadline <= now) {
            first.remove().fail(ExecuteError::NoQuorum);
        }
        self.waiting.retain(|c| self.pending.contains_key(c));
    }
}

impl Pending {
    /// `error` is what is said if nothing can have happened.
    fn fail(self, error: ExecuteError) {
        match self.what {
            What::Commands(_, reply) => {
                let _ = reply.send(Err(if self.cast { ExecuteError::Unknown } else { error }));
            }
            What::Barrier(queries) => queries.into_iter().for_each(|(_, reply)| {
                let _ = reply.send(Err(error));
            }),
        }
    }
}
