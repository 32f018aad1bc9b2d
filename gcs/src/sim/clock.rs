//! A process's own clock: it starts near zero, and it does not run exactly as fast as the others.

use crate::time::Time;

/// Turns true (simulated) time into one process's local time, and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalClock {
    /// True time of the process's start, in nanoseconds.
    start: u64,
    /// What the clock showed then, in nanoseconds.
    offset: u64,
    /// How much faster than true time it runs, in parts per million; negative is slower.
    ppm: i64,
}

impl LocalClock {
    /// A clock of a process that starts at `start` (true nanoseconds) and then reads `offset`. `ppm` is its drift, at
    /// most half a million either way.
    #[must_use]
    pub fn new(start: u64, offset: u64, ppm: i64) -> Self {
        Self { start, offset, ppm: ppm.clamp(-500_000, 500_000) }
    }

    /// What the clock shows at true time `at` (nanoseconds).
    #[must_use]
    pub fn local(&self, at: u64) -> Time {
        let ran = i128::from(at.saturating_sub(self.start));
        let shown = ran + ran * i128::from(self.ppm) / 1_000_000;
        Time(self.offset.saturating_add(u64::try_from(shown).unwrap_or(u64::MAX)))
    }

    /// The first true time, in nanoseconds, at which the clock shows `local` or more. `u64::MAX` for never.
    #[must_use]
    pub fn true_time(&self, local: Time) -> u64 {
        if local == Time::NEVER {
            return u64::MAX;
        }
        let shown = u128::from(local.0.saturating_sub(self.offset));
        let rate = u128::try_from(1_000_000 + self.ppm).unwrap_or(1);
        let ran = shown * 1_000_000 / rate;
        let mut at = self.start.saturating_add(u64::try_from(ran).unwrap_or(u64::MAX));
        // Rounding: at most a few nanoseconds.
        while self.local(at) < local && at < u64::MAX {
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for ppm in [-20_000, -100, 0, 1, 777, 20_000] {
            let clock = LocalClock::new(5_000, 42, ppm);
            assert_eq!(clock.local(5_000), Time(42));
            for local in [42, 43, 1_000, 123_456_789, 60_000_000_000] {
                let at = clock.true_time(Time(local));
                assert!(clock.local(at) >= Time(local), "{ppm} {local}");
                assert!(at == 5_000 || clock.local(at - 1) < Time(local), "{ppm} {local}: not the first");
            }
        }
        assert_eq!(LocalClock::new(0, 0, 5).true_time(Time::NEVER), u64::MAX);
    }
}
