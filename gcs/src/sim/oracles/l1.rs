//! L1, membership precision: once everything has healed, all processes that are alive and want to be in the group are
//! in one view, and nobody else is in it.

use super::{Oracle, Summary, Violation, hold};
use crate::sim::trace::{Observation, names};

/// Oracle L1, membership precision.
#[derive(Clone, Copy, Debug, Default)]
pub struct L1;

impl Oracle for L1 {
    fn name(&self) -> &'static str {
        "L1"
    }

    fn observe(&mut self, _: &Observation) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, summary: &Summary) -> Result<(), Violation> {
        if !summary.expect_progress {
            return Ok(());
        }
        let mut wanted: Vec<_> = summary.wanted().map(|p| p.member).collect();
        wanted.sort_unstable();
        let mut common = None;
        for p in summary.wanted() {
            let me = p.member;
            let Some((id, members)) = &p.view else {
                return Err(Violation::new(self.name(), format!("{me} is in no view")));
            };
            let mut sorted = members.to_vec();
            sorted.sort_unstable();
            let (is, should) = (names(&sorted), names(&wanted));
            hold!(self, sorted == wanted, "{me} is in view {id} [{is}], it should be [{should}]");
            let first = *common.get_or_insert(*id);
            hold!(self, first == *id, "{me} is in view {id}, others in {first}");
        }
        let gave_up = summary.processes.iter().find(|p| p.gave_up).map(|p| p.member);
        hold!(self, gave_up.is_none(), "{gave_up:?} has given up without having been asked to");
        let stuck = summary.processes.iter().find(|p| p.alive && p.leaving).map(|p| p.member);
        hold!(self, stuck.is_none(), "{stuck:?} was asked to leave, and has not left");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1, 2]);
        script.passes(L1);
        script.clone().view(0, 2, &[0, 1]).fails(L1);
        let mut summary = script.summary(&[0, 1, 2]);
        summary.processes[2].view = None;
        assert!(L1.finish(&summary).is_err());
        summary.expect_progress = false;
        assert!(L1.finish(&summary).is_ok());
        let mut leaving = script.summary(&[0, 1, 2]);
        leaving.processes[0].leaving = true;
        assert!(L1.finish(&leaving).is_err());
    }
}
