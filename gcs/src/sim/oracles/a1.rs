//! A1, state-transfer cut: at the beginning of a view, everybody who has the state has the same one, and what a joiner
//! receives is the state at the beginning of the view that it says. With the deliveries that follow (D5, O3) a joiner's
//! state is then the donor's.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{id::MemberId, view::ViewId};
use std::collections::BTreeMap;

/// Oracle A1, state-transfer cut.
#[derive(Clone, Debug, Default)]
pub struct A1 {
    state: BTreeMap<ViewId, (MemberId, u64)>,
}

impl A1 {
    fn agree(&mut self, view: ViewId, who: MemberId, digest: u64) -> Result<(), Violation> {
        let (other, known) = *self.state.entry(view).or_insert((who, digest));
        hold!(
            self,
            known == digest,
            "{who} and {other} have different states at the beginning of view {view}"
        );
        Ok(())
    }
}

impl Oracle for A1 {
    fn name(&self) -> &'static str {
        "A1"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            What::View(v) => match v.digest {
                Some(digest) => self.agree(v.id, o.member, digest),
                None => Ok(()),
            },
            What::StateGiven { view, digest: Some(digest) }
            | What::StateRestored { view, digest: Some(digest) } => self.agree(*view, o.member, *digest),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Script, id},
        *,
    };

    #[test]
    fn verdicts() {
        let script = Script::new().view(0, 2, &[0, 1, 2]).alter(|v| v.digest = Some(5));
        let given = script.clone().push(0, What::StateGiven { view: id(2), digest: Some(5) });
        given.clone().push(2, What::StateRestored { view: id(2), digest: Some(5) }).passes(A1::default());
        given.push(2, What::StateRestored { view: id(2), digest: Some(6) }).fails(A1::default());
        script.view(1, 2, &[0, 1, 2]).alter(|v| v.digest = Some(6)).fails(A1::default());
    }
}
