//! Which transmissions are lost: RACK (RFC 8985, section 6). A transmission is lost when one that left later has arrived and the
//! time that reordering may take has passed.

use std::time::Duration;

use gcs::time::Time;
use serde::{Deserialize, Serialize};

use super::flight::{Flight, Sent};

/// Recoveries for which a wider window for reordering is kept.
const PERSIST: u8 = 16;
/// The widest one, in quarters of the least round-trip time; the smoothed one bounds it as well.
const WIDEST: u32 = 64;
/// Packets that arrive out of order and count as a loss as long as no reordering was seen (RFC 5681); options may make them smaller than
/// the MSS.
const DUPLICATES: u64 = 3;

/// The state of the detection, named as in the RFC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rack {
    /// When the transmission left that is the last of those that arrived, and its end.
    newest: (Time, u64),
    rtt: Duration,
    /// The highest position that arrived.
    fack: u64,
    reordering_seen: bool,
    /// `reo_wnd_mult` and `reo_wnd_persist`.
    quarters: u32,
    persist: u8,
    /// The window has been widened for duplicates before this position.
    dsack_round: Option<u64>,
}

impl Default for Rack {
    fn default() -> Self {
        Self {
            newest: (Time::ZERO, 0),
            rtt: Duration::ZERO,
            fack: 0,
            reordering_seen: false,
            quarters: 1,
            persist: 0,
            dsack_round: None,
        }
    }
}

impl Rack {
    /// `sent` has arrived (steps 2 and 3). `first_copy`: it is known that an earlier transmission than the last arrived.
    pub(crate) fn arrived(&mut self, now: Time, sent: &Sent, least_rtt: Option<Duration>, first_copy: bool) {
        let rtt = now.since(sent.at);
        if !sent.again {
            if sent.end > self.fack {
                self.fack = sent.end;
            } else if sent.end < self.fack {
                self.reordering_seen = true;
            }
        } else if first_copy || least_rtt.is_some_and(|least| rtt < least) {
            return;
        }
        if sent.after(self.newest) {
            self.newest = (sent.at, sent.end);
            self.rtt = rtt;
        }
    }

    /// The peer has reported a duplicate: reordering is taken for longer (step 4).
    pub(crate) fn duplicate(&mut self, next: u64) {
        if self.dsack_round.is_none() {
            self.dsack_round = Some(next);
            self.quarters = (self.quarters + 1).min(WIDEST);
            self.persist = PERSIST;
        }
    }

    /// Everything before `una` is acknowledged; `recovered`: which ends a recovery.
    pub(crate) fn acknowledged(&mut self, una: u64, recovered: bool) {
        if self.dsack_round.is_some_and(|round| una >= round) {
            self.dsack_round = None;
        }
        if recovered {
            self.persist = self.persist.saturating_sub(1);
            if self.persist == 0 {
                self.quarters = 1;
            }
        }
    }

    fn window(
        &self,
        flight: &Flight,
        mss: u64,
        repairing: bool,
        rtts: (Option<Duration>, Option<Duration>),
    ) -> Duration {
        if !self.reordering_seen && (repairing || flight.arrived() > (DUPLICATES - 1) * mss) {
            return Duration::ZERO;
        }
        let (least, smoothed) = rtts;
        (least.unwrap_or_default() * self.quarters / 4).min(smoothed.unwrap_or_default())
    }

    /// Finds losses (step 5). When to look again, if something may turn out to be lost by time alone. `rtts`: the least and
    /// the smoothed round-trip time.
    pub(crate) fn detect(
        &self,
        now: Time,
        flight: &mut Flight,
        mss: u64,
        repairing: bool,
        rtts: (Option<Duration>, Option<Duration>),
    ) -> Option<Time> {
        if self.newest.1 == 0 {
            return None;
        }
        let patience = self.rtt + self.window(flight, mss, repairing, rtts);
        let mut again: Option<Time> = None;
        flight.lose(|s| {
            if s.after(self.newest) {
                return false;
            }
            let due = s.at + patience;
            if due > now {
                again = Some(again.map_or(due, |a| a.max(due)));
            }
            due <= now
        });
        again
    }

