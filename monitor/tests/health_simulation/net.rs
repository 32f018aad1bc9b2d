//! Connections between clients and representatives: bytes arrive in order, some time later, until somebody breaks one.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use gcs::rng::Rng;
use gcs_monitor::health::wire::{Request, Say};

use crate::book::Book;

pub(crate) const MS: u64 = 1_000_000;

/// A connection to a representative.
pub(crate) struct Wire {
    pub(crate) process: usize,
    to_process: VecDeque<(u64, Request)>,
    to_client: VecDeque<(u64, Say)>,
}

/// All of them. `now` is true time, in nanoseconds.
pub(crate) struct Net {
    pub(crate) now: u64,
    pub(crate) wires: BTreeMap<u64, Wire>,
    next: u64,
    rng: Rng,
    pub(crate) book: Book,
}

pub(crate) type Shared = Rc<RefCell<Net>>;

/// Behind the last thing on its way.
fn later<T>(queue: &VecDeque<(u64, T)>, at: u64) -> u64 {
    queue.back().map_or(at, |(last, _)| at.max(*last))
}

fn arrived<T>(queue: &mut VecDeque<(u64, T)>, now: u64) -> Option<T> {
    if queue.front().is_some_and(|(at, _)| *at <= now) {
        queue.pop_front().map(|(_, what)| what)
    } else {
        None
    }
}

impl Net {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { now: 0, wires: BTreeMap::new(), next: 0, rng, book: Book::default() }
    }

    pub(crate) fn connect(&mut self, process: usize) -> u64 {
        self.next += 1;
        let wire = Wire { process, to_process: VecDeque::new(), to_client: VecDeque::new() };
        self.wires.insert(self.next, wire);
        self.next
    }

    pub(crate) fn close(&mut self, wire: u64) {
        self.wires.remove(&wire);
    }

    /// A process is not there any more.
    pub(crate) fn reset(&mut self, process: usize) {
        self.wires.retain(|_, wire| wire.process != process);
    }

    pub(crate) fn request(&mut self, wire: u64, request: Request) {
        let at = self.now + self.rng.below(2 * MS);
        let Some(wire) = self.wires.get_mut(&wire) else { return };
        let at = later(&wire.to_process, at);
        wire.to_process.push_back((at, request));
    }

    pub(crate) fn say(&mut self, wire: u64, say: Say) {
        let at = self.now + self.rng.below(2 * MS);
        let Some(wire) = self.wires.get_mut(&wire) else { return };
        let at = later(&wire.to_client, at);
        wire.to_client.push_back((at, say));
    }

    pub(crate) fn asked(&mut self, wire: u64) -> Option<Request> {
        let now = self.now;
        self.wires.get_mut(&wire).and_then(|wire| arrived(&mut wire.to_process, now))
    }

    pub(crate) fn said(&mut self, wire: u64) -> Option<Say> {
        let now = self.now;
        self.wires.get_mut(&wire).and_then(|wire| arrived(&mut wire.to_client, now))
    }

    /// The connections of a process.
    pub(crate) fn of(&self, process: usize) -> Vec<u64> {
        self.wires.iter().filter(|(_, wire)| wire.process == process).map(|(id, _)| *id).collect()
    }
}
