//! One process's part in one group, sans-IO: [`Endpoint::handle`] takes an [`Input`] and the time, and writes
//! [`Effects`]. The runtime and the simulator drive the same code.
//!
//! ```text
//! Idle ── Start ──> Seeking ── decision ──> Member ── decision ──> Member (next view)
//!                      ^                      │ excluded
//!                      └──── new incarnation ─┘          left, refused ──> Out
//! ```

mod change;
mod closed;
mod config;
mod core;
mod decision;
mod forced;
mod io;
mod joins;
mod member;
mod partition;
mod proposal;
mod report;
mod seeking;
mod settling;
mod slow;
mod span;
mod state;

pub use config::{Bootstrap, Config, ConfigError};
pub use io::{Datagram, Effects, Event, ForceError, Input, LeaveReason, Stats, Transmit};
pub use report::{Cause, Passage};

use self::{change::Say, core::Core, decision::Decision, member::Member, seeking::Seeking, seeking::Step};
use crate::{
    frame::{MAGIC_CONTROL, MAGIC_FRAME, OLDEST_VERSION},
    guard::MAGIC_SEALED,
    id::{Incarnation, MemberId, Rank},
    time::Time,
    view::{View, ViewId},
    wire::{Body, Control, Malformed, Refuse, Vid},
};
use bytes::Bytes;
use std::net::SocketAddr;

/// One process's part in one group.
pub struct Endpoint {
    core: Core,
    phase: Phase,
}

enum Phase {
    Idle,
    Seeking(Box<Seeking>),
    Member(Box<Member>),
    Out,
}