    /// At a timeout, also what left long enough ago is lost (section 6.3).
    pub(crate) fn timeout(&self, now: Time, flight: &mut Flight, rtts: (Option<Duration>, Option<Duration>)) {
        let patience = self.rtt + self.window(flight, 1, true, rtts);
        flight.lose(|s| s.at + patience <= now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const MSS: u64 = 1000;

    /// Ten packets, one a millisecond, on a path of 100 ms.
    fn ten() -> Flight {
        let mut flight = Flight::default();
        for i in 1..=10 {
            flight.push(i * MSS, MSS, Time::from_ms(i));
        }
        flight
    }

    fn arrives(rack: &mut Rack, flight: &mut Flight, now: Time, packet: u64) -> Option<Time> {
        let rtts = (Some(100 * MS), Some(100 * MS));
        flight.selectively(packet * MSS..(packet + 1) * MSS, |s| rack.arrived(now, s, rtts.0, false));
        rack.detect(now, flight, MSS, false, rtts)
    }

    #[test]
    fn a_quarter_of_a_round_trip_is_waited_for_reordering() {
        let (mut rack, mut flight) = (Rack::default(), ten());
        let again = arrives(&mut rack, &mut flight, Time::from_ms(102), 1);
        assert_eq!(again, Some(Time::from_ms(1 + 100 + 25)));
        assert_eq!(flight.lost(), 0);
        let rtts = (Some(100 * MS), Some(100 * MS));
        assert_eq!(rack.detect(Time::from_ms(126), &mut flight, MSS, false, rtts), None);
        assert_eq!(flight.next_lost(), Some(0..1000));
    }

    #[test]
    fn three_packets_out_of_order_are_enough_when_there_is_no_reordering() {
        let (mut rack, mut flight) = (Rack::default(), ten());
        for i in 1..=2 {
            arrives(&mut rack, &mut flight, Time::from_ms(101 + i), i);
            assert_eq!(flight.lost(), 0);
        }
        arrives(&mut rack, &mut flight, Time::from_ms(104), 3);
        assert_eq!(flight.next_lost(), Some(0..1000));
    }

    #[test]
    fn reordering_that_was_seen_is_waited_for() {
        let (mut rack, mut flight) = (Rack::default(), ten());
        arrives(&mut rack, &mut flight, Time::from_ms(102), 1);
        arrives(&mut rack, &mut flight, Time::from_ms(103), 0);
        for i in 3..=8 {
            arrives(&mut rack, &mut flight, Time::from_ms(101 + i), i);
        }
        assert_eq!(flight.lost(), 0, "two is late, but who knows");
    }

    #[test]
    fn a_retransmission_that_came_back_too_soon_says_nothing() {
        let (mut rack, mut flight) = (Rack::default(), ten());
        flight.lose_first();
        flight.resent(&(0..MSS), MSS, Time::from_ms(90));
        let rtts = (Some(100 * MS), Some(100 * MS));
        flight.acknowledge(MSS, |s| rack.arrived(Time::from_ms(101), s, rtts.0, false));
        assert_eq!(rack.detect(Time::from_ms(300), &mut flight, MSS, true, rtts), None);
        assert_eq!(flight.lost(), 0);
    }

    #[test]
    fn duplicates_widen_the_window_for_sixteen_recoveries() {
        let mut rack = Rack::default();
        rack.duplicate(5000);
        rack.duplicate(5000);
        assert_eq!(rack.quarters, 2, "once a round trip");
        rack.acknowledged(5000, false);
        rack.duplicate(9000);
        assert_eq!(rack.quarters, 3);
        for _ in 0..PERSIST {
            assert_eq!(rack.quarters, 3);
            rack.acknowledged(5000, true);
        }
        assert_eq!(rack.quarters, 1);
    }
}
