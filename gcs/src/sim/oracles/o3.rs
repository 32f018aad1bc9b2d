//! O3, total order. Uniform: the deliveries of everybody in V are prefixes of one sequence. Not uniform: those who go
//! V→V' delivered the same sequence in V; a crashed or excluded process may have been of another opinion at its end.

use super::sets::Current;
use super::{Oracle, Violation, hold};
use crate::sim::trace::Short;
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, sim::envelope::MessageId, view::ViewId};
use std::collections::BTreeMap;

/// Oracle O3, total order.
#[derive(Debug)]
pub struct O3 {
    uniform: bool,
    current: Current,
    /// By view: the longest sequence delivered there. Uniform only.
    sequence: BTreeMap<ViewId, Vec<MessageId>>,
    /// By old and new view: the sequence of the survivors, and whose it was.
    survivors: BTreeMap<(ViewId, ViewId), (MemberId, Vec<MessageId>)>,
}

impl O3 {
    /// For a stack with total order; `uniform` if it promises that, too.
    #[must_use]
    pub fn new(uniform: bool) -> Self {
        Self { uniform, current: Current::default(), sequence: BTreeMap::new(), survivors: BTreeMap::new() }
    }

    fn on_delivered(&mut self, o: &Observation, id: MessageId) -> Result<(), Violation> {
        let Some(d) = self.current.of(o.process).filter(|d| !d.transitional) else { return Ok(()) };
        let (view, at) = (d.view, d.messages.len() - 1);
        let sequence = self.sequence.entry(view).or_default();
        match sequence.get(at) {
            None => sequence.push(id),
            Some(known) => {
                let known = *known;
                let me = Short(o.member);
                hold!(
                    self,
                    known == id,
                    "{me} delivers {id} at place {at} of view {view}, where others have {known}"
                );
            }
        }
        Ok(())
    }
}

impl Oracle for O3 {
    fn name(&self) -> &'static str {
        "O3"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        let passage = self.current.observe(o);
        if let (What::Delivered { id, .. }, true) = (&o.what, self.uniform) {
            return self.on_delivered(o, *id);
        }
        let Some(passage) = passage else { return Ok(()) };
        let (from, to, mine) = (passage.old.view, passage.to, passage.old.messages);
        let (who, known) = self.survivors.entry((from, to)).or_insert_with(|| (o.member, mine.clone()));
        let who = Short(*who);
        let at = known.iter().zip(&mine).position(|(a, b)| a != b);
        let differs = at.map(|i| (i, known[i], mine[i]));
        let lengths = (known.len(), mine.len());
        let me = Short(o.member);
        hold!(
            self,
            differs.is_none(),
            "{me} and {who} delivered different messages in view {from}: {differs:?}"
        );
        hold!(self, lengths.0 == lengths.1, "{me} and {who} delivered {lengths:?} messages in view {from}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    fn crossed() -> Script {
        let script = Script::new().install(1, &[0, 1, 2]).sent(0, 1).sent(1, 1);
        script.deliver(0, 0, 1).deliver(0, 1, 1).deliver(2, 0, 1).deliver(1, 1, 1).deliver(1, 0, 1)
    }

    #[test]
    fn survivors_agree() {
        crossed().view(0, 2, &[0, 1]).view(1, 2, &[0, 1]).fails(O3::new(false));
        let good = Script::new().install(1, &[0, 1]).sent(0, 1).sent(1, 1).deliver_all(&[0, 1], 0, 1);
        good.deliver_all(&[1, 0], 1, 1).install(2, &[0, 1]).passes(O3::new(false));
        // 1 was of another opinion, and excluded.
        crossed().deliver(2, 1, 1).crash(1).install(2, &[0, 2]).passes(O3::new(false));
    }

    #[test]
    fn uniform_order_is_everybodys() {
        let script = Script::new().install(1, &[0, 1]).sent(0, 1).sent(1, 1).deliver(0, 0, 1);
        script.clone().deliver(1, 1, 1).fails(O3::new(true));
        script.deliver(0, 1, 1).deliver(1, 0, 1).crash(1).passes(O3::new(true));
    }
}
