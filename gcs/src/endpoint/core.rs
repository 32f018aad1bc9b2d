//! What an endpoint keeps across views and lives: settings, identity, counters, and the ways out.

use super::{
    closed::Door,
    config::Config,
    io::{Effects, Event, LeaveReason, Stats, Transmit},
    report::History,
    seeking::Step,
    state::State,
};
use crate::{
    guard::Guard,
    id::{GroupTag, MemberId},
    message::Outgoing,
    properties::Properties,
    rng::Rng,
    time::Time,
    wire::{Body, Control},
};
use smallvec::{SmallVec, smallvec};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

/// At most so many bytes are added to a control message when it is sealed.
const SEAL: usize = 40;

pub(super) struct Core {
    pub(super) config: Config,
    pub(super) tag: GroupTag,
    pub(super) me: MemberId,
    pub(super) mtu: usize,
    pub(super) rng: Rng,
    pub(super) wall_ns: u64,
    /// The time of day at [`Time::ZERO`], as far as it is known.
    pub(super) wall_at_zero: u64,
    /// Set: the group has keys.
    pub(super) guard: Option<Box<dyn Guard>>,
    pub(super) door: Door,
    pub(super) stats: Stats,
    /// State transfer, both sides.
    pub(super) state: State,
    /// Messages to be cast in the next view.
    pub(super) unsent: Vec<Outgoing>,
    /// Messages that the application has cast, and those of them that came back.
    pub(super) cast: u64,
    pub(super) delivered: u64,
    pub(super) leaving: bool,
    pub(super) app_congested: bool,
    pub(super) writable: bool,
    pub(super) blocked: bool,
    pub(super) lease_until: Time,
    pub(super) watched: BTreeSet<MemberId>,
    pub(super) history: History,
    /// Who may live in an epoch that was replaced by a forced one.
    pub(super) left_behind: BTreeSet<SocketAddr>,
    /// This component tries to merge into another one not before this; it has tried so often in vain.
    pub(super) yield_at: Time,
    pub(super) yields: u32,
}

impl Core {
    pub(super) fn new(config: Config, me: MemberId, mtu: usize, seed: u64) -> Self {
        let complete = !config.state_transfer;
        let same = config.stack.gives().contains(Properties::VIRTUAL_SYNCHRONY);
        let guard = config.keys.as_ref().map(|k| k.guard(seed));
        Self {
            tag: GroupTag::of(&config.group),
            me,
            mtu,
            rng: Rng::new(seed),
            wall_ns: 0,
            wall_at_zero: 0,
            door: Door::default(),
            stats: Stats::default(),
            state: State::new(
                complete,
                same,
                mtu - if guard.is_some() { SEAL } else { 0 },
                config.backlog_bytes,
            ),
            guard,
            unsent: Vec::new(),
            cast: 0,
            delivered: 0,
            leaving: false,
            app_congested: false,
            writable: false,
            blocked: false,
            lease_until: Time::ZERO,
            watched: BTreeSet::new(),
            history: History::default(),
            left_behind: BTreeSet::new(),
            yield_at: Time::ZERO,
            yields: 0,
            config,
        }
    }

    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.config.watch.lease_ms)
    }

    pub(super) fn silence(&self) -> Duration {
        Duration::from_millis(self.config.watch.silence_ms)
    }

    pub(super) fn send(&self, to: SocketAddr, body: Body, fx: &mut Effects) {
        self.send_all(smallvec![to], body, fx);
    }

    pub(super) fn send_all(&self, to: SmallVec<[SocketAddr; 4]>, body: Body, fx: &mut Effects) {
        if to.is_empty() {
            return;
        }
        let mut control = Control { group: self.tag.0, from: Some(self.me.into()), body: Some(body) };
        control.restrict(self.config.protocol_max);
        fx.transmits.push(Transmit { to, payload: control.encode_datagram().into() });
    }

    pub(super) fn set_writable(&mut self, writable: bool, fx: &mut Effects) {
        if self.writable != writable {
            self.writable = writable;
            fx.events.push(Event::Writable(writable));
        }
    }

    pub(super) fn set_blocked(&mut self, blocked: bool, fx: &mut Effects) {
        if self.blocked != blocked {
            self.blocked = blocked;
            fx.events.push(if blocked { Event::Blocked } else { Event::Resumed });
        }
    }

    /// Whether this process is on its way out of the group: it was asked to leave, or waits for a state that nobody has
    /// any more, and must come back to get another one. The group goes on without it when it has agreed to.
    pub(super) fn departs(&self) -> bool {
        self.leaving || self.state.is_stranded()
    }

    /// How it ends.
    pub(super) fn departure(&self) -> Step {
        if self.leaving { Step::Leave(LeaveReason::Asked) } else { Step::Rejoin }
    }

    /// Contact with a quorum at `at` extends the lease.
    pub(super) fn extend_lease(&mut self, at: Time, fx: &mut Effects) {
        let until = at + self.lease();
        if until > self.lease_until && !self.departs() {
            self.lease_until = until;
            fx.events.push(Event::Lease(until));
        }
    }

    /// A process that leaves owns nothing any more: the others need not wait for its lease.
    pub(super) fn give_up_lease(&mut self, fx: &mut Effects) {
        self.lease_until = Time::ZERO;
        fx.events.push(Event::Lease(Time::ZERO));
    }

    /// Watches exactly these processes.
    pub(super) fn watch(&mut self, members: BTreeSet<MemberId>, fx: &mut Effects) {
        fx.events.extend(self.watched.difference(&members).map(|m| Event::Watch(*m, false)));
        fx.events.extend(members.difference(&self.watched).map(|m| Event::Watch(*m, true)));
        self.watched = members;
    }
}
