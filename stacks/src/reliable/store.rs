//! The stream of one member: what is known of it, and the frames of it that are held.

use super::codec::{RANGES_MAX, Ranges};
use gcs::frame::{Frame, Frames};
use std::collections::VecDeque;

/// How far ahead of the frontier a frame is kept, in frames. What is dropped is repaired later.
pub(super) const AHEAD_FRAMES: u64 = 8192;

/// How far ahead of the frontier a stream is believed to be, in frames.
pub(super) const SENT_AHEAD_MAX: u64 = 1 << 16;

/// What became of a frame that was offered to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// Stored, and the frontier moved.
    InOrder,
    /// Stored behind a gap.
    Ahead,
    /// Held already, or was once.
    Known,
    /// No room. Dropped.
    Full,
}

/// How many bytes of one stream are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Behind a gap.
    pub(super) ahead_bytes: usize,
    /// Altogether.
    pub(super) held_bytes: usize,
}

/// One member's frames, by sequence number: a ring without gaps in numbering, whose unknown frames are `None`.
///
/// `base - 1 <= delivered <= frontier <= highest`; the ring begins with frame `base`.
#[derive(Debug)]
pub(super) struct Stream {
    base: u64,
    ring: VecDeque<Option<Frame>>,
    /// All frames up to this one have been received.
    pub(super) frontier: u64,
    /// All frames up to this one have been delivered.
    pub(super) delivered: u64,
    /// The last frame that is known to have been sent.
    pub(super) highest: u64,
    /// The last frame that was seen to be missing, when it was: no frame beyond it is missed. Never decreases.
    pub(super) holes_to: u64,
    ahead_bytes: usize,
    held_bytes: usize,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self {
            base: 1,
            ring: VecDeque::new(),
            frontier: 0,
            delivered: 0,
            highest: 0,
            holes_to: 0,
            ahead_bytes: 0,
            held_bytes: 0,
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Stores the frame (numbered by `frame.seq`) if it is new and there is room.
    pub(super) fn put(&mut self, frame: Frame, bounds: Bounds) -> Put {
        let (seq, len) = (frame.seq, frame.len());
        if seq <= self.frontier || self.get(seq).is_some() {
            return Put::Known;
        }
        let in_order = seq == self.frontier + 1;
        if seq - self.frontier > AHEAD_FRAMES
            || self.held_bytes + len > bounds.held_bytes
            || !in_order && self.ahead_bytes + len > bounds.ahead_bytes
        {
            return Put::Full;
        }
        if seq > self.highest {
            if seq > self.highest + 1 {
                self.holes_to = seq - 1;
            }
            self.highest = seq;
        }
        self.held_bytes += len;
        let at = self.index(seq);
        if at >= self.ring.len() {
            self.ring.resize(at, None);
            self.ring.push_back(Some(frame));
        } else {
            self.ring[at] = Some(frame);
        }
        if !in_order {
            self.ahead_bytes += len;
            return Put::Ahead;
        }
        self.frontier = seq;
        while let Some(buffered) = self.get(self.frontier + 1).map(Frame::len) {
            self.ahead_bytes -= buffered;
            self.frontier += 1;
        }
        Put::InOrder
    }

    /// Appends the frames up to `to` that are in order and not delivered yet.
    pub(super) fn deliver_into(&mut self, to: u64, out: &mut Frames) {
        while self.delivered < to.min(self.frontier) {
            self.delivered += 1;
            out.extend(self.get(self.delivered).cloned());
        }
    }

    /// Forgets the frames up to `to`, as far as they are delivered.
    pub(super) fn free_to(&mut self, to: u64) {
        while self.base <= to.min(self.delivered) {
            if let Some(frame) = self.ring.pop_front().flatten() {
                self.held_bytes -= frame.len();
            }
            self.base += 1;
        }
    }

    /// Takes note that `seq` has been sent. True if that is news and makes a gap.
    pub(super) fn note_sent(&mut self, seq: u64) -> bool {
        let seq = seq.min(self.frontier.saturating_add(SENT_AHEAD_MAX));
        let news = seq > self.highest;
        if news {
            self.highest = seq;
            self.holes_to = seq;
        }
        news
    }

    /// The frame, if it is held.
    pub(super) fn get(&self, seq: u64) -> Option<&Frame> {
        if seq < self.base {
            return None;
        }
        self.ring.get(self.index(seq))?.as_ref()
    }

    /// Missing frames in `after + 1 ..= to`, at most `frames`, and the number of the last one that was looked at.
    pub(super) fn missing(&self, after: u64, to: u64, mut frames: u32) -> (Ranges, u64) {
        let mut ranges = Ranges::new();
        let mut at = after.max(self.frontier) + 1;
        while at <= to && frames > 0 && ranges.len() < RANGES_MAX {
            let first = at;
            while at <= to && frames > 0 && self.get(at).is_none() {
                (at, frames) = (at + 1, frames - 1);
            }
            if at > first {
                ranges.push((first, u32::try_from(at - first).unwrap_or(u32::MAX)));
            }
            while at <= to && self.get(at).is_some() {
                at += 1;
            }
        }
        (ranges, at - 1)
    }

    fn index(&self, seq: u64) -> usize {
        usize::try_from(seq - self.base).unwrap_or(usize::MAX)
    }

    pub(super) fn check(&self) {
        assert!(self.base <= self.delivered + 1, "S1: only delivered frames are freed");
        assert!(self.delivered <= self.frontier, "S2: delivery has no gaps");
        assert!(
            self.frontier <= self.highest && self.holes_to <= self.highest,
            "S3: nothing beyond what was sent"
        );
        let bytes = |from: u64| {
            let skip = usize::try_from(from.saturating_sub(self.base)).unwrap_or(usize::MAX);
            self.ring.iter().skip(skip).flatten().map(Frame::len).sum::<usize>()
        };
        assert_eq!(self.held_bytes, bytes(self.base), "S4: held bytes are counted");
        assert_eq!(self.ahead_bytes, bytes(self.frontier + 1), "S5: bytes behind gaps are counted");
        assert!(
            (self.base..=self.frontier).all(|s| self.get(s).is_some()),
            "S6: all up to the frontier is held"
        );
        assert!(self.get(self.frontier + 1).is_none(), "S7: the frontier is as far as it can be");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gcs::{id::GroupTag, view::ViewId};

    const ROOMY: Bounds = Bounds { ahead_bytes: 1 << 20, held_bytes: 1 << 20 };

    fn frame(seq: u64) -> Frame {
        let mut f = Frame::new(Frame::DATA, true, 1, GroupTag::of("g"), ViewId::default(), 40, 0);
        f.seq = seq;
        f.seal();
        f
    }

    fn delivered(s: &mut Stream, to: u64) -> Vec<u64> {
        let mut out = Frames::new();
        s.deliver_into(to, &mut out);
        out.iter().map(|f| f.seq).collect()
    }

    #[test]
    fn frames_come_out_in_order_and_once() {
        let mut s = Stream::new();
        let put: Vec<_> = [2, 1, 1, 5, 4, 2].map(|n| s.put(frame(n), ROOMY)).into();
        assert_eq!(put, [Put::Ahead, Put::InOrder, Put::Known, Put::Ahead, Put::Ahead, Put::Known]);
        s.check();
        assert_eq!(delivered(&mut s, u64::MAX), [1, 2]);
        assert_eq!(s.put(frame(3), ROOMY), Put::InOrder);
        assert_eq!(delivered(&mut s, 4), [3, 4]);
        assert_eq!(delivered(&mut s, u64::MAX), [5]);
        s.check();
    }

    #[test]
    fn freeing_stops_at_what_is_not_delivered() {
        let mut s = Stream::new();
        (1..=3).for_each(|n| assert_eq!(s.put(frame(n), ROOMY), Put::InOrder));
        assert_eq!(delivered(&mut s, 2), [1, 2]);
        s.free_to(3);
        s.check();
        assert!(s.get(2).is_none() && s.get(3).is_some());
        assert_eq!(s.held_bytes(), 40);
        assert_eq!(s.put(frame(1), ROOMY), Put::Known);
    }

    #[test]
    fn gaps_are_listed_within_bounds() {
        let mut s = Stream::new();
        assert_eq!([1, 3, 6].map(|n| s.put(frame(n), ROOMY)), [Put::InOrder, Put::Ahead, Put::Ahead]);
        assert_eq!(s.holes_to, 5);
        assert_eq!(s.missing(0, 9, 10), (Ranges::from_slice(&[(2, 1), (4, 2), (7, 3)]), 9));
        assert_eq!(s.missing(2, 9, 2).0.as_slice(), [(4, 2)]);
        assert_eq!(s.missing(0, 6, 10), (Ranges::from_slice(&[(2, 1), (4, 2)]), 6));
        assert!(s.note_sent(u64::MAX), "it is ahead");
        assert_eq!(s.highest, 1 + SENT_AHEAD_MAX, "but not believed to be that far ahead");
    }

    #[test]
    fn room_is_bounded() {
        let mut s = Stream::new();
        let tight = Bounds { ahead_bytes: 40, held_bytes: 120 };
        assert_eq!(s.put(frame(2 + AHEAD_FRAMES), tight), Put::Full);
        assert_eq!(s.put(frame(3), tight), Put::Ahead);
        assert_eq!(s.put(frame(4), tight), Put::Full);
        assert_eq!(s.put(frame(1), tight), Put::InOrder);
        assert_eq!(s.put(frame(2), tight), Put::InOrder);
        assert_eq!(s.put(frame(4), tight), Put::Full);
        s.check();
        assert_eq!(delivered(&mut s, 9), [1, 2, 3]);
        s.free_to(1);
        assert_eq!(s.put(frame(4), tight), Put::InOrder);
        s.check();
    }
}
