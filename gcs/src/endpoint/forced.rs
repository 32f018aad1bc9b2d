//! Going on without a quorum, on the operator's word.
//!
//! A group whose quorum is lost for good stands still: the protocol cannot tell that from a partition. The operator can. The
//! process that is told so ([`super::Input::ForcePrimary`]) takes no further part in the old epoch, delivers what it holds
//! of its view, and goes on alone in a new epoch, with its state as it is then. To the old epoch it is dead from that
//! moment on: it answers nothing there. What the new epoch gives up is what the operator's word stands for: that nobody else
//! goes on (M5), and that what others have delivered is not lost (O4).
//!
//! ```text
//! p0, p1   view e.7 ──────── lost, or cut off ────┄┄┄┄ back: "e'.2, founded as e" ──> new incarnations, state transfer
//! p2       view e.7 ── blocked ── force ── e'.1 [p2] ── e'.2 [p2 p3] …  tells the others of the old view
//! p3       view e.7 ── blocked ── "e'.1, founded as e" ──> new incarnation, state transfer
//! ```
//! The two histories never mix. Frames and control messages name their epoch, so those of the other one are refused. Who is
//! in an epoch, with a quorum or without, and hears of a later one that goes back to the same founding, gives its own up: it
//! comes back as a new incarnation, which has nothing of the old state when it has received the new one. Epochs of the same
//! founding are ordered, so of two processes that were forced, one wins. A forced epoch's members tell everybody who was left
//! behind, as far as they know of them, and their contacts, of it, for as long as those are not members.
//!
//! **Bounds.** 64 addresses that were left behind; one member list to each every 500 ms.

use super::{
    Endpoint, Phase,
    core::Core,
    decision::Decision,
    io::{Effects, Event, ForceError},
    member::{Member, rank_at},
    seeking::Step,
};
use crate::{
    id::{FNV_OFFSET, MAX_MEMBERS, MemberId, fnv1a},
    layer::Down,
    time::Time,
    view::{Role, ViewId},
    wire::{Entry, MemberList},
};
use smallvec::SmallVec;
use std::{net::SocketAddr, time::Duration};

/// Who was left behind is told of the new epoch this often.
pub(super) const TELL: Duration = Duration::from_millis(500);
/// The low bits of a forced epoch, or of a part's, tell apart processes that begin one at about the same time: within 67 ms.
const WHO: u64 = (1 << 26) - 1;

/// The name of a new epoch: about the time of day, and larger than the one before.
pub(super) fn epoch(before: u64, wall_ns: u64, me: MemberId) -> u64 {
    let addr = me.addr.to_string();
    let who = fnv1a(fnv1a(FNV_OFFSET, addr.as_bytes()), &me.incarnation.0.to_le_bytes()) & WHO;
    let named = |since: u64| (since & !WHO) | who;
    let now = named(wall_ns.saturating_sub(WHO + 1));
    if now > before { now } else { named(before.saturating_add(WHO + 1)) }
}

impl Endpoint {
    /// Goes on without a quorum, if there is none.
    pub(super) fn force_primary(&mut self, now: Time, wall_ns: u64, fx: &mut Effects) {
        let core = &mut self.core;
        let forced = match &mut self.phase {
            Phase::Member(m) => m.force(now, core, wall_ns, fx),
            _ => Err(ForceError::NoView),
        };
        match forced {
            Ok(decision) => self.step(now, Step::Install(Box::new(decision)), fx),
            Err(why) => {
                tracing::warn!(me = %self.core.me, "not made primary by force: {why}");
                fx.events.push(Event::Forced(Err(why)));
            }
        }
    }
}

