//! A sorted map in segments that copy on write, for hashes and sets.
//!
//! ```text
//!   segments ─► [a..f] [g..k] [l..z]      each an Arc of at most 128 sorted entries, none empty
//! ```
//!
//! A write after a snapshot copies the list of segments (one pointer each) and one segment, not the whole
//! collection. Sorted, so that replicas list members in the same order whatever their history.

use super::value::Blob;
use crate::kv::varint;
use std::mem;
use std::sync::Arc;

/// Entries in a segment, at most; it splits in half when it would grow past this.
const SEGMENT: usize = 128;

/// What an entry's value takes in a snapshot chunk.
pub(crate) trait Weight {
    fn bytes(&self) -> usize;
}

impl Weight for () {
    fn bytes(&self) -> usize {
        0
    }
}

impl Weight for Blob {
    fn bytes(&self) -> usize {
        varint::bytes_len(self)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Sorted<V> {
    segments: Vec<Arc<Vec<(Blob, V)>>>,
    len: usize,
    bytes: usize,
}

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Self { segments: Vec::new(), len: 0, bytes: 0 }
    }
}

impl<V: PartialEq> PartialEq for Sorted<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<V: Eq> Eq for Sorted<V> {}

impl<V> Sorted<V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What the entries take in a snapshot chunk.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Blob, V)> {
        self.segments.iter().flat_map(|segment| segment.iter())
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        let (segment, place) = self.locate(key);
        let entry = self.segments.get(segment)?.get(place.ok()?)?;
        Some(&entry.1)
    }

    /// The segment where `key` is or would go, and its place in it.
    fn locate(&self, key: &[u8]) -> (usize, Result<usize, usize>) {
        let after = self.segments.partition_point(|segment| *segment[0].0 <= *key);
        let segment = after.saturating_sub(1);
        let place = match self.segments.get(segment) {
            Some(entries) => entries.binary_search_by(|(have, _)| (**have).cmp(key)),
            None => Err(0),
        };
        (segment, place)
    }
}

impl<V: Clone + Weight> Sorted<V> {
    /// Sets `key` and returns what it had.
    pub(crate) fn insert(&mut self, key: &[u8], value: V) -> Option<V> {
        let (index, place) = self.locate(key);
        self.bytes += value.bytes();
        match place {
            Ok(place) => {
                let old = mem::replace(&mut Arc::make_mut(&mut self.segments[index])[place].1, value);
                self.bytes -= old.bytes();
                Some(old)
            }
            Err(place) => {
                self.len += 1;
                self.bytes += varint::bytes_len(key);
                if self.segments.is_empty() {
                    self.segments.push(Arc::default());
                }
                let segment = Arc::make_mut(&mut self.segments[index]);
                segment.insert(place, (Blob::from(key), value));
                if segment.len() > SEGMENT {
                    let upper = segment.split_off(SEGMENT / 2);
                    self.segments.insert(index + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Removes `key` and returns what it had. Copies nothing if it is not there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<V> {
        let (index, place) = self.locate(key);
        let segment = Arc::make_mut(self.segments.get_mut(index).filter(|_| place.is_ok())?);
        let (key, old) = segment.remove(place.ok()?);
        let left = segment.len();
        self.len -= 1;
        self.bytes -= varint::bytes_len(&key) + old.bytes();
        if left == 0 {
            self.segments.remove(index);
        } else if self.segments.get(index + 1).is_some_and(|next| left + next.len() <= SEGMENT / 2) {
            let next = self.segments.remove(index + 1);
            Arc::make_mut(&mut self.segments[index]).extend(next.iter().cloned());
        }
        Some(old)
    }

    /// Panics if an invariant does not hold.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        assert!(self.segments.iter().all(|segment| !segment.is_empty() && segment.len() <= SEGMENT));
        assert!(
            self.iter().zip(self.iter().skip(1)).all(|(one, next)| one.0 < next.0),
            "sorted, no key twice"
        );
        assert_eq!(self.len, self.iter().count());
        assert_eq!(self.bytes, self.iter().map(|(key, v)| varint::bytes_len(key) + v.bytes()).sum::<usize>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_like_a_btree_map(steps in prop::collection::vec((0u16..600, 0u8..3), 1..3000)) {
            let mut sorted = Sorted::<Blob>::default();
            let mut model = BTreeMap::new();
            for (number, action) in steps {
                let key = number.to_string().into_bytes();
                if action > 0 {
                    let value = Blob::from(vec![action; usize::from(action)]);
                    prop_assert_eq!(sorted.insert(&key, value.clone()), model.insert(key, value));
                } else {
                    prop_assert_eq!(sorted.get(&key), model.get(&key));
                    prop_assert_eq!(sorted.remove(&key), model.remove(&key));
                }
            }
            sorted.check();
            prop_assert!(sorted.iter().map(|(k, v)| (k.to_vec(), v.clone())).eq(model));
        }
    }
}
