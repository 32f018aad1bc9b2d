//! D3, same-view delivery: all who deliver m deliver it in the same view.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{sim::envelope::MessageId, view::ViewId};
use std::collections::BTreeMap;

/// Oracle D3, same-view delivery.
#[derive(Clone, Debug, Default)]
pub struct D3 {
    view: BTreeMap<MessageId, ViewId>,
}

impl Oracle for D3 {
    fn name(&self) -> &'static str {
        "D3"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if let What::Delivered { id, view: Some(view), .. } = &o.what {
            let known = *self.view.entry(*id).or_insert(*view);
            let me = o.member;
            hold!(self, known == *view, "{me} delivers {id} in view {view}, somebody else in {known}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1]).sent(0, 1).deliver(0, 0, 1);
        script.clone().deliver(1, 0, 1).passes(D3::default());
        script.install(2, &[0, 1]).deliver(1, 0, 1).fails(D3::default());
    }
}
