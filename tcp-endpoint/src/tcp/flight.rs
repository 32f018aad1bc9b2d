//! What is under way: which bytes were sent when, which of them have arrived and which are lost (RFC 6675's scoreboard, with
//! a time for each transmission, as RFC 8985 wants it).
//!
//! An entry is one transmission, up to a whole super-segment; it is split where an acknowledgement, a loss or a
//! retransmission takes a part of it. Selective acknowledgements count in whole packets, so that a peer cannot shred the list.

use std::{collections::VecDeque, ops::Range};

use gcs::time::Time;
use serde::{Deserialize, Serialize};

/// What is known about a transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fate {
    UnderWay,
    /// Arrived, out of order.
    Arrived,
    /// Taken for lost, and not sent again yet.
    Lost,
}

/// One transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The last time it was sent.
    pub(crate) at: Time,
    pub(crate) fate: Fate,
    /// It was sent more than once.
    pub(crate) again: bool,
    /// Bytes in each of its packets but the last.
    packet: u16,
}

impl Sent {
    fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Sent after `other` (RFC 8985, section 6.2: by time, then by position).
    pub(crate) fn after(&self, other: (Time, u64)) -> bool {
        (self.at, self.end) > other
    }
}

/// The list. Invariants: entries follow each other without a gap from `una` to `next`; the counters are the sums over
/// entries of that fate; two neighbours have not both arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flight {
    sent: VecDeque<Sent>,
    una: u64,
    next: u64,
    under_way: u64,
    arrived: u64,
    lost: u64,
}

impl Flight {
    /// Everything before this is acknowledged.
    pub(crate) fn una(&self) -> u64 {
        self.una
    }

    /// Nothing from here on was ever sent.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Bytes that are on their way as far as is known (RFC 6675's `pipe`).
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way
    }

    /// Bytes that arrived out of order.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Bytes that are lost and have to be sent again.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(crate) fn entries(&self) -> usize {
        self.sent.len()
    }

    /// The oldest transmission that is not acknowledged.
    pub(crate) fn first(&self) -> Option<&Sent> {
        self.sent.front()
    }

    fn count(&mut self, fate: Fate) -> &mut u64 {
        match fate {
            Fate::UnderWay => &mut self.under_way,
            Fate::Arrived => &mut self.arrived,
            Fate::Lost => &mut self.lost,
        }
    }

    fn turn(&mut self, at: usize, fate: Fate) {
        let Sent { fate: before, .. } = self.sent[at];
        let len = self.sent[at].len();
        *self.count(before) -= len;
        *self.count(fate) += len;
        self.sent[at].fate = fate;
    }

    /// Something new leaves: up to `end`.
    pub(crate) fn push(&mut self, end: u64, packet: u64, now: Time) {
        debug_assert!(end > self.next);
        self.under_way += end - self.next;
        self.sent.push_back(Sent {
            start: self.next,
            end,
            at: now,
            fate: Fate::UnderWay,
            again: false,
            packet: narrow(packet),
        });
        self.next = end;
    }

    /// The first entry that ends behind `position`.
    fn find(&self, position: u64) -> usize {
        self.sent.partition_point(|s| s.end <= position)
    }

    /// Splits the entry at `at`, so that a new one begins at `position`.
    fn split(&mut self, at: usize, position: u64) {
        let head = &mut self.sent[at];
        debug_assert!(head.start < position && position < head.end);
        let tail = Sent { start: position, ..*head };
        head.end = position;
        self.sent.insert(at + 1, tail);
    }

    /// Everything before `una` is acknowledged. What has newly arrived is given to `new`.
    pub(crate) fn acknowledge(&mut self, una: u64, mut new: impl FnMut(&Sent)) {
        debug_assert!(una <= self.next);
        while let Some(first) = self.sent.front().copied() {
            if first.start >= una {
                break;
            }
            if first.end > una {
                self.split(0, una);
            }
            let first = self.sent.pop_front().expect("looked at");
            *self.count(first.fate) -= first.len();
            if first.fate != Fate::Arrived {
                new(&first);
            }
        }
        self.una = self.una.max(una);
    }

    /// The bytes at `range` have arrived, as far as they are whole packets. What is news is given to `new`.
    pub(crate) fn selectively(&mut self, range: Range<u64>, mut new: impl FnMut(&Sent)) {
        let mut at = self.find(range.start);
        while let Some(sent) = self.sent.get(at).copied() {
            if sent.start >= range.end {
                break;
            }
            let packet = u64::from(sent.packet);
            let start = sent.start + range.start.saturating_sub(sent.start).next_multiple_of(packet);
            let end = if sent.end <= range.end {
                sent.end
            } else {
                sent.start + (range.end - sent.start) / packet * packet
            };
            if sent.fate == Fate::Arrived || start >= end {
                at += 1;
                continue;
            }
            if end < sent.end {
                self.split(at, end);
            }
            if start > sent.start {
                self.split(at, start);
                at += 1;
            }
            new(&self.sent[at]);
            self.turn(at, Fate::Arrived);
            at = self.merge(at) + 1;
        }
    }

    /// Puts an entry that has arrived together with neighbours that have; where it then is.
    fn merge(&mut self, mut at: usize) -> usize {
        if self.sent.get(at + 1).is_some_and(|s| s.fate == Fate::Arrived) {
            let next = self.sent.remove(at + 1).expect("looked at");
            self.sent[at].end = next.end;
        }
        if at > 0 && self.sent[at - 1].fate == Fate::Arrived {
            let this = self.sent.remove(at).expect("it is there");
            at -= 1;
            self.sent[at].end = this.end;
        }
        at
    }

    /// Asks `lost` of everything under way whether it is lost.
    pub(crate) fn lose(&mut self, mut lost: impl FnMut(&Sent) -> bool) {
        for at in 0..self.sent.len() {
            if self.sent[at].fate == Fate::UnderWay && lost(&self.sent[at]) {
                self.turn(at, Fate::Lost);
            }
        }
    }

    /// The first packet that is not acknowledged is lost, whatever was thought of it.
    pub(crate) fn lose_first(&mut self) {
        let Some(first) = self.sent.front().copied() else { return };
        let packet = u64::from(first.packet);
        if first.len() > packet {
            self.split(0, first.start + packet);
        }
        self.turn(0, Fate::Lost);
    }

    /// The peer has not kept what it said it had (RFC 2018, section 8): nothing has arrived out of order.
    pub(crate) fn forget_arrived(&mut self) {
        for at in 0..self.sent.len() {
            if self.sent[at].fate == Fate::Arrived {
                self.turn(at, Fate::Lost);
            }
        }
    }

    /// What was taken for lost was only late: it is under way.
    pub(crate) fn find_again(&mut self) {
        for at in 0..self.sent.len() {
            if self.sent[at].fate == Fate::Lost {
                self.turn(at, Fate::UnderWay);
            }
        }
    }

    /// The first bytes that are to be sent again.
    pub(crate) fn next_lost(&self) -> Option<Range<u64>> {
        if self.lost == 0 {
            return None;
        }
        self.sent.iter().find(|s| s.fate == Fate::Lost).map(|s| s.start..s.end)
    }

    /// The last bytes that are not known to have arrived, at most `bytes`.
    pub(crate) fn last(&self, bytes: u64) -> Option<Range<u64>> {
        let last = self.sent.iter().rev().find(|s| s.fate != Fate::Arrived)?;
        Some(last.start.max(last.end.saturating_sub(bytes))..last.end)
    }

    /// The bytes at `range`, which lie within one entry, leave again.
    pub(crate) fn resent(&mut self, range: &Range<u64>, packet: u64, now: Time) {
        let mut at = self.find(range.start);
        if range.end < self.sent[at].end {
            self.split(at, range.end);
        }
        if range.start > self.sent[at].start {
            self.split(at, range.start);
            at += 1;
        }
        self.turn(at, Fate::UnderWay);
        self.sent[at].at = now;
        self.sent[at].again = true;
        self.sent[at].packet = narrow(packet);
    }

    /// What must hold; for values that come from elsewhere, and in tests.
    pub(crate) fn holds(&self) -> bool {
        let mut at = self.una;
        let mut sums = [0u64; 3];
        let mut before = Fate::UnderWay;
        for s in &self.sent {
            if s.start != at
                || s.end <= s.start
                || s.packet == 0
                || (before == Fate::Arrived && s.fate == Fate::Arrived)
            {
                return false;
            }
            (at, before) = (s.end, s.fate);
            sums[s.fate as usize] += s.len();
        }
        at == self.next && sums == [self.under_way, self.arrived, self.lost]
    }
}

