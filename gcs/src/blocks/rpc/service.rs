//! The thread behind [`super::Rpc`]: requests and replies.
//!
//! ```text
//! | version 1 | kind (0 request, 1 reply) | caller 16 | number 8 | body |
//! ```

use super::{CallError, IN_FLIGHT, Replies};
use crate::{
    blocks::wire::Reader,
    endpoint::Event,
    group::{CastError, Events, Group},
    id::MemberId,
    message::Messages,
    view::{Member, View, ViewChange},
};
use bytes::{BufMut, Bytes};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

const VERSION: u8 = 1;
const REQUEST: u8 = 0;
const REPLY: u8 = 1;
pub(super) const HEADER: usize = 26;

type Got = Vec<(Member, Bytes)>;

pub(super) struct Call {
    pub(super) request: Bytes,
    pub(super) replies: Replies,
    pub(super) timeout: Duration,
    pub(super) answer: oneshot::Sender<Result<Got, CallError>>,
}

/// A call under way, as far as replies are concerned.
struct Tally {
    replies: Replies,
    /// How many members the view had in which the request was delivered; 0 before that.
    members: usize,
    /// Those that have neither replied nor left.
    open: Vec<MemberId>,
    got: Got,
}

impl Tally {
    fn new(replies: Replies) -> Self {
        Self { replies, members: 0, open: Vec::new(), got: Vec::new() }
    }

    fn delivered(&mut self, view: &View) {
        // A witness has nobody who could answer.
        self.open = view.members.iter().filter(|m| !m.role.witness).map(|m| m.id).collect();
        self.members = self.open.len();
    }

    fn replied(&mut self, member: &Member, body: Bytes) {
        if let Some(i) = self.open.iter().position(|m| *m == member.id) {
            self.open.swap_remove(i);
            self.got.push((member.clone(), body));
        }
    }

    fn view_changed(&mut self, view: &View) {
        self.open.retain(|m| view.rank_of(*m).is_some());
    }

    /// Some when the call is over: true if it has what it wanted.
    fn verdict(&self) -> Option<bool> {
        let enough = match self.replies {
            Replies::First => !self.got.is_empty(),
            Replies::Majority => self.members > 0 && self.got.len() > self.members / 2,
            Replies::All => self.members > 0 && self.open.is_empty() && !self.got.is_empty(),
        };
        if enough {
            return Some(true);
        }
        let possible = match self.replies {
            Replies::First | Replies::All => self.got.len() + self.open.len() > 0,
            Replies::Majority => self.got.len() + self.open.len() > self.members / 2,
        };
        (self.members > 0 && !possible).then_some(false)
    }
}

struct Pending {
    tally: Tally,
    deadline: Instant,
    answer: oneshot::Sender<Result<Got, CallError>>,
}

type Serve = Box<dyn FnMut(&[u8]) -> Bytes + Send>;

pub(super) struct Service {
    group: Group,
    client: u128,
    serve: Serve,
    next: u64,
    pending: BTreeMap<u64, Pending>,
    waiting: VecDeque<Vec<u8>>,
    view: Option<View>,
    me: Option<MemberId>,
    stopped: bool,
}

impl Service {
    pub(super) fn new(group: Group, client: u128, serve: Serve) -> Self {
        Self {
            group,
            client,
            serve,
            next: 0,
            pending: BTreeMap::new(),
            waiting: VecDeque::new(),
            view: None,
            me: None,
            stopped: false,
        }
    }

    pub(super) async fn run(mut self, mut calls: mpsc::Receiver<Call>, mut events: Events) {
        let mut batch = Vec::new();
        while !self.stopped {
            self.cast_waiting();
            let deadline = self.pending.values().map(|p| p.deadline).min();
            let timer = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let room = self.group.shared().has_room();
            tokio::select! {
                more = events.next_batch(&mut batch) => {
                    batch.drain(..).for_each(|e| self.on_event(e));
                    self.stopped |= !more;
                }
                call = calls.recv(), if self.pending.len() < IN_FLIGHT => match call {
                    Some(call) => self.on_call(call),
                    None => self.stopped = true,
                },
                () = timer => self.expire(),
                () = room, if !self.waiting.is_empty() => {}
            }
        }
        for (_, p) in std::mem::take(&mut self.pending) {
            let _ = p.answer.send(Err(CallError::Left));
        }
    }

