//! How often something is answered: a token bucket.

use gcs::time::Time;
use std::time::Duration;

/// At most `burst` at once, and one more each `interval`.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    interval: Duration,
    burst: u32,
    left: u32,
    counted: Time,
}

impl Rate {
    /// `per_second` is the sustained rate; 0 allows nothing.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(per_second).unwrap_or(Duration::MAX);
        let burst = if per_second == 0 { 0 } else { burst.max(1) };
        Self { interval: interval.max(Duration::from_nanos(1)), burst, left: burst, counted: Time::ZERO }
    }

    /// Takes one if there is one.
    pub(crate) fn allows(&mut self, now: Time) -> bool {
        if self.left < self.burst {
            let new = now.since(self.counted).as_nanos() / self.interval.as_nanos();
            let new = u32::try_from(new).unwrap_or(u32::MAX);
            if new >= self.burst - self.left {
                self.left = self.burst;
                self.counted = now;
            } else {
                self.left += new;
                self.counted = self.counted + self.interval * new;
            }
        } else {
            self.counted = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut rate = Rate::new(10, 3);
        let allowed = |rate: &mut Rate, ms, n: u32| (0..n).filter(|_| rate.allows(Time::from_ms(ms))).count();
        assert_eq!(allowed(&mut rate, 0, 10), 3);
        assert_eq!(allowed(&mut rate, 99, 10), 0);
        assert_eq!(allowed(&mut rate, 250, 10), 2);
        assert_eq!(allowed(&mut rate, 300, 10), 1, "fractions are not lost");
        assert_eq!(allowed(&mut rate, 3_600_000, 10), 3);
        assert_eq!(allowed(&mut Rate::new(0, 5), 1000, 10), 0);
    }
}
