//! Frames over TCP, for networks that drop UDP: one connection for each pair of processes that have something to say.
//!
//! ```text
//! first frame for an address ──connect──► hello, hello ──► UP: | length: u32 | datagram | …, both ways
//!        ▲                      │failed                     │ ended, garbage
//!        └──── next frame, after a pause ◄──────────────────┘
//! ```
//! It promises no more than UDP does: what waits while there is no connection, or exceeds `QUEUE`, is dropped, and what
//! was under way is lost when a connection ends; the group repairs that. So nothing here ever waits. A batch of frames costs
//! one system call for each destination.
//!
//! When two connect to each other at the same time, the connection that the lower address has made stays, at both; a newer
//! one of the same maker replaces an older one, and so does one of a later incarnation. Both ends must be at the IP addresses
//! that their hellos name, and a connection counts for its address only after both hellos.
//!
//! Bounds: `PEERS` addresses (those that were sent to least recently make room; strangers before members), `QUEUE`
//! bytes for each, `READ` bytes from each before another one's turn, pauses between attempts of up to `PAUSE`. A peer that
//! acknowledges nothing for `DEAD` has lost the connection: after a partition TCP alone would wait for up to as long
//! again as it has lasted.

mod connection;

use self::connection::{Connection, Queue};
use super::{
    BindError, Transport, TransportStats,
    hello::Me,
    liveness::{Arrival, Door, HELLO_MS, connect, keep_alive, listen, read_hello},
};
use crate::{
    endpoint::{Datagram, Transmit},
    frame::Packet,
    id::{GroupTag, Incarnation},
    runtime::clock::Clock,
    time::Time,
};
use socket2::SockRef;
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc, task::AbortHandle, time::timeout};

/// The largest datagram.
const MTU: usize = super::udp::LOOPBACK_MTU;
/// Addresses that are kept in mind.
const PEERS: usize = 256;
/// Accepted connections that wait to be looked at.
const ARRIVALS: usize = 64;
/// Bytes that wait for one destination.
const QUEUE: usize = 8 << 20;
/// Bytes that are received from one peer at a time.
const READ: usize = 1 << 20;
/// The pause after a failed attempt: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
const CONNECT: Duration = Duration::from_millis(1000);
const DEAD: Duration = Duration::from_millis(2000);

/// Connections to others as a transport.
pub struct Tcp {
    me: Arc<Me>,
    arrivals: mpsc::Receiver<Arrival>,
    /// How attempts of this process end.
    attempts: (mpsc::UnboundedSender<Attempt>, mpsc::UnboundedReceiver<Attempt>),
    peers: BTreeMap<SocketAddr, Peer>,
    clock: Clock,
    /// Counts batches.
    batches: u64,
    stats: TransportStats,
}

struct Attempt {
    to: SocketAddr,
    outcome: Option<(TcpStream, Incarnation)>,
}

struct Peer {
    up: Option<Connection>,
    /// An attempt to make one is under way. It may go on beside one that the other side has made.
    attempt: Option<AbortHandle>,
    /// No attempt before this.
    again_at: Time,
    pause: Duration,
    queue: Queue,
    /// The batch that last had something for it; 0: none had.
    used: u64,
}

impl Peer {
    fn stop_attempt(&mut self) {
        if let Some(task) = self.attempt.take() {
            task.abort();
        }
    }

    /// The connection has ended. The first attempt to make it again is free.
    fn end(&mut self, now: Time, stats: &mut TransportStats) {
        (self.up, self.again_at) = (None, now);
        stats.send_dropped += self.queue.clear();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop_attempt();
    }
}

impl Tcp {
    /// Listens at `addr`, for frames and for those who watch this process. Port 0 means any free port.
    ///
    /// # Errors
    /// [`BindError`].
    pub(crate) fn open(addr: SocketAddr, group: GroupTag) -> Result<(Self, Door), BindError> {
        if addr.ip().is_unspecified() {
            return Err(BindError::Wildcard(addr));
        }
        let listener = listen(addr)?;
        let addr = listener.local_addr().map_err(|e| BindError::new(addr, "TCP", e))?;
        let me = Arc::new(Me::new(group, addr, true));
        let (tx, arrivals) = mpsc::channel(ARRIVALS);
        let door = Door { listener, me: Arc::clone(&me), frames: Some(tx) };
        let tcp = Self {
            me,
            arrivals,
            attempts: mpsc::unbounded_channel(),
            peers: BTreeMap::new(),
            clock: Clock::start(),
            batches: 0,
            stats: TransportStats::default(),
        };
        Ok((tcp, door))
    }

    /// Whether there is a connection to this address.
    pub(super) fn is_up(&self, to: SocketAddr) -> bool {
        self.peers.get(&to).is_some_and(|p| p.up.is_some())
    }

    /// Connects, if there is no connection and it is time for an attempt.
    pub(super) fn dial(&mut self, to: SocketAddr) {
        let now = self.clock.now();
        let (me, report, batches) = (Arc::clone(&self.me), self.attempts.0.clone(), self.batches);
        let Some(peer) = self.peer(to) else { return };
        peer.used = batches;
        if peer.up.is_none() && peer.attempt.is_none() && peer.again_at <= now {
            let task = tokio::spawn(async move {
                let outcome = timeout(CONNECT, attempt(to, &me)).await.ok().and_then(Result::ok).flatten();
                let _ = report.send(Attempt { to, outcome });
            });
            peer.attempt = Some(task.abort_handle());
        }
    }

