//! What arrives: puts the peer's bytes in order (RFC 9293, section 3.10.7.4), tells which have come out of order (RFC 2018) and
//! twice (RFC 2883), and announces how much more may come (section 3.8.6).
//!
//! Bounds: nothing beyond the announced window is kept, and no more than [`BLOCKS`] separate blocks.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    Seq,
    chunks::Chunks,
    segment::{Options, Payload},
};

/// Separate blocks of bytes that are kept out of order; what would begin another one is dropped, and comes again.
const BLOCKS: usize = 512;
/// Pieces shorter than this are copied when they have to wait, so that they do not keep the buffers they came in.
const WAITING_COPY: usize = 16 * 1024;

/// The receiving half of a connection. Invariants: `early` has no byte before `next`, and its blocks neither overlap nor touch;
/// `ready` ends at `next`, or at the FIN before it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Receiver {
    isn: Seq,
    next: u64,
    /// Where the announced window ends. Never goes back.
    edge: u64,
    /// Shift count of the windows that we announce.
    shift: u8,
    /// Position of the peer's FIN, once it has come, in order or not.
    fin: Option<u64>,
    /// Starts of blocks that arrived out of order, the most recent first.
    recent: SmallVec<[u64; 4]>,
    /// What has arrived twice, until it is reported.
    twice: Option<(u64, u64)>,
    /// The application has read since a window was announced.
    taken: bool,
    ready: Chunks,
    #[serde(skip)]
    early: BTreeMap<u64, Block>,
    #[serde(skip)]
    early_bytes: u64,
}

/// Bytes that follow each other.
#[derive(Clone, Debug)]
struct Block {
    end: u64,
    pieces: Vec<Bytes>,
}

/// What a segment has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// Bytes that became readable; the FIN counts as one.
    pub(crate) in_order: u64,
    /// Something was early or came again, or filled a hole: the sender wants to know at once (RFC 5681, section 4.2).
    pub(crate) urgent: bool,
}

impl Receiver {
    /// For a peer whose SYN had the number `isn`; windows are announced in units of `1 << shift` bytes.
    pub(crate) fn new(isn: Seq, shift: u8) -> Self {
        Self { isn, shift, next: 1, edge: 1, ready: Chunks::new(1), ..Self::default() }
    }

    /// The next position that is expected.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The number of the next position, for the acknowledgement field.
    pub(crate) fn ack(&self) -> Seq {
        self.isn.of(self.next)
    }

    /// The position that a number means.
    pub(crate) fn position(&self, number: Seq) -> Option<u64> {
        self.isn.position(number, self.next)
    }

    /// Where the announced window ends.
    pub(crate) fn edge(&self) -> u64 {
        self.edge
    }

    /// Windows are announced without a scale, because the peer does not know the option.
    pub(crate) fn no_scale(&mut self) {
        self.shift = 0;
    }

    pub(crate) fn shift(&self) -> u8 {
        self.shift
    }

    /// The peer has ended its stream, and everything before its FIN is here.
    pub(crate) fn finished(&self) -> bool {
        self.fin.is_some_and(|fin| self.next > fin)
    }

    /// Bytes in memory.
    pub(crate) fn held(&self) -> u64 {
        self.ready.len() + self.early_bytes
    }

    /// Bytes that wait for the application.
    pub(crate) fn unread(&self) -> u64 {
        self.ready.len()
    }

    /// The next bytes for the application, at most `most`.
    pub(crate) fn read(&mut self, most: u64) -> Payload {
        let payload = self.ready.take(most);
        self.taken |= !payload.is_empty();
        payload
    }

    /// Nobody will read any more: forgets what is here.
    pub(crate) fn discard(&mut self) {
        self.ready = Chunks::new(self.ready.end());
    }

    /// `len` bytes at `start` have come again, all of them before the window.
    pub(crate) fn again(&mut self, start: u64, len: u64) {
        if len > 0 && start + len <= self.next {
            self.twice = Some((start, start + len));
        }
    }

