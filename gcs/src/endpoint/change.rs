//! The view change: one consensus among the members of the view that ends.
//!
//! ```text
//! proposer            members
//!   ── PREPARE ─────────>   wedge: nothing new is sent or delivered
//!   <── PROMISE ─────────   frontier, value accepted earlier
//!   … a quorum, and everybody who is not excluded …
//!   ── ACCEPT (next members, cut) ──>   fetch up to the cut, wait for leases of the silent
//!   <── ACCEPTED ────────   everything up to the cut is held here
//!   … a quorum …
//!   ── DECIDE ──────────>   deliver up to the cut, install
//! ```
//! Anybody may propose at any time as far as safety is concerned; the lowest-ranked member that is not excluded does.
//! Invariants: a member that has promised delivers nothing beyond the frontier that it promised with until it closes; who
//! is among the next members answered the prepare; a member accepts only when it holds every frame up to the cut; a
//! silent member is replaced only after every lease that its peers let it have is over.

use super::{core::Core, decision::Decision, io::Effects, member::Member, seeking::Step, span::ChangeSpan};
use crate::{
    id::Rank,
    layer::Down,
    membership::{Acceptor, Ballot},
    time::Time,
    view::{self, Cut},
    wire::{self, Accept, Accepted, Body, Decide, Malformed, Prepare, Promise, Reject, Value},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// An unanswered prepare or accept is repeated: at first after, and at most every.
const RESEND: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(80));
/// A ballot that gets nowhere is given up for a higher one: at first after, and at most.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(2400));
/// Who is wedged, and waits for another to propose, asks for it this often.
const NUDGE: Duration = Duration::from_millis(80);
/// Leases are waited for this much longer, in tenths: the stated bound on clock drift.
const DRIFT_TENTHS: u32 = 1;

/// One member's part in ending its view.
#[derive(Default)]
pub(super) struct Change {
    acceptor: Acceptor<Value>,
    /// What this member held when it was last wedged. Set: it is wedged.
    pub(super) frontier: Option<Vec<u64>>,
    /// When it was first wedged in this view.
    pub(super) wedged_at: Option<Time>,
    highest: Ballot,
    pending: Option<Pending>,
    proposal: Option<Proposal>,
    /// The view change leaves this member behind: its lease is not extended any more.
    pub(super) renounces: bool,
    decided: Option<Decision>,
    decided_held: bool,
    decided_at: Time,
    /// No new proposal before this.
    backoff_until: Option<Time>,
    /// When to ask the proposer to propose.
    nudge_at: Option<Time>,
    attempts: u32,
    pub(super) span: ChangeSpan,
}

/// An accept that waits for frames or leases.
struct Pending {
    ballot: Ballot,
    value: Value,
    cut: Arc<Cut>,
    held: bool,
    retry_at: Time,
}

struct Proposal {
    ballot: Ballot,
    stage: Stage,
    resend_at: Time,
    interval: Duration,
    give_up_at: Time,
    silence_at: Time,
}

enum Stage {
    Preparing(BTreeMap<Rank, Promised>),
    Accepting { value: Box<Value>, accepted: u64 },
}

/// What a member has promised with.
pub(super) struct Promised {
    pub(super) accepted: Option<(Ballot, Value)>,
    pub(super) frontier: Vec<u64>,
    pub(super) complete: bool,
    /// It knows that members count for different things.
    pub(super) weighs: bool,
    /// The best version of the protocol that it speaks, as it travels.
    pub(super) speaks: u32,
}

impl From<wire::Ballot> for Ballot {
    fn from(b: wire::Ballot) -> Self {
        Self { round: b.round, rank: b.rank }
    }
}

impl From<Ballot> for wire::Ballot {
    fn from(b: Ballot) -> Self {
        Self { round: b.round, rank: b.rank }
    }
}

impl Change {
    /// The ballot of what this member has accepted, or else the highest that it has promised.
    pub(super) fn ballot(&self) -> Ballot {
        self.acceptor.accepted().map_or(self.acceptor.promised(), |(b, _)| *b)
    }

    pub(super) fn is_wedged(&self) -> bool {
        self.frontier.is_some()
    }

