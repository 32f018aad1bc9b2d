//! A process with a view: it runs the view's stack, and keeps the previous one for those who are still in it.

use super::{
    change::Change,
    core::Core,
    decision::Decision,
    io::{Datagram, Effects, Event, LeaveReason, Transmit},
    joins::Joins,
    partition::Parting,
    seeking::{Step, others},
    settling::Settling,
    slow::Complaints,
    span::ChangeSpan,
};
use crate::{
    frame::{Dest, FixedHeader, Frames},
    id::{MemberId, Rank},
    layer::{Contact, Down, Scope, Suspicions, Up},
    membership::{Ballot, select_excluded, select_parted},
    message::Outgoing,
    stack::{Output, Stack},
    time::Time,
    view::{Cut, View, ViewChange, ViewId},
    wire::{Body, MemberList},
};
use smallvec::{SmallVec, smallvec};
use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

/// Frames of the next view that are kept until it is installed: at most so many.
const EARLY_FRAMES: usize = 128;
/// The bytes of a frame of who is alone: it goes nowhere, whatever the transport carries well. Less than the smallest window.
const ALONE_MTU: usize = 60 << 10;
/// Those who have not installed the view are told of it this often.
const ANNOUNCE: Duration = Duration::from_millis(40);
/// Who installs a view tells so many of it at once, those that follow by rank; the first tells everybody. All to all would be
/// a decision's bytes times the square of the members.
const TELL: usize = 3;
/// Who is without contact to a quorum asks its contacts for news this often.
const ASK_ABROAD: Duration = Duration::from_millis(300);
/// Processes in earlier views are told of this one at most this often, all together.
const NOTICE: Duration = Duration::from_millis(5);

pub(super) struct Member {
    pub(super) view: View,
    pub(super) rank: Rank,
    pub(super) stack: Stack,
    old: Option<Stack>,
    /// The decision that made this view, for those who missed it.
    pub(super) decision: Decision,
    /// The members that are known to have installed this view, as a mask.
    installed: u64,
    announce_at: Time,
    ask_abroad_at: Time,
    /// When to tell again of an epoch that was forced.
    pub(super) tell_at: Time,
    noticed_at: Time,
    early: VecDeque<Datagram>,
    pub(super) suspicions: Suspicions,
    settling: Settling,
    pub(super) contact: Contact,
    /// Contact with a quorum, or the view's beginning.
    contact_at: Time,
    pub(super) change: Change,
    pub(super) joins: Joins,
    pub(super) parting: Parting,
    pub(super) complaints: Complaints,
    /// Messages of the control protocol from this process to itself.
    pub(super) loopback: VecDeque<Body>,
    scratch: Output,
    pub(super) congested: bool,
}

