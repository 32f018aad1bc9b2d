//! L2, multicast liveness: what is cast after everything has healed is delivered by all in the view.

use super::{Oracle, Summary, Violation, hold};
use crate::sim::trace::Short;
use crate::sim::{
    envelope::MessageId,
    trace::{Observation, What},
};
use std::collections::{BTreeMap, BTreeSet};

/// Oracle L2, multicast liveness.
#[derive(Clone, Debug, Default)]
pub struct L2 {
    delivered: BTreeMap<usize, BTreeSet<MessageId>>,
}

impl Oracle for L2 {
    fn name(&self) -> &'static str {
        "L2"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if let What::Delivered { id, .. } = &o.what {
            self.delivered.entry(o.process).or_default().insert(*id);
        }
        Ok(())
    }

    fn finish(&mut self, summary: &Summary) -> Result<(), Violation> {
        if !summary.expect_progress {
            return Ok(());
        }
        for p in summary.wanted().filter(|p| !p.witness) {
            let process = crate::sim::process::index_of(p.member.addr).unwrap_or(usize::MAX);
            let mine = self.delivered.get(&process);
            let missing = summary.probes.iter().find(|m| mine.is_none_or(|d| !d.contains(m)));
            hold!(
                self,
                missing.is_none(),
                "{} does not deliver {missing:?}, cast when all was well",
                Short(p.member)
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        for (all, ok) in [(true, true), (false, false)] {
            let script = Script::new().install(1, &[0, 1]).sent(0, 1).deliver(0, 0, 1);
            let script = if all { script.deliver(1, 0, 1) } else { script };
            let mut oracle = L2::default();
            script.run(&mut oracle).unwrap();
            let mut summary = script.summary(&[0, 1]);
            summary.probes = vec![script.message(0, 1)];
            assert_eq!(oracle.finish(&summary).is_ok(), ok);
        }
    }
}