    /// Takes a segment whose first byte is at `start` (RFC 9293, section 3.10.7.4, seventh and eighth).
    pub(crate) fn receive(&mut self, start: u64, payload: &Payload, fin: bool) -> Receipt {
        let len: usize = payload.iter().map(Bytes::len).sum();
        let end = start + len as u64;
        let before = self.next;
        let had_holes = !self.early.is_empty();
        // An end before what has come already is none.
        let come = self.early.last_key_value().map_or(self.next, |(_, block)| block.end);
        if fin && come <= end && end <= self.edge && self.fin.is_none() {
            self.fin = Some(end);
        }
        let limit = self.edge.min(self.fin.unwrap_or(u64::MAX));
        let mut urgent = start > self.next || end > limit;
        if start < self.next && end > start {
            self.twice = Some((start, end.min(self.next)));
            urgent = true;
        }
        let mut at = start;
        for piece in payload {
            let piece_end = at + piece.len() as u64;
            let range = at.max(self.next)..piece_end.min(limit);
            if !range.is_empty() {
                self.take(range.clone(), piece.slice(index(range.start - at)..index(range.end - at)));
            }
            at = piece_end;
        }
        self.advance();
        Receipt { in_order: self.next - before, urgent: urgent || had_holes }
    }

    fn take(&mut self, range: Range<u64>, piece: Bytes) {
        if range.start == self.next && self.early.is_empty() {
            self.next = range.end;
            self.ready.push(piece);
            return;
        }
        let mut at = range.start;
        while at < range.end {
            if let Some((_, block)) = self.early.range(..=at).next_back()
                && block.end > at
            {
                self.twice = Some((at, block.end.min(range.end)));
                at = block.end;
                continue;
            }
            let gap_end = self.early.range(at..).next().map_or(range.end, |(&start, _)| start.min(range.end));
            let part = piece.slice(index(at - range.start)..index(gap_end - range.start));
            self.insert(at, part);
            at = gap_end;
        }
        self.remember(range.start);
    }

    /// Keeps bytes at a place where there are none.
    fn insert(&mut self, start: u64, piece: Bytes) {
        let mut end = start + piece.len() as u64;
        let joins_before =
            self.early.range(..start).next_back().filter(|(_, b)| b.end == start).map(|(&at, _)| at);
        let joins_behind = self.early.contains_key(&end);
        if joins_before.is_none() && !joins_behind && start != self.next && self.early.len() >= BLOCKS {
            return;
        }
        self.early_bytes += piece.len() as u64;
        let piece = if piece.len() < WAITING_COPY { Bytes::copy_from_slice(&piece) } else { piece };
        let behind = if joins_behind { self.early.remove(&end) } else { None };
        let block = self
            .early
            .entry(joins_before.unwrap_or(start))
            .or_insert(Block { end: start, pieces: Vec::new() });
        block.pieces.push(piece);
        if let Some(behind) = behind {
            end = behind.end;
            block.pieces.extend(behind.pieces);
        }
        block.end = end;
    }

    /// Moves what has become readable.
    fn advance(&mut self) {
        while let Some(first) = self.early.first_entry() {
            if *first.key() > self.next {
                break;
            }
            let block = first.remove();
            for piece in block.pieces {
                self.early_bytes -= piece.len() as u64;
                self.ready.push(piece);
            }
            self.next = block.end;
        }
        if self.fin == Some(self.next) {
            self.next += 1;
        }
        let next = self.next;
        self.recent.retain(|at| *at >= next);
    }

    fn remember(&mut self, start: u64) {
        let Some(block) = self.block_at(start) else { return };
        self.recent.retain(|at| !block.contains(at));
        self.recent.insert(0, block.start);
        self.recent.truncate(4);
    }

    fn block_at(&self, position: u64) -> Option<Range<u64>> {
        let (&start, block) = self.early.range(..=position).next_back()?;
        (block.end > position).then_some(start..block.end)
    }

    /// Fills in which blocks have arrived, at most `most` of them: what came twice, then the most recent ones.
    pub(crate) fn report(&mut self, options: &mut Options, most: usize) {
        if let Some((start, end)) = self.twice.take() {
            options.sack.push((self.isn.of(start), self.isn.of(end)));
        }
        for at in &self.recent {
            if options.sack.len() >= most {
                break;
            }
            if let Some(block) = self.block_at(*at) {
                let range = (self.isn.of(block.start), self.isn.of(block.end));
                if options.sack.get(1..).is_none_or(|rest| !rest.contains(&range)) {
                    options.sack.push(range);
                }
            }
        }
        for (&start, block) in &self.early {
            if options.sack.len() >= most {
                break;
            }
            let range = (self.isn.of(start), self.isn.of(block.end));
            if !self.recent.contains(&start) {
                options.sack.push(range);
            }
        }
        options.sack.truncate(most);
    }

