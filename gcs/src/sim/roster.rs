//! Who has installed which view: what the fault planner needs to know to keep a quorum, and the verdict to know whether
//! progress can be expected.

use super::{
    process::index_of,
    trace::{Observation, What},
};
use crate::{id::MemberId, membership::is_quorum, view::ViewId};
use std::{collections::BTreeMap, sync::Arc};

/// Views by process, as applications saw them.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    /// The newest view that anybody has installed.
    latest: Option<(ViewId, Arc<[MemberId]>)>,
    /// By process: what it is in.
    at: BTreeMap<usize, Standing>,
}

#[derive(Clone, Debug)]
struct Standing {
    member: MemberId,
    view: ViewId,
    has_state: bool,
}

impl Roster {
    pub(super) fn observe(&mut self, o: &Observation) {
        match &o.what {
            What::View(v) => {
                if self.latest.as_ref().is_none_or(|(id, _)| v.id > *id) {
                    self.latest = Some((v.id, v.members.clone()));
                }
                let had = self.at.get(&o.process).is_some_and(|s| s.member == o.member && s.has_state);
                // Later views of a process that still awaits its state do not say so again.
                let has_state = if v.previous.is_some() { had } else { !v.awaits_state };
                self.at.insert(o.process, Standing { member: o.member, view: v.id, has_state });
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

    /// The newest view that anybody has installed.
    #[must_use]
    pub(super) fn latest(&self) -> Option<ViewId> {
        self.latest.as_ref().map(|(id, _)| *id)
    }

    /// Whether the newest view has a quorum of members that live, have installed a view of its epoch, and are not
    /// `without`; and whether one of them has the state.
    #[must_use]
    pub(super) fn has_quorum(&self, without: Option<usize>) -> bool {
        let Some((id, members)) = &self.latest else { return false };
        let (mut set, mut state) = (0_u64, false);
        for (rank, m) in members.iter().enumerate() {
            let Some(process) = index_of(m.addr).filter(|p| Some(*p) != without) else { continue };
            if let Some(s) = self.at.get(&process).filter(|s| s.member == *m && s.view.epoch == id.epoch) {
                set |= 1 << rank;
                state |= s.has_state;
            }
        }
        state && is_quorum(set, members.len())
    }
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
    fn a_new_life_is_another_member() {
        let script = Script::new().install(1, &[0, 1]).crash(0).start(0);
        assert!(!roster(script).has_quorum(None));
        assert_ne!(member(0), super::super::process::member_of(0, 2));
    }
}
