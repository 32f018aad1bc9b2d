//! The keyspace behind a replicated TCP endpoint: a client's connection outlives the replica that held it, so the client never sees a
//! replica die, not even in the middle of a pipeline.
//!
//! ```text
//!   client ══RESP2══► virtual address ──batches of packets──► every replica: connections ──► requests ──► Store
//! ```
//!
//! Every replica reads the same requests from the same bytes, and answers them from its own store. There is nothing else to agree on.

use super::{
    server::{Answer, Limits, Requests, dispatch},
    store::{Store, reply},
};
use bytes::{Bytes, BytesMut};
use gcs::blocks::{Snapshot, StateMachine};
use gcs_tcp_endpoint::{
    service::{Io, RestoreError, Service},
    tcp::{Config, Id, KeepAlive, Reason},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Bytes that are read at once.
const READ_BYTES: u64 = 64 * 1024;
/// Nothing more is answered while a client has this many bytes of replies to take.
const WRITE_BYTES: usize = 256 * 1024;
/// What a client may still send after it was refused, before it is cut off.
const LINGER_BYTES: usize = 1024 * 1024;

/// A [`Store`] and its clients.
#[derive(Debug)]
pub struct Served {
    store: Store,
    clients: BTreeMap<Id, Client>,
    /// Clients that there have been.
    count: u64,
    limits: Limits,
}

#[derive(Debug)]
struct Client {
    /// Which one it is, for CLIENT ID.
    number: u64,
    requests: Requests,
    /// What has come and is not answered yet.
    input: BytesMut,
    /// What TCP has not taken yet.
    output: Bytes,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// It is answered.
    Open,
    /// Our stream ends behind the replies; the client is waited for.
    Ending,
    /// Our stream has ended; so many bytes have come since, and nobody has looked at them.
    Ended(usize),
}

/// A client in a snapshot.
#[derive(Serialize, Deserialize)]
struct Frozen<'a> {
    id: Id,
    number: u64,
    #[serde(borrow)]
    input: &'a [u8],
    #[serde(borrow)]
    output: &'a [u8],
    stage: Stage,
}

impl Served {
    /// An empty keyspace without clients.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { store: Store::new(), clients: BTreeMap::new(), count: 0, limits }
    }

    /// How its connections are to behave: a client that has vanished is found out, or it would stay for ever.
    #[must_use]
    pub fn tcp() -> Config {
        Config { keep_alive: Some(KeepAlive::default()), ..Config::default() }
    }

    /// Reads, answers and writes as far as there is something to read and room to write.
    fn go_on(&mut self, id: Id, io: &mut Io<'_>) {
        let clients = self.clients.len();
        let Some(client) = self.clients.get_mut(&id) else { return };
        while client.stage == Stage::Open {
            io.write(id, &mut client.output);
            if !client.output.is_empty() {
                return;
            }
            client.answer(id, &mut self.store, clients, io);
            if client.output.is_empty() && client.stage == Stage::Open {
                if !io.finished(id) {
                    return;
                }
                client.stage = Stage::Ending;
            }
        }
        if client.stage == Stage::Ending {
            io.write(id, &mut client.output);
            if !client.output.is_empty() {
                return;
            }
            io.shutdown(id);
            client.stage = Stage::Ended(0);
        }
        if let Stage::Ended(bytes) = &mut client.stage {
            // It would be reset if nobody took what it has sent, and might never read why it was refused.
            *bytes += std::mem::take(&mut client.input).len();
            *bytes += io.read(id, LINGER_BYTES as u64).iter().map(Bytes::len).sum::<usize>();
            if *bytes > LINGER_BYTES {
                io.abort(id);
                self.clients.remove(&id);
            } else if io.finished(id) {
                self.clients.remove(&id);
            }
        }
    }
}

impl Client {
    fn new(number: u64, limits: &Limits) -> Self {
        let requests = Requests::new(limits.clone());
        Self { number, requests, input: BytesMut::new(), output: Bytes::new(), stage: Stage::Open }
    }

    /// Answers what has come, until there are enough replies for now.
    fn answer(&mut self, id: Id, store: &mut Store, clients: usize, io: &mut Io<'_>) {
        let mut replies = Vec::new();
        while self.stage == Stage::Open && replies.len() < WRITE_BYTES {
            match self.requests.next(&mut self.input) {
                Ok(Some(request)) => {
                    let info = || format!("# Clients\r\nconnected_clients:{clients}\r\n");
                    match dispatch(&request, self.number, info) {
                        Answer::Known(reply) => replies.extend_from_slice(&reply),
                        Answer::Ask { .. } => {
                            replies.extend_from_slice(&store.apply(&request, io.clock()));
                        }
                        Answer::Quit => {
                            replies.extend_from_slice(&reply::ok());
                            self.stage = Stage::Ending;
                        }
                    }
                }
                Ok(None) => {
                    let before = self.input.len();
                    io.read(id, READ_BYTES).iter().for_each(|bytes| self.input.extend_from_slice(bytes));
                    if self.input.len() == before {
                        break;
                    }
                }
                Err(error) => {
                    replies.extend_from_slice(&reply::error(&error.to_string()));
                    self.stage = Stage::Ending;
                }
            }
        }
        self.output = replies.into();
    }
}

impl Service for Served {
    fn on_open(&mut self, id: Id, io: &mut Io<'_>) {
        self.count += 1;
        let mut client = Client::new(self.count, &self.limits);
        if self.clients.len() >= self.limits.max_connections {
            client.output = reply::error("ERR max number of clients reached");
            client.stage = Stage::Ending;
        }
        self.clients.insert(id, client);
        self.go_on(id, io);
    }

    fn on_data(&mut self, id: Id, io: &mut Io<'_>) {
        self.go_on(id, io);
    }

    fn on_finished(&mut self, id: Id, io: &mut Io<'_>) {
        self.go_on(id, io);
    }

    fn on_close(&mut self, id: Id, _reason: Reason, _io: &mut Io<'_>) {
        self.clients.remove(&id);
    }

    fn snapshot(&self) -> Vec<u8> {
        let frozen = |(&id, c): (&Id, &Client)| {
            let Client { number, input, output, stage, .. } = c;
            postcard::to_stdvec(&Frozen { id, number: *number, input, output, stage: *stage })
                .expect("numbers and bytes")
        };
        let mut out = self.count.to_le_bytes().to_vec();
        self.clients.iter().for_each(|c| out.extend_from_slice(&frozen(c)));
        out
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let (count, mut rest) = snapshot.split_first_chunk().ok_or(RestoreError::Malformed)?;
        self.count = u64::from_le_bytes(*count);
        self.clients.clear();
        while !rest.is_empty() {
            let (frozen, tail) =
                postcard::take_from_bytes::<Frozen<'_>>(rest).map_err(|_| RestoreError::Malformed)?;
            rest = tail;
            let client = Client {
                input: frozen.input.into(),
                output: Bytes::copy_from_slice(frozen.output),
                stage: frozen.stage,
                ..Client::new(frozen.number, &self.limits)
            };
            self.clients.insert(frozen.id, client);
        }
        Ok(())
    }

    fn bulk(&self) -> Option<Arc<dyn Snapshot>> {
        Some(self.store.snapshot())
    }

    fn forget_bulk(&mut self) {
        self.store.reset();
    }

    fn restore_bulk(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        self.store.restore(chunk).map_err(|_| RestoreError::Malformed)
    }
}
