//! What checks say of a back end.
//!
//! ```text
//!             `fall` failures in a row
//!        up ───────────────────────────► down
//!         ▲ ◄─────────────────────────── │
//!             `rise` successes in a row
//! ```
//!
//! A check opens a connection from a virtual address and resets it as soon as it is open: the back end's system sees it, the program does not.

use gcs::time::Time;
use serde::{Deserialize, Serialize};

use super::Check;
use crate::tcp::Id;

/// The health of a back end. Good until checks say otherwise: a connection that fails goes to the next one anyway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Health {
    pub(super) up: bool,
    /// Checks in a row that say otherwise.
    contrary: u8,
    /// The check that is under way.
    pub(super) check: Option<Id>,
    /// When the next check begins, or the one under way has failed.
    pub(super) at: Time,
}

impl Health {
    /// A back end whose first check begins at `first`.
    pub(super) fn new(first: Time) -> Self {
        Self { up: true, contrary: 0, check: None, at: first }
    }

    /// A check has ended. Whether that changes what is thought of the back end.
    pub(super) fn checked(&mut self, well: bool, rules: &Check) -> bool {
        self.check = None;
        if well == self.up {
            self.contrary = 0;
            return false;
        }
        self.contrary = self.contrary.saturating_add(1);
        let changes = self.contrary >= if self.up { rules.fall } else { rules.rise };
        if changes {
            (self.up, self.contrary) = (well, 0);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_several_in_a_row() {
        let rules = Check { rise: 2, fall: 3, ..Check::default() };
        let mut health = Health::new(Time::ZERO);
        let mut after = |outcomes: &str| {
            let changes = outcomes.chars().filter(|c| health.checked(*c == '+', &rules)).count();
            (health.up, changes)
        };
        assert_eq!(after("+--+--+"), (true, 0));
        assert_eq!(after("---"), (false, 1));
        assert_eq!(after("-+-+-"), (false, 0));
        assert_eq!(after("++"), (true, 1));
        assert_eq!(after("---++"), (true, 2));
    }
}
