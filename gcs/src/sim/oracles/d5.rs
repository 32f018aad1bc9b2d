//! D5, virtual synchrony: p and q both go V→V' ⇒ they delivered the same set of messages in V.

use super::sets::{Current, difference};
use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, sim::envelope::MessageId, view::ViewId};
use std::collections::BTreeMap;

/// Oracle D5, virtual synchrony.
#[derive(Debug, Default)]
pub struct D5 {
    current: Current,
    /// By old and new view: the set (sorted), and whose it was.
    sets: BTreeMap<(ViewId, ViewId), (MemberId, Vec<MessageId>)>,
}

impl Oracle for D5 {
    fn name(&self) -> &'static str {
        "D5"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if !matches!(
            o.what,
            What::View(_) | What::Delivered { .. } | What::Crashed | What::Started | What::Left(_)
        ) {
            return Ok(());
        }
        let Some(passage) = self.current.observe(o) else { return Ok(()) };
        let (from, mut set) = (passage.old.view, passage.old.messages);
        set.sort_unstable();
        let (who, known) = self.sets.entry((from, passage.to)).or_insert_with(|| (o.member, set.clone()));
        let (who, odd) = (*who, difference(known, &set));
        let me = o.member;
        hold!(
            self,
            odd.is_none(),
            "{me} and {who} go from view {from} to {}, and only one of them has delivered {}",
            passage.to,
            odd.unwrap_or(MessageId(0))
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1, 2]).sent(0, 1).sent(1, 1).deliver(0, 0, 1);
        let script = script.deliver(0, 1, 1).deliver(1, 1, 1);
        let same = script.clone().deliver(1, 0, 1).install(2, &[0, 1]);
        same.passes(D5::default());
        // 2 did not survive: it may have missed something.
        script.clone().deliver(1, 0, 1).crash(2).install(2, &[0, 1]).passes(D5::default());
        script.view(0, 2, &[0, 1]).view(1, 2, &[0, 1]).fails(D5::default());
    }
}