impl Member {
    /// Installs a view: closes the stack of the previous one, starts a new one, tells the application.
    pub(super) fn install(
        now: Time,
        core: &mut Core,
        decision: Decision,
        previous: Option<Box<Self>>,
        fx: &mut Effects,
    ) -> Result<Self, LeaveReason> {
        let passage = core.history.note(now, &decision, previous.as_deref());
        ChangeSpan::finish(previous.as_deref().map(|p| &p.change.span), &core.config.group, core.me, passage);
        let view = decision.view.clone();
        let rank = view.rank_of(core.me).unwrap_or(0);
        let came_with =
            previous.as_ref().map_or_else(|| vec![core.me], |p| p.go_with(&decision).collect::<Vec<_>>());
        // It comes from another view than the one that the decision ends.
        let merges = previous.as_ref().is_some_and(|p| p.view.id != decision.ends);
        let gone = previous.as_ref().map(|p| p.gone()).unwrap_or_default();
        let leavers = previous.as_ref().map(|p| p.leavers(&view)).unwrap_or_default();
        let early = previous.as_ref().map(|p| p.early.clone()).unwrap_or_default();
        let witness = core.config.role.witness;
        let fresh = previous.is_none() && decision.ends.number != 0 || merges;
        if core.config.partitionable {
            let left = previous.iter().flat_map(|p| p.ids()).map(|m| m.addr).collect::<Vec<_>>();
            core.leave_behind(left.into_iter());
        }
        if !decision.is_primary() && core.lease_until > now {
            core.give_up_lease(fx);
        }
        let old = previous.map(|p| p.close(now, core, &decision, fx)).filter(|_| !merges);
        if merges {
            core.yields = 0;
            if core.config.state_transfer {
                core.state.forget();
            }
        }
        if decision.ends.number == 0 && !witness {
            core.state.set_complete();
        }
        let ids: Vec<_> = view.members.iter().map(|m| m.id).collect();
        let came = ids.iter().enumerate().filter(|(_, id)| !came_with.contains(id) && !fresh);
        let newcomers = came.fold(0_u64, |mask, (r, _)| mask | 1 << r);
        core.state.retain_members(&ids);
        let complete: Vec<_> =
            ids.iter().zip(&decision.complete).filter(|(_, c)| **c).map(|(m, _)| *m).collect();
        if complete.is_empty() {
            return Err(if core.leaving { LeaveReason::Asked } else { LeaveReason::StateLost });
        }
        let scope = Scope {
            view: view.clone(),
            me: rank,
            group: core.tag,
            version: decision.version,
            now,
            mtu: if view.len() == 1 { core.mtu.max(ALONE_MTU) } else { core.mtu },
            window_bytes: core.config.window(view.len()),
            window_max: core.config.window_bytes,
            watch: core.config.watch,
            arrangement: decision.arrangement,
            partitionable: core.config.partitionable,
            secret: core.secret(&decision).unwrap_or_default(),
            signer: core.config.keys.as_ref().and_then(|k| k.signer()),
            seed: core.rng.next_u64(),
        };
        let mut member = Self {
            stack: core.config.stack.build(scope),
            rank,
            old,
            installed: 1 << rank,
            announce_at: now + ANNOUNCE,
            ask_abroad_at: Time::ZERO,
            tell_at: now,
            noticed_at: Time::ZERO,
            early: VecDeque::new(),
            suspicions: Suspicions::default(),
            settling: Settling::default(),
            contact: Contact { quorum_at: Time::ZERO, answered_at: vec![now; view.len()] },
            contact_at: now,
            change: Change::default(),
            joins: Joins::default(),
            parting: Parting::new(newcomers),
            complaints: Complaints::default(),
            loopback: VecDeque::new(),
            scratch: Output::default(),
            congested: false,
            decision,
            view,
        };
        core.stats.views += 1;
        core.blocked = false;
        core.watch(ids.iter().copied().filter(|m| *m != core.me).collect(), fx);
        let joined = fresh && !core.state.is_complete() && !witness;
        member.announce_view(now, core, came_with, joined, &complete, fx);
        member.announce(core, if rank == 0 { usize::MAX } else { TELL }, fx);
        core.send_all(leavers, member.member_list(), fx);
        let mut out = std::mem::take(&mut member.scratch);
        member.stack.start(now, &mut out);
        member.absorb(core, out, fx);
        core.set_writable(!core.departs() && !witness, fx);
        // Whoever watches says so once: what is known of the dead goes with the view that still has them.
        for id in gone {
            member.mark_gone(now, core, id, fx);
        }
        if member.decision.yields_to().is_some() {
            member.down(now, core, Down::Wedge, fx);
            member.enter_limbo(now, core);
        } else {
            for batch in std::mem::take(&mut core.unsent) {
                member.down(now, core, Down::Cast(batch), fx);
            }
        }
        for datagram in early {
            member.on_frames(now, core, vec![datagram], fx);
        }
        Ok(member)
    }

    /// Tells the application of the view, and begins state transfer on this side.
    fn announce_view(
        &mut self,
        now: Time,
        core: &mut Core,
        came_with: Vec<MemberId>,
        joined: bool,
        complete: &[MemberId],
        fx: &mut Effects,
    ) {
        let id = self.view.id;
        let change = ViewChange {
            view: self.view.clone(),
            rank: self.rank,
            came_with,
            primary: self.decision.is_primary(),
            merged: self.decision.components(),
            awaits_state: joined,
        };
        core.state.deliver(Event::View(change), fx);
        if joined {
            core.state.receive_from(id, complete.to_vec(), now);
        }
        let replicas = self.view.members.iter().filter(|m| !m.role.witness);
        let joiners = replicas.map(|m| m.id).filter(|m| !complete.contains(m));
        // Those that are still receiving an earlier state go on with that one.
        let known = &self.old_view_members();
        let joiners: Vec<_> = joiners.filter(|m| !known.contains(m)).collect();
        if core.state.offer(id, joiners) {
            core.state.deliver(Event::StateRequested { view: id }, fx);
        }
    }

    fn old_view_members(&self) -> Vec<MemberId> {
        self.old.as_ref().map_or_else(Vec::new, |o| o.scope().view.members.iter().map(|m| m.id).collect())
    }