    pub(super) fn on_cut_held(&mut self, cut: &Arc<Cut>) {
        if let Some(p) = self.pending.as_mut().filter(|p| p.cut == *cut) {
            p.held = true;
        }
        if self.decided.as_ref().is_some_and(|d| d.cut == *cut) {
            self.decided_held = true;
        }
    }

    pub(super) fn deadline(&self) -> Time {
        let proposal = self.proposal.as_ref().map_or(Time::NEVER, |p| p.resend_at.min(p.give_up_at));
        let pending = self.pending.as_ref().filter(|p| p.held).map_or(Time::NEVER, |p| p.retry_at);
        let asks = [self.backoff_until, self.nudge_at].into_iter().flatten().min().unwrap_or(Time::NEVER);
        proposal.min(pending).min(asks)
    }
}

/// What a control message says of the consensus.
pub(super) enum Say {
    Prepare(Prepare),
    Promise(Promise),
    Reject(Reject),
    Accept(Accept),
    Accepted(Accepted),
}

impl Member {
    /// Starts, repeats or finishes what is due. Called after every input.
    pub(super) fn drive_change(
        &mut self,
        now: Time,
        core: &mut Core,
        fx: &mut Effects,
    ) -> Result<Step, Malformed> {
        let excluded = self.weigh_suspicions(now, core);
        self.try_accept(now, core, fx)?;
        if let Some(step) = self.try_install(core) {
            return Ok(step);
        }
        if self.change.decided.is_some() && !self.gives_up_decision(now, core) {
            return Ok(Step::Stay);
        }
        if core.config.partitionable && self.waits_in_limbo(now, core, fx) {
            return Ok(Step::Stay);
        }
        if self.change.backoff_until.is_some_and(|t| t <= now) {
            self.change.backoff_until = None;
        }
        self.drive_proposal(now, core, excluded, fx);
        // Learners decide nothing, so they need not try.
        let votes = |r: usize| self.view.members[r].role.weight > 0;
        let first = (0..self.view.len()).find(|r| excluded >> r & 1 == 0 && votes(*r));
        let mine = first == Some(usize::from(self.rank));
        let wanted = self.change.is_wedged()
            || excluded != 0
            || self.joins.wants_change(now, self, excluded)
            || core.config.partitionable && self.yields_to(now, core).is_some()
            || self.slow(excluded).all() != 0;
        if wanted && mine && self.change.proposal.is_none() && self.change.backoff_until.is_none() {
            self.propose(now, core, fx);
        }
        let waits = self.change.is_wedged() && !mine && self.change.proposal.is_none();
        self.nudge(now, core, first.filter(|_| waits), fx);
        Ok(Step::Stay)
    }

    /// Who began a view change may have given up, and the one whose turn it is now may not know of any: it was out of
    /// reach. A PREPARE below all ballots wedges it, if nothing else has; then it goes on.
    fn nudge(&mut self, now: Time, core: &mut Core, proposer: Option<usize>, fx: &mut Effects) {
        let Some(proposer) = proposer else {
            self.change.nudge_at = None;
            return;
        };
        let at = *self.change.nudge_at.get_or_insert(now + NUDGE);
        if at <= now {
            self.change.nudge_at = Some(now + NUDGE);
            self.send_rank(core, Rank::try_from(proposer).unwrap_or(0), self.lowest_prepare(), fx);
        }
    }

    /// Ends this view for no other reason than that somebody wants a new one: whose turn it is to propose hears of it at once.
    pub(super) fn renew(&mut self, now: Time, core: &mut Core, fx: &mut Effects) {
        if self.change.decided.is_none() && !self.change.is_wedged() {
            self.down(now, core, Down::Wedge, fx);
            self.change.nudge_at = Some(now);
        }
    }

    /// A PREPARE below all ballots. It wedges who is in this view, and lets who is in a later one tell of it.
    pub(super) fn lowest_prepare(&self) -> Body {
        let ballot = Some(Ballot { round: 0, rank: u32::from(self.rank) }.into());
        Body::Prepare(Prepare { view: Some(self.view.id.into()), ballot })
    }

