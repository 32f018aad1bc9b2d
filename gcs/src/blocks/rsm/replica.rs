//! The deterministic part of a replica: the machine, the agreed time and the table of applied operations. Pure.
//!
//! A snapshot is: header chunks (agreed time and table; the first begins with their number), then the machine's chunks.

use super::{
    codec::{self, OpId},
    sessions::{Seen, Sessions},
};
use crate::blocks::{AgreedTime, RestoreError, Snapshot, StateMachine, wire::Reader};
use bytes::{BufMut, Bytes};
use std::sync::Arc;

const HEADER_CHUNK: usize = 512 << 10;

pub(super) struct Replica<M> {
    pub(super) machine: M,
    at: AgreedTime,
    sessions: Sessions,
    restoring: Header,
    /// Messages that were not understood.
    pub(super) malformed: u64,
}

#[derive(Default)]
struct Header {
    chunks: u64,
    bytes: Vec<u8>,
}

/// What became of a delivered message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// Commands were applied now, or earlier with these replies; None if those are forgotten.
    Commands(OpId, Option<Vec<Bytes>>),
    /// A read barrier was passed.
    Barrier(OpId),
}

impl<M: StateMachine> Replica<M> {
    pub(super) fn new(machine: M) -> Self {
        let sessions = Sessions::default();
        Self { machine, at: AgreedTime(0), sessions, restoring: Header::default(), malformed: 0 }
    }

    pub(super) fn deliver(&mut self, message: &[u8]) -> Option<Applied> {
        let Some(m) = codec::decode(message) else {
            self.malformed += 1;
            return None;
        };
        self.at = self.at.max(AgreedTime(m.stamp_ms));
        let Some(commands) = m.commands else { return Some(Applied::Barrier(m.id)) };
        let replies = match self.sessions.look_up(m.id) {
            Seen::Done(replies) => Some(replies),
            Seen::Forgotten => None,
            Seen::New => {
                let replies: Vec<_> = commands.iter().map(|c| self.machine.apply(c, self.at)).collect();
                self.sessions.record(m.id, m.answered, replies.clone());
                Some(replies)
            }
        };
        Some(Applied::Commands(m.id, replies))
    }

    pub(super) fn look_up(&self, id: OpId) -> Seen {
        self.sessions.look_up(id)
    }

    pub(super) fn query(&self, query: &[u8]) -> Bytes {
        self.machine.query(query, self.at)
    }

    pub(super) fn snapshot(&self) -> Arc<dyn Snapshot> {
        let mut header = Vec::new();
        header.put_u64_le(0);
        header.put_u64_le(self.at.0);
        self.sessions.encode(&mut header);
        let chunks = header.len().div_ceil(HEADER_CHUNK) as u64;
        header[..8].copy_from_slice(&chunks.to_le_bytes());
        Arc::new(Frozen { header: header.into(), chunks, machine: self.machine.snapshot() })
    }

    pub(super) fn restore(&mut self, index: u64, chunk: &[u8]) -> Result<(), RestoreError> {
        let wrong = || RestoreError("the table of applied operations is malformed".to_owned());
        if index == 0 {
            self.machine.reset();
            self.sessions = Sessions::default();
            let chunks = Reader(chunk).u64().filter(|n| *n > 0).ok_or_else(wrong)?;
            self.restoring = Header { chunks, bytes: Vec::new() };
        }
        if index >= self.restoring.chunks {
            return self.machine.restore(chunk);
        }
        self.restoring.bytes.extend_from_slice(chunk);
        if index + 1 == self.restoring.chunks {
            let bytes = std::mem::take(&mut self.restoring.bytes);
            let mut r = Reader(&bytes);
            let mut parse = || {
                r.u64()?;
                let at = AgreedTime(r.u64()?);
                let sessions = Sessions::decode(&mut r)?;
                r.end()?;
                Some((at, sessions))
            };
            (self.at, self.sessions) = parse().ok_or_else(wrong)?;
        }
        Ok(())
    }
}

struct Frozen {
    header: Bytes,
    chunks: u64,
    machine: Arc<dyn Snapshot>,
}

impl Snapshot for Frozen {
    fn chunks(&self) -> u64 {
        self.chunks + self.machine.chunks()
    }

    fn chunk(&self, index: u64) -> Bytes {
        if index >= self.chunks {
            return self.machine.chunk(index - self.chunks);
        }
        let from = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(HEADER_CHUNK);
        self.header.slice(from..self.header.len().min(from + HEADER_CHUNK))
    }
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
