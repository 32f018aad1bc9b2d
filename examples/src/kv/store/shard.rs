//! The keyspace's parts, a tree of three levels with keys in the leaves, and where a key is.
//!
//! ```text
//!   64 trunks ─► 64 groups each ─► 64 shards each, a hash table: 38 keys at ten million
//! ```
//!
//! A snapshot shares the trunks. The first write to a part after it copies that part: 64 pointers for a trunk and a
//! group, the table for a shard, two reference counts an entry. There are as many shards as that, because at ten
//! million keys writes all over the keyspace meet a shared shard nearly every time at first: what one copy costs is
//! what such a write costs (about 20 us; with 16,384 shards it was 200 us).

use super::entry::Entry;
use hashbrown::HashTable;
use std::iter;
use std::sync::Arc;

/// Groups in a trunk, shards in a group, and trunks.
pub(crate) const FANOUT: usize = 64;
/// Shards in the keyspace.
pub(crate) const SHARDS: usize = FANOUT * FANOUT * FANOUT;
/// Groups in the keyspace.
pub(crate) const GROUPS: usize = FANOUT * FANOUT;

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

/// The trunk of a shard, the group in that, and the place in that.
pub(crate) fn path(shard: usize) -> [usize; 3] {
    [shard / GROUPS, shard / FANOUT % FANOUT, shard % FANOUT]
}

/// Keys in no visible order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    pub(crate) table: HashTable<Entry>,
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

/// [`FANOUT`] shards.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) shards: Vec<Arc<Shard>>,
    /// Keys in all of them.
    pub(crate) len: usize,
    /// What those take in a snapshot chunk.
    pub(crate) bytes: usize,
}

impl Group {
    /// The entries, shard by shard, by key in each.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = &Entry> {
        self.shards.iter().flat_map(|shard| shard.sorted())
    }
}

/// [`FANOUT`] groups.
#[derive(Clone, Debug)]
pub(crate) struct Trunk {
    pub(crate) groups: Vec<Arc<Group>>,
    /// Keys in all of them.
    pub(crate) len: usize,
}

/// All trunks, empty. All share one empty shard, group and trunk until they are written to.
pub(crate) fn trunks() -> Vec<Arc<Trunk>> {
    let shards = iter::repeat_n(Arc::default(), FANOUT).collect();
    let groups = iter::repeat_n(Arc::new(Group { shards, len: 0, bytes: 0 }), FANOUT).collect();
    iter::repeat_n(Arc::new(Trunk { groups, len: 0 }), FANOUT).collect()
}

/// The way to a shard that is to be changed.
pub(crate) struct Open<'k> {
    pub(crate) trunk_len: &'k mut usize,
    pub(crate) group_len: &'k mut usize,
    pub(crate) group_bytes: &'k mut usize,
    pub(crate) table: &'k mut HashTable<Entry>,
}

/// Opens the shard of a hash for change: copies what a snapshot shares on the way.
pub(crate) fn open(trunks: &mut [Arc<Trunk>], hash: u64) -> Open<'_> {
    let [trunk, group, shard] = path(shard_of(hash));
    let trunk = Arc::make_mut(&mut trunks[trunk]);
    let group = Arc::make_mut(&mut trunk.groups[group]);
    let shard = Arc::make_mut(&mut group.shards[shard]);
    Open {
        trunk_len: &mut trunk.len,
        group_len: &mut group.len,
        group_bytes: &mut group.bytes,
        table: &mut shard.table,
    }
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
        for number in 0..SHARDS * 4 {
            counts[shard_of(hash(format!("key:{number:012}").as_bytes()))] += 1;
        }
        // As if drawn at random: e^-4 of the shards stay empty, none gets more than 20 or so.
        let empty = counts.iter().filter(|count| **count == 0).count() as f64 / SHARDS as f64;
        assert!((0.015..0.022).contains(&empty), "{empty}");
        assert!(counts.iter().all(|count| *count <= 22), "{:?}", counts.iter().max());
    }
}
