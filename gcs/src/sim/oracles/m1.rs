//! M1, self-inclusion: p installs V ⇒ p ∈ V.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};

/// Oracle M1, self-inclusion.
#[derive(Clone, Copy, Debug, Default)]
pub struct M1;

impl Oracle for M1 {
    fn name(&self) -> &'static str {
        "M1"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if let What::View(v) = &o.what {
            let at_rank = v.members.get(usize::from(v.rank));
            hold!(
                self,
                at_rank == Some(&o.member),
                "{} is not at rank {} of view {}",
                o.member,
                v.rank,
                v.id
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        Script::new().install(1, &[0, 1, 2]).passes(M1);
        Script::new().install(1, &[0, 1]).view(2, 1, &[0, 1]).fails(M1);
        Script::new().view(1, 1, &[0, 1]).alter(|v| v.rank = 0).fails(M1);
    }
}
