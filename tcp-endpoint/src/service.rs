//! What stands on the connections: deterministic, like them. Bytes and time in, bytes out.

use bytes::Bytes;
use gcs::{
    blocks::{AgreedTime, Snapshot},
    time::Time,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use thiserror::Error;

use crate::tcp::{ConnectError, Host, Id, Payload, Reason, State};

/// A service that every replica runs on the same inputs in the same order. It must not look at clocks, files that change,
/// randomness, or anything else that differs between replicas. Calls of one batch leave together: what is written in a call leaves at
/// the end of its batch.
pub trait Service: Send + 'static {
    /// The group's first batch: the beginning of time. Not called at a replica that joins later.
    fn on_begin(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// A client has connected, or a connection of our own is open.
    fn on_open(&mut self, id: Id, io: &mut Io<'_>) {
        let _ = (id, io);
    }

    /// There is something to read. What is left unread holds the peer back.
    fn on_data(&mut self, id: Id, io: &mut Io<'_>);

    /// There is room again, after a write that was not taken whole. By default it goes on with what there is to read.
    fn on_writable(&mut self, id: Id, io: &mut Io<'_>) {
        self.on_data(id, io);
    }

    /// The peer has ended its stream, and nothing more will come. By default ours ends as well.
    fn on_finished(&mut self, id: Id, io: &mut Io<'_>) {
        io.shutdown(id);
    }

    /// A connection is no more. Not called for those that the service has closed or given up.
    fn on_close(&mut self, id: Id, reason: Reason, io: &mut Io<'_>) {
        let _ = (id, reason, io);
    }

    /// The time of [`Io::wake_at`] has come.
    fn on_timer(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// The present state, for a replica that joins: the same bytes at all replicas. Connections are transferred beside it, and keep
    /// their numbers.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the state by one that [`Self::snapshot`] gave at another replica.
    ///
    /// # Errors
    /// It is not understood: this replica does not go on.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError>;

    /// What is too much to be copied while clients wait, frozen in the present state beside [`Self::snapshot`].
    fn bulk(&self) -> Option<Arc<dyn Snapshot>> {
        None
    }

    /// Forgets what [`Self::bulk`] tells: that of another replica follows in chunks, and then [`Self::restore`].
    fn forget_bulk(&mut self) {}

    /// Takes a chunk of another replica's [`Self::bulk`], in order.
    ///
    /// # Errors
    /// It is not understood: this replica does not go on.
    fn restore_bulk(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        let _ = chunk;
        Err(RestoreError::Malformed)
    }
}

/// A service cannot go on from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// It is of another release, or damaged.
    #[error("the service does not understand a snapshot of its state: are all members of the same release?")]
    Malformed,
    /// The service was configured differently at the replica that gave it.
    #[error(
        "this replica's service is configured differently from the group's: give all replicas the same configuration"
    )]
    Settings,
}

/// What a service can do with its connections.
pub struct Io<'a> {
    pub(crate) host: &'a mut Host,
    pub(crate) wake: &'a mut Option<Time>,
    pub(crate) now: Time,
    pub(crate) clock: AgreedTime,
}

impl Io<'_> {
    /// The time of this batch: the same at all replicas. It does not go back, and is no time of day.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The time of day: the same at all replicas. It does not go back.
    #[must_use]
    pub fn clock(&self) -> AgreedTime {
        self.clock
    }

    /// The next bytes that have come: `most` of them, or all if there are fewer; nothing when there are none at the moment. In how many
    /// pieces they come may differ between replicas and must not matter.
    pub fn read(&mut self, id: Id, most: u64) -> Payload {
        self.host.read(id, most)
    }

    /// The peer has ended its stream, and everything has been read.
    #[must_use]
    pub fn finished(&self, id: Id) -> bool {
        self.host.finished(id)
    }

    /// Takes as much of `bytes` as there is room for, and leaves the rest: then [`Service::on_writable`] is called when there is room.
    pub fn write(&mut self, id: Id, bytes: &mut Bytes) {
        self.host.write(id, bytes);
    }

    /// How many bytes a write takes now.
    #[must_use]
    pub fn room(&self, id: Id) -> u64 {
        self.host.room(id)
    }

    /// Calls [`Service::on_writable`] when half of what a connection takes is free; a write that was not taken whole asks for that, too.
    pub fn wait_for_room(&mut self, id: Id) {
        self.host.wait_for_room(id);
    }

    /// Ends our stream behind what was written (half-close).
    pub fn shutdown(&mut self, id: Id) {
        self.host.shutdown(id);
    }

    /// Ends our stream behind what was written, and reads nothing any more.
    pub fn close(&mut self, id: Id) {
        self.host.close(id);
    }

    /// Gives the connection up: the peer sees a reset.
    pub fn abort(&mut self, id: Id) {
        self.host.abort(id);
    }

    /// Opens a connection from one of our addresses; [`Service::on_open`] or [`Service::on_close`] follows.
    ///
    /// # Errors
    /// Too many connections, or no free port.
    pub fn connect(&mut self, local: IpAddr, remote: SocketAddr) -> Result<Id, ConnectError> {
        self.host.connect(local, remote)
    }

    /// State and addresses (ours, the peer's) of a connection.
    #[must_use]
    pub fn look(&self, id: Id) -> Option<(State, SocketAddr, SocketAddr)> {
        self.host.look(id)
    }

    /// Calls [`Service::on_timer`] once, at `at`; replaces an earlier wish.
    pub fn wake_at(&mut self, at: Time) {
        *self.wake = Some(at);
    }
}

/// Sends back what comes (RFC 862). What there is no room for stays unread, and holds the peer back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Service for Echo {
    fn on_data(&mut self, id: Id, io: &mut Io<'_>) {
        for mut bytes in io.read(id, io.room(id)) {
            io.write(id, &mut bytes);
        }
        if io.finished(id) {
            io.shutdown(id);
        } else if io.room(id) == 0 {
            io.wait_for_room(id);
        }
    }

    fn on_finished(&mut self, id: Id, io: &mut Io<'_>) {
        self.on_data(id, io);
    }

    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _snapshot: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}
