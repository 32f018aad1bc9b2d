//! [`Cache`]: which signatures were found right, the last ones that were asked for.
//!
//! Two generations: what is found in the old one moves to the young one; when the young one is full it becomes the old one. So at least half
//! as many as there is room for are the last that were used, and what is forgotten depends on the questions alone. Only what is right gets
//! in, so that who has no key cannot push anything out.

use std::collections::BTreeSet;

use super::{chain::Id, key::PublicKey};

type Entry = (PublicKey, Id);

/// Signatures by a key that were found right.
#[derive(Debug)]
pub(super) struct Cache {
    young: BTreeSet<Entry>,
    old: BTreeSet<Entry>,
    half: usize,
}

impl Cache {
    /// One for so many, at least two.
    pub(super) fn new(room: usize) -> Self {
        Self { young: BTreeSet::new(), old: BTreeSet::new(), half: (room / 2).max(1) }
    }

    /// Whether it was found right.
    pub(super) fn has(&mut self, by: PublicKey, id: Id) -> bool {
        let entry = (by, id);
        if self.young.contains(&entry) {
            return true;
        }
        let known = self.old.remove(&entry);
        if known {
            self.insert(by, id);
        }
        known
    }

    /// It was.
    pub(super) fn insert(&mut self, by: PublicKey, id: Id) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert((by, id));
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays_and_there_are_never_more() {
        let (mut cache, key) = (Cache::new(8), PublicKey::from_bytes([0; 32]));
        let id = |n: u8| Id([n; 32]);
        for n in 0..=255 {
            assert!(!cache.has(key, id(n)));
            cache.insert(key, id(n));
            assert!(n == 0 || cache.has(key, id(0)) == (cache.len() > 0 && n > 0), "0 is used all the time");
            assert!(cache.len() <= 8);
        }
        assert!((252..=255).all(|n| cache.has(key, id(n))), "the last four");
        assert!(!cache.has(key, id(240)));
        assert!(!cache.has(PublicKey::from_bytes([1; 32]), id(255)), "by another key");
    }
}
