//! UDP, one socket, IPv4 or IPv6. A batch of datagrams costs one system call each way: `sendmmsg`, with segmentation
//! offload where datagrams to one destination have equal sizes, and `recvmmsg` with receive offload (see `inlet`).

use super::{BindError, Transport, TransportStats, inlet::Inlet, sys};
use crate::endpoint::{Datagram, Transmit};
use socket2::SockAddr;
use std::{
    io::{self, IoSlice},
    iter,
    net::{SocketAddr, UdpSocket},
    ops::{Range, RangeInclusive},
    task::{Context, Poll},
};

/// The largest datagram on loopback that one system call carries without fragments, with room for headers.
pub const LOOPBACK_MTU: usize = 60 << 10;
const ETHERNET_MTU: usize = 1500;
/// What IPv6 asks of every link, and what links have at most.
const MTUS: RangeInclusive<usize> = 1280..=65_536;
/// Segmentation offload: the kernel's limits on one train.
const TRAIN_BYTES: usize = 64_000;
const TRAIN_COUNT: usize = 64;

/// A UDP socket as a transport.
pub struct Udp {
    inlet: Inlet,
    addr: SocketAddr,
    mtu: usize,
    offload: bool,
    plan: Vec<Train>,
    stats: TransportStats,
}

/// Consecutive datagrams of a batch that go to one destination in one message.
#[derive(Debug, PartialEq, Eq)]
struct Train {
    to: SocketAddr,
    range: Range<usize>,
    segment: u16,
}

impl Udp {
    /// Binds a socket. Port 0 means any free port.
    ///
    /// # Errors
    /// [`BindError`]: a wildcard address, one that is in use, or what else the system objects to.
    pub fn bind(addr: SocketAddr) -> Result<Self, BindError> {
        if addr.ip().is_unspecified() {
            return Err(BindError::Wildcard(addr));
        }
        Self::open(addr).map_err(|e| BindError::new(addr, "UDP", e))
    }

    /// The MTU of the network between the members, in bytes, instead of that of loopback or else Ethernet's 1500.
    ///
    /// # Errors
    /// [`BindError::Mtu`].
    pub fn with_mtu(self, bytes: usize) -> Result<Self, BindError> {
        if !MTUS.contains(&bytes) {
            return Err(BindError::Mtu(bytes));
        }
        Ok(Self { mtu: (bytes - headers(self.addr)).min(LOOPBACK_MTU), ..self })
    }

    /// The smallest MTU of the ways to these, where that is known and less than it would be otherwise.
    #[must_use]
    pub(crate) fn with_mtu_towards(self, contacts: &[SocketAddr]) -> Self {
        let own = self.addr;
        let ways = contacts.iter().filter(|c| c.is_ipv4() == own.is_ipv4() && !c.ip().is_multicast());
        let smallest = ways.filter_map(|c| sys::route_mtu(own.ip(), *c)).min();
        match smallest.map(|mtu| mtu.max(*MTUS.start()) - headers(own)) {
            Some(mtu) if mtu < self.mtu => {
                tracing::info!(bytes = mtu, "the way to a contact has a small MTU: so have datagrams");
                Self { mtu, ..self }
            }
            _ => self,
        }
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        self.inlet.socket()
    }

    fn open(addr: SocketAddr) -> io::Result<Self> {
        let inlet = Inlet::new(UdpSocket::bind(addr)?)?;
        sys::allow_fragments(inlet.socket());
        let addr = inlet.socket().local_addr()?;
        let mtu = if addr.ip().is_loopback() { LOOPBACK_MTU } else { ETHERNET_MTU - headers(addr) };
        Ok(Self {
            offload: inlet.offload(),
            inlet,
            addr,
            mtu,
            plan: Vec::new(),
            stats: TransportStats::default(),
        })
    }

