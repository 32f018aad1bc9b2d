//! Names for messages. The simulator puts one in front of every payload, so that oracles recognise messages of any
//! application: `process u16 | life u16 | count u32` big-endian, then the payload.

use crate::id::fnv1a;
use std::fmt;

/// A message's name: which process cast it, in which life, and its place among that life's messages, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

impl MessageId {
    /// The name of the `count`-th message of a life of a process.
    #[must_use]
    pub fn new(process: usize, life: u32, count: u32) -> Self {
        Self((process as u64 & 0xffff) << 48 | u64::from(life & 0xffff) << 32 | u64::from(count))
    }

    /// The process that cast it.
    #[must_use]
    pub fn process(self) -> usize {
        usize::try_from(self.0 >> 48).unwrap_or(usize::MAX)
    }

    /// The life in which it was cast, from 1.
    #[must_use]
    pub fn life(self) -> u32 {
        u32::try_from(self.0 >> 32 & 0xffff).unwrap_or(u32::MAX)
    }

    /// Its place among that life's messages, from 1.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::try_from(self.0 & 0xffff_ffff).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}.{}.{}", self.process(), self.life(), self.count())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The message with its name in front.
pub(super) fn wrap(id: MessageId, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(8 + payload.len());
    message.extend_from_slice(&id.0.to_be_bytes());
    message.extend_from_slice(payload);
    message
}

/// Name and payload; a message too short to have a name has the name 0, which no oracle knows.
pub(super) fn unwrap(message: &[u8]) -> (MessageId, &[u8]) {
    match message.split_first_chunk::<8>() {
        Some((id, payload)) => (MessageId(u64::from_be_bytes(*id)), payload),
        None => (MessageId(0), message),
    }
}

/// What two equal payloads have in common. Long payloads are compared by length and by every eighth byte in the middle.
pub(super) fn digest(payload: &[u8]) -> u64 {
    let seed = crate::id::FNV_OFFSET ^ payload.len() as u64;
    if payload.len() <= 128 {
        return fnv1a(seed, payload);
    }
    let (head, rest) = payload.split_at(64);
    let sampled = rest.iter().step_by(8).fold(fnv1a(seed, head), |h, b| fnv1a(h, &[*b]));
    fnv1a(sampled, &payload[payload.len() - 8..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let id = MessageId::new(3, 2, 70_000);
        assert_eq!((id.process(), id.life(), id.count()), (3, 2, 70_000));
        let message = wrap(id, b"payload");
        assert_eq!(unwrap(&message), (id, &b"payload"[..]));
        assert_eq!(unwrap(b"short").0, MessageId(0));
        assert_eq!(id.to_string(), "m3.2.70000");
    }

    #[test]
    fn a_changed_payload_has_another_digest() {
        let long = vec![7; 5_000];
        assert_ne!(digest(&long), digest(&long[1..]));
        assert_ne!(digest(b"a"), digest(b"b"));
    }
}
