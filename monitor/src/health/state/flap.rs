//! Damping: what goes up and down too often is held down until it has been quiet for a while (as routes are, RFC 2439).
//!
//! Each time that an instance goes down costs it [`PENALTY`]; half of what has come together is forgiven in [`HALF_LIFE_MS`]. From
//! [`HOLD`] on it stays down, whatever is found, until less than [`RELEASE`] is left. No more than [`MOST`] comes together: it is held for
//! four half-lives at the longest. Whole numbers only, so that all representatives compute the same.

use serde::{Deserialize, Serialize};

const PENALTY: u64 = 1_000;
/// The fourth time in a short while.
const HOLD: u64 = 3_500;
const RELEASE: u64 = 750;
const MOST: u64 = 12_000;
const HALF_LIFE_MS: u64 = 60_000;

/// What has come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flap {
    penalty: u64,
    /// As of when.
    at_ms: u64,
    held: bool,
}

impl Flap {
    /// What is left at a time. Between two halvings it falls in a straight line.
    fn left(self, now_ms: u64) -> u64 {
        let passed = now_ms.saturating_sub(self.at_ms);
        let halvings = passed / HALF_LIFE_MS;
        let whole = if halvings < 64 { self.penalty >> halvings } else { 0 };
        whole - whole * (passed % HALF_LIFE_MS) / (2 * HALF_LIFE_MS)
    }

    /// It goes down.
    pub(super) fn down(&mut self, now_ms: u64) {
        let penalty = (self.left(now_ms) + PENALTY).min(MOST);
        *self = Self { penalty, at_ms: now_ms, held: self.held || penalty >= HOLD };
    }

    /// Whether it is held down.
    pub(super) fn is_held(self) -> bool {
        self.held
    }

    /// Whether it was held down, and is no longer from now on.
    pub(super) fn release(&mut self, now_ms: u64) -> bool {
        let released = self.held && self.left(now_ms) < RELEASE;
        self.held &= !released;
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_forgiven_in_a_half_life() {
        let flap = Flap { penalty: 1_000, at_ms: 5, held: false };
        assert_eq!(flap.left(5), 1_000);
        assert_eq!(flap.left(5 + HALF_LIFE_MS / 2), 750);
        assert_eq!(flap.left(5 + HALF_LIFE_MS), 500);
        assert_eq!(flap.left(5 + 3 * HALF_LIFE_MS), 125);
        assert_eq!(flap.left(u64::MAX), 0);
    }

    #[test]
    fn who_flaps_is_held_and_let_go_when_it_is_quiet() {
        let mut flap = Flap::default();
        for at in [0, 1_000, 2_000] {
            flap.down(at);
            assert!(!flap.is_held());
        }
        flap.down(3_000);
        assert!(flap.is_held() && !flap.release(60_000));
        assert!(flap.release(4 * HALF_LIFE_MS) && !flap.is_held());
        assert!(!flap.release(4 * HALF_LIFE_MS));
    }

    #[test]
    fn seldom_is_not_often() {
        let mut flap = Flap::default();
        for nth in 0..100 {
            flap.down(nth * HALF_LIFE_MS);
            assert!(!flap.is_held());
        }
    }

    #[test]
    fn nobody_is_held_for_ever() {
        let mut flap = Flap::default();
        (0..1_000).for_each(|at| flap.down(at));
        assert!(flap.release(1_000 + 5 * HALF_LIFE_MS));
    }
}
