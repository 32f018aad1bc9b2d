//! The round-trip time, and when to give up waiting (RFC 6298).
//!
//! Deviation: the variance's share of the timeout, not the timeout, has a minimum (200 ms, as Linux does), so that a
//! receiver that delays its acknowledgement by 200 ms is not taken for a loss.

use std::time::Duration;

use gcs::time::Time;
use serde::{Deserialize, Serialize};

/// The timeout before the first measurement (RFC 6298, section 2.1).
const FIRST: Duration = Duration::from_secs(1);
/// The timeout behind a SYN that had to be sent again (RFC 6298, section 5.7).
const FIRST_SLOW: Duration = Duration::from_secs(3);
/// Least share of the variance in the timeout.
const LEAST: Duration = Duration::from_millis(200);
/// The longest timeout, backed off (RFC 6298, rule 2.5, asks for at least 60 s).
const MOST: Duration = Duration::from_secs(60);
/// How long the least round-trip time counts before it is measured anew.
const LEAST_RTT_COUNTS: Duration = Duration::from_secs(300);

/// What is known of the path's round-trip time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rtt {
    /// Smoothed time and its mean deviation; None before the first measurement.
    smoothed: Option<(Duration, Duration)>,
    /// The least one, and when it was measured.
    least: Option<(Duration, Time)>,
    /// How often the timeout has doubled since the last measurement.
    backoff: u8,
    /// The SYN had to be sent again.
    slow: bool,
}

impl Rtt {
    /// Takes a measurement of something that was sent once (Karn's rule), or that a timestamp tells apart.
    pub(crate) fn measured(&mut self, now: Time, rtt: Duration) {
        let (srtt, var) = match self.smoothed {
            None => (rtt, rtt / 2),
            Some((srtt, var)) => ((srtt * 7 + rtt) / 8, (var * 3 + srtt.abs_diff(rtt)) / 4),
        };
        self.smoothed = Some((srtt, var));
        self.backoff = 0;
        if self.least.is_none_or(|(least, at)| rtt <= least || now.since(at) > LEAST_RTT_COUNTS) {
            self.least = Some((rtt, now));
        }
    }

    /// The smoothed round-trip time.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(|(srtt, _)| srtt)
    }

    /// The least round-trip time of the last minutes.
    pub(crate) fn least(&self) -> Option<Duration> {
        self.least.map(|(least, _)| least)
    }

    /// The retransmission timeout, backed off.
    pub(crate) fn timeout(&self) -> Duration {
        let first = if self.slow { FIRST_SLOW } else { FIRST };
        let plain = self.smoothed.map_or(first, |(srtt, var)| srtt + (var * 4).max(LEAST));
        (plain * (1 << self.backoff.min(10))).min(MOST)
    }

    /// The timeout has passed without an acknowledgement (rule 5.5).
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// Our SYN is acknowledged.
    pub(crate) fn opened(&mut self) {
        self.slow = self.backoff > 0 && self.smoothed.is_none();
        self.backoff = 0;
    }

    /// The path is another one, or its end: it is not to be held against it how often the timeout has passed.
    pub(crate) fn forget_backoff(&mut self) {
        self.backoff = 0;
    }

    /// What must hold; for values that come from elsewhere.
    pub(crate) fn holds(&self) -> bool {
        let sane = |d: Duration| d < Duration::from_secs(1 << 20);
        self.smoothed.is_none_or(|(srtt, var)| sane(srtt) && sane(var))
            && self.least.is_none_or(|(least, _)| sane(least))
    }

    /// How often the timeout has passed in a row.
    pub(crate) fn backed_off(&self) -> u8 {
        self.backoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_timeout_follows_the_measurements() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(), ms(1000), "rule 2.1");
        rtt.measured(Time::ZERO, ms(100));
        assert_eq!(rtt.timeout(), ms(300), "rule 2.2: R + 4 * R/2");
        for _ in 0..100 {
            rtt.measured(Time::ZERO, ms(100));
        }
        assert!(rtt.timeout() <= ms(301), "the variance's share has a minimum");
        rtt.measured(Time::ZERO, ms(1000));
        assert!(rtt.timeout() > ms(1000), "rule 2.3: the deviation counts four times");
    }

    #[test]
    fn the_timeout_doubles_up_to_a_minute_and_comes_back_with_a_measurement() {
        let mut rtt = Rtt::default();
        rtt.measured(Time::ZERO, ms(100));
        for expected in [600, 1200, 2400] {
            rtt.back_off();
            assert_eq!(rtt.timeout(), ms(expected), "rule 5.5");
        }
        for _ in 0..300 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout(), MOST);
        rtt.measured(Time::ZERO, ms(100));
        assert_eq!(rtt.timeout(), ms(300), "section 5.7: with a measurement only");
    }

    #[test]
    fn the_least_time_is_measured_anew_after_minutes() {
        let mut rtt = Rtt::default();
        rtt.measured(Time::ZERO, ms(10));
        rtt.measured(Time::from_ms(1000), ms(20));
        assert_eq!(rtt.least(), Some(ms(10)));
        rtt.measured(Time::from_ms(400_000), ms(20));
        assert_eq!(rtt.least(), Some(ms(20)));
    }
}
