//! [`Budget`]: how many signatures are looked at.

use gcs::time::Time;

/// Signatures that are looked at in a second for long; each takes some 50 µs.
pub const CHECKS_A_SECOND: u64 = 500;
/// And in one go after a rest: what a large table has, and some more.
pub const CHECKS_AT_ONCE: u64 = 2000;

/// What may still be looked at. Who sends nonsense takes a share of it, and never more than all.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    at: Time,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { left: CHECKS_AT_ONCE, at: Time::ZERO }
    }

    /// Whether anything is left.
    pub(super) fn any(&mut self, now: Time) -> bool {
        let fresh = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let fresh = fresh.saturating_mul(CHECKS_A_SECOND) / 1000;
        if fresh > 0 {
            self.at = now;
            self.left = self.left.saturating_add(fresh).min(CHECKS_AT_ONCE);
        }
        self.left > 0
    }

    /// So many were looked at.
    pub(super) fn spend(&mut self, signatures: u64) {
        self.left = self.left.saturating_sub(signatures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_after_a_burst() {
        let (mut budget, mut looked) = (Budget::new(), 0);
        for ms in 0..10_000 {
            while budget.any(Time::from_ms(ms)) {
                budget.spend(1);
                looked += 1;
            }
        }
        let expected = CHECKS_AT_ONCE + 10 * CHECKS_A_SECOND;
        assert!((expected - 10..=expected).contains(&looked), "{looked}");
    }
}
