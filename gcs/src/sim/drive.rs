//! Gives inputs to processes, and carries out what comes of them on the network's side.

use super::{
    app::App,
    network::corrupt,
    node::Node,
    plan::When,
    process::{Status, addr_of, index_of},
    trace::{Observation, What},
    world::{Fate, Happening, World},
};
use crate::endpoint::{Effects, Input, Transmit};
use bytes::Bytes;
use std::{collections::VecDeque, net::SocketAddr, time::Duration};

/// A deadline that does not move in so many ticks at one instant is a bug.
const TICKS_AT_ONCE: u32 = 200;
/// Datagrams that the stranger has overheard and may repeat.
const OVERHEARD: usize = 32;
/// Datagrams that a forger has recorded.
const RECORDED: usize = 512;

impl<N: Node, A: App> World<N, A> {
    /// Gives an input to a process, and carries out what comes of it. A process that is stopped gets it later; what a
    /// process was about to do when it was stopped counts as done before.
    pub(super) fn input(&mut self, process: usize, input: Input) {
        let mut pending = VecDeque::from([input]);
        let mut ticks = 0;
        while self.processes[process].status == Status::Up && self.violation.is_none() {
            let local = self.processes[process].clock.local(self.now);
            let Some(node) = self.processes[process].node.as_mut() else { return };
            let Some(input) = pending.pop_front() else {
                if node.deadline() <= local {
                    ticks += 1;
                    assert!(ticks < TICKS_AT_ONCE, "a deadline does not move however often the timer ticks");
                    pending.push_back(Input::Tick);
                    continue;
                }
                break;
            };
            let mut effects = Effects::default();
            node.handle(local, input, &mut effects);
            node.check();
            self.inputs += 1;
            // Whether the network or the application sees effects first is for the driver to choose; both must do.
            if self.rng.chance(500) {
                self.transmit(process, effects.transmits);
                self.events(process, effects.events, &mut pending);
            } else {
                self.events(process, effects.events, &mut pending);
                self.transmit(process, effects.transmits);
            }
        }
        let p = &mut self.processes[process];
        if p.is_alive() {
            p.waiting.append(&mut pending);
        }
        self.schedule_tick(process);
    }

    fn schedule_tick(&mut self, process: usize) {
        let p = &mut self.processes[process];
        let Some(node) = p.node.as_ref().filter(|_| p.status == Status::Up) else { return };
        let at = p.clock.true_time(node.deadline()).max(self.now);
        if at != u64::MAX && at != p.tick_at {
            p.tick_at = at;
            self.queue.push(at, Happening::Tick(process));
        }
    }

    fn transmit(&mut self, process: usize, transmits: Vec<Transmit>) {
        let from = addr_of(process);
        for t in transmits {
            let payload = t.payload.into_bytes();
            let traced = self.physics.trace_datagrams && payload.first() != Some(&crate::frame::MAGIC_FRAME);
            let said = self.read_along(process, &t.to, &payload);
            let kind = if self.triggers || traced { (self.physics.classify)(&said) } else { "" };
            if let Some((view, members)) = (self.physics.decided)(&said) {
                self.roster.decided(view, &members);
            }
            if self.overheard.len() < OVERHEARD || self.network.sent.is_multiple_of(16) {
                self.overheard.push_back(payload.clone());
                self.overheard.truncate(OVERHEARD + 1);
                if self.overheard.len() > OVERHEARD {
                    self.overheard.pop_front();
                }
            }
            for to in &t.to {
                // What a process has said before it left is sent.
                if matches!(self.processes[process].status, Status::Dead(_)) {
                    return;
                }
                let Some(to) = index_of(*to).filter(|to| *to < self.processes.len()) else { continue };
                self.trace.mix(self.now ^ (to as u64) << 48 ^ (payload.len() as u64) << 32);
                if traced {
                    let what = What::Transmitted { to, kind, len: payload.len() };
                    let member = self.me(process);
                    self.trace.add(Observation { at: self.now, process, member, what });
                }
                if self.physics.forgers {
                    self.forge(from, to, &payload);
                }
                for (at, payload) in self.network.carry(self.now, process, to, &payload) {
                    self.queue.push(at, Happening::Arrival { to, from, payload });
                }
                if self.triggers {
                    self.trigger(process, kind);
                }
            }
        }
    }

    /// Somebody beside the way sees every datagram, and is faster: he sends what he has changed, or seen before, as if it
    /// came from the same process.
    fn forge(&mut self, from: SocketAddr, to: usize, payload: &Bytes) {
        if self.recorded.len() < RECORDED || self.rng.chance(20) {
            self.recorded.push_back((from, to, payload.clone()));
            if self.recorded.len() > RECORDED {
                self.recorded.pop_front();
            }
        }
        if self.forgeries > 0 && self.rng.chance(100) {
            self.forgeries -= 1;
            let soon = Duration::from_micros(1 + self.rng.below(40));
            let changed = corrupt(payload, &mut self.rng);
            self.inject(soon, to, from, changed);
            let old = usize::try_from(self.rng.below(self.recorded.len() as u64)).unwrap_or(0);
            if let Some((from, to, payload)) = self.recorded.get(old).cloned() {
                self.inject(soon, to, from, payload);
            }
        }
    }

    /// What a datagram says, sealed or not.
    fn read_along(&self, process: usize, to: &[SocketAddr], payload: &Bytes) -> Bytes {
        let sealed = payload.first() == Some(&crate::guard::MAGIC_SEALED);
        let node = self.processes[process].node.as_ref().filter(|_| sealed);
        let read = node.and_then(|n| n.read_own(*to.first()?, payload));
        read.unwrap_or_else(|| payload.clone())
    }

    /// Takes the steps that wait for this datagram.
    fn trigger(&mut self, process: usize, kind: &str) {
        let mut due = Vec::new();
        for (i, s) in self.steps.iter_mut().enumerate() {
            if let When::Sends { process: p, kind: k, nth, from } = &s.step.when
                && s.fate == Fate::Waits
                && *p == process
                && k == kind
                && *from <= self.now
            {
                s.count += 1;
                if s.count >= *nth {
                    due.push(i);
                }
            }
        }
        due.iter().for_each(|i| self.take_step(*i));
    }
}
