//! Datagrams within one process, for tests and benches: a hub with a bounded mailbox for each address. What does not fit
//! is dropped, as a network would.

use super::{BindError, Transport, TransportStats};
use crate::endpoint::{Datagram, Transmit};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, Waker},
};

const MTU: usize = 60 << 10;
/// How many bytes a mailbox holds.
const MAILBOX_BYTES: usize = 16 << 20;

/// Connects the transports of one process.
#[derive(Clone, Default)]
pub struct Hub {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    boxes: BTreeMap<SocketAddr, Arc<Mailbox>>,
    isolated: BTreeSet<SocketAddr>,
}

#[derive(Default)]
struct Mailbox {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    datagrams: Vec<Datagram>,
    bytes: usize,
    waker: Option<Waker>,
}

impl Hub {
    /// A hub without transports.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A transport at `addr`, which is only a name here.
    ///
    /// # Errors
    /// [`BindError::Busy`] if there is one already.
    pub fn bind(&self, addr: SocketAddr) -> Result<Memory, BindError> {
        let mailbox = Arc::new(Mailbox::default());
        let mut inner = self.inner.lock();
        if inner.boxes.contains_key(&addr) {
            return Err(BindError::new(addr, "memory", io::ErrorKind::AddrInUse.into()));
        }
        inner.boxes.insert(addr, Arc::clone(&mailbox));
        Ok(Memory { hub: self.clone(), addr, mailbox, stats: TransportStats::default() })
    }

    /// Cuts `addr` off from all others (true), or ends that (false).
    pub fn isolate(&self, addr: SocketAddr, isolated: bool) {
        let set = &mut self.inner.lock().isolated;
        if isolated {
            set.insert(addr)
        } else {
            set.remove(&addr)
        };
    }
}

/// One end of a [`Hub`].
pub struct Memory {
    hub: Hub,
    addr: SocketAddr,
    mailbox: Arc<Mailbox>,
    stats: TransportStats,
}

impl Memory {
    fn take(&mut self, batch: &mut Vec<Datagram>, waker: Option<&Waker>) -> bool {
        let mut queue = self.mailbox.queue.lock();
        if queue.datagrams.is_empty() {
            if let Some(w) = waker {
                queue.waker = Some(w.clone());
            }
            return false;
        }
        queue.bytes = 0;
        self.stats.received += queue.datagrams.len() as u64;
        batch.append(&mut queue.datagrams);
        true
    }
}

impl Transport for Memory {
    fn send(&mut self, batch: &mut Vec<Transmit>) {
        let mut wake = Vec::new();
        let inner = self.hub.inner.lock();
        for t in batch.drain(..) {
            let payload = t.payload.into_bytes();
            for to in &t.to {
                let cut = inner.isolated.contains(to) || inner.isolated.contains(&self.addr);
                let Some(mailbox) = inner.boxes.get(to).filter(|_| !cut) else {
                    self.stats.send_dropped += 1;
                    continue;
                };
                let mut queue = mailbox.queue.lock();
                if queue.bytes + payload.len() > MAILBOX_BYTES {
                    self.stats.send_dropped += 1;
                    continue;
                }
                queue.bytes += payload.len();
                queue.datagrams.push(Datagram { from: self.addr, payload: payload.clone().into() });
                wake.extend(queue.waker.take());
                self.stats.sent += 1;
            }
        }
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) -> Poll<()> {
        if self.take(batch, Some(cx.waker())) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn try_recv(&mut self, batch: &mut Vec<Datagram>) {
        self.take(batch, None);
    }

    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn mtu(&self) -> usize {
        MTU
    }

    fn stats(&self) -> TransportStats {
        self.stats
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.hub.inner.lock().boxes.remove(&self.addr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use smallvec::smallvec;

    #[test]
    fn datagrams_arrive_until_the_mailbox_is_full_or_the_address_is_cut_off() {
        let hub = Hub::new();
        let (x, y) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let (mut a, mut b) = (hub.bind(x).unwrap(), hub.bind(y).unwrap());
        assert!(matches!(hub.bind(x), Err(BindError::Busy { .. })));
        let send = |a: &mut Memory, n: usize| {
            a.send(&mut vec![Transmit { to: smallvec![y], payload: Bytes::from(vec![7; n]).into() }]);
        };
        let mut got = Vec::new();
        send(&mut a, 3);
        b.try_recv(&mut got);
        assert_eq!((got.len(), got[0].from, got[0].payload.len()), (1, x, 3));
        send(&mut a, MAILBOX_BYTES);
        send(&mut a, 1);
        assert_eq!(a.stats().send_dropped, 1);
        hub.isolate(x, true);
        send(&mut a, 1);
        assert_eq!(a.stats().send_dropped, 2);
        drop(b);
        hub.isolate(x, false);
        send(&mut a, 1);
        assert_eq!(a.stats().send_dropped, 3);
    }
}
