//! When suspicions are believed.
//!
//! What members say of each other's silence is as old as their last heartbeats. When links come back, or a stopped process
//! wakes up, some of it is contradicted at once, and the rest a heartbeat later: who acts between the two excludes a
//! member that is well, and with it what that member has cast. So for [`HEARTBEATS`] after a contradiction, silence
//! excludes nobody; evidence does. A contradiction is a suspicion that is withdrawn, or one of somebody whom this member
//! hears itself. During a period another contradiction does not prolong it, and a proposal that is under way gives up on
//! those that do not answer it: nobody is waited for without bound.

use crate::{layer::Suspicions, time::Time};
use std::time::Duration;

/// So many heartbeats it takes until everybody has heard what everybody else hears.
const HEARTBEATS: u32 = 2;

/// Whether suspicions have settled.
#[derive(Debug, Default)]
pub(super) struct Settling {
    until: Option<Time>,
    withdrawn: bool,
    /// Members that this one hears, and that are to be excluded for their silence.
    disputed: u64,
}

impl Settling {
    /// Takes note of what is withdrawn when `before` becomes `after`.
    pub(super) fn on_change(&mut self, before: &Suspicions, after: &Suspicions) {
        self.withdrawn |= before.silent.iter().zip(&after.silent).any(|(b, a)| b & !a != 0);
    }

    /// Takes the time, and note of a contradiction. `unheard`: those that this member does not hear; `excluded`: those
    /// that all suspicions together would exclude.
    pub(super) fn weigh(&mut self, now: Time, heartbeat: Duration, unheard: u64, excluded: u64) {
        let disputed = excluded & !unheard;
        let contradicted = std::mem::take(&mut self.withdrawn) || disputed & !self.disputed != 0;
        self.disputed = disputed;
        self.until = self.until.filter(|t| now < *t);
        if contradicted && self.until.is_none() {
            self.until = Some(now + heartbeat * HEARTBEATS);
        }
    }

    /// Whether silence excludes.
    pub(super) fn is_settled(&self) -> bool {
        self.until.is_none()
    }

    pub(super) fn deadline(&self) -> Time {
        self.until.unwrap_or(Time::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(50);

    fn silent(rows: [u64; 3]) -> Suspicions {
        let mut s = Suspicions::default();
        s.silent[..3].copy_from_slice(&rows);
        s
    }

    #[test]
    fn silence_that_nobody_contradicts_counts_at_once() {
        let mut s = Settling::default();
        s.on_change(&silent([0, 0, 0]), &silent([0b100, 0, 0]));
        s.weigh(Time::from_ms(1), BEAT, 0b100, 0b100);
        assert!(s.is_settled());
    }

    #[test]
    fn a_withdrawal_is_waited_for_once() {
        let mut s = Settling::default();
        s.on_change(&silent([0b110, 0, 0]), &silent([0b100, 0, 0]));
        s.weigh(Time::from_ms(1), BEAT, 0b100, 0b100);
        assert!(!s.is_settled() && s.deadline() == Time::from_ms(101));
        s.on_change(&silent([0, 0b100, 0]), &silent([0, 0, 0]));
        s.weigh(Time::from_ms(50), BEAT, 0b100, 0b100);
        assert_eq!(s.deadline(), Time::from_ms(101), "not prolonged");
        s.weigh(Time::from_ms(101), BEAT, 0b100, 0b100);
        assert!(s.is_settled());
    }

    #[test]
    fn a_dispute_that_lasts_is_believed() {
        let mut s = Settling::default();
        s.weigh(Time::from_ms(1), BEAT, 0, 0b100);
        assert!(!s.is_settled());
        s.weigh(Time::from_ms(101), BEAT, 0, 0b100);
        assert!(s.is_settled());
        s.weigh(Time::from_ms(200), BEAT, 0, 0b110);
        assert!(!s.is_settled(), "another one");
    }
}