impl Member {
    fn force(
        &mut self,
        now: Time,
        core: &mut Core,
        wall_ns: u64,
        fx: &mut Effects,
    ) -> Result<Decision, ForceError> {
        if core.config.partitionable {
            return Err(ForceError::Partitionable);
        }
        if core.leaving {
            return Err(ForceError::Leaving);
        }
        if core.config.role.witness || !core.state.is_complete() {
            return Err(ForceError::NoState);
        }
        if !self.is_out_of_contact(now, core) {
            return Err(ForceError::Quorum);
        }
        core.state.deliver(Event::Forced(Ok(())), fx);
        self.down(now, core, Down::Wedge, fx);
        let frontier = self.change.frontier.clone().unwrap_or_else(|| vec![0; self.view.len()]);
        let epoch = epoch(self.view.id.epoch, wall_ns, core.me);
        // It decides alone now, also if it was a learner.
        let weight = core.config.role.weight.max(1);
        let secret = core.envelopes(now, ViewId { epoch, number: 1 }, [core.me].into_iter()).flatten();
        let alone = Entry::new(core.me, &core.config.name, Role { weight, witness: false }, true);
        let alone = Entry { speaks: core.config.speaks(), ..alone };
        let decision = Decision::forced(&self.decision, epoch, alone, frontier, self.rank, secret);
        let others: Vec<_> = self.ids().into_iter().filter(|m| *m != core.me).collect();
        tracing::error!(
            me = %core.me, old = %self.view.id, new = %decision.view.id, left_behind = ?others,
            "FORCED PRIMARY: by the operator's word this process goes on alone in a new epoch. What the others have \
             delivered and this one has not is lost to the group; they come back with this one's state"
        );
        core.leave_behind(others.iter().map(|m| m.addr));
        self.down(now, core, Down::Fetch(decision.cut.clone()), fx);
        Ok(decision)
    }

    /// Whether members have to know of more than the first version of the protocol did.
    pub(super) fn asks_for_more(&self) -> bool {
        self.view.is_weighted() || self.decision.is_forced()
    }

    /// Whether a member list is of an epoch that replaces this one.
    pub(super) fn is_superseded(&self, from: MemberId, list: &MemberList) -> bool {
        let view = ViewId::from(list.view.unwrap_or_default());
        let says_so = list.members.iter().any(|m| MemberId::try_from(m) == Ok(from));
        says_so && list.origin() == self.decision.origin && view.epoch > self.view.id.epoch
    }

    /// This process's epoch is over: a primary was forced elsewhere.
    pub(super) fn give_way(&self, core: &mut Core, list: &MemberList) -> Step {
        let to = ViewId::from(list.view.unwrap_or_default());
        tracing::error!(
            me = %core.me, old = %self.view.id, new = %to,
            "a primary was forced elsewhere: this process gives its history up, and comes back with the state of the other"
        );
        core.leave_behind(self.ids().iter().map(|m| m.addr));
        core.departure()
    }

    /// Tells those who are not in this view of it, now and then: those who live in an epoch that a forced one has replaced,
    /// and other components.
    pub(super) fn tell_of_view(&mut self, now: Time, core: &Core, fx: &mut Effects) {
        if !self.tells(core) || now < self.tell_at {
            return;
        }
        self.tell_at = now + TELL;
        let absent = core.left_behind.iter().chain(&core.config.contacts).copied();
        let absent: SmallVec<[SocketAddr; 4]> =
            absent.filter(|a| rank_at(&self.view, *a).is_none()).collect();
        core.send_all(absent, self.member_list(), fx);
    }

    pub(super) fn tell_deadline(&self, core: &Core) -> Time {
        if self.tells(core) { self.tell_at } else { Time::NEVER }
    }

    fn tells(&self, core: &Core) -> bool {
        if core.config.partitionable {
            return !self.change.is_wedged() && !core.blocked;
        }
        self.decision.is_forced()
    }
}

impl Core {
    /// The name of an epoch that begins now. Other attempts of this process get other names.
    pub(super) fn new_epoch(&self, now: Time, before: u64, attempt: u32) -> u64 {
        let later = u64::from(attempt) * (WHO + 1);
        let wall_ns = self.wall_at_zero.saturating_add(now.0);
        epoch(before.saturating_add(later), wall_ns.saturating_add(later), self.me)
    }

    /// Remembers who may live in an epoch that is over.
    pub(super) fn leave_behind(&mut self, addrs: impl Iterator<Item = SocketAddr>) {
        for addr in addrs.filter(|a| *a != self.me.addr) {
            if self.left_behind.len() < MAX_MEMBERS {
                self.left_behind.insert(addr);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;

    #[test]
    fn epochs_grow_and_differ_by_process() {
        let me = |port: u16| MemberId { addr: ([127, 0, 0, 1], port).into(), incarnation: Incarnation(1) };
        let now = 1_700_000_000_000_000_000;
        for before in [1, now - 5_000_000_000, now, now + 5_000_000_000] {
            let (a, b) = (epoch(before, now, me(1)), epoch(before, now, me(2)));
            assert!(a > before && b > before && a != b, "{before}");
            assert!(epoch(a, now, me(2)) > a, "forced again");
        }
    }
}
