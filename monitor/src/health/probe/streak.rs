//! [`Streak`]: hysteresis. One look that fails is not yet worth a word.

use crate::health::verdict::Finding;

/// How many looks in a row have to find the same before it is reported; 1 and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Until it is down.
    pub down: u32,
    /// Until it is up, or sluggish.
    pub up: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { down: 2, up: 2 }
    }
}

/// What the last looks have found.
#[derive(Clone, Copy, Debug)]
pub struct Streak {
    thresholds: Thresholds,
    last: Option<Finding>,
    count: u32,
    reported: Option<Finding>,
}

impl Streak {
    /// Nothing has been found yet: the first look counts at once.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, last: None, count: 0, reported: None }
    }

    /// A look has found this. What is to be said from now on.
    pub fn look(&mut self, found: Finding) -> Finding {
        self.count = if self.last == Some(found) { self.count.saturating_add(1) } else { 1 };
        self.last = Some(found);
        let needed = if found == Finding::Down { self.thresholds.down } else { self.thresholds.up };
        match self.reported {
            Some(reported) if self.count < needed => reported,
            _ => *self.reported.insert(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Finding::{Down as D, Sluggish as S, Up as U};

    #[test]
    fn one_miss_is_not_reported_and_two_are() {
        let mut streak = Streak::new(Thresholds { down: 2, up: 3 });
        let looks = [U, D, U, D, D, U, U, D, U, U, U, S, S, S];
        let said: Vec<_> = looks.into_iter().map(|found| streak.look(found)).collect();
        assert_eq!(said, [U, U, U, U, D, D, D, D, D, D, U, U, U, S]);
    }

    #[test]
    fn the_first_look_counts() {
        assert_eq!(Streak::new(Thresholds::default()).look(D), D);
    }
}
