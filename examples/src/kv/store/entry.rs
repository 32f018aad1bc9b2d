//! A key with its value and deadline, and what it looks like in a snapshot chunk.
//!
//! ```text
//!   kind (0 string, 1 hash, 2 list, 3 set; +0x80 with a deadline) | key | [deadline: u64, little-endian ms]
//!   | string: bytes | hash: count, then field and value each | list, set: count, then elements
//! ```
//! Counts are LEB128, bytes come after their LEB128 length. Elements are in order, fields and members sorted.

use super::list::{End, List};
use super::value::{Blob, Hash, Set, Value};
use crate::kv::varint;
use gcs::blocks::{AgreedTime, RestoreError};
use std::sync::Arc;

const HAS_DEADLINE: u8 = 0x80;

/// When a key expires: at this agreed time it is gone already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(u64);

impl Deadline {
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn at_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch; `None` if the key does not expire.
    pub(crate) fn ms(self) -> Option<u64> {
        (self != Self::NEVER).then_some(self.0)
    }

    pub(crate) fn has_passed(self, at: AgreedTime) -> bool {
        self != Self::NEVER && at.0 >= self.0
    }
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Blob,
    pub(crate) value: Value,
    pub(crate) deadline: Deadline,
}

impl Entry {
    /// How many bytes [`Self::encode`] writes. Does not walk collections.
    pub(crate) fn bytes(&self) -> usize {
        let deadline = if self.deadline == Deadline::NEVER { 0 } else { 8 };
        let counted = |len: usize, bytes: usize| varint::len(len as u64) + bytes;
        let value = match &self.value {
            Value::String(string) => varint::bytes_len(string),
            Value::Hash(hash) => counted(hash.len(), hash.bytes()),
            Value::List(list) => counted(list.len(), list.bytes()),
            Value::Set(set) => counted(set.len(), set.bytes()),
        };
        1 + varint::bytes_len(&self.key) + deadline + value
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let kind = match &self.value {
            Value::String(_) => 0,
            Value::Hash(_) => 1,
            Value::List(_) => 2,
            Value::Set(_) => 3,
        };
        out.push(kind | if self.deadline == Deadline::NEVER { 0 } else { HAS_DEADLINE });
        varint::put_bytes(out, &self.key);
        if let Some(ms) = self.deadline.ms() {
            out.extend_from_slice(&ms.to_le_bytes());
        }
        match &self.value {
            Value::String(string) => varint::put_bytes(out, string),
            Value::Hash(hash) => {
                varint::put(out, hash.len() as u64);
                for (field, value) in hash.iter() {
                    varint::put_bytes(out, field);
                    varint::put_bytes(out, value);
                }
            }
            Value::List(list) => {
                varint::put(out, list.len() as u64);
                list.iter().for_each(|element| varint::put_bytes(out, element));
            }
            Value::Set(set) => {
                varint::put(out, set.len() as u64);
                set.iter().for_each(|(member, ())| varint::put_bytes(out, member));
            }
        }
    }

    /// Takes one entry off the front of `input`.
    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, RestoreError> {
        let (&kind, rest) = input.split_first().ok_or_else(cut_short)?;
        *input = rest;
        let key = take_blob(input)?;
        let mut deadline = Deadline::NEVER;
        if kind & HAS_DEADLINE != 0 {
            let (ms, rest) = input.split_first_chunk::<8>().ok_or_else(cut_short)?;
            *input = rest;
            deadline = Deadline(u64::from_le_bytes(*ms));
        }
        let value = match kind & !HAS_DEADLINE {
            0 => Value::String(take_blob(input)?),
            1 => {
                let mut hash = Hash::default();
                for _ in 0..take_count(input)? {
                    let field = varint::take_bytes(input).ok_or_else(cut_short)?;
                    hash.insert(field, take_blob(input)?);
                }
                Value::Hash(Arc::new(hash))
            }
            2 => {
                let mut list = List::default();
                for _ in 0..take_count(input)? {
                    list.push(End::Right, varint::take_bytes(input).ok_or_else(cut_short)?);
                }
                Value::List(Arc::new(list))
            }
            3 => {
                let mut set = Set::default();
                for _ in 0..take_count(input)? {
                    set.insert(varint::take_bytes(input).ok_or_else(cut_short)?, ());
                }
                Value::Set(Arc::new(set))
            }
            kind => return Err(RestoreError(format!("{kind} is no kind of value"))),
        };
        Ok(Self { key, value, deadline })
    }
}

fn cut_short() -> RestoreError {
    RestoreError("a chunk ends inside an entry".to_owned())
}

fn take_blob(input: &mut &[u8]) -> Result<Blob, RestoreError> {
    varint::take_bytes(input).map(Blob::from).ok_or_else(cut_short)
}

fn take_count(input: &mut &[u8]) -> Result<u64, RestoreError> {
    varint::take(input).ok_or_else(cut_short)
}