    fn propose(&mut self, now: Time, core: &mut Core, fx: &mut Effects) {
        let highest = self.change.highest.max(self.change.acceptor.promised());
        let ballot = highest.next(u32::from(self.rank));
        self.change.highest = ballot;
        let patience = (PATIENCE.0 * (1 << self.change.attempts.min(4))).min(PATIENCE.1);
        self.change.attempts += 1;
        self.phase(core, "proposes", Some(ballot));
        self.change.proposal = Some(Proposal {
            ballot,
            stage: Stage::Preparing(BTreeMap::new()),
            resend_at: now + RESEND.0,
            interval: RESEND.0,
            give_up_at: now + patience + Duration::from_micros(core.rng.below(20_000)),
            silence_at: now + core.silence(),
        });
        let prepare = Prepare { view: Some(self.view.id.into()), ballot: Some(ballot.into()) };
        self.broadcast(core, Body::Prepare(prepare), fx);
    }

    fn drive_proposal(&mut self, now: Time, core: &mut Core, excluded: u64, fx: &mut Effects) {
        let members = self.view.len();
        let Some(mut p) = self.change.proposal.take() else { return };
        if let Stage::Preparing(promises) = &p.stage {
            let answered = promises.keys().fold(0_u64, |m, r| m | 1 << r);
            let everyone = u64::MAX >> (64 - members);
            let unresponsive = if now >= p.silence_at { everyone & !answered } else { 0 };
            let complete = (answered | excluded | unresponsive) & everyone == everyone;
            if complete && promises.values().any(|p| !p.weighs) {
                self.joins.refuse_weighted(core, fx);
            }
            if complete
                && let Some(value) = self.value(core, promises, excluded | unresponsive, now, p.ballot)
            {
                self.phase(core, "has the promises that it needs", Some(p.ballot));
                p.stage = Stage::Accepting { value: Box::new(value), accepted: 0 };
                p.resend_at = now;
                p.interval = RESEND.0;
                p.give_up_at = now + PATIENCE.0 * (1 << self.change.attempts.min(4));
            }
        }
        if p.give_up_at <= now && (matches!(p.stage, Stage::Accepting { .. }) || p.silence_at <= now) {
            // Perhaps the holder of a frame is gone. A higher ballot finds out who holds what now.
            return;
        }
        if p.give_up_at <= now {
            p.give_up_at = p.silence_at;
        }
        if p.resend_at <= now {
            self.resend_proposal(core, &p, fx);
            p.resend_at = now + p.interval;
            p.interval = (p.interval * 2).min(RESEND.1);
        }
        self.change.proposal = Some(p);
    }

    fn resend_proposal(&mut self, core: &Core, p: &Proposal, fx: &mut Effects) {
        let (view, ballot) = (Some(self.view.id.into()), Some(p.ballot.into()));
        let (answered, body) = match &p.stage {
            Stage::Preparing(promises) => {
                (promises.keys().fold(0_u64, |m, r| m | 1 << r), Body::Prepare(Prepare { view, ballot }))
            }
            Stage::Accepting { value, accepted } => {
                (*accepted, Body::Accept(Accept { view, ballot, value: Some((**value).clone()) }))
            }
        };
        for r in (0..self.view.len()).filter(|r| answered >> r & 1 == 0) {
            self.send_rank(core, Rank::try_from(r).unwrap_or(0), body.clone(), fx);
        }
    }

    /// Handles a message of the consensus for this view.
    pub(super) fn on_consensus(
        &mut self,
        now: Time,
        core: &mut Core,
        from: Rank,
        say: Say,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        if let (Some(d), Say::Prepare(_) | Say::Accept(_)) = (&self.change.decided, &say) {
            let decide = Body::Decide(d.decide.clone());
            self.send_rank(core, from, decide, fx);
            return Ok(());
        }
        match say {
            Say::Prepare(m) => self.on_prepare(now, core, from, m.ballot.ok_or(Malformed)?.into(), fx),
            Say::Promise(m) => self.on_promise(from, m)?,
            Say::Reject(m) => self.on_reject(now, core, m.promised.ok_or(Malformed)?.into()),
            Say::Accept(m) => self.on_accept(now, core, from, m, fx)?,
            Say::Accepted(m) => self.on_accepted(core, from, m.ballot.ok_or(Malformed)?.into(), fx)?,
        }
        Ok(())
    }

