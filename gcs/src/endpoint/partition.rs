//! Partitionable groups: every part of the group goes on, and the parts merge when they meet again.
//!
//! A part with a quorum goes on as in any group. Another one agrees on a view of its members alone, which
//! begins an epoch of its own, when all of them hold what counts. That is no consensus: another attempt may end otherwise, and
//! then the members of one part are in two. Safety does not depend on it. Attempts have different names, and who goes on
//! with a part is, to the consensus of the old view, as good as dead; until then it votes there. Each component has a *line*: the epoch in which it parted from the others; the
//! primary component's is the epoch of the founding. Lines do not change when members come and go, and of two components
//! that meet, the one whose line is later merges into the other:
//!
//! ```text
//! p0 p1 p2   e.7 ───────────── e.8 [p0 p1 p2] ────────────── f.1 [p0 p1 p2 p3 p4]
//!                ✂                            \ MEMBER_LIST   / JOIN (from e".1, with p3 p4)
//! p3 p4      e.7 ── e'.1 [p3 p4] ───────────── e".1 [p3 p4] ─┘
//! ```
//! * Members tell processes that are not in their view of it, now and then ([`forced`](super::forced) has the timer).
//! * The first member of a component that hears of one with an earlier line proposes a view that *yields* to it. Such a view
//!   (`e".1`) begins wedged: nothing is delivered there, so its members have nothing to agree on when it ends. Each asks the
//!   other component to be let in, as a joiner does, and says who comes with it.
//! * The other component waits a little for all of them, and decides a view in a new epoch that says who comes from where.
//! * If that does not come about within [`LIMBO`], the yielding view ends as any other does, and for a while nothing is
//!   tried again.
//!
//! Where state is transferred, those who yield receive the state of the component that they come to. What they have done
//! alone is for the application to say again: the view tells which histories have met.
//!
//! **Invariants**: the names of the views that a process installs grow; two views never have the same name; who goes from one
//! view to the next together has delivered the same there (D5); only the primary component's members have leases.
//!
//! **Bounds**: one component that is known, of 64 members; what is tried in vain is tried again every 4 s.

use super::{
    core::Core,
    decision::Decision,
    io::Effects,
    member::Member,
    seeking::{Seeking, Step},
};
use crate::{
    id::{MemberId, Rank},
    membership::Ballot,
    time::Time,
    view::ViewId,
    wire::{Decide, Malformed, MemberList, Value},
};
use std::time::Duration;

/// So long a yielding view waits to be taken in.
const LIMBO: Duration = Duration::from_millis(1000);
/// What is known of another component is good for this long.
const STALE: Duration = Duration::from_millis(2000);
/// After an attempt in vain the next one waits: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(4000));

/// What a member knows of parts of its view, and of other components.
#[derive(Default)]
pub(super) struct Parting {
    /// Members of this view that have gone on elsewhere, as a mask.
    pub(super) elsewhere: u64,
    /// Members that have joined with this view, or come from another component.
    pub(super) joined: u64,
    /// A component that this one would merge into, and when it was heard of.
    better: Option<(MemberList, Time)>,
    /// The last ballot in which this member has agreed to go on with a part of the view. It still votes for the view.
    pub(super) parted: Option<Ballot>,
    limbo: Option<Limbo>,
}

/// A yielding view's wait to be taken in.
struct Limbo {
    seeking: Seeking,
    until: Time,
}

impl Parting {
    pub(super) fn new(joined: u64) -> Self {
        Self { joined, ..Self::default() }
    }

    pub(super) fn deadline(&self) -> Time {
        self.limbo.as_ref().map_or(Time::NEVER, |l| l.until.min(l.seeking.deadline()))
    }

    pub(super) fn in_limbo(&self) -> bool {
        self.limbo.is_some()
    }
}

impl Member {
    /// Whether a value takes a part of this view away, instead of following it.
    pub(super) fn parts(&self, value: &Value) -> bool {
        value.line(self.view.id) != self.decision.line
    }

    /// The members of this view that go on with a value, as a mask. If it parts, they must all accept it.
    pub(super) fn survivors(&self, value: &Value) -> u64 {
        self.ranks_of(value.next.iter().filter_map(|e| MemberId::try_from(e.id.as_ref()?).ok()))
    }

    /// The members of this view among these processes, as a mask.
    pub(super) fn ranks_of(&self, ids: impl Iterator<Item = MemberId>) -> u64 {
        ids.filter_map(|id| self.view.rank_of(id)).fold(0, |mask, r| mask | 1 << r)
    }

    /// The members of this view that are dead, or have gone on elsewhere, as a mask.
    pub(super) fn absent(&self) -> u64 {
        self.suspicions.gone | self.parting.elsewhere
    }