    /// Those who go from this view to the decided one.
    fn go_with<'a>(&'a self, decision: &'a Decision) -> impl Iterator<Item = MemberId> + use<'a> {
        let merges = decision.merges();
        let members = decision.view.members.iter().zip(&decision.from);
        let from_here = move |from: &Option<ViewId>| !merges || *from == Some(self.view.id);
        members
            .filter(move |(m, from)| from_here(from) && self.view.rank_of(m.id).is_some())
            .map(|(m, _)| m.id)
    }

    /// Nothing counts.
    fn empty_cut(&self) -> Arc<Cut> {
        Arc::new(Cut { frontier: vec![0; self.view.len()], holder: vec![0; self.view.len()] })
    }

    /// Delivers what counts of the view, and keeps the stack for repairs.
    fn close(
        mut self: Box<Self>,
        now: Time,
        core: &mut Core,
        decision: &Decision,
        fx: &mut Effects,
    ) -> Stack {
        self.down(now, core, Down::Wedge, fx);
        if core.config.partitionable {
            let together = self.go_with(decision).collect();
            core.state.deliver(Event::Transitional(together), fx);
        }
        let cut = if decision.ends == self.view.id { decision.cut.clone() } else { self.empty_cut() };
        self.down(now, core, Down::Close(cut), fx);
        self.stack
    }

    /// The last act of a member that leaves: what counts of the view is delivered to it, too.
    pub(super) fn finish(self: Box<Self>, now: Time, core: &mut Core, decision: &Decision, fx: &mut Effects) {
        drop(self.close(now, core, decision, fx));
    }

    /// The members that this one would exclude now, as a mask.
    pub(super) fn excluded(&self) -> u64 {
        if self.settling.is_settled() { self.suspected() } else { self.absent() }
    }

    /// The members that evidence and all suspicions together would exclude.
    fn suspected(&self) -> u64 {
        // The usual case, after every input.
        let nobody =
            self.absent() == 0 && self.suspicions.silent[..self.view.len()].iter().all(|row| *row == 0);
        if nobody {
            return 0;
        }
        let weights: SmallVec<[u16; 8]> = self.view.weights().collect();
        if self.stack.scope().partitionable {
            return select_parted(&weights, self.rank.into(), &self.suspicions.silent, self.absent());
        }
        select_excluded(&weights, self.rank.into(), &self.suspicions.silent, self.suspicions.gone)
    }

    /// Takes the time into account; the members that this one would exclude now.
    pub(super) fn weigh_suspicions(&mut self, now: Time, core: &Core) -> u64 {
        let suspected = self.suspected();
        let s = &self.suspicions;
        let unheard = self.absent() | s.silent[usize::from(self.rank)];
        let heartbeat = Duration::from_millis(core.config.watch.heartbeat_ms);
        self.settling.weigh(now, heartbeat, unheard, suspected);
        self.excluded()
    }

    /// The members of whose end there is evidence.
    fn gone(&self) -> Vec<MemberId> {
        let members = self.view.members.iter().enumerate();
        members.filter(|(r, _)| self.suspicions.gone >> r & 1 == 1).map(|(_, m)| m.id).collect()
    }

    /// Where those are who asked to leave, and are not in `next`.
    fn leavers(&self, next: &View) -> SmallVec<[SocketAddr; 4]> {
        let members = self.view.members.iter().enumerate();
        let left = members.filter(|(r, m)| self.joins.leavers >> r & 1 == 1 && next.rank_of(m.id).is_none());
        left.map(|(_, m)| m.id.addr).collect()
    }

    pub(super) fn ids(&self) -> Vec<MemberId> {
        self.view.members.iter().map(|m| m.id).collect()
    }

