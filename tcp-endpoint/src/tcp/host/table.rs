//! Where connections are kept: by number for the application, by addresses for segments, by time for the timers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use gcs::time::Time;
use serde::{Deserialize, Serialize};

use crate::tcp::{State, connection::Connection};

/// Names a connection for as long as the endpoint lives; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Both addresses of a connection, what differs most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Pair {
    remote_port: u16,
    local_port: u16,
    remote: IpAddr,
    local: IpAddr,
}

impl Pair {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { remote_port: remote.port(), local_port: local.port(), remote: remote.ip(), local: local.ip() }
    }
}

/// A place for a connection.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
    /// What is in `times` for it.
    scheduled: Option<Time>,
    touched: bool,
}

/// The connections. Invariants: every connection that is not over is in `pairs`; those with a deadline have an entry in `times` that is not later
/// than it.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    pairs: BTreeMap<Pair, u32>,
    /// When to look at whom. A deadline that moved away stays until it is looked at: what leaves depends on deadlines, never on this.
    times: BTreeSet<(Time, u32)>,
    /// Whom something has happened to, in this order.
    touched: Vec<u32>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn has(&self, pair: &Pair) -> bool {
        self.pairs.contains_key(pair)
    }

    pub(super) fn insert(&mut self, connection: Connection) -> Id {
        let pair = Pair::new(connection.local, connection.remote);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("bounded by the configuration")
        });
        let place = &mut self.slots[slot as usize];
        place.connection = Some(Box::new(connection));
        let before = self.pairs.insert(pair, slot);
        debug_assert!(before.is_none(), "one connection between two addresses");
        Id { slot, generation: place.generation }
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<Box<Connection>> {
        let place = self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)?;
        let connection = place.connection.take()?;
        place.generation = place.generation.wrapping_add(1);
        if let Some(at) = place.scheduled.take() {
            self.times.remove(&(at, id.slot));
        }
        if connection.state() != State::Over {
            self.pairs.remove(&Pair::new(connection.local, connection.remote));
        }
        self.free.push(id.slot);
        Some(connection)
    }

    /// No segment finds it any more; the application still does.
    pub(super) fn unlink(&mut self, id: Id) {
        if let Some(connection) = self.get(id) {
            self.pairs.remove(&Pair::new(connection.local, connection.remote));
        }
    }

    pub(super) fn find(&self, pair: &Pair) -> Option<Id> {
        let slot = *self.pairs.get(pair)?;
        Some(Id { slot, generation: self.slots[slot as usize].generation })
    }

    pub(super) fn get(&self, id: Id) -> Option<&Connection> {
        self.slots.get(id.slot as usize).filter(|s| s.generation == id.generation)?.connection.as_deref()
    }

    /// To change it: it counts as touched.
    pub(super) fn touch(&mut self, id: Id) -> Option<&mut Connection> {
        let place = self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)?;
        let connection = place.connection.as_deref_mut()?;
        if !std::mem::replace(&mut place.touched, true) {
            self.touched.push(id.slot);
        }
        Some(connection)
    }

    /// The next one that was touched, which then is not any more.
    pub(super) fn untouch(&mut self) -> Vec<Id> {
        let touched = std::mem::take(&mut self.touched);
        let ids = touched.iter().map(|&slot| {
            let place = &mut self.slots[slot as usize];
            place.touched = false;
            Id { slot, generation: place.generation }
        });
        ids.collect()
    }

    /// All, by number.
    pub(super) fn ids(&self) -> Vec<Id> {
        let used = self.slots.iter().enumerate().filter(|(_, s)| s.connection.is_some());
        used.map(|(i, s)| Id { slot: u32::try_from(i).expect("bounded"), generation: s.generation }).collect()
    }

    /// How often each place was given away, and which are free, the next one last.
    pub(super) fn places(&self) -> (Vec<u32>, Vec<u32>) {
        (self.slots.iter().map(|s| s.generation).collect(), self.free.clone())
    }

    /// The connections, by place.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Connection)> {
        (0..).zip(&self.slots).filter_map(|(i, s)| Some((i, s.connection.as_deref()?)))
    }

    /// A table without connections, whose places are about to be filled. None if a free one does not exist, or is there twice.
    pub(super) fn with_places(generations: Vec<u32>, free: Vec<u32>) -> Option<Self> {
        let unique: BTreeSet<u32> = free.iter().copied().collect();
        let exist = unique.last().is_none_or(|last| (*last as usize) < generations.len());
        let slots =
            generations.into_iter().map(|generation| Slot { generation, ..Slot::default() }).collect();
        (exist && unique.len() == free.len()).then(|| Self { slots, free, ..Self::default() })
    }

    /// Puts a connection into its place. None if there is one already, or between the same addresses.
    pub(super) fn place(&mut self, slot: u32, connection: Connection) -> Option<Id> {
        let place = self.slots.get_mut(slot as usize).filter(|s| s.connection.is_none())?;
        let pair = Pair::new(connection.local, connection.remote);
        if connection.state() != State::Over && self.pairs.insert(pair, slot).is_some() {
            return None;
        }
        place.connection = Some(Box::new(connection));
        Some(Id { slot, generation: place.generation })
    }

    /// What must hold; for values that come from elsewhere: a place is free, or there is a connection.
    pub(super) fn holds(&self) -> bool {
        let used = self.slots.iter().filter(|s| s.connection.is_some()).count();
        used + self.free.len() == self.slots.len()
            && self.free.iter().all(|f| self.slots[*f as usize].connection.is_none())
    }

    /// Looks at a connection at `deadline`, or before.
    pub(super) fn schedule(&mut self, id: Id, deadline: Option<Time>) {
        let place = &mut self.slots[id.slot as usize];
        let Some(deadline) = deadline else { return };
        if place.scheduled.is_some_and(|at| at <= deadline) {
            return;
        }
        if let Some(at) = place.scheduled.replace(deadline) {
            self.times.remove(&(at, id.slot));
        }
        self.times.insert((deadline, id.slot));
    }

    /// Does not look at a connection again.
    pub(super) fn unschedule(&mut self, id: Id) {
        if let Some(at) = self.slots[id.slot as usize].scheduled.take() {
            self.times.remove(&(at, id.slot));
        }
    }

    /// Who is to be looked at at `now`, by number.
    pub(super) fn due(&mut self, now: Time) -> Vec<Id> {
        let mut due = Vec::new();
        while let Some(&(at, slot)) = self.times.first().filter(|(at, _)| *at <= now) {
            self.times.remove(&(at, slot));
            let place = &mut self.slots[slot as usize];
            place.scheduled = None;
            due.push(Id { slot, generation: place.generation });
        }
        due.sort_unstable();
        due
    }

    /// The next time at which somebody is to be looked at.
    pub(super) fn next_time(&self) -> Option<(Time, Id)> {
        let &(at, slot) = self.times.first()?;
        Some((at, Id { slot, generation: self.slots[slot as usize].generation }))
    }
}
