//! One simulated process: its lives, its clock, what waits for it, and how processes are numbered.

use super::clock::LocalClock;
use crate::{
    endpoint::{Datagram, Input},
    id::{Incarnation, MemberId},
    rng::Rng,
    time::Time,
    view::{Role, View, ViewId},
};
use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Datagrams that wait while a process is stopped: more are dropped, as a socket buffer does.
pub(super) const INBOX: usize = 512;
/// Incarnations of one life: a rejoin takes the next one.
const REJOINS: u32 = 20;
const PORT: u16 = 7000;

/// The address of a process.
#[must_use]
pub fn addr_of(process: usize) -> SocketAddr {
    let n = u8::try_from(process + 1).unwrap_or(u8::MAX);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)), PORT)
}

/// The process at an address.
#[must_use]
pub fn index_of(addr: SocketAddr) -> Option<usize> {
    match addr.ip() {
        IpAddr::V4(ip) if addr.port() == PORT && ip.octets()[..3] == [10, 0, 0] => {
            usize::from(ip.octets()[3]).checked_sub(1)
        }
        _ => None,
    }
}

/// The member that a process is at the beginning of its `life`-th life (from 1).
#[must_use]
pub fn member_of(process: usize, life: u32) -> MemberId {
    MemberId { addr: addr_of(process), incarnation: Incarnation(u64::from(life) << REJOINS) }
}

/// The life that an incarnation belongs to, and how often the process had rejoined in it.
#[must_use]
pub fn life_of(incarnation: Incarnation) -> (u32, u64) {
    let life = u32::try_from(incarnation.0 >> REJOINS).unwrap_or(u32::MAX);
    (life, incarnation.0 & ((1 << REJOINS) - 1))
}

/// Where a process is in its present life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Not started, or between two lives by its own will.
    Out,
    /// Runs.
    Up,
    /// Stopped until then (true nanoseconds).
    Paused(u64),
    /// Killed. True if its host's kernel lives and says so to those who watch it.
    Dead(bool),
    /// Has left the group, or given up; its endpoint does nothing more.
    Gone,
}

pub(super) struct Process<N, A> {
    pub(super) status: Status,
    /// Counts from 1; 0 before the first.
    pub(super) life: u32,
    pub(super) node: Option<N>,
    pub(super) app: Option<A>,
    pub(super) clock: LocalClock,
    pub(super) rng: Rng,
    /// Messages cast in this life.
    pub(super) count: u32,
    pub(super) view: Option<View>,
    /// The incarnation that installed `view`.
    pub(super) view_of: Option<MemberId>,
    pub(super) previous: Option<ViewId>,
    pub(super) inbox: VecDeque<Datagram>,
    /// Other inputs that wait while the process is stopped.
    pub(super) waiting: VecDeque<Input>,
    pub(super) reading: bool,
    /// The earliest tick in the queue (true nanoseconds), `u64::MAX` if none.
    pub(super) tick_at: u64,
    /// The only wake-up of the application that counts.
    pub(super) wake_at: u64,
    pub(super) watches: BTreeSet<MemberId>,
    /// By its own clock.
    pub(super) lease_until: Time,
    pub(super) writable: bool,
    pub(super) blocked: bool,
    pub(super) awaits_state: bool,
    pub(super) leaving: bool,
    /// Whether it founds the group in this life.
    pub(super) founds: bool,
    /// What it counts for, in every life.
    pub(super) role: Role,
}

impl<N, A> Process<N, A> {
    pub(super) fn new(rng: Rng) -> Self {
        Self {
            status: Status::Out,
            life: 0,
            node: None,
            app: None,
            clock: LocalClock::new(0, 0, 0),
            rng,
            count: 0,
            view: None,
            view_of: None,
            previous: None,
            inbox: VecDeque::new(),
            waiting: VecDeque::new(),
            reading: false,
            tick_at: u64::MAX,
            wake_at: u64::MAX,
            watches: BTreeSet::new(),
            lease_until: Time::ZERO,
            writable: false,
            blocked: false,
            awaits_state: false,
            leaving: false,
            founds: false,
            role: Role::default(),
        }
    }

    /// Begins a life.
    pub(super) fn begin(&mut self, node: N, app: A, clock: LocalClock) {
        let rng = self.rng.fork();
        *self = Self {
            status: Status::Up,
            life: self.life + 1,
            role: self.role,
            node: Some(node),
            app: Some(app),
            clock,
            ..Self::new(rng)
        };
    }

    /// Ends it: nothing that was in the process's memory is left.
    pub(super) fn end(&mut self, status: Status) {
        self.status = status;
        self.node = None;
        self.app = None;
        self.inbox.clear();
        self.waiting.clear();
        self.reading = false;
        self.watches.clear();
        self.view = None;
        self.tick_at = u64::MAX;
        self.wake_at = u64::MAX;
    }

    /// Whether there is a process, running or stopped.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.status, Status::Up | Status::Paused(_))
    }
}