    pub(super) fn addrs(&self, to: Dest) -> SmallVec<[SocketAddr; 4]> {
        match to {
            Dest::Others => {
                let me = usize::from(self.rank);
                self.view
                    .members
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| *i != me)
                    .map(|(_, m)| m.id.addr)
                    .collect()
            }
            Dest::One(r) => self.view.member(r).map(|m| smallvec![m.id.addr]).unwrap_or_default(),
        }
    }

    /// Hands an event to the stack and carries out what comes of it.
    pub(super) fn down(&mut self, now: Time, core: &mut Core, event: Down, fx: &mut Effects) {
        if matches!(event, Down::Wedge) && self.change.wedged_at.is_none() {
            self.change.wedged_at = Some(now);
            self.phase(core, "wedged", None);
        }
        let mut out = std::mem::take(&mut self.scratch);
        self.stack.down(now, event, &mut out);
        self.absorb(core, out, fx);
    }

    fn absorb(&mut self, core: &mut Core, mut out: Output, fx: &mut Effects) {
        core.stats.frames_sent += out.frames.len() as u64;
        for frame in out.frames.drain(..) {
            let to = self.addrs(frame.to);
            core.stats.bytes_sent += (frame.len() * to.len()) as u64;
            core.stats.repaired += u64::from(frame.is_reliable() && matches!(frame.to, Dest::One(_)));
            if !to.is_empty() {
                fx.transmits.push(Transmit { to, payload: frame.into_packet() });
            }
        }
        for event in out.events.drain(..) {
            self.on_up(core, event, fx);
        }
        self.scratch = out;
    }

    fn on_up(&mut self, core: &mut Core, event: Up, fx: &mut Effects) {
        match event {
            Up::Messages(m) => {
                core.stats.delivered += u64::from(m.count);
                core.stats.delivered_bytes += m.byte_len() as u64;
                if m.from == self.rank {
                    core.delivered += u64::from(m.count);
                }
                if !core.config.role.witness {
                    core.state.deliver(Event::Messages(m), fx);
                }
            }
            Up::Credit(credit) => {
                core.stats.credit_waits += u64::from(!credit && core.writable);
                core.set_writable(credit && !core.departs() && !core.config.role.witness, fx);
            }
            Up::Wedged(frontier) => self.change.frontier = Some(frontier),
            Up::CutHeld(cut) => self.change.on_cut_held(&cut),
            Up::Suspicions(s) => {
                let gone = self.suspicions.gone | s.gone;
                let silent = |s: &Suspicions| s.silent.get(usize::from(self.rank)).copied().unwrap_or(0);
                core.stats.gone += u64::from((s.gone & !self.suspicions.gone).count_ones());
                core.stats.suspected += u64::from((silent(&s) & !silent(&self.suspicions)).count_ones());
                self.settling.on_change(&self.suspicions, &s);
                self.suspicions = Suspicions { gone, ..*s };
            }
            Up::Contact(c) => {
                if c.answered_at.len() == self.view.len() {
                    self.contact_at = self.contact_at.max(c.quorum_at);
                    if !self.change.renounces && self.decision.is_primary() {
                        core.extend_lease(c.quorum_at, fx);
                    }
                    self.contact = c;
                }
            }
            Up::Slow(slow) => self.on_slow(slow),
            Up::Unsent(messages) => core.unsent.push(messages),
            Up::Closed | Up::Stable(_) | Up::Frames(_) => {}
        }
    }

    /// Frames from the network, in a batch.
    pub(super) fn on_frames(
        &mut self,
        now: Time,
        core: &mut Core,
        datagrams: Vec<Datagram>,
        fx: &mut Effects,
    ) {
        let mut frames = Frames::new();
        for d in datagrams {
            let Ok(header) = FixedHeader::parse(&d.payload) else {
                core.stats.garbage += 1;
                continue;
            };
            let of = |view: ViewId| header.tag == core.tag.0 ^ view.epoch;
            let old = self.old.as_ref().is_some_and(|o| {
                let view = o.scope().view.id;
                of(view) && view.number == header.view
            });
            if !of(self.view.id) && !old {
                core.stats.other_group += 1;
                if core.config.partitionable {
                    self.notice(now, core, d.from, fx);
                }
                continue;
            }
            if header.view != self.view.id.number || !of(self.view.id) {
                self.on_other_view(now, core, d, header, old, fx);
                continue;
            }
            let via = rank_at(&self.view, d.from).filter(|v| *v != self.rank);
            let (Some(via), true) = (via, usize::from(header.from) < self.view.len()) else {
                core.stats.forged += 1;
                continue;
            };
            match self.stack.parse(d.payload) {
                Ok(mut frame) => {
                    frame.via = via;
                    self.installed |= 1 << via;
                    core.stats.bytes_received += frame.len() as u64;
                    frames.push(frame);
                }
                Err(_) => core.stats.garbage += 1,
            }
        }
        core.stats.frames_received += frames.len() as u64;
        if !frames.is_empty() {
            let mut out = std::mem::take(&mut self.scratch);
            self.stack.receive(now, frames, &mut out);
            self.absorb(core, out, fx);
        }
    }

    /// A frame of an earlier or later view.
    fn on_other_view(
        &mut self,
        now: Time,
        core: &mut Core,
        d: Datagram,
        header: FixedHeader,
        is_old: bool,
        fx: &mut Effects,
    ) {
        core.stats.other_view += 1;
        if header.view > self.view.id.number && !is_old {
            if header.view == self.view.id.number + 1 && self.early.len() < EARLY_FRAMES {
                self.early.push_back(d);
            }
            return;
        }
        // Somebody who may need frames of the view before this one.
        if let Some(mut old) = self.old.take() {
            let scope = old.scope();
            let via = rank_at(&scope.view, d.from).filter(|v| *v != scope.me);
            if let (true, Some(via)) = (is_old, via)
                && usize::from(header.from) < scope.members()
                && let Ok(mut frame) = old.parse(d.payload)
            {
                frame.via = via;
                let mut out = Output::default();
                old.receive(now, vec![frame], &mut out);
                self.transmit_old(core, &old, out, fx);
            }
            self.old = Some(old);
        }
        self.notice(now, core, d.from, fx);
    }

    fn transmit_old(&self, core: &mut Core, old: &Stack, out: Output, fx: &mut Effects) {
        core.stats.frames_sent += out.frames.len() as u64;
        core.stats.repaired += out.frames.len() as u64;
        for frame in out.frames {
            core.stats.bytes_sent += frame.len() as u64;
            if let Dest::One(r) = frame.to
                && let Some(m) = old.scope().view.member(r)
            {
                fx.transmits.push(Transmit { to: smallvec![m.id.addr], payload: frame.into_packet() });
            }
        }
    }

    /// Tells a process that still lives in an earlier view of this one: its decision, or the members if it is not one.
    pub(super) fn notice(&mut self, now: Time, core: &Core, to: SocketAddr, fx: &mut Effects) {
        if now < self.noticed_at + NOTICE {
            return;
        }
        let body = match rank_at(&self.view, to) {
            Some(r) if self.installed >> r & 1 == 1 => return,
            Some(_) => Body::Decide(self.decision.decide.clone()),
            None => self.member_list(),
        };
        self.noticed_at = now;
        core.send(to, body, fx);
    }

    pub(super) fn member_list(&self) -> Body {
        let members = self.view.members.iter().map(|m| m.id.into()).collect();
        let origin = if self.decision.is_forced() { self.decision.origin } else { 0 };
        let line = if self.decision.is_primary() { 0 } else { self.decision.line };
        Body::MemberList(MemberList { view: Some(self.view.id.into()), members, origin, line })
    }

    /// Sends the decision to those that are not known to have installed the view, among the `next` that follow this member.
    fn announce(&self, core: &Core, next: usize, fx: &mut Effects) {
        let missing = |r: usize| self.installed >> r & 1 == 0 && self.suspicions.gone >> r & 1 == 0;
        let (me, n) = (usize::from(self.rank), self.view.len());
        let near = |r: usize| (r + n - me) % n <= next;
        let to = (0..n).filter(|r| missing(*r) && near(*r)).map(|r| self.view.members[r].id.addr).collect();
        core.send_all(to, Body::Decide(self.decision.decide.clone()), fx);
    }

    pub(super) fn resend_decision(&self, core: &Core, to: SocketAddr, fx: &mut Effects) {
        core.send(to, Body::Decide(self.decision.decide.clone()), fx);
    }

    /// Asks the contacts that are not in this view. The group may have gone on, and nobody that this process knows may be
    /// in it any more.
    fn ask_abroad(&self, core: &Core, fx: &mut Effects) {
        let abroad = core.config.contacts.iter().copied();
        let abroad = abroad.filter(|a| rank_at(&self.view, *a).is_none()).collect();
        core.send_all(abroad, self.lowest_prepare(), fx);
    }

    fn everyone_installed(&self) -> bool {
        let everyone = u64::MAX >> (64 - self.view.len());
        (self.installed | self.suspicions.gone) & everyone == everyone
    }

    /// Evidence that a process is gone.
    pub(super) fn on_gone(&mut self, now: Time, core: &mut Core, member: MemberId, fx: &mut Effects) {
        let known = self.suspicions.gone;
        self.mark_gone(now, core, member, fx);
        core.stats.gone += u64::from((self.suspicions.gone & !known).count_ones());
    }

    fn mark_gone(&mut self, now: Time, core: &mut Core, member: MemberId, fx: &mut Effects) {
        if let Some(rank) = self.view.rank_of(member).filter(|r| *r != self.rank) {
            self.suspicions.gone |= 1 << rank;
            self.down(now, core, Down::Gone(rank), fx);
        }
    }

    /// A member list from another process: of a later view that does not have this one?
    pub(super) fn on_member_list(
        &mut self,
        now: Time,
        core: &mut Core,
        from: MemberId,
        list: &MemberList,
        fx: &mut Effects,
    ) -> Step {
        if core.config.partitionable {
            return self.on_abroad(now, core, from, list, fx);
        }
        if self.is_superseded(from, list) {
            return self.give_way(core, list);
        }
        let view = ViewId::from(list.view.unwrap_or_default());
        let later = view.epoch == self.view.id.epoch && view.number > self.view.id.number;
        let includes = |id: MemberId| list.members.iter().any(|m| MemberId::try_from(m) == Ok(id));
        if !later || includes(core.me) {
            return Step::Stay;
        }
        core.departure()
    }

    pub(super) fn cast(&mut self, now: Time, core: &mut Core, messages: Outgoing, fx: &mut Effects) {
        self.down(now, core, Down::Cast(messages), fx);
    }

    pub(super) fn deadline(&self, core: &Core) -> Time {
        let announce = if self.everyone_installed() { Time::NEVER } else { self.announce_at };
        let blocked = if core.blocked { self.ask_abroad_at } else { self.contact_at + core.lease() };
        let mut at =
            self.stack.deadline().min(announce).min(blocked).min(core.state.deadline(core.app_congested));
        if core.departs() {
            at = at.min(self.joins.leave_at);
        }
        if core.config.partitionable {
            at = at.min(self.parting.deadline()).min(self.patience_with_decision(core));
        }
        at.min(self.tell_deadline(core))
            .min(self.complaints.deadline())
            .min(self.change.deadline())
            .min(self.joins.deadline())
            .min(self.settling.deadline())
    }

    pub(super) fn tick(&mut self, now: Time, core: &mut Core, fx: &mut Effects) {
        if self.stack.deadline() <= now {
            let mut out = std::mem::take(&mut self.scratch);
            self.stack.tick(now, &mut out);
            self.absorb(core, out, fx);
        }
        if !self.everyone_installed() && self.announce_at <= now {
            self.announce_at = now + ANNOUNCE;
            self.announce(core, usize::MAX, fx);
        }
        if self.everyone_installed() {
            self.old = None;
        }
        self.joins.tick(now);
        self.tell_of_view(now, core, fx);
        self.complain(now, core, fx);
        core.set_blocked(self.is_out_of_contact(now, core), fx);
        if core.blocked && self.ask_abroad_at <= now {
            self.ask_abroad_at = now + ASK_ABROAD;
            self.ask_abroad(core, fx);
        }
        core.state.tick(now, core.tag, core.me, core.app_congested, fx);
        self.update_congestion(now, core, fx);
    }

    pub(super) fn is_out_of_contact(&self, now: Time, core: &Core) -> bool {
        now >= self.contact_at + core.lease()
    }

    pub(super) fn update_congestion(&mut self, now: Time, core: &mut Core, fx: &mut Effects) {
        let congested = core.state.is_congested(core.app_congested);
        if congested != self.congested {
            self.congested = congested;
            self.down(now, core, Down::Congested(congested), fx);
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.stack.held_bytes() + self.old.as_ref().map_or(0, Stack::held_bytes)
    }

    /// Notes a phase of the view change for those who trace it.
    pub(super) fn phase(&mut self, core: &Core, phase: &'static str, ballot: Option<Ballot>) {
        let (group, view) = (&core.config.group, self.view.id);
        self.change.span.phase(group, core.me, view, phase, ballot);
    }

    pub(super) fn broadcast(&mut self, core: &Core, body: Body, fx: &mut Effects) {
        core.send_all(others(&self.ids(), core.me), body.clone(), fx);
        self.loopback.push_back(body);
    }

    pub(super) fn send_rank(&mut self, core: &Core, to: Rank, body: Body, fx: &mut Effects) {
        if to == self.rank {
            self.loopback.push_back(body);
        } else if let Some(m) = self.view.member(to) {
            core.send(m.id.addr, body, fx);
        }
    }
}

/// The member of the view at this address.
pub(super) fn rank_at(view: &View, addr: SocketAddr) -> Option<Rank> {
    view.members.iter().position(|m| m.id.addr == addr).and_then(|i| Rank::try_from(i).ok())
}
