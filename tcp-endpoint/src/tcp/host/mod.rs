//! An endpoint: all connections of some addresses (RFC 9293, section 3.3), their listeners and their timers.
//!
//! A batch is: [`begin`](Host::begin) with the time, segments and calls of the application in any order, [`finish`](Host::finish). What
//! leaves leaves at the end, so that an answer carries the acknowledgement of its question.
//!
//! - [`arrive`]: a segment finds its connection, or none. [`table`], [`remembered`]: where they are kept. [`secrets`]: numbers
//!   that cannot be guessed. [`snapshot`]: all of it as bytes.
//!
//! Bounds: the numbers in [`Config`]. Unknown clients cost nothing once [`Config::opening`] of them are opening connections.

mod arrive;
mod remembered;
mod secrets;
mod snapshot;
mod table;

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;
use gcs::time::Time;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::{
    remembered::Memory,
    table::{Pair, Table},
};
pub use self::{
    snapshot::{Frozen, SnapshotError, Thaw},
    table::Id,
};
use super::{
    Config, Payload, Reason, Segment, State,
    connection::{Connection, Outcome, Surroundings},
};

/// Windows stay this small when memory is scarce.
const SCARCE_WINDOW: u64 = 64 * 1024;
/// The ports that connections of our own begin at (RFC 6335, section 6).
const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// What has happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A client has connected to a listener.
    Accepted(Id),
    /// A connection that we opened is open.
    Connected(Id),
    /// There is something to read.
    Readable(Id),
    /// There is room to write again, after a write that was not taken whole.
    Writable(Id),
    /// The peer has ended its stream; what came before it can still be read.
    Finished(Id),
    /// It is no more.
    Gone(Id, Reason),
}

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// [`Config::connections`] are open.
    #[error("all {0} connections that the configuration allows are open: raise Config::connections")]
    TooMany(u32),
    /// No port is free.
    #[error("no port between 49152 and 65535 of {0} is free towards {1}: connect from another address")]
    NoPort(IpAddr, SocketAddr),
    /// One of them is an IPv4 address, the other an IPv6 one.
    #[error("{0} cannot reach {1}: one is an IPv4 address, the other an IPv6 address")]
    Family(IpAddr, SocketAddr),
}

/// How often what has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Segments that arrived.
    pub segments_in: u64,
    /// Segments that left.
    pub segments_out: u64,
    /// Clients that connected.
    pub accepted: u64,
    /// Connections that we opened.
    pub connected: u64,
    /// Segments for nobody, which were answered by a reset.
    pub refused: u64,
    /// SYNs that were answered without being remembered.
    pub cookies: u64,
    /// SYNs that were dropped because there are too many connections.
    pub overflow: u64,
}

/// An endpoint.
#[derive(Debug)]
pub struct Host {
    config: Config,
    secret: [u8; 32],
    now: Time,
    table: Table,
    memory: Memory,
    /// Addresses that are listened at; port by address, the unspecified one for all.
    listeners: BTreeSet<SocketAddr>,
    /// Connections that clients are opening.
    opening: u32,
    /// Until when answers to cookies may come.
    cookies_until: Time,
    /// Bytes that all connections hold.
    held: u64,
    events: VecDeque<Event>,
    out: Vec<Segment>,
    counters: Counters,
    digest: u64,
}

impl Host {
    /// An endpoint without connections. `secret`: what its numbers are derived from; the same for all replicas.
    #[must_use]
    pub fn new(config: Config, secret: [u8; 32]) -> Self {
        Self {
            config,
            secret,
            now: Time::ZERO,
            table: Table::default(),
            memory: Memory::default(),
            listeners: BTreeSet::new(),
            opening: 0,
            cookies_until: Time::ZERO,
            held: 0,
            events: VecDeque::new(),
            out: Vec::new(),
            counters: Counters::default(),
            digest: 0,
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How often what has happened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Connections, without those that are only remembered.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Connections in TIME-WAIT.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.memory.len()
    }

    /// Bytes that all connections hold.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held
    }

