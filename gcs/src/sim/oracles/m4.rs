//! M4, initial view: every delivery happens in a view, and its sender is a member of it. (What is cast before the first
//! view waits for it; D4 ties a message to the view in which it is sent then.) Nothing is delivered to a witness.

use super::{Oracle, Violation, hold};
use crate::sim::trace::Short;
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, view::ViewId};
use std::{collections::BTreeMap, sync::Arc};

/// Oracle M4, initial view.
#[derive(Clone, Debug, Default)]
pub struct M4 {
    views: BTreeMap<usize, (ViewId, Arc<[MemberId]>, bool)>,
}

impl Oracle for M4 {
    fn name(&self) -> &'static str {
        "M4"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            What::View(v) => {
                self.views.insert(o.process, (v.id, v.members.clone(), v.at_witness()));
            }
            What::Started | What::Crashed | What::Left(_) => {
                self.views.remove(&o.process);
            }
            What::Delivered { id, view, from, .. } => {
                let now = self.views.get(&o.process);
                hold!(self, now.is_some(), "{} delivers {id} without a view", Short(o.member));
                hold!(
                    self,
                    *view == now.map(|n| n.0),
                    "{} delivers {id} in {view:?}, not where it is",
                    Short(o.member)
                );
                let member = from.is_some_and(|f| now.is_some_and(|n| n.1.contains(&f)));
                let witness = now.is_some_and(|n| n.2);
                hold!(self, !witness, "{} is a witness, and delivers {id}", Short(o.member));
                hold!(self, member, "{} delivers {id} of {from:?}, who is not in the view", Short(o.member));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};
    use crate::{sim::trace::Installed, view::Role};

    #[test]
    fn verdicts() {
        Script::new().install(1, &[0, 1]).sent(0, 1).deliver_all(&[0, 1], 0, 1).passes(M4::default());
        Script::new().sent(0, 1).deliver(0, 0, 1).fails(M4::default());
        Script::new().install(1, &[0, 1]).crash(1).deliver(1, 0, 1).fails(M4::default());
        Script::new().install(1, &[0, 1]).deliver(0, 2, 1).fails(M4::default());
        let witness = |v: &mut Installed| v.roles = vec![Role { weight: 1, witness: true }; 2].into();
        Script::new().view(0, 1, &[0, 1]).alter(witness).deliver(0, 1, 1).fails(M4::default());
    }
}
