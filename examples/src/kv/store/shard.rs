//! The keyspace's parts: 128 groups of 128 shards, and where a key is.
//!
//! A snapshot shares the groups. The first write to a group after it copies the group's 128 pointers, the first write
//! to a shard copies that shard's table: 610 entries at ten million keys, each two reference counts.

use super::entry::Entry;
use hashbrown::HashTable;
use std::sync::Arc;

/// Groups in the keyspace.
pub(crate) const GROUPS: usize = 128;
/// Shards in a group.
pub(crate) const SHARDS_IN_GROUP: usize = 128;
/// Shards in the keyspace.
pub(crate) const SHARDS: usize = GROUPS * SHARDS_IN_GROUP;

/// A key's hash. Written out here, because where a key goes shows in snapshot chunks and in SCAN cursors: it has to be
/// the same at every replica, whatever they were built with. Not meant to withstand keys chosen to collide.
pub(crate) fn hash(key: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = (key.len() as u64).wrapping_mul(MULTIPLIER);
    let mut mix = |word: [u8; 8]| {
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 32;
    };
    let (words, rest) = key.as_chunks::<8>();
    words.iter().copied().for_each(&mut mix);
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(last);
    // The finaliser of MurmurHash3: every bit of the key can change every bit of the result.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The shard of a key, from 0 to [`SHARDS`]. From the middle bits: the table uses the ends.
pub(crate) fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

/// Keys in no visible order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    pub(crate) table: HashTable<Entry>,
    /// What the entries take in a snapshot chunk.
    pub(crate) bytes: usize,
}

impl Shard {
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.table.find(hash, |entry| *entry.key == *key)
    }

    /// The entries by key. The table's own order depends on its history, which a restored replica does not share:
    /// whatever shows outside comes from here.
    pub(crate) fn sorted(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        entries
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// [`SHARDS_IN_GROUP`] of them.
    pub(crate) shards: Vec<Arc<Shard>>,
    /// Keys in all of them.
    pub(crate) len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        let of = |key: &str| hash(key.as_bytes());
        let expected = [0, 12_999_860_087_487_594_972, 17_267_557_992_601_537_087];
        assert_eq!([of(""), of("key"), of("key:000000000001")], expected);
    }

    #[test]
    fn similar_keys_spread_over_the_shards() {
        let mut counts = vec![0u32; SHARDS];
        for number in 0..SHARDS * 16 {
            counts[shard_of(hash(format!("key:{number:012}").as_bytes()))] += 1;
        }
        assert!(counts.iter().all(|count| (1..=45).contains(count)), "{:?}", counts.iter().max());
    }
}
