//! The contents of a map, in shards that a snapshot shares with the living map until they are written to.
//!
//! ```text
//! 128 trunks ─► 128 shards each ─► entries, sorted
//! ```
//! A snapshot clones the pointers to the trunks. The first write to a shard after it copies the pointers of one trunk
//! and the entries of one shard: with a million keys, 128 and 64.

use crate::{
    blocks::{
        RestoreError, Snapshot,
        wire::{Reader, malformed, put_bytes},
    },
    id,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, OnceLock},
};

const FANOUT: usize = 128;
const SHARDS: usize = FANOUT * FANOUT;
/// A chunk of a snapshot is as many whole shards as have this many bytes together.
const CHUNK: usize = 256 << 10;

type Trunk = Vec<Arc<Shard>>;

#[derive(Clone, Default)]
struct Shard {
    entries: BTreeMap<Bytes, Bytes>,
    /// What they take in a chunk.
    bytes: usize,
}

pub(super) struct Shards {
    trunks: Vec<Arc<Trunk>>,
    len: u64,
}

impl Default for Shards {
    fn default() -> Self {
        let trunk = Arc::new(vec![Arc::<Shard>::default(); FANOUT]);
        Self { trunks: vec![trunk; FANOUT], len: 0 }
    }
}

fn place(key: &[u8]) -> (usize, usize) {
    let n = usize::try_from(id::fnv1a(id::FNV_OFFSET, key) % SHARDS as u64).unwrap_or(0);
    (n / FANOUT, n % FANOUT)
}

fn size(key: &[u8], value: &[u8]) -> usize {
    8 + key.len() + value.len()
}

impl Shards {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        let (trunk, shard) = place(key);
        self.trunks[trunk][shard].entries.get(key)
    }

    /// Sets a value, or removes it; the one before.
    pub(super) fn set(&mut self, key: &[u8], value: Option<&[u8]>) -> Option<Bytes> {
        let (trunk, shard) = place(key);
        let shard = Arc::make_mut(&mut Arc::make_mut(&mut self.trunks[trunk])[shard]);
        let before = match value {
            Some(v) => {
                shard.bytes += size(key, v);
                self.len += 1;
                match shard.entries.get_mut(key) {
                    Some(slot) => Some(std::mem::replace(slot, Bytes::copy_from_slice(v))),
                    None => shard.entries.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(v)),
                }
            }
            None => shard.entries.remove(key),
        };
        if let Some(b) = &before {
            shard.bytes -= size(key, b);
            self.len -= 1;
        }
        before
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn freeze(&self) -> Arc<dyn Snapshot> {
        Arc::new(Frozen { trunks: self.trunks.clone(), chunks: OnceLock::new() })
    }

    /// Adds a chunk's entries.
    pub(super) fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        let mut r = Reader(chunk);
        while !r.0.is_empty() {
            let (Some(key), Some(value)) = (r.bytes(), r.bytes()) else { return Err(malformed("map")) };
            self.set(key, Some(value));
        }
        Ok(())
    }
}

/// Where the cuts are depends on the contents only, so they are the same at all replicas.
struct Frozen {
    trunks: Vec<Arc<Trunk>>,
    chunks: OnceLock<Vec<Range<usize>>>,
}

impl Frozen {
    fn shard(&self, n: usize) -> &Shard {
        &self.trunks[n / FANOUT][n % FANOUT]
    }

    fn cuts(&self) -> &[Range<usize>] {
        self.chunks.get_or_init(|| {
            let (mut cuts, mut start, mut bytes) = (Vec::new(), 0, 0);
            for n in 0..SHARDS {
                bytes += self.shard(n).bytes;
                if bytes >= CHUNK {
                    cuts.push(start..n + 1);
                    (start, bytes) = (n + 1, 0);
                }
            }
            if bytes > 0 {
                cuts.push(start..SHARDS);
            }
            cuts
        })
    }
}

impl Snapshot for Frozen {
    fn chunks(&self) -> u64 {
        self.cuts().len() as u64
    }

    fn chunk(&self, index: u64) -> Bytes {
        let shards = usize::try_from(index).ok().and_then(|i| self.cuts().get(i)).cloned().unwrap_or(0..0);
        let mut b = Vec::with_capacity(shards.clone().map(|n| self.shard(n).bytes).sum());
        for (key, value) in shards.flat_map(|n| &self.shard(n).entries) {
            put_bytes(&mut b, key);
            put_bytes(&mut b, value);
        }
        b.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(n: u32, value: &[u8]) -> Shards {
        let mut s = Shards::default();
        (0..n).for_each(|i| assert_eq!(s.set(&i.to_le_bytes(), Some(value)), None));
        s
    }

    #[test]
    fn a_snapshot_does_not_see_later_writes_and_restores() {
        let mut s = filled(1000, &[7; 2000]);
        let frozen = s.freeze();
        assert_eq!(s.set(&7_u32.to_le_bytes(), Some(b"new")).map(|b| b.len()), Some(2000));
        assert_eq!(s.set(&8_u32.to_le_bytes(), None).map(|b| b.len()), Some(2000));
        assert_eq!((s.len(), frozen.chunks()), (999, 8));
        let mut copy = Shards::default();
        for i in 0..frozen.chunks() {
            let chunk = frozen.chunk(i);
            assert!(chunk.len() < CHUNK + 10_000, "{}", chunk.len());
            copy.restore(&chunk).unwrap();
        }
        assert_eq!(copy.len(), 1000);
        assert_eq!(copy.get(&7_u32.to_le_bytes()).map(|b| b.len()), Some(2000));
        assert!(copy.restore(b"xx").is_err());
    }

    #[test]
    fn an_empty_map_has_no_chunks() {
        let mut s = filled(3, b"x");
        (0..3_u32).for_each(|i| assert!(s.set(&i.to_le_bytes(), None).is_some()));
        assert_eq!(s.set(b"absent", None), None);
        assert_eq!((s.len(), s.freeze().chunks()), (0, 0));
        assert!(s.freeze().chunk(0).is_empty());
    }
}
