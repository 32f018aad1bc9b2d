//! [`Store`]: commands in, replies out.

use super::commands::Call;
use super::fault::Fault;
use super::keyspace::Keyspace;
use super::snapshot::{self, Frozen};
use super::table::{self, Handler};
use crate::kv::argv::Argv;
use bytes::Bytes;
use gcs::blocks::{AgreedTime, RestoreError, Snapshot, StateMachine};
use std::sync::Arc;

/// The keyspace as a state machine. Commands and queries are in the [`argv`](crate::kv::argv) encoding, replies are
/// RESP2; what is wrong with a command is told in its reply, and then it changed nothing.
///
/// ```
/// use gcs::blocks::{AgreedTime, StateMachine};
/// use gcs_examples::kv::{argv::encode, store::Store};
///
/// let mut store = Store::new();
/// assert_eq!(store.apply(&encode(&[b"SET", b"key", b"value"]), AgreedTime(0)), "+OK\r\n");
/// assert_eq!(store.query(&encode(&[b"GET", b"key"]), AgreedTime(0)), "$5\r\nvalue\r\n");
/// ```
#[derive(Debug)]
pub struct Store {
    keyspace: Keyspace,
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self { keyspace: Keyspace::new() }
    }

    /// How many keys there are, with those that expired but were not removed yet.
    pub fn len(&self) -> usize {
        self.keyspace.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For tests and simulations: walks everything.
    ///
    /// # Panics
    /// If an invariant does not hold.
    pub fn check(&self) {
        self.keyspace.check();
    }

    fn try_apply(&mut self, command: &[u8], at: AgreedTime) -> Result<Bytes, Fault> {
        let argv = Argv::decode(command)?;
        let command = table::find(&argv)?;
        let call = Call { name: command.name, args: &argv, at };
        match command.handler {
            Handler::Write(handler) => handler(&mut self.keyspace, &call),
            Handler::Read(handler) => handler(&self.keyspace, &call),
            Handler::Local => Err(Fault::NotReplicated(command.name)),
        }
    }

    fn try_query(&self, query: &[u8], at: AgreedTime) -> Result<Bytes, Fault> {
        let argv = Argv::decode(query)?;
        let command = table::find(&argv)?;
        match command.handler {
            Handler::Read(handler) => handler(&self.keyspace, &Call { name: command.name, args: &argv, at }),
            Handler::Write(_) | Handler::Local => Err(Fault::NotAQuery(command.name)),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl StateMachine for Store {
    fn apply(&mut self, command: &[u8], at: AgreedTime) -> Bytes {
        self.keyspace.sweep(at);
        self.try_apply(command, at).unwrap_or_else(|fault| fault.reply())
    }

    fn query(&self, query: &[u8], at: AgreedTime) -> Bytes {
        self.try_query(query, at).unwrap_or_else(|fault| fault.reply())
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(Frozen::new(&self.keyspace))
    }

    fn reset(&mut self) {
        self.keyspace.clear();
    }

    fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        snapshot::restore(&mut self.keyspace, chunk)
    }
}
