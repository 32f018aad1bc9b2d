//! [`Retry`]: when something that has not arrived is said again, and when it is given up.
//!
//! ```text
//!   said ──► arrived
//!     └────► failed ──► again after 0.5 s, 1 s, 2 s … 30 s ──► given up after TRIES; the next one is said
//!                 └──► nothing has arrived for `patience`: it is over
//! ```

use std::time::Duration;

use gcs::time::Time;

/// How often one thing is said.
pub(super) const TRIES: u32 = 12;
/// After the first failure; twice as long after each further one.
const FIRST: Duration = Duration::from_millis(500);
/// At most.
const LONGEST: Duration = Duration::from_secs(30);

/// What comes after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The same again, at this time.
    Again(Time),
    /// This is given up; the next thing may be said.
    GiveUp,
    /// Nobody has been there for too long.
    Over,
}

/// How it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    most: u32,
    patience: Duration,
    tries: u32,
    /// Since when nothing has arrived.
    failing_since: Option<Time>,
}

impl Retry {
    /// Each thing is said at most `most` times; it is over when nothing arrives for `patience`.
    pub(super) fn new(most: u32, patience: Duration) -> Self {
        Self { most, patience, tries: 0, failing_since: None }
    }

    /// It has arrived.
    pub(super) fn arrived(&mut self) {
        (self.tries, self.failing_since) = (0, None);
    }

    /// It has not arrived, as is known now.
    pub(super) fn failed(&mut self, now: Time) -> Then {
        let since = *self.failing_since.get_or_insert(now);
        self.tries += 1;
        let over = since + self.patience;
        if over <= now {
            return Then::Over;
        }
        if self.tries >= self.most {
            self.tries = 0;
            return Then::GiveUp;
        }
        let pause = FIRST * (1 << (self.tries - 1).min(10));
        // The last attempt is when patience ends.
        Then::Again((now + pause.min(LONGEST)).min(over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(300);

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn it_is_said_again_less_and_less_often_until_it_is_given_up() {
        let (mut retry, mut now, mut pauses) = (Retry::new(TRIES, PATIENCE), Time::ZERO, Vec::new());
        while let Then::Again(then) = retry.failed(now) {
            pauses.push(then.since(now).as_millis());
            now = then;
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000, 30_000]);
        assert_eq!(retry.failed(now), Then::Again(now + FIRST), "the next thing");
    }

    #[test]
    fn it_is_over_when_nothing_has_arrived_for_long_and_not_before() {
        let mut retry = Retry::new(TRIES, Duration::from_secs(3));
        assert_eq!(retry.failed(at(1000)), Then::Again(at(1500)));
        retry.arrived();
        assert_eq!(retry.failed(at(5000)), Then::Again(at(5500)));
        assert_eq!(retry.failed(at(5500)), Then::Again(at(6500)));
        assert_eq!(retry.failed(at(6500)), Then::Again(at(8000)), "the last time");
        assert_eq!(retry.failed(at(8000)), Then::Over);
    }

    #[test]
    fn what_is_said_once_is_given_up_at_once() {
        let mut retry = Retry::new(1, PATIENCE);
        assert_eq!(retry.failed(at(0)), Then::GiveUp);
        assert_eq!(retry.failed(at(299_999)), Then::GiveUp);
        assert_eq!(retry.failed(at(300_000)), Then::Over);
    }
}
