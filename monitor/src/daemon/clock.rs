//! [`Clock`]: what an agent is told of time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gcs::time::Time;

/// One that does not go back, since it was made, and what the time of day is by it.
#[derive(Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the daemon is where time enters the program")]
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Seconds since 1970 at its beginning, as the clock of the machine is set at this moment.
    #[expect(clippy::disallowed_methods, reason = "the daemon is where time enters the program")]
    pub(super) fn epoch_s(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        since.saturating_sub(self.0.elapsed()).as_secs()
    }

    pub(super) fn instant(&self, time: Time) -> Option<tokio::time::Instant> {
        self.0.checked_add(Duration::from_nanos(time.0)).map(Into::into)
    }
}