    fn on_prepare(&mut self, now: Time, core: &mut Core, from: Rank, ballot: Ballot, fx: &mut Effects) {
        self.change.highest = self.change.highest.max(ballot);
        if ballot.rank != u32::from(from) {
            return;
        }
        if let Err(promised) = self.change.acceptor.promise(ballot) {
            let reject = Reject { view: Some(self.view.id.into()), promised: Some(promised.into()) };
            self.send_rank(core, from, Body::Reject(reject), fx);
            return;
        }
        self.change.pending = self.change.pending.take().filter(|p| p.ballot >= ballot);
        self.down(now, core, Down::Wedge, fx);
        self.phase(core, "promises", Some(ballot));
        let accepted = self.change.acceptor.accepted();
        let promise = Promise {
            view: Some(self.view.id.into()),
            ballot: Some(ballot.into()),
            accepted_ballot: accepted.map(|(b, _)| (*b).into()),
            accepted: accepted.map(|(_, v)| v.clone()),
            frontier: self.change.frontier.clone().unwrap_or_default(),
            complete: core.state.is_complete() && !core.config.role.witness,
            weighs: true,
            speaks: core.config.speaks(),
        };
        self.send_rank(core, from, Body::Promise(promise), fx);
    }

    fn on_promise(&mut self, from: Rank, m: Promise) -> Result<(), Malformed> {
        let members = self.view.len();
        if m.frontier.len() != members {
            return Err(Malformed);
        }
        let accepted = match (m.accepted_ballot, m.accepted) {
            (Some(b), Some(v)) if v.frontier.len() == members && v.holder.len() == members => {
                Some((b.into(), v))
            }
            (None, None) => None,
            _ => return Err(Malformed),
        };
        let Some(p) = &mut self.change.proposal else { return Ok(()) };
        if m.ballot.map(Ballot::from) == Some(p.ballot)
            && let Stage::Preparing(promises) = &mut p.stage
        {
            let Promise { frontier, complete, weighs, speaks, .. } = m;
            promises.insert(from, Promised { accepted, frontier, complete, weighs, speaks });
        }
        Ok(())
    }

    fn on_reject(&mut self, now: Time, core: &mut Core, promised: Ballot) {
        self.change.highest = self.change.highest.max(promised);
        if self.change.proposal.as_ref().is_some_and(|p| p.ballot < promised) {
            self.change.proposal = None;
            self.change.backoff_until = Some(now + Duration::from_micros(5_000 + core.rng.below(30_000)));
        }
    }

    fn on_accept(
        &mut self,
        now: Time,
        core: &mut Core,
        from: Rank,
        m: Accept,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let (ballot, value) = (Ballot::from(m.ballot.ok_or(Malformed)?), m.value.ok_or(Malformed)?);
        value.members()?;
        let foreign = value.is_of_parts() && !core.config.partitionable;
        if foreign
            || value.version()? > core.config.protocol_max
            || value.frontier.len() != self.view.len()
            || value.holder.len() != self.view.len()
            || value.holder.iter().any(|r| *r as usize >= self.view.len())
            || ballot.rank != u32::from(from)
        {
            return Err(Malformed);
        }
        self.change.highest = self.change.highest.max(ballot);
        if let Err(promised) = self.change.acceptor.promise(ballot) {
            let reject = Reject { view: Some(self.view.id.into()), promised: Some(promised.into()) };
            self.send_rank(core, from, Body::Reject(reject), fx);
            return Ok(());
        }
        let accepted = self.change.acceptor.accepted().is_some_and(|(b, _)| *b == ballot);
        if accepted || self.parting.parted == Some(ballot) {
            self.say_accepted(core, ballot, fx);
            return Ok(());
        }
        let with_this_one = core.config.partitionable && self.survivors(&value) >> self.rank & 1 == 1;
        let concerned = !self.parts(&value) || with_this_one;
        if !concerned {
            return Ok(());
        }
        if self.change.pending.as_ref().is_some_and(|p| p.ballot == ballot) {
            return Ok(());
        }
        if !self.change.is_wedged() {
            self.down(now, core, Down::Wedge, fx);
        }
        // Who parts leaves no owner behind, and makes none.
        let left_behind = if self.parts(&value) { 0 } else { self.left_behind(&value)? };
        self.change.renounces = left_behind >> self.rank & 1 == 1;
        self.down(now, core, Down::Shun(left_behind), fx);
        let cut = Arc::new(value.cut());
        let pending = Pending { ballot, value, cut: cut.clone(), held: false, retry_at: now };
        self.change.pending = Some(pending);
        if self.change.decided.is_none() {
            self.down(now, core, Down::Fetch(cut), fx);
        }
        Ok(())
    }

