//! UDP, one socket, IPv4 or IPv6. A batch of datagrams costs one system call each way: `sendmmsg`, with segmentation
//! offload where datagrams to one destination have equal sizes, and `recvmmsg` with receive offload.
//!
//! Received datagrams are slices of large buffers: a program that keeps a slice for long keeps 512 KiB, so it
//! copies what it wants to keep. Bounds: 16 buffers in use and 64 waiting for their last slice to go.

use super::{BindError, Transport, TransportStats, sys};
use crate::endpoint::{Datagram, Transmit};
use bytes::BytesMut;
use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::SockAddr;
use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    ops::Range,
    task::{Context, Poll, ready},
};
use tokio::io::Interest;

/// The largest datagram on loopback that one system call carries without fragments, with room for headers.
pub const LOOPBACK_MTU: usize = 60 << 10;
const ETHERNET_MTU: usize = 1500;
/// A receive buffer; many datagrams fit.
const SLOT: usize = 512 << 10;
/// The most that one receive can bring: a train of datagrams that offload has joined.
const WINDOW: usize = 64 << 10;
/// How many trains one system call receives.
const SLOTS: usize = 16;
/// Used-up buffers that wait to be used again.
const RETIRED: usize = 64;
const SOCKET_BUFFER: usize = 8 << 20;
/// Segmentation offload: the kernel's limits on one train.
const TRAIN_BYTES: usize = 64_000;
const TRAIN_COUNT: usize = 64;

/// A UDP socket as a transport.
pub struct Udp {
    socket: UdpSocket,
    watched: Option<tokio::net::UdpSocket>,
    state: UdpSocketState,
    addr: SocketAddr,
    mtu: usize,
    offload: bool,
    slots: Vec<BytesMut>,
    retired: VecDeque<BytesMut>,
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

    fn open(addr: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        sys::enlarge_buffers(&socket, SOCKET_BUFFER);
        sys::allow_fragments(&socket);
        let addr = socket.local_addr()?;
        let headers = if addr.is_ipv4() { 28 } else { 48 };
        let mtu = if addr.ip().is_loopback() { LOOPBACK_MTU } else { ETHERNET_MTU - headers };
        Ok(Self {
            offload: state.max_gso_segments() > 1,
            socket,
            watched: None,
            state,
            addr,
            mtu,
            slots: Vec::new(),
            retired: VecDeque::new(),
            plan: Vec::new(),
            stats: TransportStats::default(),
        })
    }

    /// Receives once. True if there may be more.
    fn receive(&mut self, batch: &mut Vec<Datagram>) -> io::Result<bool> {
        self.refill();
        let mut meta = [RecvMeta::default(); SLOTS];
        let mut slots = self.slots.iter_mut();
        let mut windows: [IoSliceMut<'_>; SLOTS] = std::array::from_fn(|_| match slots.next() {
            Some(s) => IoSliceMut::new(&mut s[..WINDOW]),
            None => IoSliceMut::new(&mut []),
        });
        self.stats.recv_calls += 1;
        let n = self.state.recv((&self.socket).into(), &mut windows, &mut meta)?;
        for (slot, meta) in self.slots.iter_mut().zip(&meta[..n]) {
            let mut train = slot.split_to(meta.len.min(WINDOW)).freeze();
            while !train.is_empty() {
                let payload = train.split_to(meta.stride.clamp(1, train.len()));
                batch.push(Datagram { from: meta.addr, payload });
                self.stats.received += 1;
            }
        }
        Ok(n == SLOTS)
    }

    /// Makes every slot large enough for a train.
    fn refill(&mut self) {
        self.slots.resize_with(SLOTS, BytesMut::new);
        for slot in &mut self.slots {
            if slot.len() >= WINDOW {
                continue;
            }
            let mut used = std::mem::take(slot);
            used.clear();
            if used.capacity() > 0 {
                self.retired.push_back(used);
            }
            let again = self.retired.front_mut().is_some_and(|b| b.try_reclaim(SLOT));
            *slot = match self.retired.pop_front() {
                Some(mut b) if again => {
                    sys::assume_initialised(&mut b, SLOT);
                    b
                }
                Some(b) => {
                    // Still in use: it waits, unless too many do; then its last slice frees it.
                    if self.retired.len() < RETIRED {
                        self.retired.push_back(b);
                    }
                    BytesMut::zeroed(SLOT)
                }
                None => BytesMut::zeroed(SLOT),
            };
        }
    }

    /// Sends the planned trains of `batch` from `at` on; returns how many trains are done.
    fn send_some(&mut self, batch: &[Transmit], at: usize) -> usize {
        let trains = &self.plan[at..self.plan.len().min(at + sys::BATCH)];
        let addrs: Vec<SockAddr> = trains.iter().map(|t| SockAddr::from(t.to)).collect();
        let parts: Vec<IoSlice<'_>> = trains
            .iter()
            .flat_map(|t| batch[t.range.clone()].iter().map(|d| IoSlice::new(&d.payload)))
            .collect();
        let mut from = 0;
        let messages: Vec<sys::Message<'_, '_>> = trains
            .iter()
            .zip(&addrs)
            .map(|(t, to)| {
                let first = from;
                from += t.range.len();
                sys::Message { to, parts: &parts[first..from], segment: t.segment }
            })
            .collect();
        self.stats.send_calls += 1;
        match sys::send(&self.socket, &messages) {
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
        self.watched = Some(tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?);
        Ok(())
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
        // The descriptor's readiness has an owner of its own, so that `self` stays free for receiving.
        let Some(watched) = self.watched.take() else { return Poll::Pending };
        let result = loop {
            let Poll::Ready(Ok(())) = watched.poll_recv_ready(cx) else { break Poll::Pending };
            let before = batch.len();
            // Fewer than asked for means that the queue is empty; the next arrival makes a new edge. Other errors are
            // those of earlier sends to ports that nobody listens at, and the like.
            let _ = watched.try_io(Interest::READABLE, || match self.receive(batch) {
                Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
                other => other,
            });
            if batch.len() > before {
                break Poll::Ready(());
            }
        };
        self.watched = Some(watched);
        ready!(result);
        Poll::Ready(())
    }

    fn try_recv(&mut self, batch: &mut Vec<Datagram>) {
        let _ = self.receive(batch);
    }

    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn stats(&self) -> TransportStats {
        self.stats
    }
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