    /// How far the window could be opened when `limit` bytes may wait in all.
    fn possible(&self, limit: u64) -> u64 {
        (self.next + limit.saturating_sub(self.ready.len())).max(self.edge)
    }

    /// The window field for a segment that leaves now, `limit` bytes being the most that may wait. The edge moves in steps worth a packet
    /// (RFC 9293, section 3.8.6.2.2), and never back.
    pub(crate) fn announce(&mut self, limit: u64, mss: u64, scaled: bool) -> u16 {
        self.taken = false;
        let possible = self.possible(limit);
        if possible - self.edge >= mss.min(limit / 2).max(1) {
            self.edge = possible;
        }
        let shift = if scaled { self.shift } else { 0 };
        let units = self.edge.saturating_sub(self.next).div_ceil(1 << shift);
        let field = u16::try_from(units).unwrap_or(u16::MAX);
        let announced = self.next + (u64::from(field) << shift);
        self.edge = self.edge.max(announced);
        field
    }

    /// The application has read so much that the peer should hear of it. That a SYN can announce 64 KiB only is no reason.
    pub(crate) fn opened(&self, limit: u64, mss: u64) -> bool {
        let left = self.edge.saturating_sub(self.next);
        self.taken && left < limit / 2 && self.possible(limit) - self.edge >= (2 * mss).min(limit / 2).max(1)
    }

    /// What has not been read, and what has arrived out of order, each block in one piece.
    pub(crate) fn queues(&mut self) -> (&mut Chunks, impl Iterator<Item = (u64, Bytes)>) {
        (&mut self.ready, self.early.iter().map(|(start, block)| (*start, block.pieces.concat().into())))
    }

    /// A block that had arrived out of order comes from a snapshot. What cannot be is seen later, by `holds`.
    pub(crate) fn thaw_early(&mut self, start: u64, bytes: Bytes) {
        self.early_bytes += bytes.len() as u64;
        let end = start.saturating_add(bytes.len() as u64);
        self.early.insert(start, Block { end, pieces: vec![bytes] });
    }

    /// What must hold; for values that come from elsewhere, and in tests.
    pub(crate) fn holds(&self) -> bool {
        let mut end = self.next;
        let mut bytes = 0;
        let mut blocks = true;
        for (&start, block) in &self.early {
            let len: u64 = block.pieces.iter().map(|p| p.len() as u64).sum();
            blocks &=
                start > end && len > 0 && start.checked_add(len) == Some(block.end) && block.end <= self.edge;
            end = block.end;
            bytes += len;
        }
        let ready_end = self.next - u64::from(self.finished());
        blocks
            && bytes == self.early_bytes
            && self.ready.end() == ready_end
            && self.shift <= 14
            && self.next >= 1
    }
}

