//! All keys: lookup, change, expiry, and cheap freezing.
//!
//! Invariants, asserted by `check`:
//! 1. every key is in the shard its hash names, once;
//! 2. `len`, each group's `len` and each shard's `bytes` agree with the entries;
//! 3. `expiries` holds exactly the keys with a deadline, each at its deadline;
//! 4. no key holds an empty collection.
//!
//! Expiry goes by agreed time only. A key whose deadline has passed is invisible at once; it is removed by the write
//! that would touch it, or by the sweep, at most [`SWEEP`] keys a command, earliest deadline first. The index of
//! deadlines is derived from the entries, so a restored replica sweeps the same keys at the same commands.

use super::entry::{Deadline, Entry};
use super::fault::Fault;
use super::shard::{GROUPS, Group, SHARDS, SHARDS_IN_GROUP, Shard, hash, shard_of};
use super::value::{Blob, Collection, Value};
use gcs::blocks::AgreedTime;
use hashbrown::hash_table;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::{iter, mem, thread};

/// Expired keys removed before each command, at most.
const SWEEP: usize = 16;

/// From this many keys, what FLUSHALL lets go of is freed in the background: commands would wait for seconds.
const FREE_IN_BACKGROUND: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Keyspace {
    /// [`GROUPS`] of them.
    groups: Vec<Arc<Group>>,
    expiries: BTreeSet<(Deadline, Blob)>,
    len: usize,
}

impl Keyspace {
    pub(crate) fn new() -> Self {
        // All share one empty shard and one group of it until they are written to.
        let shards = iter::repeat_n(Arc::new(Shard::default()), SHARDS_IN_GROUP).collect();
        let groups = iter::repeat_n(Arc::new(Group { shards, len: 0 }), GROUPS).collect();
        Self { groups, expiries: BTreeSet::new(), len: 0 }
    }

    /// How many keys there are, with expired ones that were not swept yet.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The present state, shared: later changes do not show in it.
    pub(crate) fn freeze(&self) -> Vec<Arc<Group>> {
        self.groups.clone()
    }

    /// Shard number `shard`, from 0 to `SHARDS`; `None` past the end.
    pub(crate) fn shard(&self, shard: usize) -> Option<&Shard> {
        let group = self.groups.get(shard / SHARDS_IN_GROUP)?;
        Some(&group.shards[shard % SHARDS_IN_GROUP])
    }

    /// The first shard from number `from` on that may have keys; `None` if there is none. Skips by groups.
    pub(crate) fn next_shard(&self, mut from: usize) -> Option<usize> {
        while from < SHARDS && self.groups[from / SHARDS_IN_GROUP].len == 0 {
            from = (from / SHARDS_IN_GROUP + 1) * SHARDS_IN_GROUP;
        }
        (from < SHARDS).then_some(from)
    }

    /// The live entry of `key`.
    pub(crate) fn find(&self, key: &[u8], at: AgreedTime) -> Option<&Entry> {
        let hash = hash(key);
        let entry = self.shard(shard_of(hash))?.find(hash, key)?;
        (!entry.deadline.has_passed(at)).then_some(entry)
    }

    /// The string at `key`; `None` if the key is not there.
    pub(crate) fn string(&self, key: &[u8], at: AgreedTime) -> Result<Option<&Blob>, Fault> {
        match self.find(key, at).map(|entry| &entry.value) {
            None => Ok(None),
            Some(Value::String(string)) => Ok(Some(string)),
            Some(_) => Err(Fault::WrongType),
        }
    }

    /// The collection at `key`; `None` if the key is not there.
    pub(crate) fn collection<C: Collection>(&self, key: &[u8], at: AgreedTime) -> Result<Option<&C>, Fault> {
        match self.find(key, at) {
            None => Ok(None),
            Some(entry) => C::of(&entry.value).map(Some).ok_or(Fault::WrongType),
        }
    }

    /// Sets `key`, whatever it was.
    pub(crate) fn put(&mut self, key: &[u8], value: Value, deadline: Deadline) {
        let hash = hash(key);
        let group = open_group(&mut self.groups, hash);
        let shard = open_shard(&mut group.shards, hash);
        match shard.table.entry(hash, |entry| *entry.key == *key, |entry| self::hash(&entry.key)) {
            hash_table::Entry::Occupied(mut place) => {
                let entry = place.get_mut();
                shard.bytes -= entry.bytes();
                entry.value = value;
                let before = mem::replace(&mut entry.deadline, deadline);
                shard.bytes += entry.bytes();
                reschedule(&mut self.expiries, &entry.key, before, deadline);
            }
            hash_table::Entry::Vacant(place) => {
                let entry = Entry { key: key.into(), value, deadline };
                shard.bytes += entry.bytes();
                reschedule(&mut self.expiries, &entry.key, Deadline::NEVER, deadline);
                place.insert(entry);
                group.len += 1;
                self.len += 1;
            }
        }
    }

    /// Removes `key`; returns its entry if it was live. Copies nothing if it is not there.
    pub(crate) fn take(&mut self, key: &[u8], at: AgreedTime) -> Option<Entry> {
        let hash = hash(key);
        self.shard(shard_of(hash))?.find(hash, key)?;
        let group = open_group(&mut self.groups, hash);
        let shard = open_shard(&mut group.shards, hash);
        let (entry, _) = shard.table.find_entry(hash, |entry| *entry.key == *key).ok()?.remove();
        shard.bytes -= entry.bytes();
        group.len -= 1;
        self.len -= 1;
        reschedule(&mut self.expiries, &entry.key, entry.deadline, Deadline::NEVER);
        (!entry.deadline.has_passed(at)).then_some(entry)
    }

