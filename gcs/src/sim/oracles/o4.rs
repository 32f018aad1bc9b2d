//! O4, uniform delivery: anyone, even one that crashed, delivered m in V ⇒ every survivor V→V' delivers it in V. (In the
//! same place: that is O3's uniform form.)

use super::sets::Current;
use super::{Oracle, Violation, hold};
use crate::sim::trace::Short;
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, sim::envelope::MessageId, view::ViewId};
use std::collections::{BTreeMap, BTreeSet};

/// Oracle O4, uniform delivery.
#[derive(Debug, Default)]
pub struct O4 {
    current: Current,
    /// By view: what anybody delivered there, and who did first.
    delivered: BTreeMap<ViewId, BTreeMap<MessageId, MemberId>>,
    /// By view: what the survivors delivered there, once one has gone on.
    survived: BTreeMap<ViewId, BTreeSet<MessageId>>,
}

impl Oracle for O4 {
    fn name(&self) -> &'static str {
        "O4"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        let passage = self.current.observe(o);
        if let What::Delivered { id, view: Some(view), .. } = &o.what
            && self.current.of(o.process).is_some_and(|d| !d.transitional)
        {
            self.delivered.entry(*view).or_default().entry(*id).or_insert(o.member);
            let missed = self.survived.get(view).is_some_and(|s| !s.contains(id));
            let me = Short(o.member);
            hold!(self, !missed, "{me} delivers {id} in view {view}; those who went on had not delivered it");
        }
        let Some(passage) = passage else { return Ok(()) };
        let view = passage.old.view;
        let mine: BTreeSet<_> = passage.old.messages.into_iter().collect();
        let all = self.delivered.get(&view);
        let missing = all.and_then(|all| all.iter().find(|(m, _)| !mine.contains(m)));
        let me = Short(o.member);
        hold!(
            self,
            missing.is_none(),
            "{me} goes on from view {view} without {missing:?}, who delivered it there"
        );
        self.survived.entry(view).or_insert(mine);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1, 2]).sent(0, 1).deliver(0, 0, 1);
        script.clone().deliver_all(&[1, 2], 0, 1).install(2, &[0, 1, 2]).passes(O4::default());
        // 0 delivers and crashes; the others must have it.
        let crashed = script.clone().crash(0);
        crashed.clone().deliver_all(&[1, 2], 0, 1).install(2, &[1, 2]).passes(O4::default());
        crashed.view(1, 2, &[1, 2]).fails(O4::default());
    }

    #[test]
    fn who_is_forced_has_a_history_of_its_own() {
        let script = Script::new().install(1, &[0, 1, 2]).sent(0, 1).deliver(0, 0, 1).sent(1, 1);
        let forced = script.push(2, What::Forced).deliver(2, 1, 1).epoch(2).view(2, 1, &[2]);
        let others = forced.clone().epoch(1).deliver(1, 0, 1);
        others.view(0, 2, &[0, 1]).view(1, 2, &[0, 1]).passes(O4::default());
        forced.epoch(1).view(1, 2, &[0, 1]).fails(O4::default());
    }

    #[test]
    fn a_late_delivery_by_the_excluded() {
        let script = Script::new().install(1, &[0, 1, 2]).sent(0, 1).view(1, 2, &[1, 2]);
        script.deliver(0, 0, 1).fails(O4::default());
    }
}
