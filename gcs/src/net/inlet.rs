//! The receiving side of a UDP socket: `recvmmsg` with receive offload.
//!
//! Received datagrams are slices of large buffers: a program that keeps a slice for long keeps 512 KiB, so it
//! copies what it wants to keep. Bounds: 16 buffers in use and 64 waiting for their last slice to go.

use super::sys;
use crate::endpoint::Datagram;
use bytes::BytesMut;
use quinn_udp::{RecvMeta, UdpSocketState};
use std::{
    collections::VecDeque,
    io::{self, IoSliceMut},
    net::UdpSocket,
    task::{Context, Poll, ready},
};
use tokio::io::Interest;

/// A receive buffer; many datagrams fit.
const SLOT: usize = 512 << 10;
/// The most that one receive can bring: a train of datagrams that offload has joined.
const WINDOW: usize = 64 << 10;
/// How many trains one system call receives.
const SLOTS: usize = 16;
/// Used-up buffers that wait to be used again.
pub(super) const RETIRED: usize = 64;
const SOCKET_BUFFER: usize = 8 << 20;

/// A socket that is received from.
pub(super) struct Inlet {
    socket: UdpSocket,
    watched: Option<tokio::net::UdpSocket>,
    state: UdpSocketState,
    slots: Vec<BytesMut>,
    pub(super) retired: VecDeque<BytesMut>,
    /// Datagrams received.
    pub(super) received: u64,
    /// System calls that received.
    pub(super) recv_calls: u64,
}

impl Inlet {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        sys::enlarge_buffers(&socket, SOCKET_BUFFER);
        Ok(Self {
            socket,
            watched: None,
            state,
            slots: Vec::new(),
            retired: VecDeque::new(),
            received: 0,
            recv_calls: 0,
        })
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Whether the system cuts a large datagram into segments.
    pub(super) fn offload(&self) -> bool {
        self.state.max_gso_segments() > 1
    }

    /// Called once, in the runtime that will receive.
    pub(super) fn start(&mut self) -> io::Result<()> {
        self.watched = Some(tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?);
        Ok(())
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
        self.recv_calls += 1;
        let n = self.state.recv((&self.socket).into(), &mut windows, &mut meta)?;
        for (slot, meta) in self.slots.iter_mut().zip(&meta[..n]) {
            let mut train = slot.split_to(meta.len.min(WINDOW));
            while !train.is_empty() {
                let payload = train.split_to(meta.stride.clamp(1, train.len()));
                batch.push(Datagram { from: meta.addr, payload: payload.into() });
                self.received += 1;
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

    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) -> Poll<()> {
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

    pub(super) fn try_recv(&mut self, batch: &mut Vec<Datagram>) {
        let _ = self.receive(batch);
    }
}
