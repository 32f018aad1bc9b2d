//! Who wants to come and who wants to go, as a member sees it.

use super::{
    core::Core,
    io::Effects,
    member::Member,
    seeking::{Step, difference, others},
};
use crate::{
    id::{MAX_MEMBERS, MemberId, Rank},
    time::Time,
    view::{Role, ViewId},
    wire::{Body, Join, Leave, MemberJoined, Refuse},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// A joiner that is not heard for this long does not count.
const STALE: Duration = Duration::from_millis(1200);
/// Joiners that are ready within this time of the first come in together.
const BATCH: Duration = Duration::from_millis(5);
/// Those who come from one view are waited for this long.
const GATHER: Duration = Duration::from_millis(150);
/// A member that leaves says so this often.
const LEAVE_EVERY: Duration = Duration::from_millis(50);

/// Why a joiner of an earlier version is not let in.
const EARLIER: &str =
    "members count for different things, or a primary was forced; the joiner's version does not know of that";

#[derive(Default)]
pub(super) struct Joins {
    pending: BTreeMap<SocketAddr, Joiner>,
    /// Joiners of whom another member has told all: at most [`MAX_MEMBERS`]. They were answered once, and ask for more.
    told: BTreeSet<MemberId>,
    /// Members that want to leave, as a mask.
    pub(super) leavers: u64,
    /// When to say again that this process leaves.
    pub(super) leave_at: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Joiner {
    pub(super) id: MemberId,
    pub(super) name: String,
    pub(super) role: Role,
    /// Whether it knows that members count for different things.
    pub(super) weighs: bool,
    /// The best version that it speaks, as it travels.
    pub(super) speaks: u32,
    /// The view that merges into the group, if it comes from one, and who comes from there.
    pub(super) from: Option<ViewId>,
    with: Vec<MemberId>,
    heard: BTreeSet<MemberId>,
    heard_at: Time,
    /// When it had heard every member.
    since: Option<Time>,
    /// `since` is [`BATCH`] ago; or everybody who comes with it is ready, or has been waited for.
    ripe: bool,
}

impl Joins {
    /// The joiners that have heard every member that stays.
    pub(super) fn ready<'a>(
        &'a self,
        now: Time,
        member: &'a Member,
        excluded: u64,
    ) -> impl Iterator<Item = &'a Joiner> + use<'a> {
        let stays = move |r: usize| excluded >> r & 1 == 0;
        self.pending.values().filter(move |j| {
            let heard = |(r, m): (usize, &crate::view::Member)| !stays(r) || j.heard.contains(&m.id);
            let gathered = j.from.is_none() || j.ripe;
            gathered && now.since(j.heard_at) < STALE && member.view.members.iter().enumerate().all(heard)
        })
    }

    /// Whether somebody is to come or go.
    pub(super) fn wants_change(&self, now: Time, member: &Member, excluded: u64) -> bool {
        self.leavers != 0 || self.ready(now, member, excluded).any(|j| j.ripe)
    }

    pub(super) fn tick(&mut self, now: Time) {
        if self.pending.is_empty() {
            return;
        }
        let ready = |j: &&Joiner| j.from.is_some() && j.since.is_some();
        let ready: BTreeSet<_> = self.pending.values().filter(ready).map(|j| (j.from, j.id)).collect();
        for j in self.pending.values_mut() {
            let all = j.from.is_some() && j.with.iter().all(|m| ready.contains(&(j.from, *m)));
            j.ripe = j.since.is_some_and(|s| all || now >= s + j.wait());
        }
    }

    /// Joiners that cannot come in as what they want to be, because some member does not know of it, are told so.
    pub(super) fn refuse_weighted(&mut self, core: &Core, fx: &mut Effects) {
        let reason = "a member speaks an earlier version, in which all members count the same";
        self.pending.retain(|addr, j| {
            let fits = j.role == Role::default();
            if !fits {
                core.send(*addr, Body::Refuse(Refuse { reason: reason.to_owned() }), fx);
            }
            fits
        });
    }

    pub(super) fn deadline(&self) -> Time {
        let unripe = self.pending.values().filter(|j| !j.ripe).filter_map(|j| Some(j.since? + j.wait()));
        unripe.min().unwrap_or(Time::NEVER)
    }
}

impl Joiner {
    /// How long it waits for others.
    fn wait(&self) -> Duration {
        if self.from.is_some() { GATHER } else { BATCH }
    }
}

impl Member {
    pub(super) fn on_join(
        &mut self,
        now: Time,
        core: &mut Core,
        from: MemberId,
        join: Join,
        fx: &mut Effects,
    ) {
        if self.parting.in_limbo() || join.from.is_some() && !core.config.partitionable {
            return;
        }
        let id = self.view.members.iter().map(|m| m.id).find(|m| m.addr == from.addr);
        match id {
            Some(m) if m == from => {
                let rank = self.view.rank_of(m);
                let known = rank.and_then(|r| self.decision.from.get(usize::from(r)).copied()).flatten();
                match rank.filter(|_| join.from.is_some() && join.from.map(ViewId::from) != known) {
                    // It has left this view for another one.
                    Some(r) => self.parting.elsewhere |= 1 << r,
                    // It has not heard of its view yet.
                    None => self.resend_decision(core, from.addr, fx),
                }
                return;
            }
            Some(m) if m.incarnation > from.incarnation => return,
            // The process at this address is a new one: the old one is dead.
            Some(m) => self.on_gone(now, core, m, fx),
            None => {}
        }
        if join.withdraw {
            core.send(from.addr, Body::Release(crate::wire::Release {}), fx);
        }
        let excluded = self.excluded();
        let name_taken = self.view.members.iter().enumerate().any(|(r, m)| {
            *m.name == *join.name && m.id.addr != from.addr && (excluded | self.joins.leavers) >> r & 1 == 0
        });
        let role = join.role().unwrap_or_default();
        let weighs = join.weight.is_some();
        let reason = difference(core, &join)
            .or_else(|| (self.asks_for_more() && !weighs).then(|| EARLIER.to_owned()))
            .or_else(|| name_taken.then(|| format!("the name `{}` is taken; choose another one", join.name)));
        if let Some(reason) = reason {
            core.send(from.addr, Body::Refuse(Refuse { reason }), fx);
            return;
        }
        self.joins.pending.retain(|_, j| now.since(j.heard_at) < 4 * STALE);
        let known = self.joins.pending.get(&from.addr).filter(|j| j.id == from);
        if known.is_none() {
            if self.joins.pending.len() >= MAX_MEMBERS {
                return;
            }
            if !self.joins.told.contains(&from) {
                let body = Body::MemberJoined(MemberJoined { joiner: Some(from.into()) });
                core.send_all(others(&self.ids(), core.me), body, fx);
            }
        }
        let heard: BTreeSet<_> = join.heard.iter().filter_map(|m| MemberId::try_from(m).ok()).collect();
        let all = self
            .view
            .members
            .iter()
            .enumerate()
            .all(|(r, m)| excluded >> r & 1 == 1 || heard.contains(&m.id));
        let since = all.then(|| known.and_then(|j| j.since).unwrap_or(now));
        let joiner = Joiner {
            id: from,
            name: join.name,
            role,
            weighs,
            speaks: join.speaks,
            from: join.from.map(ViewId::from),
            with: join.with.iter().filter_map(|m| MemberId::try_from(m).ok()).collect(),
            heard,
            heard_at: now,
            since,
            ripe: false,
        };
        self.joins.pending.insert(from.addr, joiner);
        core.send(from.addr, self.member_list(), fx);
    }

    /// A contact tells of a joiner: make this member known to it.
    pub(super) fn on_member_joined(&mut self, core: &Core, joiner: MemberId, fx: &mut Effects) {
        let has_asked = self.joins.pending.get(&joiner.addr).is_some_and(|j| j.id == joiner);
        let full = self.joins.told.len() >= MAX_MEMBERS;
        if self.view.rank_of(joiner).is_none() && !has_asked && !full && self.joins.told.insert(joiner) {
            core.send(joiner.addr, self.member_list(), fx);
        }
    }

    pub(super) fn on_leave(&mut self, from: Rank) {
        self.joins.leavers |= 1 << from;
    }

    /// Whether joiners would have nobody from whom the group's state could come if this process left now.
    fn has_the_only_state(&self, core: &Core) -> bool {
        let stays = |r: usize| (self.suspicions.gone | self.joins.leavers | 1 << self.rank) >> r & 1 == 0;
        core.state.is_donor() && !self.decision.complete.iter().enumerate().any(|(r, c)| *c && stays(r))
    }

    /// Pursues this process's own wish to depart. Everything that it cast has been delivered, or cannot be. It ends when a
    /// survivor tells of the next view ([`Member::on_member_list`]), or there is nobody to wait for.
    pub(super) fn drive_leave(&mut self, now: Time, core: &mut Core, fx: &mut Effects) -> Step {
        if !core.departs() {
            return Step::Stay;
        }
        let delivered = core.delivered >= core.cast;
        let alone = (self.view.len() == 1 && delivered) || (core.blocked && core.leaving);
        if alone || self.survivors_are_lost() {
            return core.departure();
        }
        if now < self.joins.leave_at {
            return Step::Stay;
        }
        self.joins.leave_at = now + LEAVE_EVERY;
        let decided = self.repeat_decision(core, fx);
        let free = delivered && !self.has_the_only_state(core);
        if (free || decided) && self.view.len() > 1 {
            self.broadcast(core, Body::Leave(Leave { view: Some(self.view.id.into()) }), fx);
        }
        Step::Stay
    }
}