    /// The members of this view that are not among the next ones, or not the first any more, as a mask: their leases end.
    fn left_behind(&self, value: &Value) -> Result<u64, Malformed> {
        let next = value.members()?;
        let stays = |m: &view::Member| next.iter().any(|n| n.id == m.id);
        // Who stays, but is not the first any more, owns nothing in the next view.
        let superseded = |r: usize, m: &view::Member| r == 0 && next.first().is_none_or(|n| n.id != m.id);
        let members = self.view.members.iter().enumerate();
        let left = members.filter(|(r, m)| !stays(m) || superseded(*r, m));
        Ok(left.fold(0, |mask, (r, _)| mask | 1 << r))
    }

    fn say_accepted(&mut self, core: &Core, ballot: Ballot, fx: &mut Effects) {
        let accepted = Accepted { view: Some(self.view.id.into()), ballot: Some(ballot.into()) };
        let proposer = Rank::try_from(ballot.rank).unwrap_or(Rank::MAX);
        self.send_rank(core, proposer, Body::Accepted(accepted), fx);
    }

    /// Accepts what is pending, once all frames are here and all leases over.
    fn try_accept(&mut self, now: Time, core: &mut Core, fx: &mut Effects) -> Result<(), Malformed> {
        let Some(p) = self.change.pending.as_ref().filter(|p| p.held) else { return Ok(()) };
        let parts = self.parts(&p.value);
        let mut free_at = if parts { now } else { self.leases_end(core, self.left_behind(&p.value)?) };
        if self.change.renounces {
            // Its own word may be what replaces it: then its own lease must be over, too.
            free_at = free_at.max(core.lease_until);
        }
        if now < free_at {
            if let Some(p) = &mut self.change.pending {
                p.retry_at = free_at;
            }
            return Ok(());
        }
        let Some(p) = self.change.pending.take() else { return Ok(()) };
        if parts {
            self.parting.parted = Some(p.ballot);
            self.phase(core, "accepts to part", Some(p.ballot));
            self.say_accepted(core, p.ballot, fx);
            return Ok(());
        }
        if self.change.acceptor.accept(p.ballot, p.value).is_ok() {
            self.phase(core, "accepts", Some(p.ballot));
            self.say_accepted(core, p.ballot, fx);
        }
        Ok(())
    }

    /// When the last lease ends that this member let one of these have who are not gone and did not ask to leave.
    fn leases_end(&self, core: &Core, left_behind: u64) -> Time {
        let lease = core.lease() + core.lease() * DRIFT_TENTHS / 10;
        let excused = self.suspicions.gone | self.joins.leavers | 1 << self.rank;
        let answered = self.contact.answered_at.iter().enumerate();
        answered
            .filter(|(r, _)| (left_behind & !excused) >> r & 1 == 1)
            .map(|(_, at)| *at + lease)
            .max()
            .unwrap_or(Time::ZERO)
    }

    fn on_accepted(
        &mut self,
        core: &Core,
        from: Rank,
        ballot: Ballot,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let Some(p) = self.change.proposal.as_mut().filter(|p| p.ballot == ballot) else { return Ok(()) };
        let Stage::Accepting { value, accepted } = &mut p.stage else { return Ok(()) };
        *accepted |= 1 << from;
        let (value, accepted) = ((**value).clone(), *accepted);
        let agreed = if self.parts(&value) {
            self.survivors(&value) & !accepted == 0
        } else {
            self.view.is_quorum(accepted)
        };
        if !agreed {
            return Ok(());
        }
        let decision = Decision::new(self.view.id, value)?;
        self.change.proposal = None;
        let decide = decision.decide.clone();
        let joiners =
            decision.view.members.iter().map(|m| m.id).filter(|id| self.view.rank_of(*id).is_none());
        core.send_all(joiners.map(|id| id.addr).collect(), Body::Decide(decide.clone()), fx);
        self.broadcast(core, Body::Decide(decide), fx);
        Ok(())
    }

