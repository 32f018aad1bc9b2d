//! All keys: lookup, change, expiry, and cheap freezing.
//!
//! Invariants, asserted by `check`:
//! 1. every key is in the shard its hash names, once;
//! 2. `len`, and each part's `len` and `bytes`, agree with the entries;
//! 3. `expiries` holds exactly the keys with a deadline, each at its deadline;
//! 4. no key holds an empty collection.
//!
//! Expiry goes by agreed time only. A key whose deadline has passed is invisible at once; it is removed by the write
//! that would touch it, or by the sweep, at most [`SWEEP`] keys a command, earliest deadline first. The index of
//! deadlines is derived from the entries, so a restored replica sweeps the same keys at the same commands.

use super::entry::{Deadline, Entry};
use super::fault::Fault;
use super::shard::{self, FANOUT, GROUPS, SHARDS, Shard, Trunk, hash, path, shard_of};
use super::value::{Blob, Collection, Value};
use gcs::blocks::AgreedTime;
use hashbrown::hash_table;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::{mem, thread};

/// Expired keys removed before each command, at most.
const SWEEP: usize = 16;

/// From this many keys, what FLUSHALL lets go of is freed in the background: commands would wait for seconds.
const FREE_IN_BACKGROUND: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Keyspace {
    /// [`FANOUT`] of them.
    trunks: Vec<Arc<Trunk>>,
    expiries: BTreeSet<(Deadline, Blob)>,
    len: usize,
}

impl Keyspace {
    pub(crate) fn new() -> Self {
        Self { trunks: shard::trunks(), expiries: BTreeSet::new(), len: 0 }
    }

    /// How many keys there are, with expired ones that were not swept yet.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The present state, shared: later changes do not show in it.
    pub(crate) fn freeze(&self) -> Vec<Arc<Trunk>> {
        self.trunks.clone()
    }

    /// Shard number `shard`, from 0 to `SHARDS`; `None` past the end.
    pub(crate) fn shard(&self, shard: usize) -> Option<&Shard> {
        let [trunk, group, place] = path(shard);
        Some(&self.trunks.get(trunk)?.groups[group].shards[place])
    }

    /// The first shard from number `from` on that may have keys; `None` if there is none. Skips by trunks and groups.
    pub(crate) fn next_shard(&self, mut from: usize) -> Option<usize> {
        while from < SHARDS {
            let [trunk, group, _] = path(from);
            if self.trunks[trunk].len == 0 {
                from = (from / GROUPS + 1) * GROUPS;
            } else if self.trunks[trunk].groups[group].len == 0 {
                from = (from / FANOUT + 1) * FANOUT;
            } else {
                return Some(from);
            }
        }
        None
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
        let open = shard::open(&mut self.trunks, hash);
        match open.table.entry(hash, |entry| *entry.key == *key, |entry| self::hash(&entry.key)) {
            hash_table::Entry::Occupied(mut place) => {
                let entry = place.get_mut();
                *open.group_bytes -= entry.bytes();
                entry.value = value;
                let before = mem::replace(&mut entry.deadline, deadline);
                *open.group_bytes += entry.bytes();
                reschedule(&mut self.expiries, &entry.key, before, deadline);
            }
            hash_table::Entry::Vacant(place) => {
                let entry = Entry { key: key.into(), value, deadline };
                *open.group_bytes += entry.bytes();
                reschedule(&mut self.expiries, &entry.key, Deadline::NEVER, deadline);
                place.insert(entry);
                *open.trunk_len += 1;
                *open.group_len += 1;
                self.len += 1;
            }
        }
    }

    /// Removes `key`; returns its entry if it was live. Copies nothing if it is not there.
    pub(crate) fn take(&mut self, key: &[u8], at: AgreedTime) -> Option<Entry> {
        let hash = hash(key);
        self.shard(shard_of(hash))?.find(hash, key)?;
        let open = shard::open(&mut self.trunks, hash);
        let (entry, _) = open.table.find_entry(hash, |entry| *entry.key == *key).ok()?.remove();
        *open.group_bytes -= entry.bytes();
        *open.trunk_len -= 1;
        *open.group_len -= 1;
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
        let open = shard::open(&mut self.trunks, hash);
        let Some(entry) = open.table.find_mut(hash, |entry| *entry.key == *key) else { return Ok(None) };
        *open.group_bytes -= entry.bytes();
        let outcome = C::of_mut(&mut entry.value).map(|shared| {
            let collection = Arc::make_mut(shared);
            (change(collection), collection.len() == 0)
        });
        *open.group_bytes += entry.bytes();
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
        let mut keys = 0;
        for (trunk_number, trunk) in self.trunks.iter().enumerate() {
            let mut trunk_len = 0;
            for (group_number, group) in trunk.groups.iter().enumerate() {
                let (mut group_len, mut group_bytes) = (0, 0);
                for (place, shard) in group.shards.iter().enumerate() {
                    for entry in &shard.table {
                        let here = [trunk_number, group_number, place];
                        assert_eq!(path(shard_of(hash(&entry.key))), here, "invariant 1: in its shard");
                        self.check_entry(shard, entry);
                        with_deadline += usize::from(entry.deadline != Deadline::NEVER);
                        group_len += 1;
                        group_bytes += entry.bytes();
                    }
                }
                assert_eq!((group.len, group.bytes), (group_len, group_bytes), "invariant 2: a group's");
                trunk_len += group_len;
            }
            assert_eq!(trunk.len, trunk_len, "invariant 2: a trunk's len");
            keys += trunk_len;
        }
        assert_eq!(self.expiries.len(), with_deadline, "invariant 3: nothing else in the index");
        assert_eq!(self.len, keys, "invariant 2: len");
    }

    fn check_entry(&self, shard: &Shard, entry: &Entry) {
        let found = shard.find(hash(&entry.key), &entry.key);
        assert!(found.is_some_and(|found| std::ptr::eq(found, entry)), "invariant 1: there once");
        let due = (entry.deadline, entry.key.clone());
        let never = entry.deadline == Deadline::NEVER;
        assert!(never || self.expiries.contains(&due), "invariant 3: the index has the deadline");
        let empty = match &entry.value {
            Value::String(_) => false,
            Value::Hash(hash) => hash.len() == 0,
            Value::List(list) => list.len() == 0,
            Value::Set(set) => set.len() == 0,
        };
        assert!(!empty, "invariant 4: no empty collection");
    }
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
