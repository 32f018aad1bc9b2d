//! The latest covered frames of each sender, and how repairs name them.

use gcs::{frame::Frame, id::Rank};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Frames of one sender that are held.
const FRAMES_MAX: usize = 256;

/// A frame's number, as far as it travels in a repair.
const NUMBER: u64 = 0xff_ffff;

/// Who made a frame, and its number.
pub(super) type Ids = SmallVec<[(Rank, u64); 8]>;

/// The latest covered frames of one sender.
pub(super) struct Held {
    frames: BTreeMap<u64, Frame>,
    bytes: usize,
    bytes_max: usize,
    /// Frames up to this one may have been forgotten.
    forgotten_to: u64,
    newest: u64,
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Held,
    Missing,
    Forgotten,
}

impl Held {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { frames: BTreeMap::new(), bytes: 0, bytes_max, forgotten_to: 0, newest: 0 }
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Frame> {
        self.frames.get(&seq)
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn knows(&self, seq: u64) -> Known {
        if seq <= self.forgotten_to {
            Known::Forgotten
        } else if self.frames.contains_key(&seq) {
            Known::Held
        } else {
            Known::Missing
        }
    }

    /// Holds a frame, unless it is known or old; and forgets the oldest, when there is no room.
    pub(super) fn put(&mut self, seq: u64, frame: Frame) -> bool {
        if self.knows(seq) != Known::Missing {
            return false;
        }
        self.newest = self.newest.max(seq);
        self.bytes += frame.len();
        self.frames.insert(seq, frame);
        while self.frames.len() > FRAMES_MAX || self.bytes > self.bytes_max {
            let Some((oldest, frame)) = self.frames.pop_first() else { break };
            self.bytes -= frame.len();
            self.forgotten_to = oldest;
        }
        true
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    pub(super) fn check(&self) {
        let bytes: usize = self.frames.values().map(Frame::len).sum();
        assert_eq!(self.bytes, bytes, "L1: held bytes are counted");
        assert!(bytes <= self.bytes_max, "L1: {bytes} bytes are held");
        assert!(self.frames.len() <= FRAMES_MAX, "L1: {} frames are held", self.frames.len());
    }
}

pub(super) fn encode_ids(ids: &Ids) -> Vec<u8> {
    let mut out = vec![u8::try_from(ids.len()).unwrap_or(u8::MAX)];
    for (from, seq) in ids {
        let id = u32::from(*from) << 24 | u32::try_from(seq & NUMBER).unwrap_or(0);
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

/// Reads 1 to `most` ids, no two the same. `newest` is the latest known number of a member: what is meant is the number
/// next to it. None if it makes no sense.
pub(super) fn decode_ids(slot: &[u8], most: usize, newest: impl Fn(Rank) -> Option<u64>) -> Option<Ids> {
    let (n, rest) = slot.split_first()?;
    let n = usize::from(*n);
    if n == 0 || n > most || rest.len() < 4 * n {
        return None;
    }
    let mut ids = Ids::new();
    for bytes in &rest.as_chunks::<4>().0[..n] {
        let id = u32::from_le_bytes(*bytes);
        let from = Rank::try_from(id >> 24).ok()?;
        let seq = nearest(u64::from(id) & NUMBER, newest(from)?);
        if seq == 0 || ids.contains(&(from, seq)) {
            return None;
        }
        ids.push((from, seq));
    }
    Some(ids)
}

/// The number that ends with `low` and is next to `newest`.
fn nearest(low: u64, newest: u64) -> u64 {
    let same = newest & !NUMBER | low;
    let half = NUMBER / 2;
    if same > newest + half {
        same.checked_sub(NUMBER + 1).unwrap_or(same)
    } else if same + half < newest {
        same + NUMBER + 1
    } else {
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_come_back(newest in 1_u64..1 << 40, apart in prop::collection::btree_set(0_u64..1 << 22, 1..8)) {
            let ids: Ids = apart.into_iter().filter(|a| *a < newest).map(|a| (7, newest - a)).collect();
            prop_assume!(!ids.is_empty());
            let bytes = encode_ids(&ids);
            prop_assert_eq!(decode_ids(&bytes, 8, |_| Some(newest)), Some(ids.clone()));
            prop_assert_eq!(decode_ids(&bytes, ids.len() - 1, |_| Some(newest)), None, "too many");
            prop_assert_eq!(decode_ids(&bytes, 8, |_| None), None, "no such member");
            prop_assert_eq!(decode_ids(&bytes[..bytes.len() - 1], 8, |_| Some(newest)), None, "cut short");
        }

        #[test]
        fn any_bytes_are_ids_or_none(slot in prop::collection::vec(any::<u8>(), 0..40), newest in 0..u64::MAX / 2) {
            if let Some(ids) = decode_ids(&slot, 8, |_| Some(newest)) {
                prop_assert_eq!(&encode_ids(&ids)[..], &slot[..1 + 4 * ids.len()]);
            }
        }
    }
}
