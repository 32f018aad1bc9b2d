//! A process without a view: it looks for its group, or for others to found one with.
//!
//! ```text
//! joiner                 contact (any member)            other members
//!   ── JOIN ──────────────>  ── MEMBER_JOINED ─────────────>
//!   <── MEMBER_LIST ──                                  
//!   <────────────────────────────────── MEMBER_LIST ──
//!   ── JOIN (heard: everybody) ──> all members; the proposer starts a view change
//!   <── DECIDE ──
//! ```
//! This is the well-known-address discovery of Azeez, "Auto-scaling web services on Amazon EC2", 2010, section 4.2. A
//! joiner is let in when it has heard every member itself, so that a one-way link does not let it in and throw it out
//! again.
//!
//! Founding with `expect(n)`: every process pledges itself to one candidate, the lowest address that it hears. Who has
//! pledges of processes with `n` votes, itself included, founds. A witness pledges itself, and is no candidate; a learner
//! waits until there is a group. (In what follows, count votes for processes.) A pledge is taken back when that one says that it has not used it; when it
//! falls silent, the process takes a new incarnation, which the silent one can do nothing with, and is free again. Of
//! `N` processes, at most `N - n` can install a founding that has lost its founders to another one, and that must be
//! less than half of the `n` it was made of: so `n` must be more than two thirds of all processes (see ADR 005).

use super::{
    config::Bootstrap,
    core::Core,
    decision::Decision,
    io::{Effects, LeaveReason},
};
use crate::{
    frame::OLDEST_VERSION,
    id::{Incarnation, MAX_MEMBERS, MemberId},
    time::Time,
    view::{Role, ViewId},
    wire::{Body, Id, Join, Malformed, MemberList, Refuse, Release},
};
use smallvec::SmallVec;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// How often a joiner asks: at first, and at most.
const ASK: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(300));
/// Who hears of somebody new asks again after this long: what others say meanwhile is in it, too.
const SOON: Duration = Duration::from_millis(2);
/// A candidate that is not heard for this long does not count.
const STALE: Duration = Duration::from_millis(1500);

/// What becomes of a process after an input.
#[derive(Debug)]
pub(super) enum Step {
    Stay,
    Install(Box<Decision>),
    Rejoin,
    Leave(LeaveReason),
}

pub(super) struct Seeking {
    bootstrap: Bootstrap,
    since: Time,
    ask_at: Time,
    interval: Duration,
    contacts: BTreeSet<SocketAddr>,
    /// Members of the group, as last told, and when.
    members: Vec<MemberId>,
    told_at: Time,
    /// The founding and the epoch of their group.
    told_of: (u64, u64),
    /// Their component's line, in a partitionable group.
    line: u64,
    heard: BTreeSet<MemberId>,
    candidates: BTreeMap<SocketAddr, Candidate>,
    pledge: Option<MemberId>,
    withdrawing: bool,
    /// A contact that cannot be talked to, and why.
    stranger: Option<(SocketAddr, String)>,
    /// The decision that left this process behind. It may be the only one that knows it.
    news: Option<Decision>,
    /// The view that merges into the group, if the process comes from one, and who comes from there.
    whence: Option<(ViewId, Vec<MemberId>)>,
}

struct Candidate {
    id: MemberId,
    name: String,
    heard_at: Time,
    speaks: u32,
    pledged_to_me: bool,
    founds_alone: bool,
    founds_together: bool,
    role: Role,
    /// Whether it knows that members count for different things.
    weighs: bool,
}

impl Seeking {
    pub(super) fn new(
        now: Time,
        core: &Core,
        bootstrap: Bootstrap,
        known: &[MemberId],
        news: Option<Decision>,
    ) -> Self {
        let known = known.iter().map(|m| m.addr).chain(core.left_behind.iter().copied());
        let mut contacts: BTreeSet<_> = core.config.contacts.iter().copied().chain(known).collect();
        contacts.remove(&core.me.addr);
        let bootstrap = match (core.config.role.class(), bootstrap) {
            (0, Bootstrap::Expect(1)) => Bootstrap::Found,
            (1, Bootstrap::Expect(n)) if n > 1 => Bootstrap::Expect(n),
            (1.., _) => Bootstrap::Join,
            (_, other) => other,
        };
        Self { news, ..Self::blank(now, bootstrap, contacts) }
    }

