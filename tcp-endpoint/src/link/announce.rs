//! When the addresses are announced: on taking them, at intervals, and when somebody else claims them (RFC 5227
//! section 2.4).
//!
//! ```text
//!   begin  0   50      200               1000 ms ...  every `Config::announce_every`
//!          *    *       *                  *                       *
//! ```
//! Repeated because announcements are not acknowledged, and because a switch port may not forward yet. Bounds:
//! [`CLAIMANTS`] MACs are told apart.

use super::mac::Mac;
use gcs::time::Time;
use std::{collections::BTreeMap, time::Duration};

/// After the beginning, in milliseconds.
const ROUNDS_MS: [u64; 4] = [0, 50, 200, 1000];
/// Claimants that are told apart; further ones are only counted.
pub(crate) const CLAIMANTS: usize = 16;

/// The timetable of one link.
#[derive(Debug)]
pub(crate) struct Announcer {
    every: Duration,
    defend_every: Duration,
    /// When it began and which round is next; none while the link is not active.
    began: Option<(Time, usize)>,
    next: Time,
    /// When the next defence is allowed.
    defend_from: Time,
    claimants: BTreeMap<Mac, u64>,
}

impl Announcer {
    pub(crate) fn new(every: Duration, defend_every: Duration) -> Self {
        let every = every.max(Duration::from_secs(1));
        let (next, defend_from, claimants) = (Time::NEVER, Time::ZERO, BTreeMap::new());
        Self { every, defend_every, began: None, next, defend_from, claimants }
    }

    /// The addresses are ours from `now` on: the first round is due.
    pub(crate) fn begin(&mut self, now: Time) {
        self.began = Some((now, 0));
        self.next = now;
        self.defend_from = now;
        self.claimants.clear();
    }

    pub(crate) fn end(&mut self) {
        self.began = None;
        self.next = Time::NEVER;
    }

    pub(crate) fn next_timer(&self) -> Time {
        self.next
    }

    /// Whether the addresses are to be announced now. Rounds that were missed are not made up for.
    pub(crate) fn due(&mut self, now: Time) -> bool {
        let Some((began, round)) = &mut self.began else { return false };
        if now < self.next {
            return false;
        }
        self.next = loop {
            *round += 1;
            let next = match ROUNDS_MS.get(*round) {
                Some(ms) => *began + Duration::from_millis(*ms),
                None => break now + self.every,
            };
            if next > now {
                break next;
            }
        };
        true
    }

    /// `mac` claims an address of ours. Returns whether it is the first time, and whether the addresses are to be defended.
    pub(crate) fn claimed(&mut self, now: Time, mac: Mac) -> (bool, bool) {
        let known = self.claimants.len();
        let new = match self.claimants.get_mut(&mac) {
            Some(count) => {
                *count += 1;
                false
            }
            None if known < CLAIMANTS => {
                self.claimants.insert(mac, 1);
                true
            }
            None => false,
        };
        let defend = self.began.is_some() && now >= self.defend_from;
        if defend {
            self.defend_from = now + self.defend_every;
        }
        (new, defend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcer() -> Announcer {
        Announcer::new(Duration::from_secs(60), Duration::from_secs(1))
    }

    #[test]
    fn the_timetable() {
        let mut a = announcer();
        assert!(!a.due(Time::from_ms(5)));
        a.begin(Time::from_ms(10));
        let mut at = Vec::new();
        while a.next_timer() < Time::from_ms(130_000) {
            let now = a.next_timer();
            assert!(a.due(now) && !a.due(now));
            at.push(now.0 / 1_000_000);
        }
        assert_eq!(at, [10, 60, 210, 1010, 61_010, 121_010]);
        a.end();
        assert_eq!(a.next_timer(), Time::NEVER);
        assert!(!a.due(Time::from_ms(1_000_000)));
    }

    #[test]
    fn missed_rounds_are_not_made_up_for() {
        let mut a = announcer();
        a.begin(Time::ZERO);
        assert!(a.due(Time::from_ms(300)));
        assert_eq!(a.next_timer(), Time::from_ms(1000));
    }

    #[test]
    fn defence_is_bounded_and_claimants_are_told_once() {
        let mut a = announcer();
        let mac = |n| Mac([2, 0, 0, 0, 0, n]);
        assert_eq!(a.claimed(Time::ZERO, mac(1)), (true, false), "not active: nothing to defend");
        a.begin(Time::ZERO);
        assert_eq!(a.claimed(Time::ZERO, mac(1)), (true, true));
        assert_eq!(a.claimed(Time::from_ms(999), mac(1)), (false, false));
        assert_eq!(a.claimed(Time::from_ms(1000), mac(1)), (false, true));
        let new = (2..200).filter(|n| a.claimed(Time::from_ms(1000), mac(*n)).0).count();
        assert_eq!(new, CLAIMANTS - 1);
    }
}
