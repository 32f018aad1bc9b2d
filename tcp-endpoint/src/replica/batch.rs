//! What is cast: a time and what happens at it. All integers are little-endian.
//!
//! ```text
//!   time u64 │ batches u64 │ digest u64 │ entry …        entry: kind u8 │ segment u16 │ length u32 │ bytes
//! ```
//!
//! `batches` and `digest` are where the leader was when it cast this: so many batches applied, with this digest.

use bytes::{Buf, Bytes};
use gcs::{blocks::AgreedTime, time::Time};
use thiserror::Error;

use crate::link::{Checksum, Ingress, Meta};

const PACKET: u8 = 1;
const KICK: u8 = 2;
const SECRET: u8 = 3;
const CLOCK: u8 = 4;
const HEADER: usize = 24;
const ENTRY: usize = 7;

/// A batch that is being put together. Packets stay where they are until it is cast.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Everything but packets.
    own: Vec<u8>,
    /// Packets, each behind so many bytes of `own`.
    packets: Vec<(usize, Bytes)>,
}

/// How far a replica has come: batches that it has applied, and the digest of what they have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Batches since the group began.
    pub batches: u64,
    /// The same at all replicas that have applied as many.
    pub digest: u64,
}

/// What happens in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A packet has arrived.
    Packet(Ingress),
    /// There is a new leader.
    Kick,
    /// The leader's time of day.
    Clock(AgreedTime),
    /// What numbers are derived from: the group's first batch.
    Secret([u8; 32]),
}

/// Bytes that are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a batch of {len} bytes is malformed at byte {at}: are all members of the same release?")]
pub struct BatchError {
    len: usize,
    at: usize,
}

impl Batch {
    /// An empty batch, of who has come so far: at its time timers fire.
    #[must_use]
    pub fn new(now: Time, mark: Mark) -> Self {
        Self { own: [now.0, mark.batches, mark.digest].map(u64::to_le_bytes).concat(), packets: Vec::new() }
    }

    /// What stands before an entry's bytes.
    fn entry(&mut self, kind: u8, segment: u16, len: usize) {
        self.own.push(kind);
        self.own.extend_from_slice(&segment.to_le_bytes());
        self.own.extend_from_slice(&u32::try_from(len).expect("a packet").to_le_bytes());
    }

    /// A packet whose checksum has been looked at.
    pub fn packet(&mut self, ingress: &Ingress) {
        self.entry(PACKET, ingress.meta.segment, ingress.packet.len());
        self.packets.push((self.own.len(), ingress.packet.clone()));
    }

    /// There is a new leader.
    pub fn kick(&mut self) {
        self.entry(KICK, 0, 0);
    }

    /// The time of day, for what is above connections.
    pub fn clock(&mut self, clock: AgreedTime) {
        self.entry(CLOCK, 0, 8);
        self.own.extend_from_slice(&clock.0.to_le_bytes());
    }

    /// What numbers are derived from.
    pub fn secret(&mut self, secret: &[u8; 32]) {
        self.entry(SECRET, 0, secret.len());
        self.own.extend_from_slice(secret);
    }

    /// Its bytes, in parts.
    #[must_use]
    pub fn parts(&self) -> Vec<&[u8]> {
        let (mut parts, mut at) = (Vec::with_capacity(2 * self.packets.len() + 1), 0);
        for (behind, packet) in &self.packets {
            parts.extend([&self.own[at..*behind], packet]);
            at = *behind;
        }
        parts.push(&self.own[at..]);
        parts
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.parts().concat().into()
    }
}

/// Reads a batch. Packets are slices of it.
pub(super) fn read(batch: &Bytes) -> Result<(Time, Mark, Vec<Entry>), BatchError> {
    let malformed = |rest: &Bytes| BatchError { len: batch.len(), at: batch.len() - rest.len() };
    let mut rest = batch.clone();
    if rest.len() < HEADER {
        return Err(malformed(&rest));
    }
    let now = Time(rest.get_u64_le());
    let mark = Mark { batches: rest.get_u64_le(), digest: rest.get_u64_le() };
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let before = rest.clone();
        if rest.len() < ENTRY {
            return Err(malformed(&before));
        }
        let (kind, segment, len) = (rest.get_u8(), rest.get_u16_le(), rest.get_u32_le() as usize);
        if len > rest.len() {
            return Err(malformed(&before));
        }
        let bytes = rest.split_to(len);
        let entry = match kind {
            PACKET => Some(Entry::Packet(Ingress {
                packet: bytes,
                meta: Meta { segment, checksum: Checksum::Good },
            })),
            KICK if len == 0 => Some(Entry::Kick),
            CLOCK => {
                <[u8; 8]>::try_from(&bytes[..]).ok().map(|c| Entry::Clock(AgreedTime(u64::from_le_bytes(c))))
            }
            SECRET => <[u8; 32]>::try_from(&bytes[..]).ok().map(Entry::Secret),
            _ => None,
        };
        entries.push(entry.ok_or_else(|| malformed(&before))?);
    }
    Ok((now, mark, entries))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let ingress = Ingress {
            packet: Bytes::from_static(b"packet"),
            meta: Meta { segment: 3, checksum: Checksum::Good },
        };
        let mark = Mark { batches: 5, digest: 6 };
        let mut batch = Batch::new(Time(77), mark);
        batch.secret(&[9; 32]);
        batch.kick();
        batch.clock(AgreedTime(8));
        batch.packet(&ingress);
        let bytes = batch.to_bytes();
        let (now, read_mark, entries) = read(&bytes).unwrap();
        assert_eq!((now, read_mark), (Time(77), mark));
        assert_eq!(
            entries,
            [Entry::Secret([9; 32]), Entry::Kick, Entry::Clock(AgreedTime(8)), Entry::Packet(ingress)]
        );
        for len in 0..bytes.len() {
            let cut = read(&bytes.slice(..len));
            assert!(cut.is_err() || [24, 63, 70, 85].contains(&len), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes.into());
        }
    }
}
