//! A stand-in for the endpoint in tests of what is built on it: a group of one that delivers what it is given.

use super::driver::Engine;
use crate::{
    endpoint::{Effects, Event, Input, LeaveReason, Stats},
    id::{Incarnation, MemberId},
    layer::{Layer, LayerSpec, Protocol, Scope, Wants},
    message::Messages,
    report::Report,
    stack::{Blueprint, REQUIRED},
    time::Time,
    view::{Member, View, ViewChange, ViewId},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub(crate) struct Loopback {
    me: MemberId,
    number: u64,
    sent: u64,
    congested: bool,
    kept: Vec<Messages>,
    deadline: Time,
    /// Loses this message (counted from 0) and is excluded and rejoins with the state lost.
    pub(crate) exclude_at: Option<u64>,
    /// How often the driver has been round its loop.
    pub(crate) rounds: Arc<AtomicU64>,
}

impl Loopback {
    pub(crate) fn new() -> Self {
        let addr = ([127, 0, 0, 1], 9).into();
        let me = MemberId { addr, incarnation: Incarnation(1) };
        Self {
            me,
            number: 0,
            sent: 0,
            congested: false,
            kept: Vec::new(),
            deadline: Time::NEVER,
            exclude_at: None,
            rounds: Arc::default(),
        }
    }

    fn install(&mut self, now: Time, effects: &mut Effects) {
        self.number += 1;
        self.sent = 0;
        let members = vec![Member::new(self.me, "one")];
        let view = View { id: ViewId { epoch: 1, number: self.number }, members: Arc::from(members) };
        let change = ViewChange {
            view,
            rank: 0,
            came_with: vec![self.me],
            primary: true,
            merged: Vec::new(),
            awaits_state: false,
        };
        effects.events.push(Event::View(change));
        effects.events.push(Event::Lease(now + Duration::from_millis(400)));
        effects.events.push(Event::Writable(true));
        self.deadline = now + Duration::from_millis(100);
    }
}

impl Engine for Loopback {
    fn handle(&mut self, now: Time, input: Input, effects: &mut Effects) {
        match input {
            Input::Start { .. } => self.install(now, effects),
            Input::Cast(out) => {
                if self.exclude_at.take_if(|at| *at <= self.sent).is_some() {
                    self.me.incarnation.0 += 1;
                    return self.install(now, effects);
                }
                let count = out.count() as u64;
                let messages =
                    Messages::packed(0, self.sent, out.into_bytes().freeze()).expect("well-formed");
                self.sent += count;
                self.kept.push(messages);
                if !self.congested {
                    effects.events.extend(self.kept.drain(..).map(Event::Messages));
                }
                effects.events.push(Event::Writable(!self.congested));
            }
            Input::Congested(congested) => {
                self.congested = congested;
                if !congested {
                    effects.events.extend(self.kept.drain(..).map(Event::Messages));
                }
                effects.events.push(Event::Writable(!congested));
            }
            Input::Tick => {
                effects.events.push(Event::Lease(now + Duration::from_millis(400)));
                self.deadline = now + Duration::from_millis(100);
            }
            Input::Leave => effects.events.push(Event::Left(LeaveReason::Asked)),
            Input::Datagrams(_)
            | Input::Gone(_)
            | Input::State { .. }
            | Input::Contacts(_)
            | Input::Renew
            | Input::ForcePrimary { .. } => {}
        }
    }

    fn deadline(&self) -> Time {
        self.deadline
    }

    fn me(&self) -> MemberId {
        self.me
    }

    fn stats(&self) -> Stats {
        Stats { views: self.number, ..Stats::default() }
    }

    fn held_bytes(&self) -> usize {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        0
    }

    fn report(&self, _now: Time) -> Report {
        Report::default()
    }

    #[cfg(feature = "metrics")]
    fn latest(&self, _count: usize) -> Vec<crate::endpoint::Passage> {
        Vec::new()
    }
}

/// A stack that claims everything and does nothing.
pub(crate) fn blueprint() -> Blueprint {
    struct Nothing;
    impl Layer for Nothing {}
    impl Protocol for Nothing {
        fn spec(&self) -> LayerSpec {
            let needs = crate::properties::Properties::NONE;
            LayerSpec { name: "nothing", version: 1, needs, gives: REQUIRED, wants: Wants::ALL }
        }
        fn build(&self, _: &Scope) -> Box<dyn Layer> {
            Box::new(Nothing)
        }
    }
    Blueprint::new("nothing", vec![Arc::new(Nothing)]).expect("nothing is missing")
}
