//! D6, transitional set: the view event names exactly the members of V∩V' who also came from V.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, sim::trace::names, view::ViewId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Oracle D6, transitional set.
#[derive(Clone, Debug, Default)]
pub struct D6 {
    members: BTreeMap<ViewId, Arc<[MemberId]>>,
    /// By old and new view: what those who went that way were told.
    told: BTreeMap<(ViewId, ViewId), BTreeSet<MemberId>>,
    /// Where members came from when they installed a view; None for joiners.
    came: BTreeMap<(ViewId, MemberId), Option<ViewId>>,
}

impl Oracle for D6 {
    fn name(&self) -> &'static str {
        "D6"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        let What::View(v) = &o.what else { return Ok(()) };
        let me = o.member;
        self.members.insert(v.id, v.members.clone());
        self.came.insert((v.id, me), v.previous);
        let set: BTreeSet<_> = v.came_with.iter().copied().collect();
        let listed = names(&v.came_with);
        let Some(from) = v.previous else {
            let alone = set.len() == 1 && set.contains(&me);
            // Founders have no earlier view either; nobody comes with them.
            hold!(self, alone, "{me} joins view {} and is told that [{listed}] come with it", v.id);
            for ((_, to), told) in &self.told {
                hold!(
                    self,
                    *to != v.id || !told.contains(&me),
                    "{me} joins view {to}, others take it for a survivor"
                );
            }
            return Ok(());
        };
        hold!(self, set.contains(&me), "{me} is told that [{listed}] come with it, without itself");
        let known = self.told.entry((from, v.id)).or_insert_with(|| set.clone());
        hold!(
            self,
            *known == set,
            "{me} is told that [{listed}] come from view {from} to {}, others not so",
            v.id
        );
        let old = self.members.get(&from).cloned().unwrap_or_default();
        for q in v.members.iter() {
            let both = old.contains(q);
            hold!(self, both || !set.contains(q), "{q} is said to come from view {from}, where it was not");
            if let Some(came) = self.came.get(&(v.id, *q)) {
                let told = set.contains(q);
                hold!(
                    self,
                    told == (*came == Some(from)),
                    "{q} came to view {} from {came:?}; {me} is told otherwise",
                    v.id
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Script, member},
        *,
    };

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1, 2]);
        script.clone().install(2, &[0, 1]).install(3, &[0, 1, 3]).passes(D6::default());
        let only_me = |v: &mut crate::sim::trace::Installed| v.came_with = [member(0)].into();
        script.clone().view(1, 2, &[0, 1]).view(0, 2, &[0, 1]).alter(only_me).fails(D6::default());
        let too_many = |v: &mut crate::sim::trace::Installed| v.came_with = [member(0), member(3)].into();
        script.view(0, 2, &[0, 3]).alter(too_many).fails(D6::default());
    }

    #[test]
    fn a_joiner_is_no_survivor() {
        let script = Script::new().install(1, &[0]);
        let with_both = |v: &mut crate::sim::trace::Installed| v.came_with = [member(0), member(1)].into();
        script.view(1, 2, &[0, 1]).view(0, 2, &[0, 1]).alter(with_both).fails(D6::default());
    }
}
