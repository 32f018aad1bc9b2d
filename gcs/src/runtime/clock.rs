//! The one place where the crate reads clocks and asks for randomness.

use crate::{id::Incarnation, time::Time};
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A monotonic clock with an origin of its own. Copies agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "the runtime is where time enters the program")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The present.
    pub(crate) fn now(self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The instant that protocol code calls `at`; at most a day ahead of the present, for timers.
    pub(crate) fn instant(self, at: Time) -> Instant {
        let limit = self.now() + Duration::from_secs(24 * 3600);
        self.origin + Duration::from_nanos(at.min(limit).0)
    }
}

/// The time of day, in nanoseconds since the Unix epoch; 0 before it.
#[expect(clippy::disallowed_methods, reason = "the runtime is where time enters the program")]
pub(crate) fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A random number from the operating system. Not for secrets: it comes through the keys of the standard hasher.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(wall_ns())
}

/// An incarnation for a process that starts now: later starts are larger, and two starts at one address within the
/// same 65 microseconds still differ (with a probability of 32767/32768).
pub(crate) fn incarnation() -> Incarnation {
    // The low bits are below half of their range: rejoins count upwards from here.
    Incarnation((wall_ns() & !0xffff) | (random() & 0x7fff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnations_grow_and_differ() {
        let (a, b) = (incarnation(), incarnation());
        assert!(b.0 & !0xffff >= a.0 & !0xffff);
        assert_ne!(random(), random());
    }

    #[test]
    fn timers_far_ahead_do_not_overflow() {
        let clock = Clock::start();
        assert!(clock.instant(Time::NEVER) > clock.instant(Time::ZERO));
    }
}
