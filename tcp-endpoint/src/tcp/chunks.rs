//! A queue of bytes that are addressed by their position in a stream. Large pieces are kept as they came, without a copy;
//! small ones are put together, so that a byte never holds a buffer that is much larger than itself.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::segment::Payload;

/// Pieces shorter than this are copied together.
const SMALL: usize = 1024;
/// What is copied together gets a new buffer after this many bytes.
const BUFFER: usize = 16 * 1024;

/// The queue. Invariants: the pieces are not empty and follow each other without a gap from `start`, the tail behind them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunks {
    /// Each with the position of its first byte.
    pieces: VecDeque<(u64, Bytes)>,
    /// Small pieces behind the others, not yet frozen.
    tail: BytesMut,
    start: u64,
    end: u64,
}

impl Chunks {
    /// An empty queue whose first byte will be at `start`.
    pub(crate) fn new(start: u64) -> Self {
        Self { start, end: start, ..Self::default() }
    }

    /// Position of the first byte.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Position behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes in the queue.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Appends.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        let len = piece.len() as u64;
        if piece.len() < SMALL {
            if self.tail.capacity() - self.tail.len() < piece.len() {
                self.freeze();
                let queued = usize::try_from(self.len()).unwrap_or(BUFFER);
                self.tail = BytesMut::with_capacity(queued.clamp(piece.len().max(64), BUFFER));
            }
            self.tail.extend_from_slice(&piece);
        } else {
            self.freeze();
            self.pieces.push_back((self.end, piece));
        }
        self.end += len;
    }

    fn freeze(&mut self) {
        if !self.tail.is_empty() {
            let piece = self.tail.split().freeze();
            self.pieces.push_back((self.end - piece.len() as u64, piece));
        }
    }

    /// Drops everything before `position`.
    pub(crate) fn drop_until(&mut self, position: u64) {
        let position = position.clamp(self.start, self.end);
        if position == self.end {
            *self = Self::new(self.end);
            return;
        }
        self.freeze();
        while let Some((at, piece)) = self.pieces.front_mut() {
            if *at + piece.len() as u64 > position {
                let cut = position.saturating_sub(*at);
                if cut > 0 {
                    *piece = piece.slice(index(cut)..);
                    *at = position;
                }
                break;
            }
            self.pieces.pop_front();
        }
        self.start = position;
    }

    /// Takes the first `most` bytes, or all if there are fewer. In how many pieces is nobody's business: replicas may differ in that.
    pub(crate) fn take(&mut self, most: u64) -> Payload {
        let mut payload = Payload::new();
        let end = self.start.saturating_add(most).min(self.end);
        self.slice(self.start..end, &mut payload);
        self.drop_until(end);
        payload
    }

    /// Appends the bytes at `range`, as far as they are in the queue, to `payload`.
    pub(crate) fn slice(&mut self, range: Range<u64>, payload: &mut Payload) {
        let range = range.start.max(self.start)..range.end.min(self.end);
        if range.is_empty() {
            return;
        }
        if range.end > self.end - self.tail.len() as u64 {
            self.freeze();
        }
        let first = self.pieces.partition_point(|(at, piece)| at + piece.len() as u64 <= range.start);
        for (at, piece) in self.pieces.range(first..) {
            if *at >= range.end {
                break;
            }
            let from = index(range.start.saturating_sub(*at));
            let to = index((range.end - at).min(piece.len() as u64));
            payload.push(piece.slice(from..to));
        }
    }
}

/// Only where it begins: the bytes are transferred beside, piece by piece.
impl Serialize for Chunks {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.start)
    }
}

/// Empty.
impl<'de> Deserialize<'de> for Chunks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::new(u64::deserialize(from)?))
    }
}

/// A distance within what is in memory.
fn index(distance: u64) -> usize {
    usize::try_from(distance).expect("within a buffer")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &mut Chunks, range: Range<u64>) -> Vec<u8> {
        let mut payload = Payload::new();
        chunks.slice(range, &mut payload);
        assert!(payload.iter().all(|p| !p.is_empty()));
        payload.concat()
    }

    proptest! {
        #[test]
        fn like_a_vector(steps in prop::collection::vec((0u8..4, 0usize..5000, 0usize..5000), 1..60)) {
            let mut chunks = Chunks::new(1);
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut start = 1u64;
            for (kind, a, b) in steps {
                match kind {
                    0 | 1 => {
                        let piece: Vec<u8> = (0..if kind == 0 { a } else { a % 100 }).map(|i| (i * 31 + b) as u8).collect();
                        model.extend(&piece);
                        chunks.push(piece.into());
                    }
                    2 => {
                        let drop = a.min(model.len());
                        model.drain(..drop);
                        start += drop as u64;
                        chunks.drop_until(start);
                    }
                    _ => {
                        let taken = chunks.take(a as u64).concat();
                        let expected: Vec<u8> = model.drain(..a.min(model.len())).collect();
                        prop_assert_eq!(&taken, &expected);
                        start += taken.len() as u64;
                    }
                }
                prop_assert_eq!((chunks.start(), chunks.len()), (start, model.len() as u64));
                let from = a.min(model.len());
                let to = (from + b).min(model.len());
                let expected: Vec<u8> = model.range(from..to).copied().collect();
                prop_assert_eq!(all(&mut chunks, start + from as u64..start + to as u64), expected);
            }
        }
    }
}
