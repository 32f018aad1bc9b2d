//! One client: reads what is there, answers all of it, reads again.
//!
//! ```text
//!   read ──► decode up to a batch ──► local answers in place ──► one backend call for the rest ──► write
//!    ▲                └───────────── more in the buffer ◄────────────────────────────────────────────┘
//! ```
//!
//! Nothing is read while a batch is under way or its replies are being written: a client that sends faster than it is
//! answered, or does not read, waits in its own socket.
//!
//! Order: replies come in the order of the requests. A batch with a write in it goes to the backend as writes
//! altogether, so a read sees the writes sent before it on the same connection.

use super::backend::{Backend, BackendError};
use super::dispatch::{Answer, dispatch};
use super::limits::Limits;
use super::requests::{ProtocolError, Requests};
use crate::kv::store::reply;
use bytes::{Bytes, BytesMut};
use std::io;
use std::mem;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

/// Room made for each read, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// Replies are written out from this many bytes on, and at the end of each batch.
const WRITE_BYTES: usize = 256 * 1024;
/// What is read at most after a refusal, in bytes and time.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// How a connection goes on after a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    /// The buffer holds no whole request.
    Read,
    /// The batch is full; there may be more in the buffer.
    Decode,
    /// The client said QUIT.
    Quit,
    /// The client is told and the connection closed.
    Refuse(ProtocolError),
}

/// A request's reply: known, or the next one of the backend's.
enum Slot {
    Known(Bytes),
    Asked,
}

/// Requests that are answered together.
#[derive(Default)]
struct Batch {
    slots: Vec<Slot>,
    asked: Vec<Bytes>,
    writes: bool,
}

pub(super) struct Connection<B> {
    id: u64,
    stream: TcpStream,
    backend: B,
    limits: Limits,
    requests: Requests,
    input: BytesMut,
    output: Vec<u8>,
}

impl<B: Backend> Connection<B> {
    pub(super) fn new(id: u64, stream: TcpStream, backend: B, limits: Limits) -> Self {
        let requests = Requests::new(limits.clone());
        Self { id, stream, backend, limits, requests, input: BytesMut::new(), output: Vec::new() }
    }

    /// Serves the client until it leaves.
    ///
    /// # Errors
    /// The socket failed; the client is gone.
    pub(super) async fn run(mut self) -> io::Result<()> {
        while self.read().await? {
            loop {
                let (batch, next) = self.decode();
                self.answer(batch).await?;
                match next {
                    Next::Read => break,
                    Next::Decode => {}
                    Next::Quit => return self.stream.shutdown().await,
                    Next::Refuse(error) => {
                        self.stream.write_all(&reply::error(&error.to_string())).await?;
                        self.stream.shutdown().await?;
                        return self.linger().await;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads on for a while after a refusal: closing a socket with bytes unread resets it, and the client might never
    /// see why.
    async fn linger(&mut self) -> io::Result<()> {
        let drain = async {
            let mut left = LINGER_BYTES;
            while left > 0 {
                self.input.clear();
                self.input.reserve(READ_BYTES);
                let read = self.stream.read_buf(&mut self.input).await?;
                left = if read == 0 { 0 } else { left.saturating_sub(read) };
            }
            Ok(())
        };
        time::timeout(LINGER, drain).await.unwrap_or(Ok(()))
    }

    /// Waits for bytes, then takes all that are there, up to a batch. False: the client closed.
    async fn read(&mut self) -> io::Result<bool> {
        self.input.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.input).await? == 0 {
            return Ok(false);
        }
        // A full buffer means that there is more.
        while self.input.len() == self.input.capacity() && self.input.len() < self.limits.max_batch_bytes {
            self.input.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes requests off the buffer until it has no whole one or the batch is full.
    fn decode(&mut self) -> (Batch, Next) {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.slots.len() < self.limits.max_batch && bytes < self.limits.max_batch_bytes {
            let request = match self.requests.next(&mut self.input) {
                Ok(Some(request)) => request,
                Ok(None) => return (batch, Next::Read),
                Err(error) => return (batch, Next::Refuse(error)),
            };
            bytes += request.len();
            if self.sort_in(&mut batch, request) {
                return (batch, Next::Quit);
            }
        }
        (batch, Next::Decode)
    }

    /// Answers a request in place or adds it to what the backend is asked. True for QUIT.
    fn sort_in(&self, batch: &mut Batch, request: Bytes) -> bool {
        match dispatch(&request, self.id, || self.backend.info()) {
            Answer::Known(reply) => batch.slots.push(Slot::Known(reply)),
            Answer::Quit => {
                batch.slots.push(Slot::Known(reply::ok()));
                return true;
            }
            Answer::Ask { write } => {
                batch.writes |= write;
                batch.slots.push(Slot::Asked);
                batch.asked.push(request);
            }
        }
        false
    }

    async fn answer(&mut self, batch: Batch) -> io::Result<()> {
        let asked = batch.asked.len();
        let outcome = match (asked, batch.writes) {
            (0, _) => Ok(Vec::new()),
            (_, true) => self.backend.write(batch.asked).await,
            (_, false) => self.backend.read(batch.asked).await,
        };
        let error = match &outcome {
            Ok(replies) if replies.len() == asked => None,
            // A wrong backend: which reply belongs to which command cannot be told.
            Ok(_) => Some(refusal(&BackendError::OutcomeUnknown { why: "replies are missing".to_owned() })),
            Err(error) => Some(refusal(error)),
        };
        let mut replies = outcome.unwrap_or_default().into_iter();
        for slot in batch.slots {
            let reply = match (slot, &error) {
                (Slot::Known(reply), _) => reply,
                (Slot::Asked, Some(error)) => error.clone(),
                (Slot::Asked, None) => replies.next().unwrap_or_default(),
            };
            self.output.extend_from_slice(&reply);
            if self.output.len() >= WRITE_BYTES {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        // One large reply does not stay for as long as the connection.
        if self.output.capacity() > 2 * WRITE_BYTES {
            drop(mem::take(&mut self.output));
        }
        Ok(())
    }
}

fn refusal(error: &BackendError) -> Bytes {
    reply::error(&format!("{} {error}", error.code()))
}
