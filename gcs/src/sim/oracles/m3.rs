//! M3, view agreement: the same identifier ⇒ the same members in the same rank order.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, sim::trace::names, view::ViewId};
use std::{collections::BTreeMap, sync::Arc};

/// Oracle M3, view agreement.
#[derive(Clone, Debug, Default)]
pub struct M3 {
    members: BTreeMap<ViewId, Arc<[MemberId]>>,
}

impl Oracle for M3 {
    fn name(&self) -> &'static str {
        "M3"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if let What::View(v) = &o.what {
            let known = self.members.entry(v.id).or_insert_with(|| v.members.clone()).clone();
            let (a, b) = (names(&known), names(&v.members));
            hold!(self, known == v.members, "view {} is [{a}], and at {} it is [{b}]", v.id, o.member);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        Script::new().install(1, &[0, 1, 2]).install(2, &[0, 2]).passes(M3::default());
        Script::new().view(0, 1, &[0, 1]).view(1, 1, &[1, 0]).fails(M3::default());
        Script::new().view(0, 1, &[0, 1]).view(1, 1, &[0, 1, 2]).fails(M3::default());
    }
}
