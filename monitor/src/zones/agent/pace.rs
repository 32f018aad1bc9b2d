//! [`Pace`]: how often an agent issues a row that keeps changing.
//!
//! The first change is issued at once, the next few after [`super::Config::pace`], then twice that, four times …, until all rows that change as often
//! as this one fill what may be sent of their table, and no more. Then everybody gets each row that is issued, and it is the newest; where
//! more is issued than can be sent, rows overtake each other on the way, and most of what is sent is old.

use std::{sync::Arc, time::Duration};

use gcs::time::Time;

use super::Agent;
use crate::zones::{message::DATAGRAM, table::Issue};

/// A row changes all the time if it has done so within this time. Nor does any row wait longer.
const LATELY: Duration = Duration::from_secs(60);
/// How many issues a row may be ahead of an even pace, and how many before it waits longer for the next one.
const OWED_MAX: u32 = 12;
const OWED_FREE: u128 = 3;
/// Bytes that a row costs besides, in a message of its own: stamp, datagram, zone.
const ROW: usize = 16 + DATAGRAM + 12;

/// Of one row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    next: Time,
    /// Until then it waits for others to answer.
    held: Time,
    /// If it had been issued evenly, as often as it may when it keeps changing, the next time would be then.
    owed: Time,
}

impl Pace {
    /// Before, it is not issued.
    pub(super) fn next_at(&self) -> Time {
        self.next.max(self.held)
    }

    /// It is not issued before this moment, if it does not have to wait for one already.
    pub(super) fn hold(&mut self, now: Time, until: Time) {
        if self.held <= now {
            self.held = until;
        }
    }

    pub(super) fn is_held(&self, now: Time) -> bool {
        self.held > now
    }

    /// It need not wait any more.
    pub(super) fn free(&mut self) {
        self.held = Time::ZERO;
    }

    /// It is issued. `spacing` is the time between two issues if it keeps changing.
    pub(super) fn issued(&mut self, now: Time, pace: Duration, spacing: Duration) {
        let spacing = spacing.max(pace).max(Duration::from_millis(1));
        self.owed = self.owed.max(now).min(now + OWED_MAX * spacing) + spacing;
        let ahead = self.owed.since(now).as_nanos().div_ceil(spacing.as_nanos()).saturating_sub(OWED_FREE);
        let gap = pace.saturating_mul(1 << ahead.min(u128::from(OWED_MAX)));
        self.next = now + gap.min(spacing);
    }
}

impl Agent {
    /// After how long all rows of a table that keep changing can have been sent once, to everybody, out of this table's share.
    pub(super) fn spacing(&self, now: Time, level: usize) -> Duration {
        let table = &self.tables[level];
        let since = Time(now.0.saturating_sub(u64::try_from(LATELY.as_nanos()).unwrap_or(u64::MAX)));
        let bytes = |(child, issue): (&Arc<str>, &Arc<Issue>)| ROW + child.len() + issue.bytes;
        let bytes = table.changed(since).map(bytes).sum::<usize>() as u64;
        let share = (self.config.rate / self.tables.len() as u64).max(1);
        Duration::from_millis(bytes * 1000 / share).min(LATELY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_millis(300);

    /// How often a row is issued in so long, if it changes every 100 ms and may be issued each 10 s.
    fn issues(pace: &mut Pace, from: u64, to: u64) -> Vec<u64> {
        let due = |at: &u64| {
            let now = Time::from_ms(*at);
            let issued = pace.next_at() <= now;
            if issued {
                pace.issued(now, PACE, Duration::from_secs(10));
            }
            issued
        };
        (from..to).step_by(100).filter(due).collect()
    }

    #[test]
    fn the_first_changes_are_issued_at_once_and_then_as_often_as_may_be() {
        let mut pace = Pace::default();
        let first = issues(&mut pace, 1_000, 100_000);
        assert_eq!(first[..4], [1_000, 1_300, 1_600, 1_900]);
        assert!(first.len() <= 18, "{first:?}");
        let later = issues(&mut pace, 100_000, 200_000);
        assert!((9..=11).contains(&later.len()), "{later:?}");
        // After a rest it is as new.
        assert_eq!(issues(&mut pace, 400_000, 400_900).len(), 3);
    }

    #[test]
    fn what_is_held_waits_once() {
        let mut pace = Pace::default();
        pace.hold(Time::from_ms(1_000), Time::from_ms(2_000));
        pace.hold(Time::from_ms(1_500), Time::from_ms(2_500));
        assert!(pace.is_held(Time::from_ms(1_999)) && !pace.is_held(Time::from_ms(2_000)));
        pace.free();
        assert_eq!(pace.next_at(), Time::ZERO);
    }
}
