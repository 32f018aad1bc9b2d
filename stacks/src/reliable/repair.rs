//! When to ask for missing frames of one stream, and for which.
//!
//! ```text
//! gap seen ──tolerance──▶ ask for what is new ──timeout──▶ ask for all that is missing, elsewhere if nothing came
//!                                ▲      │                              │  (timeout doubles)
//!                                └──────┘ more gaps, a batch at a time └──▶ …
//! ```

use super::{codec::Ranges, store::Stream};
use gcs::time::Time;
use std::time::Duration;

/// Frames that overtake others by less than this are no loss.
pub(super) const TOLERANCE: Duration = Duration::from_millis(1);
/// What others know of a stream may reach this member that much earlier than the stream itself.
pub(super) const HEARSAY_TOLERANCE: Duration = Duration::from_millis(5);
const TIMEOUT_MIN: Duration = Duration::from_millis(5);
const TIMEOUT_MAX: Duration = Duration::from_millis(50);
const FETCH_TIMEOUT: Duration = Duration::from_millis(10);
/// How many frames beyond the frontier are asked for before earlier ones arrive.
const ASKED_MAX: u64 = 512;

/// The state of repair of one stream.
#[derive(Debug)]
pub(super) struct Repair {
    /// When to ask for gaps beyond `asked_to`.
    fresh_at: Time,
    /// When to ask again for everything that is missing. Set while an answer is awaited.
    retry_at: Time,
    asked_to: u64,
    asked_at: Time,
    /// Whether anything that was asked for has come since.
    answered: bool,
    /// Counts requests without an answer.
    attempt: u32,
    /// How long answers take, smoothed.
    reply: Duration,
}

impl Repair {
    pub(super) fn new() -> Self {
        Self {
            fresh_at: Time::NEVER,
            retry_at: Time::NEVER,
            asked_to: 0,
            asked_at: Time::ZERO,
            answered: false,
            attempt: 0,
            reply: Duration::ZERO,
        }
    }

    pub(super) fn due(&self) -> Time {
        self.fresh_at.min(self.retry_at)
    }

    /// A frame that was missing has arrived.
    pub(super) fn arrived(&mut self, seq: u64, now: Time) {
        if seq > self.asked_to || self.answered || self.retry_at == Time::NEVER {
            return;
        }
        self.answered = true;
        // Karn's rule: the answer to a repeated request says nothing about how long answers take.
        if self.attempt == 0 {
            self.reply = (self.reply * 7 + now.since(self.asked_at)) / 8;
        }
    }

    /// Plans a request, when frames up to `limit` are to be had and some are missing.
    pub(super) fn plan(&mut self, stream: &Stream, limit: u64, at: Time) {
        if stream.frontier >= limit {
            (self.fresh_at, self.retry_at, self.attempt) = (Time::NEVER, Time::NEVER, 0);
        } else if limit > self.asked_to && self.asked_to.saturating_sub(stream.frontier) < ASKED_MAX {
            self.fresh_at = self.fresh_at.min(at);
        }
    }

    /// Begins anew, with a first request at once.
    pub(super) fn restart(&mut self, now: Time) {
        (self.fresh_at, self.retry_at, self.asked_to, self.attempt) = (now, Time::NEVER, 0, 0);
    }

    /// The answer that is awaited will not come.
    pub(super) fn give_up_waiting(&mut self, now: Time) {
        if self.retry_at != Time::NEVER {
            self.retry_at = now;
        }
    }

    /// What to ask for now (at most `frames` frames), and how many requests before this one were not answered.
    pub(super) fn next(
        &mut self,
        now: Time,
        stream: &Stream,
        limit: u64,
        fetching: bool,
        frames: u32,
    ) -> Option<(Ranges, u32)> {
        if self.due() > now {
            return None;
        }
        if self.retry_at <= now {
            self.attempt = if self.answered { 0 } else { self.attempt + 1 };
            self.asked_to = stream.frontier;
        }
        self.fresh_at = Time::NEVER;
        let (ranges, last) = stream.missing(self.asked_to, limit, frames);
        if ranges.is_empty() {
            self.asked_to = self.asked_to.max(last);
            if self.retry_at <= now {
                self.retry_at = Time::NEVER;
            }
            return None;
        }
        if self.retry_at <= now || self.retry_at == Time::NEVER {
            (self.answered, self.asked_at) = (false, now);
            self.retry_at = now + self.timeout(fetching);
        }
        self.asked_to = last;
        // The next batch of gaps, when this one is on its way.
        self.plan(stream, limit, now + TOLERANCE);
        Some((ranges, self.attempt))
    }

    fn timeout(&self, fetching: bool) -> Duration {
        if fetching {
            return FETCH_TIMEOUT.max(self.reply * 2);
        }
        let base = TIMEOUT_MIN.max(self.reply * 2);
        (base * (1 << self.attempt.min(4))).min(TIMEOUT_MAX.max(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(sent: u64) -> Stream {
        let mut s = Stream::new();
        s.note_sent(sent);
        s
    }

    #[test]
    fn requests_are_repeated_less_and_less_often() {
        let (mut r, s) = (Repair::new(), behind(3));
        r.plan(&s, 3, Time::from_ms(1));
        assert_eq!(r.next(Time::ZERO, &s, 3, false, 64), None, "reordering is tolerated");
        let mut gaps = Vec::new();
        for attempt in 0..6 {
            let now = r.due();
            let (ranges, n) = r.next(now, &s, 3, false, 64).expect("due");
            assert_eq!((ranges.as_slice(), n), (&[(1, 3)][..], attempt));
            gaps.push(r.due().since(now).as_millis());
        }
        assert_eq!(gaps, [5, 10, 20, 40, 50, 50]);
    }

    #[test]
    fn an_answer_in_time_keeps_the_timeout_short() {
        let (mut r, s) = (Repair::new(), behind(3));
        r.plan(&s, 3, Time::ZERO);
        for _ in 0..5 {
            let now = r.due();
            assert_eq!(r.next(now, &s, 3, false, 64).map(|(_, attempt)| attempt), Some(0));
            r.arrived(2, now + TOLERANCE);
            assert_eq!(r.due(), now + TIMEOUT_MIN);
        }
    }

    #[test]
    fn large_gaps_are_asked_for_in_batches() {
        let (mut r, s) = (Repair::new(), behind(2000));
        r.plan(&s, 2000, Time::ZERO);
        let mut asked = 0;
        while r.due() < Time::from_ms(5) {
            let now = r.due();
            let (ranges, _) = r.next(now, &s, 2000, false, 200).expect("due");
            assert_eq!(ranges.as_slice(), [(asked + 1, 200)]);
            asked += 200;
        }
        assert_eq!(asked, 600, "then it waits for answers");
    }
}
