//! UDP, and TCP to those that UDP does not reach.
//!
//! ```text
//! every 100 ms of use      ── PROBE (UDP) ──>
//!                          <── ANSWER (UDP) ──     frames go by UDP
//!                          (none)                  connect; frames go by TCP as long as there is a connection
//! ```
//! Who is new is sent to by UDP until it has left `LOST` probes unanswered; so a member that answers none, because it has
//! UDP only, is never worse off. A change is logged. Frames are of UDP's size.

use super::{BindError, Transport, TransportStats, liveness::Door, tcp::Tcp, udp::Udp};
use crate::{
    endpoint::{Datagram, Transmit},
    frame::OLDEST_VERSION,
    id::GroupTag,
    runtime::clock::Clock,
    time::Time,
};
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

/// The first byte of what transports say to each other.
const MAGIC: u8 = 0xC7;
const PROBE: u8 = 2;
const ANSWER: u8 = 3;
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// Whoever leaves so many probes without an answer is sent to by TCP.
const LOST: u32 = 3;
/// An address that nothing was sent to for this long is forgotten.
const UNUSED: Duration = Duration::from_secs(5);
/// How many peers are kept in mind.
const PEERS: usize = 256;

/// A UDP socket and connections.
pub struct Both {
    udp: Udp,
    tcp: Tcp,
    peers: BTreeMap<SocketAddr, Peer>,
    /// Those of them that are sent to by TCP.
    by_tcp: BTreeSet<SocketAddr>,
    probed_at: Time,
    clock: Clock,
}

struct Peer {
    unanswered: u32,
    used_at: Time,
}

impl Both {
    /// A UDP socket, and a listener at the same port.
    ///
    /// # Errors
    /// [`BindError`].
    pub(crate) fn open(udp: Udp, group: GroupTag) -> Result<(Self, Door), BindError> {
        let (tcp, door) = Tcp::open(udp.local_addr(), group)?;
        let (peers, by_tcp) = (BTreeMap::new(), BTreeSet::new());
        let both = Self { udp, tcp, peers, by_tcp, probed_at: Time::ZERO, clock: Clock::start() };
        Ok((both, door))
    }

    /// Keeps in mind who is sent to.
    fn note(&mut self, now: Time, batch: &[Transmit]) {
        let mut known: Option<&SmallVec<[SocketAddr; 4]>> = None;
        for t in batch {
            if known == Some(&t.to) {
                continue;
            }
            known = Some(&t.to);
            for addr in &t.to {
                if let Some(peer) = self.peers.get_mut(addr) {
                    peer.used_at = now;
                } else if self.peers.len() < PEERS && !addr.ip().is_multicast() {
                    self.peers.insert(*addr, Peer { unanswered: 0, used_at: now });
                }
            }
        }
    }

    /// Asks everybody who is sent to whether UDP gets through, and decides by the answers.
    fn probe(&mut self, now: Time) {
        if now.since(self.probed_at) < PROBE_EVERY {
            return;
        }
        self.probed_at = now;
        self.peers.retain(|_, p| now.since(p.used_at) < UNUSED);
        let (peers, by_tcp) = (&self.peers, &mut self.by_tcp);
        by_tcp.retain(|a| peers.contains_key(a));
        let mut probes = Vec::new();
        for (addr, peer) in &mut self.peers {
            let probe = Bytes::from_static(&[MAGIC, OLDEST_VERSION, PROBE]);
            probes.push(Transmit { to: smallvec![*addr], payload: probe.into() });
            if peer.unanswered >= LOST {
                self.tcp.dial(*addr);
            }
            let up = self.tcp.is_up(*addr);
            if peer.unanswered >= LOST && up && self.by_tcp.insert(*addr) {
                tracing::warn!(%addr, "UDP does not get through; it is sent to over TCP");
            } else if !up {
                self.by_tcp.remove(addr);
            }
            peer.unanswered = peer.unanswered.saturating_add(1);
        }
        self.udp.send(&mut probes);
    }

    /// Takes what transports say to each other out of what came after `from`.
    fn sift(&mut self, batch: &mut Vec<Datagram>, from: usize) {
        let mut at = from;
        while at < batch.len() {
            if batch[at].payload.first() == Some(&MAGIC) {
                let d = batch.remove(at);
                self.on_said(&d);
            } else {
                at += 1;
            }
        }
    }

    fn on_said(&mut self, d: &Datagram) {
        match d.payload[..] {
            [MAGIC, OLDEST_VERSION, PROBE] => {
                let answer = Bytes::from_static(&[MAGIC, OLDEST_VERSION, ANSWER]);
                self.udp.send(&mut vec![Transmit { to: smallvec![d.from], payload: answer.into() }]);
            }
            [MAGIC, OLDEST_VERSION, ANSWER] => {
                if let Some(peer) = self.peers.get_mut(&d.from) {
                    peer.unanswered = 0;
                    if self.by_tcp.remove(&d.from) {
                        tracing::info!(addr = %d.from, "UDP gets through again");
                    }
                }
            }
            _ => {}
        }
    }
}

impl Transport for Both {
    fn start(&mut self) -> io::Result<()> {
        self.udp.start()
    }

    fn send(&mut self, batch: &mut Vec<Transmit>) {
        let now = self.clock.now();
        self.note(now, batch);
        self.probe(now);
        if !self.by_tcp.is_empty() {
            let mut connected = Vec::new();
            for t in batch.iter_mut() {
                let to: SmallVec<_> = t.to.iter().copied().filter(|a| self.by_tcp.contains(a)).collect();
                if !to.is_empty() {
                    t.to.retain(|a| !to.contains(a));
                    connected.push(Transmit { to, payload: t.payload.clone() });
                }
            }
            batch.retain(|t| !t.to.is_empty());
            self.tcp.send(&mut connected);
        }
        self.udp.send(batch);
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) -> Poll<()> {
        loop {
            let before = batch.len();
            let udp = self.udp.poll_recv(cx, batch).is_ready();
            self.sift(batch, before);
            let tcp = self.tcp.poll_recv(cx, batch).is_ready();
            if batch.len() > before {
                return Poll::Ready(());
            }
            if !udp && !tcp {
                return Poll::Pending;
            }
        }
    }

    fn try_recv(&mut self, batch: &mut Vec<Datagram>) {
        let before = batch.len();
        self.udp.try_recv(batch);
        self.sift(batch, before);
        self.tcp.try_recv(batch);
    }

    fn local_addr(&self) -> SocketAddr {
        self.udp.local_addr()
    }

    fn mtu(&self) -> usize {
        self.udp.mtu()
    }

    fn receive_bytes(&self) -> usize {
        self.udp.receive_bytes()
    }

    fn stats(&self) -> TransportStats {
        let (udp, tcp) = (self.udp.stats(), self.tcp.stats());
        TransportStats {
            sent: udp.sent + tcp.sent,
            send_dropped: udp.send_dropped + tcp.send_dropped,
            received: udp.received + tcp.received,
            refused: tcp.refused,
            over_tcp: self.by_tcp.len() as u64,
            send_calls: udp.send_calls + tcp.send_calls,
            recv_calls: udp.recv_calls + tcp.recv_calls,
            ..udp
        }
    }
}
