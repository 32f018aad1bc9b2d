//! L3: a view change ends, nobody stays wedged. Once everything has healed, everybody is in contact with a quorum, takes
//! messages, and has the state.

use super::{Oracle, Summary, Violation, hold};
use crate::sim::trace::Observation;
use crate::sim::trace::Short;

/// Oracle L3, view changes end.
#[derive(Clone, Copy, Debug, Default)]
pub struct L3;

impl Oracle for L3 {
    fn name(&self) -> &'static str {
        "L3"
    }

    fn observe(&mut self, _: &Observation) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, summary: &Summary) -> Result<(), Violation> {
        if !summary.expect_progress {
            return Ok(());
        }
        for p in summary.wanted() {
            hold!(self, !p.blocked, "{} stays blocked", Short(p.member));
            hold!(self, p.writable || p.witness, "{} takes no messages", Short(p.member));
            hold!(self, !p.awaits_state, "{} never receives the state", Short(p.member));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ProcessSummary, testing::Script},
        *,
    };

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1]);
        script.passes(L3);
        let wrong: [fn(&mut ProcessSummary); 3] =
            [|p| p.blocked = true, |p| p.writable = false, |p| p.awaits_state = true];
        for make_wrong in wrong {
            let mut summary = script.summary(&[0, 1]);
            make_wrong(&mut summary.processes[1]);
            assert!(L3.finish(&summary).is_err());
        }
    }
}