fn narrow(packet: u64) -> u16 {
    u16::try_from(packet).expect("at most the MSS")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ten() -> Flight {
        let mut flight = Flight::default();
        for i in 1..=10 {
            flight.push(i * 1000, 1000, Time::from_ms(i));
        }
        flight
    }

    #[test]
    fn a_hole_is_found_and_sent_again() {
        let mut flight = ten();
        let mut news = Vec::new();
        flight.selectively(2000..5000, |s| news.push(s.start));
        assert_eq!(news, [2000, 3000, 4000]);
        flight.selectively(2000..6000, |s| news.push(s.start));
        assert_eq!(news[3..], [5000], "only news");
        assert_eq!((flight.arrived(), flight.entries()), (4000, 7));
        flight.lose(|s| s.start < 2000);
        assert_eq!(flight.next_lost(), Some(0..1000));
        flight.resent(&(0..1000), 1000, Time::from_ms(20));
        assert_eq!(flight.next_lost(), Some(1000..2000));
        news.clear();
        flight.acknowledge(6000, |s| news.push(s.start));
        assert_eq!(news, [0, 1000], "what had arrived out of order is no news");
        assert_eq!((flight.una(), flight.lost(), flight.under_way()), (6000, 0, 4000));
    }

    #[test]
    fn a_peer_cannot_shred_the_list() {
        let mut flight = Flight::default();
        flight.push(64_000, 1000, Time::ZERO);
        for i in 0..32_000 {
            flight.selectively(2 * i..2 * i + 1, |_| panic!("not a packet"));
        }
        assert_eq!(flight.entries(), 1);
        flight.selectively(500..2500, |s| assert_eq!((s.start, s.end), (1000, 2000)));
        assert_eq!(flight.entries(), 3);
    }

    proptest! {
        #[test]
        fn the_list_holds_together(steps in prop::collection::vec((0u8..7, 0u64..70_000, 1u64..20_000), 1..80)) {
            let mut flight = Flight::default();
            for (i, (kind, a, b)) in steps.into_iter().enumerate() {
                let now = Time::from_ms(i as u64);
                match kind {
                    0 | 1 => flight.push(flight.next() + b, 1000, now),
                    2 => flight.acknowledge((flight.una() + a / 8).min(flight.next()), |_| ()),
                    3 => flight.selectively(flight.una() + a..flight.una() + a + b, |_| ()),
                    4 => flight.lose(|s| s.start % 3 == a % 3),
                    5 => { flight.lose_first(); }
                    _ => if let Some(r) = flight.next_lost().or(flight.last(b)) {
                        let end = r.end.min(r.start + b);
                        flight.resent(&(r.start..end), 1 + a % 1400, now);
                    }
                }
                prop_assert!(flight.holds(), "{flight:?}");
            }
        }
    }
}