    /// A digest of everything that has happened: the same on all replicas that have consumed the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// When something will have to be done, if nothing happens before: then a batch has to begin.
    #[must_use]
    pub fn deadline(&mut self) -> Option<Time> {
        loop {
            let (at, id) = self.table.next_time()?;
            match self.table.get(id).and_then(|c| c.deadline(&self.config)) {
                Some(deadline) if deadline <= at => return Some(at),
                later => {
                    self.table.unschedule(id);
                    self.table.schedule(id, later);
                }
            }
        }
    }

    /// A batch begins at `now`; time does not go back. Timers that are due fire.
    pub fn begin(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.memory.forget(self.now);
        for id in self.table.due(self.now) {
            // Deadlines move: only those that are due now count, so that nothing depends on when they were looked at.
            match self.table.get(id).and_then(|c| c.deadline(&self.config)) {
                Some(deadline) if deadline <= self.now => {
                    self.change(id, |connection, host| connection.on_time(host.now, host.config));
                }
                later => self.table.schedule(id, later),
            }
        }
    }

    /// The batch ends: what is to leave is appended to `out`.
    pub fn finish(&mut self, out: &mut Vec<Segment>) {
        let limit = self.window();
        for id in self.table.untouch() {
            let Some(connection) = self.table.touch(id) else { continue };
            connection.poll(self.now, &self.config, limit, &mut self.out);
            debug_assert!(connection.holds(), "{connection:?}");
            let digest = &mut self.digest;
            connection.digest(&mut |x| mix(digest, x));
            let deadline = connection.deadline(&self.config);
            self.table.schedule(id, deadline);
        }
        self.table.untouch();
        self.counters.segments_out += self.out.len() as u64;
        for segment in &self.out {
            mix(&mut self.digest, u64::from(segment.seq.0) << 32 | u64::from(segment.ack.map_or(0, |a| a.0)));
            mix(&mut self.digest, u64::from(segment.window) << 48 | segment.seq_len());
            // Not all that services write: a difference shows soon enough.
            let bytes = || segment.payload.iter().flatten();
            let number = |x, byte: &u8| x << 8 | u64::from(*byte);
            mix(&mut self.digest, bytes().take(8).fold(0, number));
            mix(&mut self.digest, bytes().rev().take(8).fold(0, number));
        }
        out.append(&mut self.out);
    }

    /// What has happened to connections, oldest first; to be taken before [`finish`](Self::finish), so that answers leave in the same batch.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many bytes a connection may hold for its application.
    fn window(&self) -> u64 {
        let most = u64::from(self.config.receive_bytes);
        match self.held {
            held if held >= self.config.total_bytes => 0,
            held if held >= self.config.total_bytes / 2 => most.min(SCARCE_WINDOW),
            _ => most,
        }
    }

    /// Clients may connect to `local`; the unspecified address stands for all addresses.
    pub fn listen(&mut self, local: SocketAddr) {
        self.listeners.insert(local);
    }

    /// Clients may not connect to `local` any more. Connections stay.
    pub fn unlisten(&mut self, local: SocketAddr) {
        self.listeners.remove(&local);
    }

