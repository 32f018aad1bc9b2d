//! What the block's messages and its state look like. Integers are little-endian.
//!
//! ```text
//! message  | version 1 << 4, kind 0 | id 8 | the application's bytes |      kind 1: join | name |      kind 2: leave | id 8 |
//! state    | version 1 | next id 8 | processes 1 | (slot 1, member 26) … | groups 4 | group … |
//! group    | id 8 | view 8 | length 4, name | length 4, slots of the members |
//! ```

use super::directory::{Directory, Entry, MAX_GROUPS, MAX_NAME, Slot, bit, is_name};
use crate::{
    blocks::{
        Snapshot,
        wire::{Reader, put_bytes, put_member},
    },
    id::MAX_MEMBERS,
};
use bytes::{BufMut, Bytes};
use std::sync::Arc;

const VERSION: u8 = 1;
const MESSAGE: u8 = VERSION << 4;
const JOIN: u8 = VERSION << 4 | 1;
const LEAVE: u8 = VERSION << 4 | 2;
/// What a message is longer than the application's bytes in it.
pub(super) const HEADER: usize = 9;
/// The largest state, in bytes: every light group with the longest name and every process in it.
pub(super) const MAX_STATE: usize = 64 + MAX_MEMBERS * 27 + MAX_GROUPS * (24 + MAX_NAME + MAX_MEMBERS);
const CHUNK: usize = 512 << 10;
/// No count in a state is larger: nothing counts so far, and what is added to it does not overflow.
const MAX_COUNT: u64 = 1 << 62;

/// A message of the block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    Message(u64, &'a [u8]),
    Join(&'a str),
    Leave(u64),
}

pub(super) fn decode(message: &[u8]) -> Option<Said<'_>> {
    let mut r = Reader(message);
    match r.u8()? {
        MESSAGE => Some(Said::Message(r.u64()?, r.0)),
        JOIN => std::str::from_utf8(r.0).ok().filter(|n| is_name(n)).map(Said::Join),
        LEAVE => {
            let id = r.u64()?;
            r.end().map(|()| Said::Leave(id))
        }
        _ => None,
    }
}

pub(super) fn join(name: &str) -> Vec<u8> {
    [&[JOIN], name.as_bytes()].concat()
}

pub(super) fn leave(id: u64) -> Vec<u8> {
    [&[LEAVE][..], &id.to_le_bytes()].concat()
}

/// A message without its light group's id, which [`address`] puts in.
pub(super) fn message(bytes: &[u8]) -> Vec<u8> {
    let mut b = Vec::with_capacity(HEADER + bytes.len());
    b.push(MESSAGE);
    b.put_u64_le(0);
    b.extend_from_slice(bytes);
    b
}

/// Says which light group a message is for.
pub(super) fn address(message: &mut [u8], id: u64) {
    if let Some(at) = message.get_mut(1..HEADER) {
        at.copy_from_slice(&id.to_le_bytes());
    }
}

pub(super) fn encode_state(d: &Directory) -> Vec<u8> {
    let mut b = vec![VERSION];
    b.put_u64_le(d.next);
    let slots = || (0..).zip(d.slots).filter_map(|(i, s): (Slot, _)| Some((i, s?)));
    b.push(Slot::try_from(slots().count()).unwrap_or(Slot::MAX));
    for (i, member) in slots() {
        b.push(i);
        put_member(&mut b, member);
    }
    b.put_u32_le(u32::try_from(d.groups.len()).unwrap_or(u32::MAX));
    for (id, g) in &d.groups {
        b.put_u64_le(*id);
        b.put_u64_le(g.view);
        put_bytes(&mut b, g.name.as_bytes());
        put_bytes(&mut b, &g.members);
    }
    b
}

/// None unless everything in it holds together.
pub(super) fn decode_state(bytes: &[u8]) -> Option<Directory> {
    let mut r = Reader(bytes);
    let mut d = Directory::default();
    (r.u8()? == VERSION).then_some(())?;
    d.next = r.u64().filter(|n| *n <= MAX_COUNT)?;
    for _ in 0..r.u8()? {
        let (at, member) = (usize::from(r.u8()?), r.member()?);
        let free = d.slots.get(at)?.is_none() && d.slot_of(member).is_none();
        free.then_some(())?;
        d.slots[at] = Some(member);
    }
    let groups = usize::try_from(r.u32()?).ok().filter(|n| *n <= MAX_GROUPS)?;
    for _ in 0..groups {
        let (id, view) = (r.u64()?, r.u64()?);
        let name: Arc<str> = std::str::from_utf8(r.bytes()?).ok().filter(|n| is_name(n))?.into();
        let members = r.bytes()?.to_vec();
        let mut mask = 0;
        for slot in &members {
            d.slots.get(usize::from(*slot)).copied().flatten()?;
            (mask & bit(*slot) == 0).then_some(())?;
            mask |= bit(*slot);
        }
        let new = d.groups.last_key_value().is_none_or(|(last, _)| *last < id) && id < d.next;
        (new && (1..=MAX_COUNT).contains(&view)
            && mask != 0
            && d.ids.insert(Arc::clone(&name), id).is_none())
        .then_some(())?;
        d.groups.insert(id, Entry { name, view, members, mask });
    }
    r.end()?;
    Some(d)
}

/// An encoded state, in chunks.
pub(super) struct Frozen(pub(super) Bytes);

impl Snapshot for Frozen {
    fn chunks(&self) -> u64 {
        self.0.len().div_ceil(CHUNK) as u64
    }

    fn chunk(&self, index: u64) -> Bytes {
        let from = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(CHUNK).min(self.0.len());
        self.0.slice(from..self.0.len().min(from + CHUNK))
    }
}
