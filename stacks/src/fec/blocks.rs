//! What `fec` holds of each sender, and the code itself.

use super::Fec;
use gcs::frame::Frame;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use std::collections::BTreeMap;

/// The length of what a parity frame says of itself, in bytes.
pub(super) const ABOUT: usize = 12;

/// Blocks of one sender of which parity is held, and complete ones that are remembered.
pub(super) const BLOCKS_MAX: usize = 4;
const DONE_MAX: usize = 8;

/// What is held of a member's blocks.
#[derive(Default)]
pub(super) struct Sender {
    /// Covered frames by number, of blocks that are not complete.
    pub(super) frames: BTreeMap<u64, Frame>,
    /// Parity by the block's first number.
    pub(super) blocks: BTreeMap<u64, Block>,
    /// Complete blocks: first and last number. Those before `done_to` are forgotten, and not waited for.
    done: BTreeMap<u64, u64>,
    done_to: u64,
    pub(super) held_bytes: usize,
}

/// A block of which parity has arrived.
pub(super) struct Block {
    pub(super) about: About,
    pub(super) len: usize,
    /// Number of the parity frame, and the combination.
    pub(super) parity: Vec<(u8, Vec<u8>)>,
}

/// What a parity frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) first: u64,
    pub(super) k: u8,
    pub(super) m: u8,
    pub(super) index: u8,
    /// The combination's last byte, if it has been rounded up to an even length; else 0.
    pub(super) tail: u8,
}

impl About {
    pub(super) fn encode(self) -> [u8; ABOUT] {
        let mut out = [0; ABOUT];
        out[..8].copy_from_slice(&self.first.to_le_bytes());
        out[8..].copy_from_slice(&[self.k, self.m, self.index, self.tail]);
        out
    }

    /// None if it makes no sense.
    pub(super) fn decode(slot: &[u8], fec: Fec) -> Option<Self> {
        let (first, rest) = slot.split_first_chunk::<8>()?;
        let [k, m, index, tail, ..] = *rest else { return None };
        let about = Self { first: u64::from_le_bytes(*first), k, m, index, tail };
        let fits = (1..=fec.block).contains(&k) && usize::from(m) == fec.parity_for(k.into()) && index < m;
        (fits && about.first > 0 && about.first.checked_add(k.into()).is_some()).then_some(about)
    }

    pub(super) fn last(self) -> u64 {
        self.first + u64::from(self.k) - 1
    }
}

impl Sender {
    pub(super) fn is_done(&self, seq: u64) -> bool {
        let done = self.done.range(..=seq).next_back();
        seq <= self.done_to || done.is_some_and(|(_, last)| *last >= seq)
    }

    /// Holds a covered frame, and makes room for it. False if there is no need, or no room.
    pub(super) fn keep(&mut self, seq: u64, frame: Frame, frames_max: usize, bytes_max: usize) -> bool {
        if self.is_done(seq) || self.frames.contains_key(&seq) {
            return false;
        }
        self.held_bytes += frame.len();
        self.frames.insert(seq, frame);
        self.make_room(frames_max, bytes_max);
        true
    }

    /// Holds the parity of a block. False if it does not fit what other parity says.
    pub(super) fn keep_parity(&mut self, about: About, parity: Vec<u8>, bytes_max: usize) -> bool {
        let len = parity.len();
        let overlaps = self.blocks.range(..=about.last()).next_back();
        let overlaps = overlaps.is_some_and(|(f, b)| *f != about.first && b.about.last() >= about.first);
        let new = || Block { about, len, parity: Vec::new() };
        let block = self.blocks.entry(about.first).or_insert_with(new);
        let fits = (block.about.k, block.about.m, block.len) == (about.k, about.m, len) && !overlaps;
        if fits && block.parity.iter().all(|(i, _)| *i != about.index) {
            block.parity.push((about.index, parity));
            self.held_bytes += len;
        }
        if block.parity.is_empty() {
            self.blocks.remove(&about.first);
        }
        self.make_room(usize::MAX, bytes_max);
        fits
    }

    /// Drops what is oldest.
    fn make_room(&mut self, frames_max: usize, bytes_max: usize) {
        while self.blocks.len() > BLOCKS_MAX || self.held_bytes > bytes_max && !self.blocks.is_empty() {
            if let Some((_, block)) = self.blocks.pop_first() {
                self.held_bytes -= block.bytes();
            }
        }
        while self.frames.len() > frames_max || self.held_bytes > bytes_max && !self.frames.is_empty() {
            if let Some((_, frame)) = self.frames.pop_first() {
                self.held_bytes -= frame.len();
            }
        }
    }

    /// The block needs nothing any more.
    pub(super) fn finish(&mut self, about: About) {
        if let Some(block) = self.blocks.remove(&about.first) {
            self.held_bytes -= block.bytes();
        }
        let frames = self.frames.extract_if(about.first..=about.last(), |_, _| true);
        self.held_bytes -= frames.map(|(_, f)| f.len()).sum::<usize>();
        self.done.insert(about.first, about.last());
        if self.done.len() > DONE_MAX
            && let Some((_, last)) = self.done.pop_first()
        {
            self.done_to = self.done_to.max(last);
        }
    }

    pub(super) fn count_bytes(&self) -> usize {
        self.frames.values().map(Frame::len).sum::<usize>()
            + self.blocks.values().map(Block::bytes).sum::<usize>()
    }
}

impl Block {
    fn bytes(&self) -> usize {
        self.parity.iter().map(|(_, p)| p.len()).sum()
    }
}

/// The parity of `k` shards. Empty if the code cannot do that, which the limits of the parameters exclude.
pub(super) fn encode(
    kept: &mut Option<ReedSolomonEncoder>,
    shards: impl Iterator<Item = Vec<u8>>,
    k: usize,
    m: usize,
    len: usize,
) -> Vec<Vec<u8>> {
    let encoder = match kept.take() {
        Some(mut encoder) => encoder.reset(k, m, len).map(|()| encoder),
        None => ReedSolomonEncoder::new(k, m, len),
    };
    let Ok(encoder) = encoder else { return Vec::new() };
    let encoder = kept.insert(encoder);
    for shard in shards {
        if encoder.add_original_shard(shard).is_err() {
            return Vec::new();
        }
    }
    encoder.encode().map_or_else(|_| Vec::new(), |r| r.recovery_iter().map(<[u8]>::to_vec).collect())
}

/// The shards of a block that are missing, by their places in it. None if what is there contradicts itself.
pub(super) fn decode(
    kept: &mut Option<ReedSolomonDecoder>,
    block: &Block,
    shards: impl Iterator<Item = (usize, Vec<u8>)>,
) -> Option<Vec<(usize, Vec<u8>)>> {
    let (k, m) = (usize::from(block.about.k), usize::from(block.about.m));
    let decoder = match kept.take() {
        Some(mut decoder) => decoder.reset(k, m, block.len).map(|()| decoder),
        None => ReedSolomonDecoder::new(k, m, block.len),
    };
    let decoder = kept.insert(decoder.ok()?);
    for (i, shard) in shards {
        decoder.add_original_shard(i, shard).ok()?;
    }
    for (i, shard) in &block.parity {
        decoder.add_recovery_shard(usize::from(*i), shard).ok()?;
    }
    let result = decoder.decode().ok()?;
    Some(result.restored_original_iter().map(|(i, shard)| (i, shard.to_vec())).collect())
}
