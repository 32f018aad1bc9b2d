//! What a process's application sees and does: events become callbacks and observations, what it wants becomes inputs.

use super::{
    app::{Actions, App, AppContext},
    envelope::{self, MessageId},
    node::Node,
    process::{Status, life_of},
    trace::{Installed, What},
    world::{Happening, World},
};
use crate::{
    endpoint::{Event, Input},
    id::MemberId,
    message::{Messages, Outgoing},
    view::{View, ViewChange, ViewId},
};
use std::collections::VecDeque;

/// The payload of messages that only oracles see.
const PROBE: &[u8] = b"\xffprobe of the simulator\xff";

fn is_probe(payload: &[u8]) -> bool {
    payload == PROBE
}

/// Who installed a view. The endpoint may already be in its next incarnation when the application learns of it.
fn installer(view: &View, me: MemberId) -> MemberId {
    let same_life = |m: &MemberId| {
        m.addr == me.addr
            && m.incarnation <= me.incarnation
            && life_of(m.incarnation).0 == life_of(me.incarnation).0
    };
    view.members.iter().map(|m| m.id).filter(same_life).max().unwrap_or(me)
}

impl<N: Node, A: App> World<N, A> {
    /// Tells the application what happened, in order.
    pub(super) fn events(&mut self, process: usize, events: Vec<Event>, pending: &mut VecDeque<Input>) {
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            if !self.processes[process].is_alive() || self.violation.is_some() {
                return;
            }
            let me = self.me(process);
            match event {
                Event::View(change) => self.on_view(process, &change, pending),
                Event::Messages(messages) => self.on_messages(process, &messages, pending),
                Event::StateRequested { view } => self.on_state_requested(process, view),
                Event::StateChunk { view, index, last, data } => {
                    self.with_app(process, pending, |app, cx| app.restore(index, last, &data, cx));
                    if last {
                        self.processes[process].awaits_state = false;
                        let digest = self.processes[process].app.as_ref().and_then(App::digest);
                        self.record(process, me, What::StateRestored { view, digest });
                    }
                }
                Event::Transitional(_) => self.record(process, me, What::Transitional),
                Event::Forced(Ok(())) => self.record(process, me, What::Forced),
                Event::Forced(Err(_)) => {}
                Event::Blocked => {
                    self.processes[process].blocked = true;
                    self.record(process, me, What::Blocked);
                    self.with_app(process, pending, |app, cx| app.blocked(true, cx));
                }
                Event::Resumed => {
                    self.processes[process].blocked = false;
                    self.record(process, me, What::Resumed);
                    self.with_app(process, pending, |app, cx| app.blocked(false, cx));
                }
                Event::Lease(until) => {
                    self.processes[process].lease_until = until;
                    let until = self.processes[process].clock.true_time(until);
                    self.record(process, me, What::Lease { until });
                }
                Event::Writable(writable) => self.processes[process].writable = writable,
                Event::Watch(member, true) => {
                    self.processes[process].watches.insert(member);
                    self.probe(process, member);
                }
                Event::Watch(member, false) => {
                    self.processes[process].watches.remove(&member);
                }
                Event::Left(reason) => {
                    assert!(events.next().is_none(), "M4: nothing is told after the process has left");
                    self.record(process, me, What::Left(reason.to_string().into()));
                    self.processes[process].end(Status::Gone);
                    // It closes its connections in good order.
                    self.spread_evidence(process);
                }
            }
        }
    }

    fn on_view(&mut self, process: usize, change: &ViewChange, pending: &mut VecDeque<Input>) {
        let me = installer(&change.view, self.me(process));
        let p = &mut self.processes[process];
        let previous = p.view.as_ref().filter(|_| p.view_of == Some(me)).map(|v| v.id);
        let witness = change.view.member(change.rank).is_some_and(|m| m.role.witness);
        let digest = p.app.as_ref().and_then(App::digest);
        let knows = previous.is_some() && !p.awaits_state && !change.awaits_state;
        let digest = digest.filter(|_| knows && !witness);
        p.previous = previous;
        p.view = Some(change.view.clone());
        p.view_of = Some(me);
        p.blocked = false;
        if previous.is_none() || change.awaits_state {
            p.awaits_state = change.awaits_state;
        }
        let installed = Installed {
            id: change.view.id,
            members: change.view.members.iter().map(|m| m.id).collect(),
            roles: change.view.members.iter().map(|m| m.role).collect(),
            rank: change.rank,
            previous,
            primary: change.primary,
            merges: !change.merged.is_empty(),
            came_with: change.came_with.as_slice().into(),
            awaits_state: change.awaits_state,
            digest,
        };
        self.record(process, me, What::View(Box::new(installed)));
        self.with_app(process, pending, |app, cx| app.view(change, cx));
        let held = self.processes[process].node.as_ref().map_or(0, Node::held_bytes);
        self.max_held = self.max_held.max(held);
    }

    fn on_messages(&mut self, process: usize, messages: &Messages, pending: &mut VecDeque<Input>) {
        let p = &self.processes[process];
        let view = p.view.as_ref().map(|v| v.id);
        let from = p.view.as_ref().and_then(|v| v.member(messages.from)).map(|m| m.id);
        let me = p.view_of.unwrap_or_else(|| self.me(process));
        for message in messages.iter() {
            let (id, payload) = envelope::unwrap(message);
            self.delivered += 1;
            let digest = envelope::digest(payload);
            self.record(process, me, What::Delivered { id, digest, view, from });
            if is_probe(payload) {
                self.probes_delivered += 1;
            } else if let Some(from) = from {
                self.with_app(process, pending, |app, cx| app.message(from, id, payload, cx));
            }
        }
    }

    fn on_state_requested(&mut self, process: usize, view: ViewId) {
        let me = self.me(process);
        let limit = self.physics.snapshot_ms * 1_000_000;
        let p = &mut self.processes[process];
        let Some(app) = p.app.as_mut() else { return };
        let (snapshot, digest) = (app.snapshot(), app.digest());
        let delay = if p.rng.chance(300) { p.rng.below(limit + 1) } else { 0 };
        let life = p.life;
        self.record(process, me, What::StateGiven { view, digest });
        self.queue.push(self.now + delay, Happening::State { process, life, view, snapshot });
    }

    /// Calls the application of a process that runs, and gives what it does to its node.
    pub(super) fn call_app(&mut self, process: usize, f: impl FnOnce(&mut A, &mut AppContext<'_>)) {
        let mut pending = VecDeque::new();
        self.with_app(process, &mut pending, f);
        for input in pending {
            self.input(process, input);
        }
    }

    pub(super) fn with_app(
        &mut self,
        process: usize,
        pending: &mut VecDeque<Input>,
        f: impl FnOnce(&mut A, &mut AppContext<'_>),
    ) {
        let me = self.me(process);
        let mut actions = Actions::default();
        let p = &mut self.processes[process];
        let Some(app) = p.app.as_mut() else { return };
        let mut cx = AppContext {
            now: p.clock.local(self.now),
            me,
            process,
            view: p.view.as_ref().filter(|_| p.view_of == Some(me)).map(|v| v.id),
            lease_until: p.lease_until,
            writable: p.writable,
            quiet: self.quiet || p.leaving || p.role.witness,
            rng: &mut p.rng,
            life: p.life,
            count: &mut p.count,
            actions: &mut actions,
        };
        f(app, &mut cx);
        if let Some(after) = actions.wake_after {
            p.wake_at = self.now + u64::try_from(after.as_nanos()).unwrap_or(u64::MAX >> 1).max(1);
            self.queue.push(p.wake_at, Happening::Wake(process));
        }
        for what in actions.said {
            self.record(process, me, what);
        }
        if !actions.casts.is_empty() {
            pending.push_back(Input::Cast(actions.casts));
        }
        if let Some(congested) = actions.congested {
            pending.push_back(Input::Congested(congested));
        }
        if actions.leave {
            self.processes[process].leaving = true;
            self.record(process, me, What::LeaveAsked);
            pending.push_back(Input::Leave);
        }
    }

    /// Casts a message that only oracles see. None if the process does not run.
    pub(super) fn cast_probe(&mut self, process: usize) -> Option<MessageId> {
        let me = self.me(process);
        let p = &mut self.processes[process];
        if p.status != Status::Up || p.leaving || p.role.witness {
            return None;
        }
        p.count += 1;
        let id = MessageId::new(process, p.life, p.count);
        let view = p.view.as_ref().map(|v| v.id);
        self.record(process, me, What::Sent { id, digest: envelope::digest(PROBE), view });
        let mut casts = Outgoing::new();
        casts.push(&envelope::wrap(id, PROBE));
        self.input(process, Input::Cast(casts));
        Some(id)
    }
}
