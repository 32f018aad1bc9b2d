//! M6, agreement on predecessors: p goes V→V' and q ∈ V∩V' installs V' as a survivor ⇒ q came from V. Not where components of a
//! partitionable group merge: there survivors come from several views, one may have been in another one's before, and the
//! view says who comes from where (D6).

use super::{Oracle, Violation, hold};
use crate::sim::trace::Short;
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, view::ViewId};
use std::collections::BTreeMap;

/// Oracle M6, agreement on predecessors.
#[derive(Clone, Debug, Default)]
pub struct M6 {
    /// By view: where the first survivor came from.
    came_from: BTreeMap<ViewId, (MemberId, ViewId)>,
}

impl Oracle for M6 {
    fn name(&self) -> &'static str {
        "M6"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if let What::View(v) = &o.what
            && let Some(previous) = v.previous
        {
            let (who, from) = *self.came_from.entry(v.id).or_insert((o.member, previous));
            let (me, who) = (Short(o.member), Short(who));
            let agree = v.merges || from == previous;
            hold!(self, agree, "{me} comes to view {} from {previous}, {who} from {from}", v.id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let two = Script::new().install(1, &[0, 1, 2]).install(2, &[0, 1]);
        two.clone().install(3, &[0, 1, 3]).passes(M6::default());
        two.view(0, 3, &[0, 1, 2]).view(2, 3, &[0, 1, 2]).fails(M6::default());
    }
}