fn index(distance: u64) -> usize {
    usize::try_from(distance).expect("within a segment")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 100_000;
    const MSS: u64 = 1000;

    fn receiver() -> Receiver {
        let mut receiver = Receiver::new(Seq(0), 0);
        receiver.announce(65_000, MSS, true);
        receiver
    }

    fn bytes(range: Range<u64>) -> Payload {
        let all: Vec<u8> = range.map(|i| (i % 251) as u8).collect();
        Payload::from_iter([Bytes::from(all)].into_iter().filter(|b| !b.is_empty()))
    }

    fn read(receiver: &mut Receiver) -> Vec<u8> {
        receiver.read(u64::MAX).concat()
    }

    fn sack(receiver: &mut Receiver) -> Vec<(u32, u32)> {
        let mut options = Options::default();
        receiver.report(&mut options, 3);
        options.sack.iter().map(|(a, b)| (a.0, b.0)).collect()
    }

    /// RFC 2018, section 4: the block of the most recent segment comes first.
    #[test]
    fn blocks_are_reported_the_most_recent_first() {
        let mut r = receiver();
        for start in [1001, 3001, 5001, 7001, 3501] {
            assert!(r.receive(start, &bytes(start..start + 500), false).urgent);
        }
        assert_eq!(sack(&mut r), [(3001, 4001), (7001, 7501), (5001, 5501)]);
        assert_eq!(r.receive(1, &bytes(1..1001), false), Receipt { in_order: 1500, urgent: true });
        assert_eq!(sack(&mut r)[0], (3001, 4001));
        assert!(r.holds());
    }

    /// RFC 2883: a duplicate is reported once, in front.
    #[test]
    fn duplicates_are_reported() {
        let mut r = receiver();
        r.receive(1, &bytes(1..1001), false);
        r.receive(2001, &bytes(2001..3001), false);
        assert!(r.receive(1, &bytes(1..501), false).urgent);
        assert_eq!(sack(&mut r), [(1, 501), (2001, 3001)]);
        assert_eq!(sack(&mut r), [(2001, 3001)]);
        r.receive(2001, &bytes(2001..2501), false);
        assert_eq!(sack(&mut r), [(2001, 2501), (2001, 3001)]);
    }

    #[test]
    fn a_window_opens_in_steps_and_never_shrinks() {
        let mut r = Receiver::new(Seq(0), 0);
        assert_eq!(r.announce(10_000, MSS, true), 10_000);
        r.receive(1, &bytes(1..10_001), false);
        assert_eq!(r.announce(10_000, MSS, true), 0);
        assert!(!r.opened(10_000, MSS));
        r.ready.drop_until(500);
        assert_eq!(r.announce(10_000, MSS, true), 0, "less than a packet");
        r.ready.drop_until(3001);
        assert!(!r.opened(10_000, MSS), "the application has not read");
        r.taken = true;
        assert!(r.opened(10_000, MSS));
        assert_eq!(r.announce(10_000, MSS, true), 3000);
        assert_eq!(r.announce(1000, MSS, true), 3000, "what was announced stays");
    }

    #[test]
    fn scaled_windows_are_rounded_up_once() {
        let mut r = Receiver::new(Seq(0), 7);
        let field = r.announce(100_000, MSS, true);
        assert_eq!(u64::from(field) << 7, 100_096);
        for i in 0..100 {
            r.receive(1 + i, &bytes(i..i + 1), false);
            let edge = r.edge();
            let field = r.announce(100_000, MSS, true);
            assert!(r.next() + (u64::from(field) << 7) >= edge, "the edge goes back");
            assert!(r.edge() <= edge + 128);
        }
    }

    #[test]
    fn what_is_beyond_the_window_is_dropped() {
        let mut r = Receiver::new(Seq(0), 0);
        r.announce(1000, MSS, true);
        let receipt = r.receive(1, &bytes(1..2001), true);
        assert_eq!(receipt, Receipt { in_order: 1000, urgent: true });
        assert!(!r.finished());
        assert_eq!(read(&mut r).len(), 1000);
    }

    #[test]
    fn separate_blocks_are_bounded() {
        let mut r = receiver();
        for i in 0..30_000 {
            r.receive(2 * i + 3, &bytes(0..1), false);
        }
        assert!(r.early.len() <= BLOCKS && r.holds());
    }

    proptest! {
        #[test]
        fn every_order_gives_the_stream(
            cuts in prop::collection::vec((0u64..3000, 1u64..700), 1..120), whole in 1u64..3000
        ) {
            let mut r = Receiver::new(Seq(u32::MAX - 1000), 0);
            r.announce(LIMIT, MSS, true);
            let mut got = Vec::new();
            let all = [(0, whole)];
            for (i, (from, len)) in cuts.iter().copied().chain(all).enumerate() {
                let end = (from + len).min(whole);
                if from >= end { continue }
                let start = from + 1;
                r.receive(start, &bytes(start..end + 1), end == whole);
                prop_assert!(r.holds(), "{r:?}");
                if i % 3 == 0 { got.extend(read(&mut r)); }
            }
            got.extend(read(&mut r));
            prop_assert!(r.finished());
            prop_assert_eq!(got, bytes(1..whole + 1).concat());
            prop_assert_eq!(r.held(), 0);
        }
    }
}
