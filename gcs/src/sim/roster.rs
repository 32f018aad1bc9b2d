//! Who has installed which view: what the fault planner needs to know to keep a quorum, and the verdict to know whether
//! progress can be expected.

use super::trace::{Observation, What};
use crate::{
    id::MemberId,
    membership::is_quorum,
    view::{Member, ViewId},
};
use std::{collections::BTreeMap, sync::Arc};

/// Views by process, as applications saw them.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    /// The views that anybody has installed, or said to be decided.
    views: BTreeMap<ViewId, Arc<[(MemberId, u16)]>>,
    /// Every part of the group goes on.
    pub(super) partitionable: bool,
    /// By process: what it is in.
    at: BTreeMap<usize, Standing>,
}

#[derive(Clone, Debug)]
struct Standing {
    member: MemberId,
    view: ViewId,
    has_state: bool,
    witness: bool,
}

impl Roster {
    pub(super) fn observe(&mut self, o: &Observation) {
        match &o.what {
            What::View(v) => {
                let weights = v.roles.iter().map(|r| r.weight);
                self.views.insert(v.id, v.members.iter().copied().zip(weights).collect());
                let had = self.at.get(&o.process).is_some_and(|s| s.member == o.member && s.has_state);
                // Later views of a process that still awaits its state do not say so again.
                let has_state = if v.previous.is_some() {
                    had && !v.awaits_state
                } else {
                    !v.awaits_state && !v.at_witness()
                };
                self.at.insert(
                    o.process,
                    Standing { member: o.member, view: v.id, has_state, witness: v.at_witness() },
                );
            }
            What::StateRestored { .. } => {
                if let Some(s) = self.at.get_mut(&o.process) {
                    s.has_state = true;
                }
            }
            What::Crashed | What::Left(_) | What::Started => {
                self.at.remove(&o.process);
            }
            _ => {}
        }
    }

    /// A view that there will be, though perhaps nobody who knows of it lives: whoever is left of the view before must
    /// agree to the same one.
    pub(super) fn decided(&mut self, view: ViewId, members: &[Member]) {
        let voters = || members.iter().map(|m| (m.id, m.role.weight)).collect();
        self.views.entry(view).or_insert_with(voters);
    }

    /// The newest view that anybody has installed, or said to be decided.
    #[must_use]
    pub(super) fn latest(&self) -> Option<ViewId> {
        self.views.keys().next_back().copied()
    }

    /// Whether the group can go on: the newest view, and each one before it back to the newest that a living process
    /// has installed, has a quorum of members that live, are in a view of its epoch, and are not `without`; and one in
    /// the newest has the state.
    ///
    /// In a partitionable group whoever has the state goes on.
    ///
    /// The views before count because a view may have been installed by members only that died at once. The others
    /// cannot know of it, and to agree on it again takes a quorum of the view that they are in. For the same reason a
    /// member that has not yet installed the view counts only if it can: what counts of the view before is with one that
    /// has gone on from there, or in every quorum of that view.
    #[must_use]
    pub(super) fn has_quorum(&self, without: Option<usize>) -> bool {
        if self.partitionable {
            return self.at.iter().any(|(p, s)| Some(*p) != without && s.has_state);
        }
        let Some(latest) = self.latest() else { return false };
        let living = || self.at.iter().filter(|(p, s)| Some(**p) != without && s.view.epoch == latest.epoch);
        let Some(known) = living().map(|(_, s)| s.view).max() else { return false };
        let lives = |m: &MemberId| living().any(|(_, s)| s.member == *m);
        let went_on = |from: ViewId, m: &MemberId| living().any(|(_, s)| s.member == *m && s.view > from);
        let can_leave = |view: &ViewId| {
            self.views
                .get(view)
                .is_some_and(|m| m.iter().any(|(m, _)| went_on(*view, m)) || quorum_of(m, lives))
        };
        let counts = |id: ViewId, m: &MemberId| {
            living().any(|(_, s)| s.member == *m && (s.view >= id || can_leave(&s.view)))
        };
        // Witnesses and learners alone do not go on (ADR 10).
        let votes_and_runs =
            |m: &MemberId, weight: u16| weight > 0 && living().any(|(_, s)| s.member == *m && !s.witness);
        let with_state = |m: &MemberId| living().any(|(_, s)| s.member == *m && s.has_state);
        self.views.range(known..).all(|(id, members)| quorum_of(members, |m| counts(*id, m)))
            && self.views[&latest].iter().any(|(m, _)| with_state(m))
            && self.views[&latest].iter().any(|(m, weight)| votes_and_runs(m, *weight))
    }
}

