//! Notices the death of a process in milliseconds: its kernel closes its connections and accepts no others.
//!
//! Every process listens on TCP at the address of its UDP socket. Who watches a member connects to it and both say who
//! they are ([`Hello`]). Nothing more is ever sent; what matters is when and how the connection ends. Connections for frames
//! (see `tcp`) come to the same listener, and are handed over after the hellos.
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

use super::{
    BindError, hello,
    hello::{Hello, Me},
};
use crate::id::MemberId;
use socket2::{SockRef, TcpKeepalive};
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering},
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
pub(super) const HELLO_MS: u64 = 3000;
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

/// A connection that somebody else has made to exchange frames, after both hellos.
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) hello: Hello,
}

/// What a process listens with: the listener, what it says of itself, and where connections for frames go.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) me: Arc<Me>,
    pub(super) frames: Option<mpsc::Sender<Arrival>>,
}

impl Door {
    /// A door for those who watch this process.
    pub(crate) fn new(listener: TcpListener, me: Arc<Me>) -> Self {
        Self { listener, me, frames: None }
    }
}

/// Watches members, and lets itself be watched. Lives in the driver's runtime; dropping it ends all of its tasks.
pub(crate) struct Liveness {
    me: Arc<Me>,
    watched: BTreeMap<MemberId, AbortHandle>,
    acceptor: AbortHandle,
    gone: mpsc::UnboundedSender<MemberId>,
}

impl Liveness {
    /// Begins to accept. Members that are found gone are sent to `gone`: each at most once per watch.
    ///
    /// # Errors
    /// The listener cannot be registered with the runtime, which must be the current one.
    pub(crate) fn start(door: Door, gone: mpsc::UnboundedSender<MemberId>) -> io::Result<Self> {
        let Door { listener, me, frames } = door;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&me), frames)).abort_handle();
        Ok(Self { me, watched: BTreeMap::new(), acceptor, gone })
    }

    /// This process, as it presents itself.
    pub(crate) fn me(&self) -> &Me {
        &self.me
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

async fn accept(listener: tokio::net::TcpListener, me: Arc<Me>, frames: Option<mpsc::Sender<Arrival>>) {
    let room = Arc::new(Semaphore::new(MAX_INBOUND));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: others see connections that wait, which is no evidence.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (me, frames) = (Arc::clone(&me), frames.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let _ = be_met(stream, &me, frames).await;
        });
    }
}

/// The accepting side of a connection: says who it is, then keeps it open until the other side ends it, or hands it over
/// if it is for frames.
async fn be_met(mut stream: TcpStream, me: &Me, frames: Option<mpsc::Sender<Arrival>>) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    keep_alive(&stream);
    stream.write_all(&me.hello(me.frames)).await?;
    match (read_hello(&mut stream).await?, frames) {
        // Where too many wait to be looked at, they are closed, and come again.
        (Some(hello), Some(frames)) if hello.group == me.group && hello.frames => {
            let _ = frames.try_send(Arrival { stream, hello });
        }
        (Some(hello), _) if hello.group == me.group => {
            // Nothing is expected: a byte is as good as the end.
            let _ = stream.read_u8().await;
        }
        _ => drop(me.refused.fetch_add(1, Ordering::Relaxed)),
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
    if stream.write_all(&me.hello(false)).await.is_err() {
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
pub(super) async fn connect(to: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if to.is_ipv4() == from.is_ipv4() {
        socket.bind(SocketAddr::new(from.ip(), 0))?;
    }
    socket.connect(to).await
}

pub(super) async fn read_hello(stream: &mut TcpStream) -> io::Result<Option<Hello>> {
    let mut b = [0; hello::LEN];
    timeout(Duration::from_millis(HELLO_MS), stream.read_exact(&mut b)).await??;
    Ok(Hello::decode(&b))
}

/// A host that came back without this connection is asked, and resets it.
pub(super) fn keep_alive(stream: &TcpStream) {
    let every = Duration::from_secs(5);
    let _ =
        SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(every).with_interval(every));
}

#[cfg(test)]
#[path = "liveness_tests.rs"]
mod tests;
