//! D2, no duplication: a life of a process delivers a message once, also across its rejoins.

use super::{Oracle, Violation, hold};
use crate::sim::envelope::MessageId;
use crate::sim::trace::{Observation, What};
use std::collections::{BTreeMap, BTreeSet};

/// Oracle D2, no duplication.
#[derive(Clone, Debug, Default)]
pub struct D2 {
    delivered: BTreeMap<usize, BTreeSet<MessageId>>,
}

impl Oracle for D2 {
    fn name(&self) -> &'static str {
        "D2"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            What::Started => {
                self.delivered.remove(&o.process);
            }
            What::Delivered { id, .. } => {
                let first = self.delivered.entry(o.process).or_default().insert(*id);
                hold!(self, first, "{} delivers {id} again", o.member);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1]).sent(0, 1).deliver_all(&[0, 1], 0, 1);
        script.passes(D2::default());
        script.install(2, &[0, 1]).deliver(1, 0, 1).fails(D2::default());
    }
}
