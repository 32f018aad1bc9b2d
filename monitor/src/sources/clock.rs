//! The one place where sources read clocks.

use std::time::{Duration, Instant, SystemTime};

use gcs::time::Time;

/// A monotonic clock with an origin of its own. Copies agree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "sources are where time enters the program")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// The present.
    pub(super) fn now(self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long until `at`; at most a day.
    pub(super) fn until(self, at: Time) -> Duration {
        at.since(self.now()).min(Duration::from_secs(24 * 3600))
    }
}

/// How old something of this time of day is; zero if that lies ahead, because somebody's clock has been set.
#[expect(clippy::disallowed_methods, reason = "sources are where time enters the program")]
pub(super) fn age(at: SystemTime) -> Duration {
    SystemTime::now().duration_since(at).unwrap_or_default()
}