    fn on_call(&mut self, call: Call) {
        self.next += 1;
        self.waiting.push_back(encode(REQUEST, self.client, self.next, &call.request));
        let deadline = Instant::now() + call.timeout;
        self.pending
            .insert(self.next, Pending { tally: Tally::new(call.replies), deadline, answer: call.answer });
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::View(change) => self.on_view(change),
            Event::Messages(messages) => self.on_messages(&messages),
            Event::Left(_) => self.stopped = true,
            _ => {}
        }
    }

    fn on_view(&mut self, change: ViewChange) {
        let me = change.view.member(change.rank).map(|m| m.id);
        if self.me.is_some() && self.me != me {
            for (_, p) in std::mem::take(&mut self.pending) {
                let _ = p.answer.send(Err(CallError::Left));
            }
            self.waiting.clear();
        }
        self.me = me;
        self.pending.values_mut().for_each(|p| p.tally.view_changed(&change.view));
        self.view = Some(change.view);
        let open: Vec<_> = self.pending.keys().copied().collect();
        open.into_iter().for_each(|n| self.settle(n));
    }

    fn on_messages(&mut self, messages: &Messages) {
        for m in messages.iter() {
            let mut r = Reader(m);
            let (Some(VERSION), Some(kind), Some(client), Some(number)) = (r.u8(), r.u8(), r.u128(), r.u64())
            else {
                continue;
            };
            if kind == REQUEST {
                if client == self.client
                    && let (Some(p), Some(view)) = (self.pending.get_mut(&number), &self.view)
                {
                    p.tally.delivered(view);
                }
                let body = (self.serve)(r.0);
                self.waiting.push_back(encode(REPLY, client, number, &body));
            } else if kind == REPLY && client == self.client {
                let from = self.view.as_ref().and_then(|v| v.member(messages.from));
                if let (Some(p), Some(from)) = (self.pending.get_mut(&number), from) {
                    p.tally.replied(from, Bytes::copy_from_slice(r.0));
                }
                self.settle(number);
            }
        }
    }

    /// Ends a call that can end.
    fn settle(&mut self, number: u64) {
        let Some(done) = self.pending.get(&number).and_then(|p| p.tally.verdict()) else { return };
        if let Some(p) = self.pending.remove(&number) {
            let _ = p.answer.send(if done { Ok(p.tally.got) } else { Err(CallError::Failed) });
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let late: Vec<_> = self.pending.iter().filter(|(_, p)| p.deadline <= now).map(|(n, _)| *n).collect();
        for p in late.into_iter().filter_map(|n| self.pending.remove(&n)) {
            let _ = p.answer.send(Err(CallError::TimedOut(p.tally.got)));
        }
    }

    fn cast_waiting(&mut self) {
        while let Some(message) = self.waiting.pop_front() {
            match self.group.try_cast(&message) {
                Ok(()) => {}
                Err(CastError::WouldBlock) => return self.waiting.push_front(message),
                Err(CastError::TooLarge(_)) => {
                    tracing::error!(bytes = message.len(), "a reply is too large to be sent");
                }
                Err(CastError::Left | CastError::Witness) => self.stopped = true,
            }
        }
    }
}

fn encode(kind: u8, client: u128, number: u64, body: &[u8]) -> Vec<u8> {
    let mut b = Vec::with_capacity(HEADER + body.len());
    b.push(VERSION);
    b.push(kind);
    b.put_u128_le(client);
    b.put_u64_le(number);
    b.extend_from_slice(body);
    b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::Incarnation, view::ViewId};

    fn view(ports: &[u16]) -> View {
        let member = |n: &u16| {
            let id = MemberId { addr: ([127, 0, 0, 1], *n).into(), incarnation: Incarnation(1) };
            Member::new(id, "m")
        };
        View { id: ViewId::default(), members: ports.iter().map(member).collect() }
    }

    #[test]
    fn members_that_leave_are_not_waited_for() {
        let v = view(&[1, 2, 3]);
        let mut all = Tally::new(Replies::All);
        assert_eq!(all.verdict(), None, "not delivered yet");
        all.delivered(&v);
        all.replied(&v.members[0], Bytes::new());
        all.replied(&v.members[0], Bytes::new());
        assert_eq!((all.verdict(), all.got.len()), (None, 1));
        all.view_changed(&view(&[1, 2]));
        all.replied(&v.members[1], Bytes::new());
        assert_eq!(all.verdict(), Some(true));
    }

    #[test]
    fn a_majority_is_one_of_the_view_in_which_the_request_was_delivered() {
        let v = view(&[1, 2, 3, 4]);
        let mut t = Tally::new(Replies::Majority);
        t.delivered(&v);
        t.replied(&v.members[0], Bytes::new());
        t.replied(&v.members[1], Bytes::new());
        assert_eq!(t.verdict(), None, "two of four");
        t.view_changed(&view(&[1, 2]));
        assert_eq!(t.verdict(), Some(false), "no third reply can come");
    }
}