    fn listens(&self, local: SocketAddr) -> bool {
        let any: IpAddr = if local.is_ipv4() {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        self.listeners.contains(&local) || self.listeners.contains(&SocketAddr::new(any, local.port()))
    }

    /// Opens a connection from `local` to `remote`; [`Event::Connected`] or [`Event::Gone`] tells how that went.
    ///
    /// # Errors
    /// When there are too many, or no port is free. Nothing has changed then.
    pub fn connect(&mut self, local: IpAddr, remote: SocketAddr) -> Result<Id, ConnectError> {
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(ConnectError::Family(local, remote));
        }
        if self.table.len() >= self.config.connections as usize {
            return Err(ConnectError::TooMany(self.config.connections));
        }
        let linger = self.config.linger;
        let count = u32::from(DYNAMIC_PORTS.end() - DYNAMIC_PORTS.start()) + 1;
        let first = secrets::first_port(&self.secret, SocketAddr::new(local, 0), remote)
            .wrapping_add(u32::try_from(self.counters.connected % u64::from(count)).expect("below 2^16"));
        let address = (0..count)
            .map(|i| {
                DYNAMIC_PORTS.start() + u16::try_from(first.wrapping_add(i) % count).expect("below 2^14")
            })
            .map(|port| SocketAddr::new(local, port))
            .find(|&a| {
                let pair = Pair::new(a, remote);
                !self.table.has(&pair) && self.memory.yields(&pair, self.now, linger) && !self.listens(a)
            })
            .ok_or(ConnectError::NoPort(local, remote))?;
        self.counters.connected += 1;
        let (isn, offset) = secrets::of_connection(&self.secret, address, remote, self.now);
        let behind = self.memory.remove(&Pair::new(address, remote)).map(|remains| remains.next);
        let secrets = (secrets::behind(isn, behind), offset);
        let id = self.table.insert(Connection::active(address, remote, self.now, &self.config, secrets));
        self.table.touch(id);
        Ok(id)
    }

    /// The next bytes that have come: `most` of them, or all if there are fewer; nothing when there are none at the moment. In how many
    /// pieces they come may differ between replicas, how many bytes they are does not.
    pub fn read(&mut self, id: Id, most: u64) -> Payload {
        let Some(connection) = self.table.touch(id) else { return Payload::new() };
        let payload = connection.read(most);
        self.held -= payload.iter().map(|b| b.len() as u64).sum::<u64>();
        if connection.state() == State::Over && connection.readable().0 == 0 {
            self.remove(id);
            self.events.push_back(Event::Gone(id, Reason::Ended));
        }
        payload
    }

    /// Takes as much of `bytes` as there is room for, and leaves the rest; [`Event::Writable`] comes when there is room again. What is
    /// written to a connection that is no more, or whose stream has been finished, is dropped.
    pub fn write(&mut self, id: Id, bytes: &mut Bytes) {
        let Some(connection) = self.table.touch(id).filter(|c| c.may_write()) else {
            bytes.clear();
            return;
        };
        let room = usize::try_from(connection.room(&self.config)).unwrap_or(usize::MAX);
        let taken = bytes.split_to(room.min(bytes.len()));
        self.held += taken.len() as u64;
        connection.write(taken);
        connection.wants_to_write |= !bytes.is_empty();
    }

    /// Whether the peer has ended its stream, and everything has been read.
    #[must_use]
    pub fn finished(&self, id: Id) -> bool {
        self.table.get(id).is_none_or(|c| c.readable() == (0, true))
    }

    /// [`Event::Writable`] comes when there is room for half of [`Config::send_bytes`].
    pub fn wait_for_room(&mut self, id: Id) {
        if let Some(connection) = self.table.touch(id) {
            connection.wants_to_write = true;
        }
    }

    /// How many bytes a connection takes now.
    #[must_use]
    pub fn room(&self, id: Id) -> u64 {
        self.table.get(id).map_or(0, |c| c.room(&self.config))
    }

    /// Ends our stream behind what was written; the peer's may go on.
    pub fn shutdown(&mut self, id: Id) {
        if let Some(connection) = self.table.touch(id) {
            connection.finish();
        }
    }

    /// Ends our stream behind what was written, and will not read any more. If there is something unread the peer is told by a reset.
    /// No event of this connection follows.
    pub fn close(&mut self, id: Id) {
        let now = self.now;
        let Some(connection) = self.table.touch(id) else { return };
        let held = connection.held();
        let state = connection.state();
        let clean = state != State::SynSent && connection.close(now, &self.config);
        self.held -= held - connection.held();
        match state {
            State::Over => self.remove(id),
            _ if !clean => self.abort(id),
            _ => {}
        }
    }

    /// Gives a connection up: the peer is told by a reset. No event of this connection follows.
    pub fn abort(&mut self, id: Id) {
        let Some(connection) = self.table.touch(id) else { return };
        if !matches!(connection.state(), State::SynSent | State::Over) {
            let reset = connection.reset();
            self.out.push(reset);
        }
        self.remove(id);
    }

