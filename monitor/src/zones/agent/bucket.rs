//! [`Bucket`]: how much an agent may send.

use std::time::Duration;

use gcs::time::Time;

/// Bytes that may be taken before it is not little any more.
const PLENTY: u64 = 12 << 10;

/// A bucket of tokens, one for a byte (Turner, "New directions in communications", IEEE Communications 24(10), 1986).
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    tokens: u64,
    burst: u64,
    at: Time,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(burst: u64) -> Self {
        Self { tokens: burst, burst, at: Time::ZERO }
    }

    /// Whether little has been taken lately.
    pub(super) fn plenty(&mut self, now: Time, rate: u64) -> bool {
        self.fill(now, rate);
        self.tokens + PLENTY >= self.burst
    }

    /// Whether there are tokens for so many bytes.
    pub(super) fn holds(&mut self, now: Time, rate: u64, bytes: usize) -> bool {
        self.fill(now, rate);
        self.tokens >= self.needed(bytes)
    }

    /// Takes tokens for so many bytes, if there are as many, or if it is full: what is larger than all of it passes then. It fills at `rate` a
    /// second.
    pub(super) fn take(&mut self, now: Time, rate: u64, bytes: usize) -> bool {
        let enough = self.holds(now, rate, bytes);
        if enough {
            self.tokens = self.tokens.saturating_sub(bytes as u64);
        }
        enough
    }

    fn fill(&mut self, now: Time, rate: u64) {
        let ms = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let fresh = ms.saturating_mul(rate) / 1000;
        if fresh > 0 {
            self.at = now;
            self.tokens = self.tokens.saturating_add(fresh).min(self.burst);
        }
    }

    /// How long until there are so many.
    pub(super) fn wait(&self, rate: u64, bytes: usize) -> Duration {
        let lacking = self.needed(bytes).saturating_sub(self.tokens);
        Duration::from_millis((lacking * 1000).div_ceil(rate.max(1)).max(1))
    }

    fn needed(&self, bytes: usize) -> u64 {
        self.burst.min(bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_after_a_burst() {
        let mut bucket = Bucket::new(1000);
        let (mut sent, mut now) = (0, Time::ZERO);
        while now < Time::from_ms(10_000) {
            if bucket.take(now, 500, 100) {
                sent += 100;
            } else {
                now = now + bucket.wait(500, 100);
            }
        }
        assert!((5_900..=6_100).contains(&sent), "{sent}");
    }

    #[test]
    fn what_is_larger_than_the_bucket_waits_until_it_is_full() {
        let mut bucket = Bucket::new(1000);
        assert!(bucket.take(Time::ZERO, 500, 5000));
        assert!(!bucket.take(Time::from_ms(1999), 500, 5000));
        assert!(bucket.take(Time::from_ms(1999) + bucket.wait(500, 5000), 500, 5000));
    }
}
