//! M2, local monotonicity: the view identifiers that p installs increase.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, view::ViewId};
use std::collections::BTreeMap;

/// Oracle M2, local monotonicity.
#[derive(Clone, Debug, Default)]
pub struct M2 {
    last: BTreeMap<MemberId, ViewId>,
}

impl Oracle for M2 {
    fn name(&self) -> &'static str {
        "M2"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if let What::View(v) = &o.what
            && let Some(last) = self.last.insert(o.member, v.id)
        {
            hold!(self, last < v.id, "{} installs view {} after {last}", o.member, v.id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let good = Script::new().install(1, &[0, 1]).install(2, &[0]);
        good.passes(M2::default());
        good.clone().view(0, 1, &[0]).fails(M2::default());
        good.view(0, 2, &[0]).fails(M2::default());
    }
}