    /// Gives a live key another deadline; false if it is not there.
    pub(crate) fn set_deadline(&mut self, key: &[u8], deadline: Deadline, at: AgreedTime) -> bool {
        let Some(entry) = self.find(key, at) else { return false };
        let value = entry.value.clone();
        self.put(key, value, deadline);
        true
    }

    /// Changes the collection at `key` in place, and removes the key if that leaves it empty. `None` if the key is
    /// not there.
    pub(crate) fn change<C: Collection, R>(
        &mut self,
        key: &[u8],
        at: AgreedTime,
        change: impl FnOnce(&mut C) -> R,
    ) -> Result<Option<R>, Fault> {
        if self.collection::<C>(key, at)?.is_none() {
            return Ok(None);
        }
        let hash = hash(key);
        let shard = open_shard(&mut open_group(&mut self.groups, hash).shards, hash);
        let Some(entry) = shard.table.find_mut(hash, |entry| *entry.key == *key) else { return Ok(None) };
        shard.bytes -= entry.bytes();
        let outcome = C::of_mut(&mut entry.value).map(|shared| {
            let collection = Arc::make_mut(shared);
            (change(collection), collection.len() == 0)
        });
        shard.bytes += entry.bytes();
        let Some((result, emptied)) = outcome else { return Err(Fault::WrongType) };
        if emptied {
            self.take(key, at);
        }
        Ok(Some(result))
    }

    /// Like [`Self::change`], but starts an empty collection if the key is not there.
    pub(crate) fn change_or_create<C: Collection, R>(
        &mut self,
        key: &[u8],
        at: AgreedTime,
        change: impl FnOnce(&mut C) -> R,
    ) -> Result<R, Fault> {
        if self.collection::<C>(key, at)?.is_some() {
            return self.change(key, at, change)?.ok_or(Fault::WrongType);
        }
        let mut collection = C::default();
        let result = change(&mut collection);
        if collection.len() > 0 {
            self.put(key, collection.wrap(), Deadline::NEVER);
        }
        Ok(result)
    }

    /// Removes expired keys, earliest deadline first, at most [`SWEEP`] of them.
    pub(crate) fn sweep(&mut self, at: AgreedTime) {
        for _ in 0..SWEEP {
            let Some((deadline, key)) = self.expiries.first() else { return };
            if !deadline.has_passed(at) {
                return;
            }
            let key = key.clone();
            self.take(&key, at);
        }
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        let old = mem::replace(self, Self::new());
        if old.len >= FREE_IN_BACKGROUND {
            // If no thread can be had, the closure is dropped here, and the keys with it.
            drop(thread::Builder::new().name("kv-free".to_owned()).spawn(move || drop(old)));
        }
    }

    /// Panics if an invariant in this file's header does not hold.
    pub(crate) fn check(&self) {
        let mut with_deadline = 0;
        for (number, group) in self.groups.iter().enumerate() {
            for (place, shard) in group.shards.iter().enumerate() {
                for entry in &shard.table {
                    let hash = hash(&entry.key);
                    assert_eq!(shard_of(hash), number * SHARDS_IN_GROUP + place, "invariant 1: in its shard");
                    let found = shard.find(hash, &entry.key);
                    assert!(found.is_some_and(|found| std::ptr::eq(found, entry)), "invariant 1: there once");
                    if entry.deadline != Deadline::NEVER {
                        with_deadline += 1;
                        let due = (entry.deadline, entry.key.clone());
                        assert!(self.expiries.contains(&due), "invariant 3: the index has the deadline");
                    }
                    let empty = match &entry.value {
                        Value::String(_) => false,
                        Value::Hash(hash) => hash.len() == 0,
                        Value::List(list) => list.len() == 0,
                        Value::Set(set) => set.len() == 0,
                    };
                    assert!(!empty, "invariant 4: no empty collection");
                }
                let bytes: usize = shard.table.iter().map(Entry::bytes).sum();
                assert_eq!(shard.bytes, bytes, "invariant 2: bytes");
            }
            let len: usize = group.shards.iter().map(|shard| shard.table.len()).sum();
            assert_eq!(group.len, len, "invariant 2: the group's len");
        }
        assert_eq!(self.expiries.len(), with_deadline, "invariant 3: nothing else in the index");
        assert_eq!(self.len, self.groups.iter().map(|group| group.len).sum::<usize>(), "invariant 2: len");
    }
}

/// The group of a hash, to change: copied if a snapshot shares it.
fn open_group(groups: &mut [Arc<Group>], hash: u64) -> &mut Group {
    Arc::make_mut(&mut groups[shard_of(hash) / SHARDS_IN_GROUP])
}

/// The shard of a hash among its group's, to change: copied if a snapshot shares it.
fn open_shard(shards: &mut [Arc<Shard>], hash: u64) -> &mut Shard {
    Arc::make_mut(&mut shards[shard_of(hash) % SHARDS_IN_GROUP])
}

fn reschedule(expiries: &mut BTreeSet<(Deadline, Blob)>, key: &Blob, before: Deadline, after: Deadline) {
    if before == after {
        return;
    }
    if before != Deadline::NEVER {
        expiries.remove(&(before, key.clone()));
    }
    if after != Deadline::NEVER {
        expiries.insert((after, key.clone()));
    }
}
