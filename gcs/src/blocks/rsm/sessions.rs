//! Which operations have been applied, and what was answered: a part of the replicated state, the same everywhere.
//!
//! Bounds: [`CLIENTS`] clients (the one unused for longest is forgotten), and for each [`REPLIES`] operations or
//! [`REPLY_BYTES`] of replies that its submitter has not said to have (the oldest are forgotten; their numbers are not).

use super::codec::OpId;
use crate::blocks::wire::{Reader, put_bytes};
use bytes::{BufMut, Bytes};
use std::collections::BTreeMap;

pub(super) const CLIENTS: usize = 1024;
pub(super) const REPLIES: usize = 1024;
const REPLY_BYTES: usize = 4 << 20;

/// What is known of an operation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Done(Vec<Bytes>),
    /// Applied, or so old that it counts as applied; what was answered is not known any more.
    Forgotten,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Session {
    /// Everything before is forgotten.
    low: u64,
    used: u64,
    bytes: usize,
    replies: BTreeMap<u64, Vec<Bytes>>,
}

/// All clients.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions {
    clients: BTreeMap<u128, Session>,
    applied: u64,
}

impl Sessions {
    pub(super) fn look_up(&self, id: OpId) -> Seen {
        match self.clients.get(&id.client) {
            Some(s) if id.counter < s.low => Seen::Forgotten,
            Some(s) => s.replies.get(&id.counter).map_or(Seen::New, |r| Seen::Done(r.clone())),
            None => Seen::New,
        }
    }

    /// Notes that an operation has been applied. The client has the answers to everything before `answered`.
    pub(super) fn record(&mut self, id: OpId, answered: u64, replies: Vec<Bytes>) {
        self.applied += 1;
        let session = self.clients.entry(id.client).or_default();
        session.used = self.applied;
        session.bytes += size(&replies);
        if let Some(old) = session.replies.insert(id.counter, replies) {
            session.bytes -= size(&old);
        }
        session.forget_before(answered.min(id.counter));
        while session.replies.len() > REPLIES || session.bytes > REPLY_BYTES && session.replies.len() > 1 {
            let oldest = session.replies.keys().next().copied().unwrap_or(0);
            session.forget_before(oldest + 1);
        }
        if self.clients.len() > CLIENTS
            && let Some(idle) = self.clients.iter().min_by_key(|(_, s)| s.used).map(|(c, _)| *c)
        {
            self.clients.remove(&idle);
        }
    }

    pub(super) fn encode(&self, b: &mut Vec<u8>) {
        b.put_u64_le(self.applied);
        b.put_u32_le(u32::try_from(self.clients.len()).unwrap_or(u32::MAX));
        for (client, s) in &self.clients {
            b.put_u128_le(*client);
            b.put_u64_le(s.low);
            b.put_u64_le(s.used);
            b.put_u32_le(u32::try_from(s.replies.len()).unwrap_or(u32::MAX));
            for (counter, replies) in &s.replies {
                b.put_u64_le(*counter);
                b.put_u32_le(u32::try_from(replies.len()).unwrap_or(u32::MAX));
                replies.iter().for_each(|r| put_bytes(b, r));
            }
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Option<Self> {
        let mut sessions = Self { applied: r.u64()?, clients: BTreeMap::new() };
        for _ in 0..r.u32()? {
            let client = r.u128()?;
            let mut s = Session { low: r.u64()?, used: r.u64()?, ..Session::default() };
            for _ in 0..r.u32()? {
                let counter = r.u64()?;
                let mut replies = Vec::new();
                for _ in 0..r.u32()? {
                    replies.push(Bytes::copy_from_slice(r.bytes()?));
                }
                s.bytes += size(&replies);
                s.replies.insert(counter, replies);
            }
            sessions.clients.insert(client, s);
        }
        Some(sessions)
    }
}

impl Session {
    fn forget_before(&mut self, counter: u64) {
        while let Some(first) = self.replies.first_entry().filter(|e| *e.key() < counter) {
            self.bytes -= size(&first.remove());
        }
        self.low = self.low.max(counter);
    }
}

fn size(replies: &[Bytes]) -> usize {
    replies.iter().map(Bytes::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(client: u128, counter: u64) -> OpId {
        OpId { client, counter }
    }

    fn reply(s: &str) -> Vec<Bytes> {
        vec![Bytes::copy_from_slice(s.as_bytes())]
    }

    #[test]
    fn an_operation_is_new_then_done_then_forgotten() {
        let mut s = Sessions::default();
        assert_eq!(s.look_up(id(1, 5)), Seen::New);
        s.record(id(1, 5), 3, reply("five"));
        assert_eq!(s.look_up(id(1, 5)), Seen::Done(reply("five")));
        assert_eq!(s.look_up(id(1, 4)), Seen::New, "not applied, and not said to be answered");
        assert_eq!(s.look_up(id(1, 2)), Seen::Forgotten);
        s.record(id(1, 6), 6, reply("six"));
        assert_eq!(s.look_up(id(1, 5)), Seen::Forgotten);
        assert_eq!(s.look_up(id(2, 5)), Seen::New);
    }

    #[test]
    fn operations_out_of_order_are_each_known() {
        let mut s = Sessions::default();
        s.record(id(1, 3), 0, reply("3"));
        s.record(id(1, 1), 0, reply("1"));
        assert_eq!(s.look_up(id(1, 2)), Seen::New);
        assert_eq!(s.look_up(id(1, 3)), Seen::Done(reply("3")));
    }

    #[test]
    fn memory_is_bounded() {
        let mut s = Sessions::default();
        for i in 0..3 * REPLIES as u64 {
            s.record(id(1, i), 0, reply("x"));
        }
        assert_eq!(s.clients[&1].replies.len(), REPLIES);
        assert_eq!(s.look_up(id(1, 0)), Seen::Forgotten);
        for c in 0..2 * CLIENTS as u128 {
            s.record(id(100 + c, 1), 0, reply("x"));
        }
        assert_eq!(s.clients.len(), CLIENTS);
        let big = vec![Bytes::from(vec![0; REPLY_BYTES])];
        s.record(id(7, 1), 0, big.clone());
        s.record(id(7, 2), 0, big);
        assert_eq!(s.look_up(id(7, 1)), Seen::Forgotten);
    }

    #[test]
    fn the_table_survives_a_transfer() {
        let mut s = Sessions::default();
        s.record(id(1, 5), 3, reply("five"));
        s.record(id(2, 1), 0, vec![]);
        let mut b = Vec::new();
        s.encode(&mut b);
        assert_eq!(Sessions::decode(&mut Reader(&b)), Some(s));
        assert!((0..b.len()).all(|n| Sessions::decode(&mut Reader(&b[..n])).is_none()));
    }
}