    /// Another component's view, as one of its members tells it.
    pub(super) fn on_abroad(
        &mut self,
        now: Time,
        core: &mut Core,
        from: MemberId,
        list: &MemberList,
        fx: &mut Effects,
    ) -> Step {
        let view = ViewId::from(list.view.unwrap_or_default());
        let tells = |id: MemberId| list.ids().any(|m| m == id);
        if !tells(from) || tells(core.me) || view == self.view.id {
            return Step::Stay;
        }
        let shared = self.ranks_of(list.ids());
        if let Some(rank) = self.view.rank_of(from).filter(|r| self.never_came(*r, view)) {
            self.parting.elsewhere |= 1 << rank;
        }
        if shared != 0 && view < self.view.id {
            // Its sender has not heard yet that others have gone on.
            self.notice(now, core, from.addr, fx);
            return Step::Stay;
        }
        self.parting.elsewhere |= shared;
        core.leave_behind(list.ids().map(|m| m.addr));
        let (line, mine) = (list.line(), self.decision.line);
        if let Some(limbo) = &mut self.parting.limbo {
            limbo.seeking.on_member_list(now, core, from, list);
            return Step::Stay;
        }
        let better = line < mine || line == mine && view > self.view.id;
        // Who is left behind, and who could not go on alone, comes over without what it has.
        let lost = self.is_out_of_contact(now, core) && !self.can_part(core);
        if core.departs() && line == mine && better || lost {
            return core.departure();
        }
        if !better {
            self.notice(now, core, from.addr, fx);
            return Step::Stay;
        }
        self.parting.better = Some((list.clone(), now));
        Step::Stay
    }

    /// Whether a joiner of this view, who says that it is in another one, has gone there instead: several components may
    /// have let it in.
    fn never_came(&self, rank: Rank, is_in: ViewId) -> bool {
        let from = self.decision.from.get(usize::from(rank)).copied().flatten();
        self.parting.joined >> rank & 1 == 1 && from != Some(is_in)
    }

    /// Whether those whom this member hears could go on without the others, as far as it knows.
    fn can_part(&self, core: &Core) -> bool {
        let excluded = self.excluded();
        let members = || self.view.members.iter().enumerate().filter(|(r, _)| excluded >> r & 1 == 0);
        let mut votes = members().map(|(_, m)| m.role.class() == 0);
        let has_state = |r: usize| self.decision.complete.get(r) == Some(&true);
        votes.any(|v| v) && (core.state.is_complete() || members().any(|(r, _)| has_state(r)))
    }

    /// The component that this one should merge into now.
    pub(super) fn yields_to(&self, now: Time, core: &Core) -> Option<&MemberList> {
        let (list, heard_at) = self.parting.better.as_ref()?;
        let due = now >= core.yield_at && now <= *heard_at + STALE;
        (due && core.state.is_complete() && !core.departs()).then_some(list)
    }

    /// A yielding view begins.
    pub(super) fn enter_limbo(&mut self, now: Time, core: &mut Core) {
        let Some(list) = self.decision.yields_to() else { return };
        let targets: Vec<_> = list.ids().filter(|m| self.view.rank_of(*m).is_none()).collect();
        let has_state = |r: usize| self.decision.complete.get(r) == Some(&true);
        let members = self.view.members.iter().enumerate();
        let with = members.filter(|(r, _)| has_state(*r)).map(|(_, m)| m.id).collect();
        let until = now + LIMBO + Duration::from_micros(core.rng.below(50_000));
        let seeking = Seeking::toward(now, &targets, list.line(), (self.view.id, with));
        self.parting.limbo = Some(Limbo { seeking, until });
    }

    /// Waits to be taken in, and asks for it. False if there is nothing to wait for, or no time left.
    pub(super) fn waits_in_limbo(&mut self, now: Time, core: &mut Core, fx: &mut Effects) -> bool {
        let Some(limbo) = &mut self.parting.limbo else { return false };
        if now < limbo.until {
            limbo.seeking.ask_if_due(now, core, fx);
            return true;
        }
        self.parting.limbo = None;
        core.postpone_yielding(now);
        false
    }

    /// A view of another component was decided: perhaps the one in which this one merges into it. Or its members take this process
    /// for one of them, which it is not.
    pub(super) fn on_decide_abroad(
        &mut self,
        now: Time,
        core: &Core,
        from: MemberId,
        decide: Decide,
        fx: &mut Effects,
    ) -> Result<Step, Malformed> {
        let decision = Decision::received(decide)?;
        let rank = decision.view.rank_of(core.me);
        let Some(rank) = rank.filter(|_| decision.view.id != self.view.id) else { return Ok(Step::Stay) };
        let comes_from_here = decision.from.get(usize::from(rank)) == Some(&Some(self.view.id));
        let step = match &self.parting.limbo {
            Some(limbo) => limbo.seeking.judge(core, decision)?,
            None => Step::Stay,
        };
        if matches!(step, Step::Stay) || matches!(step, Step::Install(_)) && !comes_from_here {
            self.notice(now, core, from.addr, fx);
            return Ok(Step::Stay);
        }
        Ok(step)
    }

    /// Whom this component wanted to merge into does not take it.
    pub(super) fn on_refused(&self, from: MemberId, reason: String) -> Step {
        self.parting.limbo.as_ref().map_or(Step::Stay, |l| l.seeking.on_refuse(from, reason))
    }
}

impl Core {
    fn postpone_yielding(&mut self, now: Time) {
        let wait = (AGAIN.0 * (1 << self.yields.min(8))).min(AGAIN.1);
        self.yields += 1;
        self.yield_at = now + wait;
    }
}
