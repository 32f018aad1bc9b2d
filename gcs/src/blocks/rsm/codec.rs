//! What replicas cast to each other.
//!
//! ```text
//! | version 1 | kind | client 16 | counter 8 | answered 8 | stamp 8 | count 4 | (length 4, command)… |
//! ```
//! `client` is one life of one replica, `counter` counts its operations; all of its operations before `answered` have
//! been answered there. `stamp` is the submitter's wall clock in milliseconds.

use crate::blocks::wire::{Reader, put_bytes};
use bytes::{BufMut, Bytes};

const VERSION: u8 = 1;
const KIND_COMMANDS: u8 = 0;
const KIND_BARRIER: u8 = 1;
const HEADER: usize = 46;

/// Names an operation: all commands that were submitted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OpId {
    pub(super) client: u128,
    pub(super) counter: u64,
}

/// A decoded message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) id: OpId,
    pub(super) answered: u64,
    pub(super) stamp_ms: u64,
    /// None for a read barrier.
    pub(super) commands: Option<Vec<&'a [u8]>>,
}

/// How long a message with these commands is, in bytes.
pub(super) fn encoded_len(commands: &[Bytes]) -> usize {
    HEADER + commands.iter().map(|c| c.len() + 4).sum::<usize>()
}

/// `commands` is None for a read barrier.
pub(super) fn encode(id: OpId, answered: u64, stamp_ms: u64, commands: Option<&[Bytes]>) -> Vec<u8> {
    let list = commands.unwrap_or_default();
    let mut b = Vec::with_capacity(encoded_len(list));
    b.push(VERSION);
    b.push(if commands.is_some() { KIND_COMMANDS } else { KIND_BARRIER });
    b.put_u128_le(id.client);
    b.put_u64_le(id.counter);
    b.put_u64_le(answered);
    b.put_u64_le(stamp_ms);
    b.put_u32_le(u32::try_from(list.len()).unwrap_or(u32::MAX));
    list.iter().for_each(|c| put_bytes(&mut b, c));
    b
}

/// None if it is not such a message.
pub(super) fn decode(bytes: &[u8]) -> Option<Message<'_>> {
    let mut r = Reader(bytes);
    if r.u8()? != VERSION {
        return None;
    }
    let kind = r.u8()?;
    let id = OpId { client: r.u128()?, counter: r.u64()? };
    let (answered, stamp_ms, count) = (r.u64()?, r.u64()?, r.u32()?);
    let mut commands = Vec::new();
    for _ in 0..count {
        commands.push(r.bytes()?);
    }
    r.end()?;
    let commands = match kind {
        KIND_COMMANDS => Some(commands),
        KIND_BARRIER => None,
        _ => return None,
    };
    Some(Message { id, answered, stamp_ms, commands })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_and_cut_ones_are_refused() {
        let id = OpId { client: 1 << 100, counter: 7 };
        let commands = [Bytes::from_static(b"one"), Bytes::new()];
        let b = encode(id, 5, 99, Some(&commands));
        assert_eq!(b.len(), encoded_len(&commands));
        let m = decode(&b).unwrap();
        assert_eq!((m.id, m.answered, m.stamp_ms), (id, 5, 99));
        assert_eq!(m.commands.unwrap(), [&b"one"[..], b""]);
        assert!((0..b.len()).all(|n| decode(&b[..n]).is_none()));
        assert_eq!(decode(&encode(id, 5, 99, None)).unwrap().commands, None);
    }

    #[test]
    fn a_count_that_is_not_there_costs_nothing() {
        let mut b = encode(OpId { client: 1, counter: 1 }, 0, 0, Some(&[]));
        b[42..46].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(decode(&b).is_none());
    }
}
