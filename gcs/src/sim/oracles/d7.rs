//! D7, self-delivery: a sender that stays delivers its own message. A process that was excluded and has come back is
//! another member: what it had under way in its earlier incarnation may be lost.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{
    id::MemberId,
    sim::{envelope::MessageId, oracles::Summary},
};
use std::collections::BTreeMap;

/// Oracle D7, self-delivery.
#[derive(Clone, Debug, Default)]
pub struct D7 {
    /// By process: messages that have not come back, and who cast them.
    open: BTreeMap<usize, BTreeMap<MessageId, MemberId>>,
}

impl Oracle for D7 {
    fn name(&self) -> &'static str {
        "D7"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            // A process that is gone does not stay.
            What::Started | What::Crashed | What::Left(_) => {
                self.open.remove(&o.process);
            }
            What::Sent { id, .. } => {
                self.open.entry(o.process).or_default().insert(*id, o.member);
            }
            What::Delivered { id, .. } if id.process() == o.process => {
                self.open.entry(o.process).or_default().remove(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, summary: &Summary) -> Result<(), Violation> {
        if !summary.expect_progress {
            return Ok(());
        }
        for p in summary.wanted() {
            let open = self.open.values().flatten().find(|(_, by)| **by == p.member);
            hold!(self, open.is_none(), "{} never delivers its own {:?}", p.member, open.map(|(id, _)| *id));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1]).sent(0, 1);
        script.clone().deliver_all(&[0, 1], 0, 1).passes(D7::default());
        script.clone().deliver(1, 0, 1).fails(D7::default());
        script.crash(0).passes(D7::default());
    }
}