impl Endpoint {
    /// An endpoint that has not started. `me` is its address and first incarnation (a rejoin takes the next one); `mtu`
    /// is the largest datagram the transport carries well, in bytes; `seed` makes its choices reproducible.
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn new(config: Config, me: MemberId, mtu: usize, seed: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { core: Core::new(config, me, mtu, seed), phase: Phase::Idle })
    }

    /// Consumes one input.
    pub fn handle(&mut self, now: Time, input: Input, fx: &mut Effects) {
        let first = fx.transmits.len();
        self.consume(now, input, fx);
        self.core.seal(now, first, fx);
    }

    fn consume(&mut self, now: Time, input: Input, fx: &mut Effects) {
        match input {
            Input::Start { wall_ns } => self.start(now, wall_ns, fx),
            Input::Datagrams(datagrams) => self.on_datagrams(now, datagrams, fx),
            // A witness has no application.
            Input::Cast(_) if self.core.config.role.witness => {}
            Input::Cast(messages) => {
                self.core.cast += messages.count() as u64;
                self.core.stats.cast += messages.count() as u64;
                self.core.stats.cast_bytes += messages.byte_len() as u64;
                match &mut self.phase {
                    Phase::Member(m) => m.cast(now, &mut self.core, messages, fx),
                    Phase::Out => {}
                    Phase::Idle | Phase::Seeking(_) => self.core.unsent.push(messages),
                }
            }
            Input::Gone(id) => {
                if let Phase::Member(m) = &mut self.phase {
                    m.on_gone(now, &mut self.core, id, fx);
                }
            }
            Input::Leave => {
                self.core.leaving = true;
                self.core.set_writable(false, fx);
                self.core.give_up_lease(fx);
            }
            Input::State { view, snapshot } => self.core.state.provide(view, snapshot),
            Input::Contacts(all) => {
                if let Phase::Seeking(s) = &mut self.phase {
                    s.on_contacts(now, self.core.me, &all);
                }
                self.core.config.contacts = all;
            }
            Input::ForcePrimary { wall_ns } => self.force_primary(now, wall_ns, fx),
            Input::Congested(congested) => {
                self.core.app_congested = congested;
                if let Phase::Member(m) = &mut self.phase {
                    m.update_congestion(now, &mut self.core, fx);
                }
            }
            Input::Renew => {
                if let Phase::Member(m) = &mut self.phase {
                    m.renew(now, &mut self.core, fx);
                }
            }
            Input::Tick => {}
        }
        self.drive(now, fx);
    }

    /// When to call with [`Input::Tick`] at the latest; [`Time::NEVER`] if there is nothing to wait for.
    #[must_use]
    pub fn deadline(&self) -> Time {
        match &self.phase {
            Phase::Idle | Phase::Out => Time::NEVER,
            Phase::Seeking(s) => s.deadline(),
            Phase::Member(m) => m.deadline(&self.core),
        }
    }

    /// This process in its present life.
    #[must_use]
    pub fn me(&self) -> MemberId {
        self.core.me
    }

    /// The present view, if there is one.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        match &self.phase {
            Phase::Member(m) => Some(&m.view),
            _ => None,
        }
    }

    /// The version of the protocol that the present view speaks, if there is one.
    #[must_use]
    pub fn protocol(&self) -> Option<u8> {
        match &self.phase {
            Phase::Member(m) => Some(m.decision.version),
            _ => None,
        }
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.stats
    }

    /// Asserts the invariants of the endpoint and its stack. Called after every input in tests and simulations.
    pub fn check(&self) {
        if let Phase::Member(m) = &self.phase {
            m.stack.check();
            assert!(m.view.rank_of(self.core.me) == Some(m.rank), "M1: a member is in its view");
        }
    }

    /// How many bytes of frames and messages the endpoint holds on to.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let stack = if let Phase::Member(m) = &self.phase { m.held_bytes() } else { 0 };
        stack + self.core.state.held_bytes() + self.core.unsent.iter().map(|o| o.byte_len()).sum::<usize>()
    }

    fn start(&mut self, now: Time, wall_ns: u64, fx: &mut Effects) {
        if matches!(self.phase, Phase::Idle) {
            self.core.wall_ns = wall_ns;
            self.core.wall_at_zero = wall_ns.saturating_sub(now.0);
            self.phase = Phase::Seeking(Box::new(Seeking::new(
                now,
                &self.core,
                self.core.config.bootstrap,
                &[],
                None,
            )));
            if let Err(why) = self.core.begin_life(now) {
                let reason = format!("of itself: {why}");
                self.leave(now, LeaveReason::Refused { by: self.core.me.addr, reason }, fx);
            }
        }
    }

    /// Timers, and everything that follows from what has changed.
    fn drive(&mut self, now: Time, fx: &mut Effects) {
        // Bounded: a step leads to another phase, and no phase leads back without a message from outside.
        for _ in 0..32 {
            let step = match &mut self.phase {
                Phase::Idle | Phase::Out => return,
                Phase::Seeking(s) => s.tick(now, &mut self.core, fx),
                Phase::Member(m) => {
                    m.tick(now, &mut self.core, fx);
                    match m.drive_change(now, &mut self.core, fx).unwrap_or(Step::Stay) {
                        Step::Stay => m.drive_leave(now, &mut self.core, fx),
                        step => step,
                    }
                }
            };
            let stays = matches!(step, Step::Stay);
            self.step(now, step, fx);
            if !self.deliver_loopback(now, fx) && stays {
                return;
            }
        }
    }

    /// Handles what this process has said to itself. Returns whether there was anything.
    fn deliver_loopback(&mut self, now: Time, fx: &mut Effects) -> bool {
        let Phase::Member(m) = &mut self.phase else { return false };
        let said = std::mem::take(&mut m.loopback);
        let any = !said.is_empty();
        for body in said {
            let me = self.core.me;
            if self.on_body(now, me, body, fx).is_err() {
                self.core.stats.malformed += 1;
            }
        }
        any
    }

    fn step(&mut self, now: Time, step: Step, fx: &mut Effects) {
        match step {
            Step::Stay => {}
            Step::Install(decision) if self.core.secret(&decision).is_err() => {
                tracing::error!(view = %decision.view.id, "there is no secret for this process in the view");
                self.step(now, Step::Rejoin, fx);
            }
            Step::Install(decision) => {
                let previous = match std::mem::replace(&mut self.phase, Phase::Out) {
                    Phase::Member(m) => Some(m),
                    _ => None,
                };
                match Member::install(now, &mut self.core, *decision, previous, fx) {
                    // Another component may have it.
                    Err(LeaveReason::StateLost) if self.core.config.partitionable => self.rejoin(now, fx),
                    Err(reason) => self.leave(now, reason, fx),
                    Ok(member) => {
                        self.phase = Phase::Member(Box::new(member));
                        if self.core.state.is_stranded() {
                            self.core.give_up_lease(fx);
                        }
                        self.rejoin_if_useless(now, fx);
                    }
                }
            }
            Step::Rejoin if self.core.config.rejoin => self.rejoin(now, fx),
            Step::Rejoin => self.leave(now, LeaveReason::Excluded, fx),
            Step::Leave(reason) => self.leave(now, reason, fx),
        }
    }

    /// Who yields without the state of its own component has nothing to bring, and comes as any other joiner.
    fn rejoin_if_useless(&mut self, now: Time, fx: &mut Effects) {
        let yields = matches!(&self.phase, Phase::Member(m) if m.parting.in_limbo());
        if yields && !self.core.state.is_complete() && !self.core.leaving {
            self.step(now, Step::Rejoin, fx);
        }
    }

    /// Comes back as a new incarnation.
    fn rejoin(&mut self, now: Time, fx: &mut Effects) {
        let (known, news) = match &self.phase {
            Phase::Member(m) => (m.ids(), m.decided().cloned()),
            _ => (Vec::new(), None),
        };
        let core = &mut self.core;
        tracing::info!(me = %core.me, "excluded from the group; comes back as a new incarnation");
        core.set_blocked(true, fx);
        core.set_writable(false, fx);
        // Others take the end of this incarnation for evidence, and wait no longer for its lease.
        if core.lease_until > now {
            core.give_up_lease(fx);
        }
        core.watch(std::collections::BTreeSet::new(), fx);
        core.me.incarnation = Incarnation(core.me.incarnation.0 + 1);
        if core.config.state_transfer {
            core.state.forget();
        }
        // What was under way is lost to this process; what was not is cast in the next view.
        core.cast = core.delivered + core.unsent.iter().map(|o| o.count() as u64).sum::<u64>();
        self.phase = Phase::Seeking(Box::new(Seeking::new(now, core, Bootstrap::Join, &known, news)));
    }

    fn leave(&mut self, now: Time, reason: LeaveReason, fx: &mut Effects) {
        if let Phase::Member(m) = std::mem::replace(&mut self.phase, Phase::Out)
            && let Some(decision) = m.parting_decision()
        {
            m.finish(now, &mut self.core, &decision, fx);
        }
        self.core.set_writable(false, fx);
        self.core.watch(std::collections::BTreeSet::new(), fx);
        self.core.state.release_all(fx);
        fx.events.push(Event::Left(reason));
    }

    fn on_datagrams(&mut self, now: Time, datagrams: Vec<Datagram>, fx: &mut Effects) {
        let mut frames = Vec::with_capacity(datagrams.len());
        for d in datagrams {
            match d.payload.first() {
                Some(&MAGIC_FRAME) => frames.push(d),
                Some(&MAGIC_CONTROL) if self.core.guard.is_some() => self.on_unsealed(&d, fx),
                Some(&MAGIC_CONTROL) => {
                    self.on_frames(now, &mut frames, fx);
                    self.on_control(now, d, fx);
                }
                Some(&MAGIC_SEALED) => {
                    self.on_frames(now, &mut frames, fx);
                    self.on_sealed(now, &d, fx);
                }
                _ => self.core.stats.garbage += 1,
            }
        }
        self.on_frames(now, &mut frames, fx);
    }

    fn on_frames(&mut self, now: Time, frames: &mut Vec<Datagram>, fx: &mut Effects) {
        if frames.is_empty() {
            return;
        }
        match &mut self.phase {
            Phase::Member(m) => m.on_frames(now, &mut self.core, std::mem::take(frames), fx),
            _ => {
                self.core.stats.other_view += frames.len() as u64;
                frames.clear();
            }
        }
    }

    fn on_control(&mut self, now: Time, d: Datagram, fx: &mut Effects) {
        if let Some(control) = self.decode(d.from, d.payload.into_bytes(), fx) {
            self.on_said(now, d.from, control, fx);
        }
    }

    /// A control message of this group.
    fn decode(&mut self, from: SocketAddr, datagram: Bytes, fx: &mut Effects) -> Option<Control> {
        let speaks = OLDEST_VERSION..=self.core.config.protocol_max;
        if datagram.get(1).is_some_and(|v| !speaks.contains(v)) {
            self.core.stats.malformed += 1;
            self.on_other_version(from, datagram[1], fx);
            return None;
        }
        let Ok(mut control) = Control::decode_datagram(datagram) else {
            self.core.stats.malformed += 1;
            return None;
        };
        control.restrict(self.core.config.protocol_max);
        if control.group != self.core.tag.0 {
            self.core.stats.other_group += 1;
            return None;
        }
        Some(control)
    }

    fn on_said(&mut self, now: Time, sender: SocketAddr, control: Control, fx: &mut Effects) {
        let from = control.from.as_ref().and_then(|id| MemberId::try_from(id).ok());
        let (Some(from), Some(body)) = (from, control.body) else {
            self.core.stats.malformed += 1;
            return;
        };
        if from.addr != sender || from.addr == self.core.me.addr {
            self.core.stats.forged += 1;
            return;
        }
        if self.on_body(now, from, body, fx).is_err() {
            self.core.stats.malformed += 1;
        }
        self.deliver_loopback(now, fx);
    }

    /// Versions that are further apart have nothing in common but the first two bytes of a control message: a joiner that
    /// gets nothing else from a contact knows why.
    fn on_other_version(&mut self, from: SocketAddr, version: u8, fx: &mut Effects) {
        match &mut self.phase {
            Phase::Seeking(s) => {
                let mine = self.core.config.protocol_max;
                let why = format!("it speaks version {version} of the protocol, this process {mine}");
                s.on_stranger(from, why);
            }
            Phase::Member(_) if self.core.stats.malformed.is_power_of_two() => {
                let best = self.core.config.protocol_max;
                let reason = format!("the group speaks version {best}, the joiner version {version}");
                self.core.send(from, Body::Refuse(Refuse { reason }), fx);
            }
            _ => {}
        }
    }

    fn on_body(&mut self, now: Time, from: MemberId, body: Body, fx: &mut Effects) -> Result<(), Malformed> {
        let core = &mut self.core;
        let step = match (&mut self.phase, body) {
            (Phase::Idle | Phase::Out, _) => Step::Stay,
            (Phase::Seeking(s), Body::Join(j)) => s.on_join(now, core, from, j, fx),
            (Phase::Seeking(s), Body::MemberList(l)) => {
                s.on_member_list(now, core, from, &l);
                Step::Stay
            }
            (Phase::Seeking(s), Body::Release(_)) => {
                s.on_release(now, from);
                Step::Stay
            }
            (Phase::Seeking(s), Body::Refuse(r)) => s.on_refuse(from, r.reason),
            (Phase::Seeking(s), Body::Decide(d)) => s.judge(core, Decision::received(d)?)?,
            (Phase::Seeking(_), _) => Step::Stay,
            (Phase::Member(m), body) => Self::on_member_body(now, core, m, from, body, fx)?,
        };
        self.step(now, step, fx);
        Ok(())
    }

    fn on_member_body(
        now: Time,
        core: &mut Core,
        m: &mut Member,
        from: MemberId,
        body: Body,
        fx: &mut Effects,
    ) -> Result<Step, Malformed> {
        let rank = m.view.rank_of(from);
        let say = match body {
            Body::Join(j) => {
                m.on_join(now, core, from, j, fx);
                return Ok(Step::Stay);
            }
            Body::MemberList(l) => return Ok(m.on_member_list(now, core, from, &l, fx)),
            Body::MemberJoined(j) if rank.is_some() => {
                let joiner = MemberId::try_from(j.joiner.as_ref().ok_or(Malformed)?)?;
                m.on_member_joined(core, joiner, fx);
                return Ok(Step::Stay);
            }
            Body::StatePull(p) => {
                core.state.on_pull(core.tag, core.me, from, p, fx);
                return Ok(Step::Stay);
            }
            Body::StatePiece(p) => {
                core.state.on_piece(now, from, p, fx);
                core.state.tick(now, core.tag, core.me, core.app_congested, fx);
                return Ok(Step::Stay);
            }
            Body::StateDone(d) => {
                core.state.on_done(from, d.view.unwrap_or_default().into());
                return Ok(Step::Stay);
            }
            Body::Refuse(r) => return Ok(m.on_refused(from, r.reason)),
            Body::Release(_) | Body::MemberJoined(_) => return Ok(Step::Stay),
            Body::Leave(l) => {
                return Ok(match (rank, in_view(m, l.view)) {
                    (Some(r), Ok(())) => {
                        m.on_leave(r);
                        Step::Stay
                    }
                    _ => {
                        m.notice(now, core, from.addr, fx);
                        Step::Stay
                    }
                });
            }
            Body::Slow(s) => {
                if let (Some(r), Ok(())) = (rank, in_view(m, s.view)) {
                    m.on_complaint(r, &s);
                }
                return Ok(Step::Stay);
            }
            Body::Decide(d) => {
                if in_view(m, d.view).is_ok() {
                    m.on_decide(now, core, d, fx)?;
                    return Ok(Step::Stay);
                }
                if !core.config.partitionable {
                    return Ok(Step::Stay);
                }
                return m.on_decide_abroad(now, core, from, d, fx);
            }
            Body::Prepare(x) => (x.view, Say::Prepare(x)),
            Body::Promise(x) => (x.view, Say::Promise(x)),
            Body::Reject(x) => (x.view, Say::Reject(x)),
            Body::Accept(x) => (x.view, Say::Accept(x)),
            Body::Accepted(x) => (x.view, Say::Accepted(x)),
        };
        let (view, say) = say;
        match in_view(m, view) {
            Ok(()) => {
                let rank: Rank = rank.ok_or(Malformed)?;
                m.on_consensus(now, core, rank, say, fx)?;
            }
            // It lives in an earlier view.
            Err(earlier) if earlier => m.notice(now, core, from.addr, fx),
            Err(_) => {}
        }
        Ok(Step::Stay)
    }
}

/// Whether a message is about the member's present view; otherwise whether it is about an earlier one.
fn in_view(m: &Member, view: Option<Vid>) -> Result<(), bool> {
    let view = ViewId::from(view.unwrap_or_default());
    if view == m.view.id {
        Ok(())
    } else {
        let earlier = view.epoch == m.view.id.epoch && view.number < m.view.id.number;
        // Perhaps of an epoch that this one has replaced: who is told of it can see.
        Err(earlier || m.decision.is_forced() && view.epoch < m.view.id.epoch)
    }
}
