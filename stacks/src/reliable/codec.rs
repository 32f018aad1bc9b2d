//! What the reliable layer writes: its slot in every frame, and the payloads of its control frames.
//!
//! ```text
//! slot:  | seq: u64 | row: members × u64 |     seq is 0 in control frames; the row belongs to the frame's `from`
//! ACK:   | 1 |                             the row says it all
//! SYNC:  | 2 | wanted: u64 |                whose rows are wanted, as a mask of ranks
//! NACK:  | 3 | stream: u16 | n: u8 | n × (first: u64, count: u32) |
//! ```
//! Integers are little-endian.

use gcs::id::Rank;
use smallvec::SmallVec;

/// The most ranges in a NACK.
pub(super) const RANGES_MAX: usize = 32;

/// Missing frames: the first one's number and how many.
pub(super) type Ranges = SmallVec<[(u64, u32); 4]>;

/// A payload that is ready to be sent.
pub(super) type Payload = SmallVec<[u8; 64]>;

/// The length of the slot, in bytes.
pub(super) const fn slot_len(members: usize) -> usize {
    8 * (members + 1)
}

/// The slot with this row; [`stamp`] completes it.
pub(super) fn head(row: &[u64]) -> SmallVec<[u8; 128]> {
    let mut head = SmallVec::from_elem(0, 8);
    row.iter().for_each(|k| head.extend_from_slice(&k.to_le_bytes()));
    head
}

/// Makes `head` the slot of frame `seq` of the member with rank `me`, who holds all its own frames.
pub(super) fn stamp(head: &mut [u8], me: usize, seq: u64) {
    head[..8].copy_from_slice(&seq.to_le_bytes());
    head[8 * (me + 1)..8 * (me + 2)].copy_from_slice(&seq.to_le_bytes());
}

/// Sequence number and row of a slot.
pub(super) fn read(slot: &[u8]) -> (u64, impl Iterator<Item = u64>) {
    let mut words = slot.as_chunks::<8>().0.iter().map(|w| u64::from_le_bytes(*w));
    (words.next().unwrap_or(0), words)
}

/// What a control frame says, apart from its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Nothing else.
    Ack,
    /// The members in this mask are asked for their rows.
    Sync { wanted: u64 },
    /// These frames of the stream are asked for.
    Nack { stream: Rank, ranges: Ranges },
}

impl Control {
    pub(super) fn encode(&self) -> Payload {
        let mut out = Payload::new();
        match self {
            Self::Ack => out.push(1),
            Self::Sync { wanted } => {
                out.push(2);
                out.extend_from_slice(&wanted.to_le_bytes());
            }
            Self::Nack { stream, ranges } => {
                debug_assert!(ranges.len() <= RANGES_MAX);
                out.push(3);
                out.extend_from_slice(&stream.to_le_bytes());
                out.push(u8::try_from(ranges.len()).unwrap_or(u8::MAX));
                for (first, count) in ranges {
                    out.extend_from_slice(&first.to_le_bytes());
                    out.extend_from_slice(&count.to_le_bytes());
                }
            }
        }
        out
    }

    /// None if it is malformed.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (tag, rest) = payload.split_first()?;
        match tag {
            1 if rest.is_empty() => Some(Self::Ack),
            2 => Some(Self::Sync { wanted: u64::from_le_bytes(rest.try_into().ok()?) }),
            3 => {
                let (stream, rest) = rest.split_first_chunk::<2>()?;
                let (n, rest) = rest.split_first()?;
                let (chunks, tail) = rest.as_chunks::<12>();
                if !tail.is_empty() || chunks.len() != usize::from(*n) || chunks.len() > RANGES_MAX {
                    return None;
                }
                let ranges = chunks.iter().map(range).collect::<Option<Ranges>>()?;
                Some(Self::Nack { stream: Rank::from_le_bytes(*stream), ranges })
            }
            _ => None,
        }
    }
}

fn range(chunk: &[u8; 12]) -> Option<(u64, u32)> {
    let (first, count) = chunk.split_first_chunk::<8>()?;
    let (first, count) = (u64::from_le_bytes(*first), u32::from_le_bytes(count.try_into().ok()?));
    (first > 0 && count > 0 && first.checked_add(u64::from(count)).is_some()).then_some((first, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_come_back() {
        let mut head = head(&[7, 0, 9]);
        stamp(&mut head, 1, 4);
        assert_eq!(head.len(), slot_len(3));
        let (seq, row) = read(&head);
        assert_eq!((seq, row.collect::<Vec<_>>()), (4, vec![7, 4, 9]));
    }

    #[test]
    fn ranges_that_make_no_sense_are_refused() {
        for (first, count) in [(0, 1), (1, 0), (u64::MAX, 1)] {
            let bytes = Control::Nack { stream: 0, ranges: [(first, count)].into_iter().collect() }.encode();
            assert_eq!(Control::decode(&bytes), None, "first {first} count {count}");
        }
    }

    proptest! {
        #[test]
        fn controls_come_back(
            stream: u16, wanted: u64,
            ranges in prop::collection::vec((1..u64::MAX / 2, 1..u32::MAX), 0..RANGES_MAX)
        ) {
            for control in [
                Control::Ack,
                Control::Sync { wanted },
                Control::Nack { stream, ranges: ranges.iter().copied().collect() },
            ] {
                prop_assert_eq!(Control::decode(&control.encode()), Some(control));
            }
        }

        #[test]
        fn what_decodes_is_what_was_encoded(mut bytes in prop::collection::vec(any::<u8>(), 0..64), tag in 0..5_u8) {
            if let Some(first) = bytes.first_mut() {
                *first = tag;
            }
            if let Some(control) = Control::decode(&bytes) {
                prop_assert_eq!(control.encode().to_vec(), bytes);
            }
        }
    }
}