    /// What is known of an address; one that is not known gets the room of one that was sent to longest ago.
    fn peer(&mut self, addr: SocketAddr) -> Option<&mut Peer> {
        // Nobody listens there.
        if addr.ip().is_multicast() || addr.ip().is_unspecified() || addr.port() == 0 || addr == self.me.addr
        {
            return None;
        }
        if self.peers.len() >= PEERS && !self.peers.contains_key(&addr) {
            let (oldest, _) = self.peers.iter().min_by_key(|(_, p)| p.used)?;
            let oldest = *oldest;
            self.peers.remove(&oldest);
        }
        Some(self.peers.entry(addr).or_insert_with(|| Peer {
            up: None,
            attempt: None,
            again_at: Time::ZERO,
            pause: PAUSE.0,
            queue: Queue::default(),
            used: 0,
        }))
    }

    fn enqueue(&mut self, to: SocketAddr, payload: Packet) {
        self.dial(to);
        let Some(peer) = self.peers.get_mut(&to).filter(|p| p.used == self.batches) else {
            self.stats.send_dropped += 1;
            return;
        };
        let goes = peer.up.is_some() || peer.attempt.is_some();
        let fits = peer.queue.bytes() + payload.len() <= QUEUE && payload.len() <= connection::LARGEST;
        if goes && fits && !payload.is_empty() {
            peer.queue.push(payload);
        } else {
            self.stats.send_dropped += 1;
        }
    }

    /// A connection is there. Of two, the one that the lower address has made stays.
    fn on_up(&mut self, addr: SocketAddr, stream: TcpStream, incarnation: Incarnation, mine: bool) {
        let lower = self.me.addr < addr;
        let Some(peer) = self.peer(addr) else { return };
        if let Some(old) = &peer.up
            && old.mine != mine
            && mine != lower
            && old.incarnation >= incarnation
        {
            return;
        }
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(DEAD));
        tracing::debug!(peer = %addr, mine, "connected");
        peer.pause = PAUSE.0;
        if mine || !lower {
            peer.stop_attempt();
        }
        // A frame that is half sent on the old one does not go on here.
        peer.queue.restart();
        peer.up = Some(Connection::new(stream, incarnation, mine));
    }

    fn on_attempt(&mut self, attempt: Attempt) {
        let now = self.clock.now();
        let Some(peer) = self.peers.get_mut(&attempt.to) else { return };
        if peer.attempt.take().is_none() {
            // It was stopped, too late.
            return;
        }
        if let Some((stream, incarnation)) = attempt.outcome {
            return self.on_up(attempt.to, stream, incarnation, true);
        }
        peer.again_at = now + peer.pause;
        peer.pause = (peer.pause * 2).min(PAUSE.1);
        if peer.up.is_none() {
            self.stats.send_dropped += peer.queue.clear();
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        let (stream, id) = (arrival.stream, arrival.hello.id);
        let here = stream.peer_addr().is_ok_and(|a| a.ip().to_canonical() == id.addr.ip());
        if here && id.addr != self.me.addr {
            self.on_up(id.addr, stream, id.incarnation, false);
        } else {
            self.me.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what waits for these, as far as the system takes it.
    fn flush(&mut self) {
        let now = self.clock.now();
        let (batches, stats) = (self.batches, &mut self.stats);
        for peer in self.peers.values_mut().filter(|p| p.used == batches && !p.queue.is_empty()) {
            if let Some(c) = &mut peer.up
                && c.write(&mut peer.queue, stats).is_err()
            {
                peer.end(now, stats);
            }
        }
    }

    /// Receives and sends what is possible now; the rest wakes up who waits.
    fn poll(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) {
        while let Poll::Ready(Some(arrival)) = self.arrivals.poll_recv(cx) {
            self.on_arrival(arrival);
        }
        while let Poll::Ready(Some(attempt)) = self.attempts.1.poll_recv(cx) {
            self.on_attempt(attempt);
        }
        let now = self.clock.now();
        let stats = &mut self.stats;
        for (addr, peer) in &mut self.peers {
            let Some(c) = &mut peer.up else { continue };
            if c.poll(cx, *addr, &mut peer.queue, batch, stats).is_err() {
                peer.end(now, stats);
            }
        }
    }
}

/// Connects, and exchanges hellos.
async fn attempt(to: SocketAddr, me: &Me) -> io::Result<Option<(TcpStream, Incarnation)>> {
    let mut stream = connect(to, me.addr).await?;
    let _ = stream.set_nodelay(true);
    keep_alive(&stream);
    stream.write_all(&me.hello(true)).await?;
    let theirs = timeout(Duration::from_millis(HELLO_MS), read_hello(&mut stream)).await??;
    let theirs = theirs.filter(|h| h.group == me.group && h.frames && h.id.addr == to);
    Ok(theirs.map(|h| (stream, h.id.incarnation)))
}

impl Transport for Tcp {
    fn send(&mut self, batch: &mut Vec<Transmit>) {
        self.batches += 1;
        for t in batch.drain(..) {
            for to in &t.to {
                self.enqueue(*to, t.payload.clone());
            }
        }
        self.flush();
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) -> Poll<()> {
        let before = batch.len();
        self.poll(cx, batch);
        if batch.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }

    fn try_recv(&mut self, batch: &mut Vec<Datagram>) {
        self.poll(&mut Context::from_waker(Waker::noop()), batch);
    }

    fn local_addr(&self) -> SocketAddr {
        self.me.addr
    }

    fn mtu(&self) -> usize {
        MTU
    }

    fn stats(&self) -> TransportStats {
        TransportStats { refused: self.stats.refused + self.me.refused.load(Ordering::Relaxed), ..self.stats }
    }
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