    /// Anybody may tell of the decision: who is left behind may be the only one that knows it.
    pub(super) fn on_decide(
        &mut self,
        now: Time,
        core: &mut Core,
        m: Decide,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let decision = Decision::received(m)?;
        let sound = decision.cut.frontier.len() == self.view.len()
            && decision.cut.holder.len() == self.view.len()
            && decision.cut.holder.iter().all(|r| usize::from(*r) < self.view.len());
        let known = decision.version <= core.config.protocol_max && decision.fits(&core.config);
        if decision.ends != self.view.id || !sound || !known {
            return Err(Malformed);
        }
        if let Some(d) = &self.change.decided {
            // Parts of a view may decide what they like, each for itself.
            return if d.is(&decision) || core.config.partitionable { Ok(()) } else { Err(Malformed) };
        }
        let takes_part = decision.includes(core.me) || core.departs();
        if core.config.partitionable && !takes_part {
            self.parting.elsewhere |= self.ranks_of(decision.view.members.iter().map(|m| m.id));
            return Ok(());
        }
        let cut = decision.cut.clone();
        self.change.proposal = None;
        (self.change.backoff_until, self.change.nudge_at) = (None, None);
        self.change.decided = Some(decision);
        self.change.decided_at = now;
        self.phase(core, "decided", None);
        if takes_part {
            self.down(now, core, Down::Wedge, fx);
            self.down(now, core, Down::Fetch(cut), fx);
        }
        Ok(())
    }

    /// In a partitionable group nobody waits for ever for what those have who are out of reach.
    fn gives_up_decision(&mut self, now: Time, core: &Core) -> bool {
        let gives_up = now >= self.patience_with_decision(core);
        if gives_up {
            self.change.decided = None;
        }
        gives_up
    }

    /// When it gives a decision up; never in other groups, or if it holds what counts, or departs.
    pub(super) fn patience_with_decision(&self, core: &Core) -> Time {
        let waits = self.change.decided.is_some() && !self.change.decided_held && !core.departs();
        if core.config.partitionable && waits {
            self.change.decided_at + 2 * core.silence()
        } else {
            Time::NEVER
        }
    }

    /// What to do about the decision, once everything that counts is here.
    fn try_install(&mut self, core: &Core) -> Option<Step> {
        let decision = self.change.decided.as_ref()?;
        if decision.includes(core.me) {
            return self.change.decided_held.then(|| Step::Install(Box::new(decision.clone())));
        }
        // Who departs stays until a survivor has installed the view: nobody else may hold what counts.
        (!core.departs()).then_some(Step::Rejoin)
    }

    /// Whether a view is decided, and all that would come with it from this one are dead or silent.
    pub(super) fn survivors_are_lost(&self) -> bool {
        let excluded = self.excluded();
        let lost = |r: usize| excluded >> r & 1 == 1;
        let members = || self.view.members.iter().enumerate();
        let decided = self.change.decided.as_ref();
        decided.is_some_and(|d| members().all(|(r, m)| !d.includes(m.id) || lost(r)))
    }

    /// What comes after this view, if that is decided.
    pub(super) fn decided(&self) -> Option<&Decision> {
        self.change.decided.as_ref()
    }

    /// Says again what has been decided, if anything has.
    pub(super) fn repeat_decision(&mut self, core: &Core, fx: &mut Effects) -> bool {
        let Some(decided) = &self.change.decided else { return false };
        self.broadcast(core, Body::Decide(decided.decide.clone()), fx);
        true
    }

    /// The decision that this member leaves with, if it holds what counts. A member that was left behind may also hold
    /// what does not count, in layers that wait to deliver it: such a one leaves with what it has delivered.
    pub(super) fn parting_decision(&self) -> Option<Decision> {
        let decision = self.change.decided.as_ref().filter(|_| self.change.decided_held)?;
        let held = self.change.frontier.iter().flatten();
        held.zip(&decision.cut.frontier).all(|(held, cut)| held <= cut).then(|| decision.clone())
    }
}
