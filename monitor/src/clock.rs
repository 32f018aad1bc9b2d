//! The one place where this crate reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gcs::time::Time;

/// A monotonic clock with an origin of its own. Copies agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "this is where time enters the program")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The present.
    pub(crate) fn now(self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long until `at`; at most a day.
    pub(crate) fn until(self, at: Time) -> Duration {
        at.since(self.now()).min(Duration::from_secs(24 * 3600))
    }

    /// Seconds since 1970 at its origin, as the clock of the machine is set at this moment.
    pub(crate) fn epoch_s(self) -> u64 {
        age(UNIX_EPOCH).saturating_sub(self.0.elapsed()).as_secs()
    }
}

/// How old something of this time of day is; zero if that lies ahead, because somebody's clock has been set.
#[expect(clippy::disallowed_methods, reason = "this is where time enters the program")]
pub(crate) fn age(at: SystemTime) -> Duration {
    SystemTime::now().duration_since(at).unwrap_or_default()
}
