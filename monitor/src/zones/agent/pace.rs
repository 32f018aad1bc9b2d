//! [`Pace`]: how often an agent issues a row that keeps changing.
//!
//! The first change is issued at once, the next ones after [`super::Config::pace`], twice that, four times …, until all rows that change as often
//! as this one fill what may be sent of their table, and no more. Then everybody gets each row that is issued, and it is the newest; where
//! more is issued than can be sent, rows overtake each other on the way, and most of what is sent is old.

use std::{sync::Arc, time::Duration};

use gcs::time::Time;

use super::Agent;
use crate::zones::{message::DATAGRAM, table::Issue};

/// A row changes all the time if it has done so within this time. Nor does any row wait longer.
const LATELY: Duration = Duration::from_secs(60);
/// Bytes that a row costs besides, in a message of its own: stamp, datagram, zone.
const ROW: usize = 16 + DATAGRAM + 12;

/// Of one row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    last: Time,
    next: Time,
    /// How often the time between two issues has been doubled.
    doubled: u32,
}

impl Pace {
    /// Before, it is not issued.
    pub(super) fn next_at(&self) -> Time {
        self.next
    }

    /// It is not issued before this moment.
    pub(super) fn hold(&mut self, until: Time) {
        self.next = self.next.max(until);
    }

    /// It is issued. `spacing` is the time between two issues if it keeps changing.
    pub(super) fn issued(&mut self, now: Time, pace: Duration, spacing: Duration) {
        if now.since(self.last) > 2 * spacing.max(pace) {
            self.doubled = 0;
        }
        let gap = pace.saturating_mul(1 << self.doubled.min(20));
        if gap < spacing {
            self.doubled += 1;
        }
        (self.last, self.next) = (now, now + gap.min(spacing).max(pace));
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
