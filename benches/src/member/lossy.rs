//! A network that loses datagrams: a transport that forgets some of what it receives.

use gcs::{
    endpoint::{Datagram, Transmit},
    net::{BindError, Transport, TransportStats, udp::Udp},
    rng::Rng,
};
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

/// UDP, less some datagrams. Deaths are noticed by silence only.
pub(super) struct Lossy {
    udp: Udp,
    per_million: u64,
    rng: Rng,
}

impl Lossy {
    /// Loses so many of 100 datagrams, the same ones in every run.
    pub(super) fn bind(addr: SocketAddr, percent: f64) -> Result<Self, BindError> {
        let per_million = (percent * 10_000.0) as u64;
        Ok(Self { udp: Udp::bind(addr)?, per_million, rng: Rng::new(addr.port().into()) })
    }

    fn lose(&mut self, batch: &mut Vec<Datagram>, from: usize) {
        let mut at = 0;
        batch.retain(|_| {
            at += 1;
            at <= from || self.rng.below(1_000_000) >= self.per_million
        });
    }
}

impl Transport for Lossy {
    fn start(&mut self) -> io::Result<()> {
        self.udp.start()
    }

    fn send(&mut self, batch: &mut Vec<Transmit>) {
        self.udp.send(batch);
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) -> Poll<()> {
        let before = batch.len();
        while self.udp.poll_recv(cx, batch).is_ready() {
            self.lose(batch, before);
            if batch.len() > before {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    fn try_recv(&mut self, batch: &mut Vec<Datagram>) {
        let before = batch.len();
        self.udp.try_recv(batch);
        self.lose(batch, before);
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
        self.udp.stats()
    }
}