    /// State and addresses (ours, the peer's) of a connection.
    #[must_use]
    pub fn look(&self, id: Id) -> Option<(State, SocketAddr, SocketAddr)> {
        self.table.get(id).map(|c| (c.state(), c.local, c.remote))
    }

    /// All connections that an application can know of.
    #[must_use]
    pub fn ids(&self) -> Vec<Id> {
        let mut ids = self.table.ids();
        ids.retain(|id| self.table.get(*id).is_some_and(|c| !c.is_knocking()));
        ids
    }

    /// What left may never have arrived, because the host that held the connections is gone: every connection sends again what is not
    /// acknowledged, and acknowledges, so that nobody waits for a timer.
    pub fn kick(&mut self) {
        for id in self.table.ids() {
            let now = self.now;
            if let Some(connection) = self.table.touch(id) {
                connection.kick(now);
            }
        }
    }

    /// Changes a connection, and draws the conclusions.
    fn change(&mut self, id: Id, change: impl FnOnce(&mut Connection, &mut Surroundings<'_>) -> Outcome) {
        let Some(connection) = self.table.touch(id) else { return };
        let mut surroundings = Surroundings { now: self.now, config: &self.config, out: &mut self.out };
        let before = (connection.readable(), connection.held());
        let (knocked, opened) = (connection.is_knocking(), connection.is_opening());
        let outcome = change(connection, &mut surroundings);
        let readable = connection.readable();
        self.held = self.held + connection.held() - before.1;
        let silent = connection.deaf();
        if knocked && !connection.is_knocking() {
            self.opening -= 1;
            self.counters.accepted += 1;
            self.events.push_back(Event::Accepted(id));
        }
        if !knocked && opened && !connection.is_opening() {
            self.events.push_back(Event::Connected(id));
        }
        if readable.0 > before.0.0 && !silent {
            self.events.push_back(Event::Readable(id));
        }
        if readable.1 && !before.0.1 && !silent {
            self.events.push_back(Event::Finished(id));
        }
        if connection.wants_to_write && connection.room(&self.config) >= u64::from(self.config.send_bytes / 2)
        {
            connection.wants_to_write = false;
            self.events.push_back(Event::Writable(id));
        }
        let known = !connection.is_knocking() && !silent;
        match outcome {
            Outcome::Stays => {}
            Outcome::Remembered => {
                let (pair, remains) = (Pair::new(connection.local, connection.remote), connection.remains());
                connection.poll(self.now, &self.config, 0, &mut self.out);
                self.ends(id, known);
                self.memory.insert(pair, remains, self.now + self.config.linger, self.config.remembered);
            }
            Outcome::Gone(Reason::Ended) => self.ends(id, known),
            // The peer's stream was whole before: what has not been read of it stays, whatever has become of ours.
            Outcome::Gone(_) if known && readable.1 && readable.0 > 0 => self.ends(id, known),
            Outcome::Gone(reason) => {
                self.remove(id);
                if known {
                    self.events.push_back(Event::Gone(id, reason));
                }
            }
        }
    }

    /// Both streams have ended. What has not been read stays until it is.
    fn ends(&mut self, id: Id, known: bool) {
        self.table.unlink(id);
        let Some(connection) = self.table.touch(id) else { return };
        connection.over();
        if !known || connection.readable().0 == 0 {
            self.remove(id);
            if known {
                self.events.push_back(Event::Gone(id, Reason::Ended));
            }
        }
    }

    fn remove(&mut self, id: Id) {
        if let Some(connection) = self.table.remove(id) {
            self.held -= connection.held();
            if connection.is_knocking() {
                self.opening -= 1;
            }
        }
    }
}

/// Mixes a number into a digest (the finalizer of `SplitMix64`): fast, and no secret.
fn mix(digest: &mut u64, x: u64) {
    let mut z = digest.rotate_left(23).wrapping_add(x).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    *digest = z ^ z >> 27;
}
