//! O1, FIFO without gaps: a process delivers a sender's messages in the order in which they were cast, each directly
//! after the one before. Gaps are allowed where a member begins: a receiver that has joined starts anywhere, and a sender
//! that was excluded and has come back may have lost what was under way.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, sim::envelope::MessageId};
use std::collections::BTreeMap;

/// Oracle O1, FIFO.
#[derive(Clone, Debug, Default)]
pub struct O1 {
    /// By receiver, and the sender's process and life: its last message, and who the sender was.
    last: BTreeMap<(MemberId, usize, u32), (MessageId, MemberId)>,
}

impl Oracle for O1 {
    fn name(&self) -> &'static str {
        "O1"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if let What::Delivered { id, from: Some(from), .. } = &o.what {
            let key = (o.member, id.process(), id.life());
            if let Some((last, by)) = self.last.insert(key, (*id, *from)) {
                hold!(self, last < *id, "{} delivers {id} after {last}", o.member);
                let gap = by == *from && last.count() + 1 != id.count();
                hold!(self, !gap, "{} delivers {id} directly after {last}", o.member);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1]).deliver(1, 0, 5).deliver(1, 0, 6);
        script.passes(O1::default());
        script.clone().deliver(1, 0, 8).fails(O1::default());
        script.clone().deliver(1, 0, 5).fails(O1::default());
        script.install(2, &[0, 1]).deliver(1, 0, 8).fails(O1::default());
    }
}
