//! A frozen keyspace in chunks.
//!
//! A chunk is a run of whole groups of at least 256 KiB; a group past 1 MiB is cut into runs of its sorted keys, so
//! only a single key can make a chunk larger than about 1.25 MiB. Where the cuts are depends on the contents only,
//! so every replica that froze at the same command says the same.
//!
//! Chunk: a version byte, then entries (see `entry.rs`). A restored keyspace has the entries and derives the rest.

use super::entry::Entry;
use super::keyspace::Keyspace;
use super::shard::{FANOUT, GROUPS, Group, Trunk};
use bytes::Bytes;
use gcs::blocks::{AgreedTime, RestoreError, Snapshot};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

const VERSION: u8 = 1;
/// A chunk is full from here.
const FULL: usize = 256 * 1024;
/// A group this large is cut.
const CUT: usize = 1024 * 1024;

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Groups(Range<usize>),
    /// A run of a group's sorted entries.
    Entries(usize, Range<usize>),
}

/// Taking one clones 64 pointers; the cuts are found, from the groups' sizes, when chunks are first asked for.
#[derive(Debug)]
pub(crate) struct Frozen {
    trunks: Vec<Arc<Trunk>>,
    parts: OnceLock<Vec<Part>>,
}

impl Frozen {
    pub(crate) fn new(keyspace: &Keyspace) -> Self {
        Self { trunks: keyspace.freeze(), parts: OnceLock::new() }
    }

    fn group(&self, group: usize) -> &Group {
        &self.trunks[group / FANOUT].groups[group % FANOUT]
    }

    fn parts(&self) -> &[Part] {
        self.parts.get_or_init(|| {
            let mut parts = Vec::new();
            let (mut start, mut bytes) = (0, 0);
            for group in 0..GROUPS {
                let more = self.group(group).bytes;
                if bytes > 0 && (bytes >= FULL || more >= CUT) {
                    parts.push(Part::Groups(start..group));
                    (start, bytes) = (group, 0);
                }
                if more >= CUT {
                    self.cut(group, &mut parts);
                    start = group + 1;
                } else {
                    bytes += more;
                }
            }
            if bytes > 0 {
                parts.push(Part::Groups(start..GROUPS));
            }
            parts
        })
    }

    fn cut(&self, group: usize, parts: &mut Vec<Part>) {
        let (mut start, mut bytes) = (0, 0);
        for (place, entry) in self.group(group).sorted().enumerate() {
            if bytes > 0 && (bytes >= FULL || bytes + entry.bytes() >= CUT) {
                parts.push(Part::Entries(group, start..place));
                (start, bytes) = (place, 0);
            }
            bytes += entry.bytes();
        }
        parts.push(Part::Entries(group, start..self.group(group).len));
    }
}

impl Snapshot for Frozen {
    fn chunks(&self) -> u64 {
        self.parts().len() as u64
    }

    fn chunk(&self, index: u64) -> Bytes {
        let part = usize::try_from(index).ok().and_then(|index| self.parts().get(index));
        let mut out = vec![VERSION];
        match part {
            Some(Part::Groups(groups)) => {
                out.reserve(groups.clone().map(|group| self.group(group).bytes).sum());
                for group in groups.clone() {
                    self.group(group).sorted().for_each(|entry| entry.encode(&mut out));
                }
            }
            Some(Part::Entries(group, run)) => {
                let entries = self.group(*group).sorted().skip(run.start).take(run.len());
                entries.for_each(|entry| entry.encode(&mut out));
            }
            // Past the end: nothing, which restores as nothing.
            None => {}
        }
        Bytes::from(out)
    }
}

/// Adds a chunk's entries to `keyspace`.
///
/// # Errors
/// The chunk is not one of ours, or brings a key that is there already.
pub(crate) fn restore(keyspace: &mut Keyspace, chunk: &[u8]) -> Result<(), RestoreError> {
    let Some((&VERSION, mut rest)) = chunk.split_first() else {
        return Err(RestoreError(format!("a chunk has to start with version {VERSION}")));
    };
    while !rest.is_empty() {
        let entry = Entry::decode(&mut rest)?;
        // At time 0 nothing has expired: this finds keys whatever their deadline.
        if keyspace.find(&entry.key, AgreedTime(0)).is_some() {
            return Err(RestoreError("a key came twice".to_owned()));
        }
        keyspace.put(&entry.key, entry.value, entry.deadline);
    }
    Ok(())
}
