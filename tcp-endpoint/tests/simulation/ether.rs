//! A switch with a few ports: it learns who is where, floods what is for a group or for nobody it knows, and can lose, delay and
//! reorder; cables can be pulled. Bounds: [`ROOM`] frames wait at a port, as in an interface's ring.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use gcs::rng::Rng;
use gcs_tcp_endpoint::{
    link::{Checksum, Frame, Mac, Meta, Received},
    net::segment::segments,
};

const ROOM: usize = 512;

/// Times are true nanoseconds.
pub(crate) struct Ether {
    rng: Rng,
    table: BTreeMap<Mac, usize>,
    ports: Vec<Port>,
    on_the_way: BTreeMap<(u64, u64), (usize, Bytes)>,
    count: u64,
    latency: u64,
    /// In a thousand, and until when.
    loss: (u64, u64),
    /// Up to so much longer, and until when.
    delay: (u64, u64),
}

#[derive(Default)]
struct Port {
    cut_until: u64,
    received: VecDeque<Bytes>,
}

impl Ether {
    pub(crate) fn new(mut rng: Rng, ports: usize) -> Self {
        Self {
            table: BTreeMap::new(),
            ports: (0..ports).map(|_| Port::default()).collect(),
            on_the_way: BTreeMap::new(),
            count: 0,
            latency: 10_000 + rng.below(300_000),
            loss: (0, 0),
            delay: (0, 0),
            rng,
        }
    }

    pub(crate) fn lose(&mut self, per_mille: u64, until: u64) {
        self.loss = (per_mille, until);
    }

    pub(crate) fn delay(&mut self, most: u64, until: u64) {
        self.delay = (most, until);
    }

    pub(crate) fn cut(&mut self, port: usize, until: u64) {
        self.ports[port].cut_until = until;
    }

    /// Whether it carries everything at once since `margin` nanoseconds.
    pub(crate) fn is_calm(&self, now: u64, margin: u64) -> bool {
        let ends = self.ports.iter().map(|p| p.cut_until).chain([self.loss.1, self.delay.1]);
        ends.max().is_none_or(|end| end == 0 || end + margin < now)
    }

    /// The frame as it is on the wire, cut as an interface does it.
    pub(crate) fn wire(frame: Frame) -> Vec<Bytes> {
        let Frame { link, packet } = frame;
        let packets = segments(packet).expect("what leaves can be cut");
        packets.into_iter().map(|p| [&link[..], &p.header, &p.payload.concat()].concat().into()).collect()
    }

    /// A station sends a frame.
    pub(crate) fn send(&mut self, now: u64, from: usize, frame: &Bytes) {
        let mac = |at: usize| Mac(frame[at..at + 6].try_into().expect("six bytes"));
        if now < self.ports[from].cut_until {
            return;
        }
        self.table.insert(mac(6), from);
        let to = if mac(0).is_group() { None } else { self.table.get(&mac(0)).copied() };
        for port in (0..self.ports.len()).filter(|p| *p != from && to.is_none_or(|to| to == *p)) {
            if now < self.loss.1 && self.rng.chance(self.loss.0) {
                continue;
            }
            let more = if now < self.delay.1 { self.rng.below(self.delay.0 + 1) } else { 0 };
            self.count += 1;
            self.on_the_way.insert((now + self.latency + more, self.count), (port, frame.clone()));
        }
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.on_the_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// Brings what has arrived by now to its ports; which ones.
    pub(crate) fn arrive(&mut self, now: u64) -> Vec<usize> {
        let mut at = Vec::new();
        while let Some(first) = self.on_the_way.first_entry().filter(|e| e.key().0 <= now) {
            let (port, frame) = first.remove();
            let to = &mut self.ports[port];
            if now >= to.cut_until && to.received.len() < ROOM {
                to.received.push_back(frame);
                at.push(port);
            }
        }
        at
    }

    /// Whether something waits at a port.
    pub(crate) fn waits(&self, port: usize) -> bool {
        !self.ports[port].received.is_empty()
    }

    /// Takes what waits at a port, at most so many frames.
    pub(crate) fn receive(&mut self, port: usize, most: usize) -> Vec<Received> {
        let waiting = &mut self.ports[port].received;
        let meta = Meta { segment: 0, checksum: Checksum::Unverified };
        let received = |bytes| Received { bytes, vlan: None, meta };
        waiting.drain(..most.min(waiting.len())).map(received).collect()
    }

    /// The station was started anew: what waited is gone.
    pub(crate) fn forget(&mut self, port: usize) {
        self.ports[port].received.clear();
    }
}