    /// Sends the planned trains of `batch` from `at` on; returns how many trains are done.
    fn send_some(&mut self, batch: &[Transmit], at: usize) -> usize {
        let trains = &self.plan[at..self.plan.len().min(at + sys::BATCH)];
        let addrs: Vec<SockAddr> = trains.iter().map(|t| SockAddr::from(t.to)).collect();
        let mut parts: Vec<IoSlice<'_>> = Vec::new();
        let ends: Vec<usize> = trains
            .iter()
            .map(|t| {
                parts.extend(batch[t.range.clone()].iter().flat_map(|d| d.payload.parts().map(IoSlice::new)));
                parts.len()
            })
            .collect();
        let begins = iter::once(0).chain(ends.iter().copied());
        let messages: Vec<sys::Message<'_, '_>> = trains
            .iter()
            .zip(&addrs)
            .zip(begins.zip(&ends))
            .map(|((t, to), (begin, end))| sys::Message {
                to,
                parts: &parts[begin..*end],
                segment: t.segment,
            })
            .collect();
        self.stats.send_calls += 1;
        match sys::send(self.inlet.socket(), &messages) {
            Ok(n) => {
                self.stats.sent += trains[..n].iter().map(|t| t.range.len() as u64).sum::<u64>();
                n
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            // The queue is full: drop the rest, the group repairs what matters.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.raw_os_error() == Some(libc::ENOBUFS) => {
                let rest = &self.plan[at..];
                self.stats.send_dropped += rest.iter().map(|t| t.range.len() as u64).sum::<u64>();
                rest.len()
            }
            // A device without segmentation offload: no trains from now on.
            Err(_) if trains[0].segment > 0 => {
                self.offload = false;
                let train = self.plan.remove(at);
                let one = |i| Train { to: train.to, range: i..i + 1, segment: 0 };
                self.plan.splice(at..at, train.range.map(one));
                0
            }
            Err(_) => {
                self.stats.send_dropped += 1;
                1
            }
        }
    }
}

/// The bytes of IP's and UDP's headers.
fn headers(addr: SocketAddr) -> usize {
    if addr.is_ipv4() { 28 } else { 48 }
}

/// Orders the datagrams of a batch into messages: for each run of datagrams with the same destinations, all of it to the
/// first, then all of it to the second, … so that the order is kept for each of them.
fn plan(batch: &[Transmit], mtu: usize, offload: bool, plan: &mut Vec<Train>) {
    plan.clear();
    let mut start = 0;
    while start < batch.len() {
        let to = &batch[start].to;
        let run = batch[start..].iter().take_while(|t| t.to == *to).count();
        for dest in to {
            let mut at = start;
            while at < start + run {
                let n = if offload { train_len(&batch[at..start + run], mtu) } else { 1 };
                let len = u16::try_from(batch[at].payload.len()).unwrap_or(0);
                plan.push(Train { to: *dest, range: at..at + n, segment: if n > 1 { len } else { 0 } });
                at += n;
            }
        }
        start += run;
    }
}

/// How many datagrams from the first on can go as one train: equal sizes, but the last may be shorter.
fn train_len(batch: &[Transmit], mtu: usize) -> usize {
    let size = batch[0].payload.len();
    if size == 0 || size > mtu {
        return 1;
    }
    let mut bytes = 0;
    let mut n = 0;
    for t in batch.iter().take(TRAIN_COUNT) {
        let len = t.payload.len();
        bytes += len;
        if len > size || len == 0 || bytes > TRAIN_BYTES {
            break;
        }
        n += 1;
        if len < size {
            break;
        }
    }
    n.max(1)
}

impl Transport for Udp {
    fn start(&mut self) -> io::Result<()> {
        self.inlet.start()
    }

    fn send(&mut self, batch: &mut Vec<Transmit>) {
        let mut trains = std::mem::take(&mut self.plan);
        plan(batch, self.mtu, self.offload, &mut trains);
        self.plan = trains;
        let mut at = 0;
        while at < self.plan.len() {
            at += self.send_some(batch, at);
        }
        batch.clear();
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) -> Poll<()> {
        self.inlet.poll_recv(cx, batch)
    }

    fn try_recv(&mut self, batch: &mut Vec<Datagram>) {
        self.inlet.try_recv(batch);
    }

    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn receive_bytes(&self) -> usize {
        sys::receive_buffer(self.inlet.socket())
    }

    fn stats(&self) -> TransportStats {
        TransportStats { received: self.inlet.received, recv_calls: self.inlet.recv_calls, ..self.stats }
    }
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
