//! The whole of an endpoint as bytes, for who joins in mid-stream: its own state, its connections, and their queues. What it says depends on
//! the logical state only, never on how buffers happen to be cut: all replicas give the same chunks.
//!
//! ```text
//!   chunk 0: Host │ Connection, Queue …, Ready …, Early … │ Connection …      chunk 1: …      (postcard, back to back)
//! ```

use std::{collections::BTreeSet, net::SocketAddr};

use bytes::Bytes;
use gcs::time::Time;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Counters, Host, remembered::Memory, table::Table};
use crate::tcp::{Config, Payload, connection::Connection};

/// The form of a snapshot; another one is refused.
const FORM: u16 = 1;
/// A chunk ends behind the item with which it reaches this many bytes.
const CHUNK: usize = 256 * 1024;
/// Queues are cut into items of this many bytes.
const PIECE: u64 = 64 * 1024;
/// What a connection without its queues is taken for, to know beforehand where chunks end.
const CONNECTION: usize = 512;

/// A snapshot was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// It is of another release, or damaged.
    #[error("a snapshot of the connections cannot be read: are all members of the same release?")]
    Malformed,
    /// What it says cannot be.
    #[error("a snapshot of the connections contradicts itself: {0}")]
    Impossible(&'static str),
}

/// Everything besides connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Whole {
    form: u16,
    secret: [u8; 32],
    now: Time,
    generations: Vec<u32>,
    free: Vec<u32>,
    memory: Memory,
    listeners: BTreeSet<SocketAddr>,
    cookies_until: Time,
    counters: Counters,
    digest: u64,
}

#[derive(Serialize, Deserialize)]
enum Item {
    Whole(Box<Whole>),
    Connection {
        slot: u32,
        connection: Box<Connection>,
    },
    /// What follows in the queue of what is not acknowledged, of the last connection.
    Queue(Bytes),
    /// What follows in the queue of what has not been read.
    Ready(Bytes),
    /// What has arrived out of order.
    Early(u64, Bytes),
}

/// A frozen endpoint.
#[derive(Debug)]
pub struct Frozen {
    whole: Whole,
    connections: Vec<(u32, Connection)>,
    /// The first connection of each chunk.
    chunks: Vec<usize>,
}

impl Host {
    /// Freezes the present state, between two batches. Costs a copy of the connections' state; their queues are shared.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        let (generations, free) = self.table.places();
        let whole = Whole {
            form: FORM,
            secret: self.secret,
            now: self.now,
            generations,
            free,
            memory: self.memory.clone(),
            listeners: self.listeners.clone(),
            cookies_until: self.cookies_until,
            counters: self.counters,
            digest: self.digest,
        };
        let connections: Vec<_> = self.table.all().map(|(slot, c)| (slot, c.clone())).collect();
        let mut chunks = vec![0];
        let mut bytes = 0;
        for (i, (_, connection)) in connections.iter().enumerate() {
            if bytes >= CHUNK {
                chunks.push(i);
                bytes = 0;
            }
            bytes += CONNECTION + usize::try_from(connection.held()).unwrap_or(CHUNK);
        }
        Frozen { whole, connections, chunks }
    }
}

impl Frozen {
    /// How many chunks there are.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.chunks.len() as u64
    }

    /// A chunk, counted from 0: 256 KiB, and what one connection more holds.
    ///
    /// # Panics
    /// If there is none of this number.
    #[must_use]
    pub fn chunk(&self, index: u64) -> Vec<u8> {
        let at = usize::try_from(index).expect("below the number of chunks");
        let end = self.chunks.get(at + 1).copied().unwrap_or(self.connections.len());
        let mut bytes = Vec::with_capacity(CHUNK);
        if at == 0 {
            put(&mut bytes, &Item::Whole(Box::new(self.whole.clone())));
        }
        for (slot, connection) in &self.connections[self.chunks[at]..end] {
            put(&mut bytes, &Item::Connection { slot: *slot, connection: Box::new(connection.clone()) });
            let mut connection = connection.clone();
            let (queue, ready, early) = connection.queues();
            for (chunks, item) in [(queue, Item::Queue as fn(Bytes) -> Item), (ready, Item::Ready)] {
                let (mut at, end) = (chunks.start(), chunks.end());
                while at < end {
                    let mut payload = Payload::new();
                    chunks.slice(at..end.min(at + PIECE), &mut payload);
                    put(&mut bytes, &item(payload.concat().into()));
                    at = end.min(at + PIECE);
                }
            }
            for (start, block) in early {
                put(&mut bytes, &Item::Early(start, block));
            }
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, item: &Item) {
    let encoded = postcard::to_stdvec(item).expect("nothing in it cannot be encoded");
    bytes.extend_from_slice(&encoded);
}

/// An endpoint that is being put together from chunks.
#[derive(Debug)]
pub struct Thaw {
    config: Config,
    whole: Option<Whole>,
    connections: Vec<(u32, Connection)>,
}

impl Thaw {
    /// Begins; all replicas have the same configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, whole: None, connections: Vec::new() }
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// It is none.
    pub fn chunk(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            let (item, rest) = postcard::take_from_bytes(bytes).map_err(|_| SnapshotError::Malformed)?;
            bytes = rest;
            match item {
                Item::Whole(whole) if self.whole.is_none() && whole.form == FORM => self.whole = Some(*whole),
                Item::Whole(_) => return Err(SnapshotError::Malformed),
                Item::Connection { slot, connection } => self.connections.push((slot, *connection)),
                part => {
                    let Some((_, connection)) = self.connections.last_mut() else {
                        return Err(SnapshotError::Malformed);
                    };
                    match part {
                        Item::Queue(bytes) => connection.queues().0.push(bytes),
                        Item::Ready(bytes) => connection.queues().1.push(bytes),
                        Item::Early(start, bytes) => connection.thaw_early(start, bytes),
                        Item::Whole(_) | Item::Connection { .. } => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// The endpoint, when all chunks have been taken.
    ///
    /// # Errors
    /// Something is missing, or cannot be.
    pub fn finish(self) -> Result<Host, SnapshotError> {
        let whole = self.whole.ok_or(SnapshotError::Malformed)?;
        let mut host = Host::new(self.config, whole.secret);
        let impossible = SnapshotError::Impossible;
        host.table = Table::with_places(whole.generations, whole.free).ok_or(impossible("places"))?;
        host.now = whole.now;
        host.memory = whole.memory;
        host.listeners = whole.listeners;
        host.cookies_until = whole.cookies_until;
        host.counters = whole.counters;
        host.digest = whole.digest;
        for (slot, connection) in self.connections {
            if !connection.holds() {
                return Err(impossible("a connection"));
            }
            host.held += connection.held();
            host.opening += u32::from(connection.is_knocking());
            let deadline = connection.deadline(&host.config);
            let id = host.table.place(slot, connection).ok_or(impossible("two connections in one place"))?;
            host.table.schedule(id, deadline);
        }
        if !(host.memory.holds() && host.table.holds()) {
            return Err(impossible("what is remembered"));
        }
        Ok(host)
    }
}