    /// A component that looks for the one that it wants to merge into.
    pub(super) fn toward(
        now: Time,
        members: &[MemberId],
        line: u64,
        whence: (ViewId, Vec<MemberId>),
    ) -> Self {
        let contacts = members.iter().map(|m| m.addr).collect();
        Self { told_at: now, line, whence: Some(whence), ..Self::blank(now, Bootstrap::Join, contacts) }
    }

    /// Nothing is known yet.
    fn blank(now: Time, bootstrap: Bootstrap, contacts: BTreeSet<SocketAddr>) -> Self {
        Self {
            bootstrap,
            since: now,
            ask_at: now,
            interval: ASK.0,
            contacts,
            members: Vec::new(),
            told_at: Time::ZERO,
            told_of: (0, 0),
            line: u64::MAX,
            heard: BTreeSet::new(),
            candidates: BTreeMap::new(),
            pledge: None,
            withdrawing: false,
            stranger: None,
            news: None,
            whence: None,
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.ask_at
    }

    pub(super) fn tick(&mut self, now: Time, core: &mut Core, fx: &mut Effects) -> Step {
        if now < self.ask_at {
            return Step::Stay;
        }
        let timeout = core.config.join_timeout_ms.map(Duration::from_millis);
        if core.leaving {
            return Step::Leave(LeaveReason::Asked);
        }
        if timeout.is_some_and(|t| now.since(self.since) >= t) {
            let stranger = self.stranger.take();
            let refused = |(by, reason)| LeaveReason::Refused { by, reason };
            return Step::Leave(stranger.map_or(LeaveReason::NoAnswer, refused));
        }
        self.candidates.retain(|_, c| now.since(c.heard_at) < STALE);
        if self.pledge.is_some_and(|p| p.addr != core.me.addr && !self.candidates.contains_key(&p.addr)) {
            core.me.incarnation = Incarnation(core.me.incarnation.0 + 1);
            self.pledge = None;
        }
        self.forget_stale(now);
        if let Some(decision) = self.found(now, core) {
            return Step::Install(Box::new(decision));
        }
        self.ask(now, core, fx);
        Step::Stay
    }

    /// Asks, if it is time, and does nothing else.
    pub(super) fn ask_if_due(&mut self, now: Time, core: &mut Core, fx: &mut Effects) {
        if now >= self.ask_at {
            self.forget_stale(now);
            self.ask(now, core, fx);
        }
    }

    fn forget_stale(&mut self, now: Time) {
        if now.since(self.told_at) > STALE {
            self.members.clear();
            self.heard.clear();
        }
    }

    /// Founds the group if the time has come.
    fn found(&mut self, now: Time, core: &mut Core) -> Option<Decision> {
        if !self.members.is_empty() {
            return None;
        }
        let me = (core.me, core.config.name.clone(), core.config.role, core.config.speaks());
        match self.bootstrap {
            Bootstrap::Join => None,
            Bootstrap::Found => {
                let older = self.candidates.values().any(|c| c.founds_alone && c.id.addr < core.me.addr);
                let nobody_to_ask = self.contacts.is_empty() && !core.config.discovers;
                let asked_enough = nobody_to_ask || now.since(self.since) >= core.silence();
                (asked_enough && !older).then(|| Decision::founding(now, core, vec![me])).flatten()
            }
            Bootstrap::Expect(n) => {
                self.choose_pledge(core);
                if self.pledge != Some(core.me) {
                    return None;
                }
                let mut founders = vec![me];
                let pledged = || self.candidates.values().filter(|c| c.pledged_to_me);
                let weighted =
                    pledged().map(|c| c.role).chain([core.config.role]).any(|r| r != Role::default());
                let fit = pledged().filter(|c| c.weighs || !weighted);
                founders.extend(fit.map(|c| (c.id, c.name.clone(), c.role, c.speaks)));
                founders.truncate(MAX_MEMBERS);
                founders.sort_by_key(|f| f.2.class());
                let votes: usize = founders.iter().map(|f| usize::from(f.2.weight)).sum();
                (votes >= n).then(|| Decision::founding(now, core, founders)).flatten()
            }
        }
    }

    /// Pledges this process to the lowest candidate, or asks for the pledge back if it is with another one.
    fn choose_pledge(&mut self, core: &Core) {
        let founders = self.candidates.values().filter(|c| c.founds_together).map(|c| c.id);
        let mine = (core.config.role.class() == 0).then_some(core.me);
        let lowest = founders.chain(mine).min_by_key(|id| id.addr);
        match self.pledge {
            None => {
                self.pledge = lowest;
                self.withdrawing = false;
            }
            // Nobody but this process can use a pledge to itself.
            Some(to) if to == core.me => self.pledge = lowest,
            Some(to) => self.withdrawing = lowest.is_some_and(|l| l.addr < to.addr),
        }
    }

    fn ask(&mut self, now: Time, core: &mut Core, fx: &mut Effects) {
        let to: BTreeSet<SocketAddr> = self
            .contacts
            .iter()
            .copied()
            .chain(self.members.iter().map(|m| m.addr))
            .chain(self.candidates.keys().copied())
            .filter(|a| *a != core.me.addr)
            .collect();
        for addr in to {
            let withdraw = self.withdrawing && self.pledge.is_some_and(|p| p.addr == addr);
            core.send(addr, Body::Join(self.join(core, withdraw)), fx);
        }
        if let Some(news) = &self.news {
            let members = news.view.members.iter().map(|m| m.id.addr).collect();
            core.send_all(members, Body::Decide(news.decide.clone()), fx);
        }
        let jitter = Duration::from_micros(core.rng.below(5_000));
        self.ask_at = now + self.interval + jitter;
        self.interval = (self.interval * 3 / 2).min(ASK.1);
    }

    fn join(&self, core: &Core, withdraw: bool) -> Join {
        let w = core.config.watch;
        let (stack, then) = stacks(core);
        Join {
            name: core.config.name.clone(),
            stack_then: if then == stack { String::new() } else { then },
            stack,
            speaks: core.config.speaks(),
            state_transfer: core.config.state_transfer,
            heard: self.heard.iter().map(|m| Id::from(*m)).take(MAX_MEMBERS).collect(),
            expect: match self.bootstrap {
                Bootstrap::Join => 0,
                Bootstrap::Found => 1,
                Bootstrap::Expect(n) => u32::try_from(n).unwrap_or(u32::MAX).max(2),
            },
            candidates: self.candidates.values().map(|c| Id::from(c.id)).take(MAX_MEMBERS).collect(),
            pledge: self.pledge.map(Id::from),
            watch: vec![w.heartbeat_ms, w.silence_ms, w.lease_ms],
            withdraw,
            weight: Some(u32::from(core.config.role.weight)),
            witness: core.config.role.witness,
            partitionable: core.config.partitionable,
            from: self.whence.as_ref().map(|(view, _)| (*view).into()),
            with: self.whence.iter().flat_map(|(_, with)| with).map(|m| Id::from(*m)).collect(),
        }
    }

    /// Another process looks for the group, too.
    pub(super) fn on_join(
        &mut self,
        now: Time,
        core: &mut Core,
        from: MemberId,
        join: Join,
        fx: &mut Effects,
    ) -> Step {
        if let Some(difference) = difference(core, &join) {
            tracing::debug!(%from, difference, "a candidate does not fit");
            return Step::Stay;
        }
        let known = self.candidates.get(&from.addr).map(|c| c.id);
        if known.is_some_and(|k| k.incarnation > from.incarnation) {
            return Step::Stay;
        }
        if self.pledge.is_some_and(|p| p.addr == from.addr && p.incarnation < from.incarnation) {
            // The one that had the pledge is dead.
            self.pledge = None;
        }
        if join.name == core.config.name && core.me.addr < from.addr {
            let reason = format!("the name `{}` is taken; choose another one", join.name);
            core.send(from.addr, Body::Refuse(Refuse { reason }), fx);
            return Step::Stay;
        }
        let pledged = join.pledge.as_ref().and_then(|p| MemberId::try_from(p).ok());
        if known != Some(from) && self.candidates.len() >= 2 * MAX_MEMBERS {
            return Step::Stay;
        }
        let fresh = known != Some(from);
        let role = join.role().unwrap_or_default();
        let candidate = Candidate {
            id: from,
            name: join.name,
            heard_at: now,
            speaks: join.speaks,
            pledged_to_me: pledged == Some(core.me) && !join.withdraw,
            founds_alone: join.expect == 1,
            founds_together: join.expect > 1 && role.class() == 0,
            role,
            weighs: join.weight.is_some(),
        };
        self.candidates.insert(from.addr, candidate);
        if join.withdraw && pledged == Some(core.me) {
            core.send(from.addr, Body::Release(Release {}), fx);
        }
        for id in join.candidates.iter().filter_map(|c| MemberId::try_from(c).ok()) {
            if id.addr != core.me.addr && self.contacts.len() < 4 * MAX_MEMBERS {
                self.contacts.insert(id.addr);
            }
        }
        if let Some(decision) = self.found(now, core) {
            return Step::Install(Box::new(decision));
        }
        if fresh {
            self.ask_soon(now);
        }
        Step::Stay
    }

    fn ask_soon(&mut self, now: Time) {
        self.interval = ASK.0;
        self.ask_at = self.ask_at.min(now + SOON);
    }

    pub(super) fn on_release(&mut self, now: Time, from: MemberId) {
        if self.pledge == Some(from) && self.withdrawing {
            self.pledge = None;
            self.withdrawing = false;
            self.ask_at = now;
        }
    }

    pub(super) fn on_member_list(&mut self, now: Time, core: &Core, from: MemberId, list: &MemberList) {
        let members: Vec<_> = list.members.iter().filter_map(|m| MemberId::try_from(m).ok()).collect();
        if !members.contains(&from) || members.contains(&core.me) {
            return;
        }
        let view = ViewId::from(list.view.unwrap_or_default());
        let (origin, epoch) = self.told_of;
        let split = core.config.partitionable;
        if !split && !self.members.is_empty() && list.origin() == origin && view.epoch < epoch {
            // Those do not know yet that a primary was forced.
            return;
        }
        if core.config.partitionable && !self.is_welcome(list) {
            return;
        }
        self.line = list.line();
        self.told_of = (list.origin(), view.epoch);
        self.news = self.news.take().filter(|n| view < n.view.id);
        self.told_at = now;
        self.heard.retain(|m| members.contains(m));
        let news = self.members != members;
        let fresh = self.heard.insert(from);
        self.members = members;
        if news || fresh {
            self.ask_soon(now);
        }
        // Members that are not known to be there are asked at once, and all when nobody else is waited for.
        if news || fresh && self.members.iter().all(|m| self.heard.contains(m)) {
            self.ask_at = now;
        }
    }

    /// Whether this is news of the component that the process is about to join, or of one that it should rather join.
    fn is_welcome(&self, list: &MemberList) -> bool {
        list.line() <= self.line || self.members.is_empty() && self.whence.is_none()
    }

    /// What follows from a decision.
    pub(super) fn judge(&self, core: &Core, decision: Decision) -> Result<Step, Malformed> {
        if !decision.includes(core.me) {
            return Ok(Step::Stay);
        }
        if decision.version > core.config.protocol_max || !decision.fits(&core.config) {
            return Err(Malformed);
        }
        let founder = decision.view.members[0].id;
        if decision.ends.number == 0 && self.pledge != Some(founder) {
            return Ok(Step::Stay);
        }
        if decision.view.members.iter().any(|m| m.id == core.me && m.role != core.config.role) {
            let reason = "a member speaks an earlier version, in which all members count the same".to_owned();
            return Ok(Step::Leave(LeaveReason::Refused { by: founder.addr, reason }));
        }
        Ok(Step::Install(Box::new(decision)))
    }

    /// These are contacts, too.
    pub(super) fn on_contacts(&mut self, now: Time, me: MemberId, all: &[SocketAddr]) {
        for addr in all.iter().filter(|a| **a != me.addr) {
            if self.contacts.len() < 4 * MAX_MEMBERS && self.contacts.insert(*addr) {
                self.interval = ASK.0;
                self.ask_at = now;
            }
        }
    }

    /// Whether this one was asked. By multicast everybody is.
    fn asks(&self, addr: SocketAddr) -> bool {
        self.contacts.contains(&addr) || self.contacts.iter().any(|c| c.ip().is_multicast())
    }

    /// Something came that this process has no use for. If nobody else answers, this is why.
    pub(super) fn on_stranger(&mut self, from: SocketAddr, why: String) {
        if self.asks(from) {
            self.stranger = Some((from, why));
        }
    }

    /// The group, or a process that would be in it, does not take this one. Members that this process knows of decide;
    /// a contact's word counts only before anybody has been more welcoming.
    pub(super) fn on_refuse(&self, from: MemberId, reason: String) -> Step {
        let known = self.asks(from.addr) || self.members.contains(&from);
        if known { Step::Leave(LeaveReason::Refused { by: from.addr, reason }) } else { Step::Stay }
    }
}

/// This process's stack, in words, at the oldest version of the protocol and at the best.
fn stacks(core: &Core) -> (String, String) {
    let at = |v| core.config.stack.description_at(v);
    (at(OLDEST_VERSION), at(core.config.protocol_max))
}

/// What keeps a joiner with these settings out of this process's group, in words.
pub(super) fn difference(core: &Core, join: &Join) -> Option<String> {
    let c = &core.config;
    // At every version that both speak: a group may have to go back to an earlier one.
    let (stack, then) = stacks(core);
    let their_then = if join.stack_then.is_empty() { &join.stack } else { &join.stack_then };
    let pairs = match join.speaks.max(OLDEST_VERSION.into()).cmp(&c.protocol_max.into()) {
        Ordering::Less => [(&stack, &join.stack); 2],
        Ordering::Equal => [(&stack, &join.stack), (&then, their_then)],
        // The oldest version of a later release is the best of this one.
        Ordering::Greater => [(&then, &join.stack); 2],
    };
    if let Some((mine, theirs)) = pairs.iter().find(|(mine, theirs)| mine != theirs) {
        return Some(format!("the group's stack is `{mine}`, the joiner's is `{theirs}`"));
    }
    if join.partitionable != c.partitionable {
        let says = |on: bool| if on { "is partitionable" } else { "is not partitionable" };
        return Some(format!(
            "the group {}, the joiner's {}",
            says(c.partitionable),
            says(join.partitionable)
        ));
    }
    if join.state_transfer != c.state_transfer {
        let says = |on: bool| if on { "transfers state" } else { "transfers no state" };
        return Some(format!(
            "the group {}, the joiner expects that it {}",
            says(c.state_transfer),
            says(join.state_transfer)
        ));
    }
    let watch = [c.watch.heartbeat_ms, c.watch.silence_ms, c.watch.lease_ms];
    if join.watch != watch {
        return Some(format!(
            "the group's time-outs (heartbeat, silence, lease, in ms) are {watch:?}, the joiner's are {:?}",
            join.watch
        ));
    }
    None
}

/// The addresses of `members` other than `me`.
pub(super) fn others(members: &[MemberId], me: MemberId) -> SmallVec<[SocketAddr; 4]> {
    members.iter().filter(|m| **m != me).map(|m| m.addr).collect()
}
