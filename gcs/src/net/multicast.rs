//! IP multicast over UDP, IPv4: what goes to several members is one datagram, as far as multicast gets through.
//!
//! ```text
//! every 100 ms of use      ── PROBE (group) ──>   whoever has joined
//!                          <── ANSWER (unicast) ──
//! ```
//! A member that answers is reached by multicast. All others get what is for them by unicast, so a network without
//! multicast works as if it were off; a change is logged. Small datagrams always go by unicast: the
//! heartbeats of a member do not depend on multicast, and what it loses is repaired by unicast.
//!
//! Everybody who has joined the group gets the datagrams, strangers included: members drop what is not for them. The
//! system drops a process's own datagrams before they are copied.

use super::{BindError, Transport, TransportStats, inlet::Inlet, sys, udp::Udp};
use crate::{
    endpoint::{Datagram, Transmit},
    frame::OLDEST_VERSION,
    runtime::clock::Clock,
    time::Time,
};
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, SocketAddrV4},
    task::{Context, Poll},
    time::Duration,
};

/// The first byte of what transports say to each other.
const MAGIC: u8 = 0xC7;
const PROBE: u8 = 0;
const ANSWER: u8 = 1;
/// Shorter datagrams are not multicast.
const WORTH: usize = 512;
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// Who was reached, and leaves more probes than this without an answer, is not reached any more.
const LOST: u32 = 3;
/// Who leaves more probes than this without an answer from the beginning is said not to be reached.
const PATIENCE: u32 = 20;
/// How many peers are kept in mind.
const PEERS: usize = 256;

/// A UDP socket that multicasts what it can.
pub struct Multicast {
    udp: Udp,
    inlet: Inlet,
    group: SocketAddrV4,
    reach: Reach,
    clock: Clock,
    multicast: u64,
}

impl Multicast {
    /// Makes `udp`, which must be bound to an IPv4 address, multicast to `group` on the interface of its address.
    ///
    /// # Errors
    /// [`BindError`]: `udp` is IPv6, `group` is no multicast address, or what the system objects to.
    pub fn new(udp: Udp, group: SocketAddrV4) -> Result<Self, BindError> {
        let SocketAddr::V4(own) = udp.local_addr() else { return Err(BindError::Multicast(group)) };
        if !group.ip().is_multicast() || group.port() == 0 {
            return Err(BindError::Multicast(group));
        }
        let inlet = join(own, group).map_err(|e| BindError::new(group.into(), "UDP multicast", e))?;
        sys::multicast_from(udp.socket(), *own.ip())
            .map_err(|e| BindError::new(own.into(), "UDP multicast", e))?;
        let reach = Reach::default();
        Ok(Self { udp, inlet, group, reach, clock: Clock::start(), multicast: 0 })
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
            [MAGIC, OLDEST_VERSION, PROBE] if d.from != self.udp.local_addr() => {
                let answer = Bytes::from_static(&[MAGIC, OLDEST_VERSION, ANSWER]);
                self.udp.send(&mut vec![Transmit { to: smallvec![d.from], payload: answer.into() }]);
            }
            [MAGIC, OLDEST_VERSION, ANSWER] => self.reach.on_answer(d.from),
            _ => {}
        }
    }
}

/// A socket that receives what is sent to the group at the interface of `own`, except from `own`.
fn join(own: SocketAddrV4, group: SocketAddrV4) -> io::Result<Inlet> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // All processes of a host receive at the same address.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from(group).into())?;
    socket.join_multicast_v4(group.ip(), own.ip())?;
    sys::ignore_from(&socket, own);
    Inlet::new(socket.into())
}

impl Transport for Multicast {
    fn start(&mut self) -> io::Result<()> {
        self.udp.start()?;
        self.inlet.start()
    }

    fn send(&mut self, batch: &mut Vec<Transmit>) {
        let mut known: Option<(Addrs, Addrs)> = None;
        for t in batch.iter_mut().filter(|t| t.to.len() > 1 && t.payload.len() >= WORTH) {
            let (_, to) = match &known {
                Some(k) if k.0 == t.to => k,
                _ => known.insert((t.to.clone(), self.reach.route(&t.to, self.group.into()))),
            };
            self.multicast += u64::from(to.len() < t.to.len());
            t.to.clone_from(to);
        }
        if known.is_some() && self.reach.probe_due(self.clock.now()) {
            let probe = Bytes::from_static(&[MAGIC, OLDEST_VERSION, PROBE]);
            batch.push(Transmit { to: smallvec![self.group.into()], payload: probe.into() });
        }
        self.udp.send(batch);
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) -> Poll<()> {
        loop {
            let before = batch.len();
            let unicast = self.udp.poll_recv(cx, batch).is_ready();
            let multicast = self.inlet.poll_recv(cx, batch).is_ready();
            self.sift(batch, before);
            if batch.len() > before {
                return Poll::Ready(());
            }
            if !unicast && !multicast {
                return Poll::Pending;
            }
        }
    }

    fn try_recv(&mut self, batch: &mut Vec<Datagram>) {
        let before = batch.len();
        self.udp.try_recv(batch);
        self.inlet.try_recv(batch);
        self.sift(batch, before);
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
        let udp = self.udp.stats();
        TransportStats {
            received: udp.received + self.inlet.received,
            recv_calls: udp.recv_calls + self.inlet.recv_calls,
            multicast: self.multicast,
            ..udp
        }
    }
}

type Addrs = SmallVec<[SocketAddr; 4]>;

/// Whom multicast reaches, by their answers.
#[derive(Debug, Default)]
struct Reach {
    peers: BTreeMap<SocketAddr, Peer>,
    probed_at: Option<Time>,
}

#[derive(Debug, Default)]
struct Peer {
    /// None: too early to say.
    reached: Option<bool>,
    /// Probes since the last answer.
    unanswered: u32,
    /// Something was for it since the last probe.
    wanted: bool,
}

impl Reach {
    /// Where to send what is for `to`: the group for all who are reached, if they are several, and the rest.
    fn route(&mut self, to: &Addrs, group: SocketAddr) -> Addrs {
        let mut rest = Addrs::new();
        for addr in to {
            if self.peers.len() >= PEERS && !self.peers.contains_key(addr) {
                rest.push(*addr);
                continue;
            }
            let peer = self.peers.entry(*addr).or_default();
            peer.wanted = true;
            if peer.reached != Some(true) {
                rest.push(*addr);
            }
        }
        if rest.len() + 1 >= to.len() {
            return to.clone();
        }
        rest.push(group);
        rest
    }

    fn on_answer(&mut self, from: SocketAddr) {
        let Some(p) = self.peers.get_mut(&from) else { return };
        p.unanswered = 0;
        if p.reached.replace(true) != Some(true) {
            tracing::info!(addr = %from, "multicast gets through");
        }
    }

    /// Whether to probe now. Whom nothing was for since the last probe is forgotten.
    fn probe_due(&mut self, now: Time) -> bool {
        if self.probed_at.is_some_and(|at| now.since(at) < PROBE_EVERY) {
            return false;
        }
        self.probed_at = Some(now);
        self.peers.retain(|_, p| std::mem::take(&mut p.wanted));
        for (addr, p) in &mut self.peers {
            p.unanswered += 1;
            let patience = if p.reached.is_some() { LOST } else { PATIENCE };
            if p.unanswered > patience && p.reached.replace(false) != Some(false) {
                tracing::warn!(%addr, "multicast does not get through; it is sent to by unicast");
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "multicast_tests.rs"]
mod tests;
