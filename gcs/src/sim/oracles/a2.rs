//! A2, single owner: at most one owner at any moment of true time, and owners' fencing tokens increase.
//!
//! The member of rank 0 acts as owner while it holds a valid lease, by its own clock (whose drift the simulation bounds),
//! and until it asks to leave. Its fencing token is its view's identifier. A stopped process does not act. When a process was
//! forced to go on, epochs are judged each for itself: the operator's word is that nobody acts in the old one.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, view::ViewId};
use std::collections::BTreeMap;

/// Oracle A2, single owner.
#[derive(Clone, Debug, Default)]
pub struct A2 {
    at: BTreeMap<usize, Standing>,
    /// By epoch, or 0 for all.
    token: BTreeMap<u64, (ViewId, MemberId)>,
    forced: bool,
}

#[derive(Clone, Debug)]
struct Standing {
    member: MemberId,
    first: bool,
    view: ViewId,
    lease_until: u64,
    leaving: bool,
}

impl Standing {
    fn owns(&self, now: u64) -> bool {
        self.first && !self.leaving && now < self.lease_until
    }
}

impl A2 {
    fn check(&mut self, now: u64, process: usize) -> Result<(), Violation> {
        let Some(me) = self.at.get(&process).filter(|s| s.owns(now)) else { return Ok(()) };
        let (member, view) = (me.member, me.view);
        let compared = |s: &Standing| !self.forced || s.view.epoch == view.epoch;
        for (_, other) in self.at.iter().filter(|(p, s)| **p != process && s.owns(now) && compared(s)) {
            let (who, its) = (other.member, other.view);
            hold!(self, false, "{member} owns in view {view} while {who} still owns in view {its}");
        }
        let epoch = if self.forced { view.epoch } else { 0 };
        let (token, by) = *self.token.entry(epoch).or_insert((view, member));
        hold!(self, token <= view, "{member} owns with token {view} after {by} had {token}");
        self.token.insert(epoch, (view, member));
        Ok(())
    }
}

impl Oracle for A2 {
    fn name(&self) -> &'static str {
        "A2"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            What::View(v) => {
                let lease_until =
                    self.at.get(&o.process).filter(|s| s.member == o.member).map_or(0, |s| s.lease_until);
                let leaving = self.at.get(&o.process).is_some_and(|s| s.member == o.member && s.leaving);
                let standing =
                    Standing { member: o.member, first: v.rank == 0, view: v.id, lease_until, leaving };
                self.at.insert(o.process, standing);
                self.check(o.at, o.process)
            }
            What::Lease { until } => {
                if let Some(s) = self.at.get_mut(&o.process) {
                    // A lease that ends in the past is given up.
                    s.lease_until = if *until <= o.at { 0 } else { s.lease_until.max(*until) };
                }
                self.check(o.at, o.process)
            }
            What::Forced => {
                self.forced = true;
                Ok(())
            }
            What::LeaveAsked => {
                if let Some(s) = self.at.get_mut(&o.process) {
                    s.leaving = true;
                }
                Ok(())
            }
            What::Crashed | What::Left(_) | What::Started => {
                self.at.remove(&o.process);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    fn lease(ms: u64) -> What {
        What::Lease { until: ms * 1_000_000 }
    }

    #[test]
    fn verdicts() {
        let owned = Script::new().install(1, &[0, 1]).push(0, lease(8));
        // The old owner's lease runs out before the new one begins.
        let later = owned.clone().sent(1, 1).sent(1, 2).sent(1, 3).sent(1, 4).view(1, 2, &[1]);
        later.push(1, lease(100)).passes(A2::default());
        owned.clone().view(1, 2, &[1]).push(1, lease(100)).fails(A2::default());
        owned.clone().crash(0).view(1, 2, &[1]).push(1, lease(100)).passes(A2::default());
        owned.clone().push(0, lease(0)).view(1, 2, &[1]).push(1, lease(100)).passes(A2::default());
        owned.push(0, What::LeaveAsked).view(1, 2, &[1]).push(1, lease(100)).passes(A2::default());
    }

    #[test]
    fn forced_epochs_are_judged_each_for_itself() {
        let forced = Script::new().install(1, &[0, 1, 2]).push(0, lease(50)).push(2, What::Forced).epoch(2);
        let forced = forced.view(2, 1, &[2]).push(2, lease(60));
        forced.passes(A2::default());
        forced.view(1, 2, &[1]).push(1, lease(70)).fails(A2::default());
    }

    #[test]
    fn an_old_lease_makes_no_new_owner() {
        // 1 has a lease of its own; when it becomes the first, the old owner must be out.
        let both = Script::new().install(1, &[0, 1]).push(0, lease(50)).push(1, lease(50));
        both.view(1, 2, &[1]).fails(A2::default());
    }
}
