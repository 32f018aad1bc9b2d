//! Notices the death of a process in milliseconds: its kernel closes its connections and accepts no others.
//!
//! Every process listens on TCP at the address of its UDP socket. Who watches a member connects to it and both say who
//! they are ([`Hello`]). Nothing more is ever sent; what matters is when and how the connection ends.
//!
//! ```text
//! connect ──ok──► hello ──same incarnation──► KNOWN, wait for the end ──end──► connect again at once
//!    │              └──another incarnation or group──► GONE
//!    ├──refused, and this incarnation was KNOWN before──► GONE
//!    └──refused before that, timed out, unreachable, ended before the hello──► no evidence; again after a pause
//! ```
//! A refusal counts only after one success, because a firewall may refuse TCP all along while UDP passes: then silence
//! alone decides. A dying process closes its connections one by one, so the reconnection may still be accepted and then
//! reset: the first pauses are short. A stopped process, a dead host and a broken network give no evidence here.
//!
//! Bounds: [`MAX_INBOUND`] connections from others, [`HELLO_MS`] for each hello, one outbound connection per watched
//! member, pauses of 1 ms to [`PAUSE_MAX_MS`]. Strangers have no effect: they are answered with a hello (which is no
//! secret) or closed.

use super::{BindError, hello, hello::Hello};
use crate::id::{GroupTag, Incarnation, MemberId};
use socket2::{SockRef, TcpKeepalive};
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::{Semaphore, mpsc},
    task::AbortHandle,
    time::{sleep, timeout},
};

/// The most connections that others can have to this process.
const MAX_INBOUND: usize = 256;
/// How long a peer has for its hello, and a connection for being made, in milliseconds.
const HELLO_MS: u64 = 3000;
const PAUSE_MAX_MS: u64 = 1000;

/// Opens the listener that others watch this process by.
pub(crate) fn listen(addr: SocketAddr) -> Result<TcpListener, BindError> {
    let open = || {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|e| BindError::new(addr, "TCP", e))
}

/// Watches members, and lets itself be watched. Lives in the driver's runtime; dropping it ends all of its tasks.
pub(crate) struct Liveness {
    me: Arc<Me>,
    watched: BTreeMap<MemberId, AbortHandle>,
    acceptor: AbortHandle,
    gone: mpsc::UnboundedSender<MemberId>,
}

/// This process, as it presents itself.
struct Me {
    group: GroupTag,
    addr: SocketAddr,
    incarnation: AtomicU64,
}

impl Me {
    fn hello(&self) -> [u8; hello::LEN] {
        let incarnation = Incarnation(self.incarnation.load(Ordering::Acquire));
        Hello { group: self.group, id: MemberId { addr: self.addr, incarnation } }.encode()
    }
}

impl Liveness {
    /// Begins to accept. Members that are found gone are sent to `gone`: each at most once per watch.
    ///
    /// # Errors
    /// The listener cannot be registered with the runtime, which must be the current one.
    pub(crate) fn start(
        listener: TcpListener,
        group: GroupTag,
        me: MemberId,
        gone: mpsc::UnboundedSender<MemberId>,
    ) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let me = Arc::new(Me { group, addr: me.addr, incarnation: AtomicU64::new(me.incarnation.0) });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&me))).abort_handle();
        Ok(Self { me, watched: BTreeMap::new(), acceptor, gone })
    }

    /// This process has a new incarnation. To be called before anybody can have heard of it.
    pub(crate) fn set_incarnation(&self, incarnation: Incarnation) {
        self.me.incarnation.store(incarnation.0, Ordering::Release);
    }

    /// Begins or ends watching a member.
    pub(crate) fn watch(&mut self, member: MemberId, on: bool) {
        if let Some(task) = self.watched.remove(&member) {
            task.abort();
        }
        if on {
            let task = tokio::spawn(watch(member, Arc::clone(&self.me), self.gone.clone()));
            self.watched.insert(member, task.abort_handle());
        }
    }
}

impl Drop for Liveness {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.watched.values().for_each(AbortHandle::abort);
    }
}

async fn accept(listener: tokio::net::TcpListener, me: Arc<Me>) {
    let room = Arc::new(Semaphore::new(MAX_INBOUND));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: others see connections that wait, which is no evidence.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let me = Arc::clone(&me);
        tokio::spawn(async move {
            let _permit = permit;
            let _ = be_watched(stream, &me).await;
        });
    }
}

/// The accepting side of a connection: says who it is, then keeps it open until the other side ends it.
async fn be_watched(mut stream: TcpStream, me: &Me) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    keep_alive(&stream);
    stream.write_all(&me.hello()).await?;
    let theirs = read_hello(&mut stream).await?;
    if theirs.is_some_and(|h| h.group == me.group) {
        // Nothing is expected: a byte is as good as the end.
        let _ = stream.read_u8().await;
    }
    Ok(())
}

/// What an attempt to reach a member has shown.
enum Outcome {
    /// It lived until the connection ended.
    Lived,
    /// There is another process, or none.
    Gone,
    /// Nothing.
    Refused,
    /// Nothing.
    Unknown,
}

async fn watch(member: MemberId, me: Arc<Me>, gone: mpsc::UnboundedSender<MemberId>) {
    let mut known = false;
    let mut pause_ms = 0;
    loop {
        match attempt(member, &me).await {
            Outcome::Gone => break,
            Outcome::Refused if known => break,
            Outcome::Lived => {
                known = true;
                // At once, the first time; a peer that always hangs up does not get a busy loop.
                pause_ms = 0;
            }
            Outcome::Refused | Outcome::Unknown => {
                sleep(Duration::from_millis(pause_ms)).await;
                pause_ms = (pause_ms * 2).clamp(1, PAUSE_MAX_MS);
            }
        }
    }
    let _ = gone.send(member);
}

async fn attempt(member: MemberId, me: &Me) -> Outcome {
    let mut stream = match timeout(Duration::from_millis(HELLO_MS), connect(member.addr, me.addr)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => return Outcome::Refused,
        _ => return Outcome::Unknown,
    };
    let _ = stream.set_nodelay(true);
    keep_alive(&stream);
    if stream.write_all(&me.hello()).await.is_err() {
        return Outcome::Unknown;
    }
    match read_hello(&mut stream).await {
        Ok(Some(h)) if h.group == me.group && h.id.incarnation == member.incarnation => {
            let began = tokio::time::Instant::now();
            let _ = stream.read_u8().await;
            // Whoever hangs up at once again and again is asked at a bounded rate.
            if began.elapsed() < Duration::from_millis(10) {
                sleep(Duration::from_millis(1)).await;
            }
            Outcome::Lived
        }
        Ok(Some(_)) => Outcome::Gone,
        _ => Outcome::Unknown,
    }
}

/// Connects from the address that the member knows this process by.
async fn connect(to: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if to.is_ipv4() == from.is_ipv4() {
        socket.bind(SocketAddr::new(from.ip(), 0))?;
    }
    socket.connect(to).await
}

async fn read_hello(stream: &mut TcpStream) -> io::Result<Option<Hello>> {
    let mut b = [0; hello::LEN];
    timeout(Duration::from_millis(HELLO_MS), stream.read_exact(&mut b)).await??;
    Ok(Hello::decode(&b))
}

/// A host that came back without this connection is asked, and resets it.
fn keep_alive(stream: &TcpStream) {
    let every = Duration::from_secs(5);
    let _ =
        SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(every).with_interval(every));
}

#[cfg(test)]
#[path = "liveness_tests.rs"]
mod tests;