/// Whether those of `members` that `count` are a quorum of them.
fn quorum_of(members: &[(MemberId, u16)], count: impl Fn(&MemberId) -> bool) -> bool {
    let ranks = members.iter().enumerate().filter(|(_, (m, _))| count(m));
    is_quorum(ranks.fold(0, |s, (rank, _)| s | 1_u64 << rank), members.iter().map(|m| m.1))
}

#[cfg(test)]
mod tests {
    use super::super::oracles::testing::{Script, member};
    use super::*;

    fn roster(script: Script) -> Roster {
        let mut roster = Roster::default();
        script.observations().iter().for_each(|o| roster.observe(o));
        roster
    }

    #[test]
    fn killing_keeps_a_quorum_or_does_not() {
        let three = Script::new().install(1, &[0, 1, 2]);
        assert!(roster(three.clone()).has_quorum(None));
        assert!(roster(three.clone()).has_quorum(Some(2)));
        let two_left = three.crash(2);
        assert!(!roster(two_left.clone()).has_quorum(Some(1)), "one of three is no quorum");
        let pair = two_left.install(2, &[0, 1]);
        assert!(roster(pair.clone()).has_quorum(Some(1)), "the older of a pair is one");
        assert!(!roster(pair).has_quorum(Some(0)), "the younger is none");
    }

    #[test]
    fn a_view_that_only_the_dead_knew_needs_the_quorum_before_it() {
        let told_nobody = Script::new().install(1, &[0, 1, 2, 3]).crash(0).view(1, 2, &[1, 2, 3]);
        assert!(roster(told_nobody.clone()).has_quorum(Some(3)));
        assert!(
            !roster(told_nobody.clone()).has_quorum(Some(1)),
            "half of four would be left, without the first"
        );
        assert!(roster(told_nobody.view(2, 2, &[1, 2, 3])).has_quorum(Some(1)));
    }

    #[test]
    fn who_cannot_install_a_view_does_not_count_for_it() {
        let joined = Script::new().install(1, &[0, 1]).view(0, 2, &[0, 1, 2]).view(2, 2, &[0, 1, 2]);
        assert!(roster(joined.clone()).has_quorum(Some(2)));
        assert!(!roster(joined.clone()).has_quorum(Some(0)), "what counts of view 1 was with 0 only");
        assert!(roster(joined.view(1, 2, &[0, 1, 2])).has_quorum(Some(0)));
    }

    #[test]
    fn a_decided_view_counts_although_nobody_has_installed_it() {
        let mut three = roster(Script::new().install(1, &[0, 1, 2]));
        assert!(three.has_quorum(Some(1)));
        let two = [1, 2].map(|p| Member::new(member(p), "m"));
        three.decided(ViewId { number: 2, ..three.latest().unwrap() }, &two);
        assert!(!three.has_quorum(Some(1)), "it will be a pair, and 1 its older");
        assert!(three.has_quorum(Some(2)));
    }

    #[test]
    fn a_new_life_is_another_member() {
        let script = Script::new().install(1, &[0, 1]).crash(0).start(0);
        assert!(!roster(script).has_quorum(None));
        assert_ne!(member(0), super::super::process::member_of(0, 2));
    }
}
