//! A server on a loopback port with one unreplicated store behind it, and a client that speaks RESP2.

#![allow(dead_code, reason = "each test binary uses its part")]

use bytes::{Buf, Bytes, BytesMut};
use gcs::blocks::{AgreedTime, StateMachine};
use gcs_examples::kv::server::{Backend, BackendError, Limits, Server};
use gcs_examples::kv::store::Store;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

/// No reply takes longer in a test that passes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What the next calls are to answer, and what was asked.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) error: Option<BackendError>,
    /// For each call: whether it was `write`, and how many commands it brought.
    pub(crate) calls: Vec<(bool, usize)>,
}

/// One store, no replication.
#[derive(Clone, Default)]
pub(crate) struct LocalBackend {
    store: Arc<Mutex<Store>>,
    pub(crate) script: Arc<Mutex<Script>>,
}

impl LocalBackend {
    fn called(&self, write: bool, commands: usize) -> Result<(), BackendError> {
        let mut script = self.script.lock().unwrap();
        script.calls.push((write, commands));
        script.error.clone().map_or(Ok(()), Err)
    }
}

#[expect(clippy::disallowed_methods, reason = "a single store has no agreed time but the clock")]
fn now() -> AgreedTime {
    AgreedTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

impl Backend for LocalBackend {
    async fn write(&self, commands: Vec<Bytes>) -> Result<Vec<Bytes>, BackendError> {
        self.called(true, commands.len())?;
        let mut store = self.store.lock().unwrap();
        let at = now();
        Ok(commands.iter().map(|command| store.apply(command, at)).collect())
    }

    async fn read(&self, queries: Vec<Bytes>) -> Result<Vec<Bytes>, BackendError> {
        self.called(false, queries.len())?;
        let store = self.store.lock().unwrap();
        let at = now();
        Ok(queries.iter().map(|query| store.query(query, at)).collect())
    }

    fn info(&self) -> String {
        format!("# Keyspace\r\ndb0:keys={},expires=0\r\n", self.store.lock().unwrap().len())
    }
}

/// A server that runs as long as this lives.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) backend: LocalBackend,
    _runtime: Runtime,
}

pub(crate) fn start(limits: Limits) -> Running {
    let runtime = Runtime::new().unwrap();
    let backend = LocalBackend::default();
    let server = runtime.block_on(Server::bind("127.0.0.1:0", backend.clone(), limits)).unwrap();
    let address = server.local_addr().unwrap();
    runtime.spawn(server.run(std::future::pending()));
    Running { address, backend, _runtime: runtime }
}

pub(crate) struct Client {
    stream: TcpStream,
    input: BytesMut,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, input: BytesMut::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next reply; `None` when the server closed.
    pub(crate) fn receive(&mut self) -> Option<OwnedFrame> {
        loop {
            if let Some((reply, length)) = decode(&self.input).expect("the reply is RESP2") {
                self.input.advance(length);
                return Some(reply);
            }
            let mut more = [0; 64 * 1024];
            let read = self.stream.read(&mut more).expect("the server answers in time");
            if read == 0 {
                assert!(self.input.is_empty(), "the server closed inside a reply");
                return None;
            }
            self.input.extend_from_slice(&more[..read]);
        }
    }

    pub(crate) fn ask(&mut self, args: &[&[u8]]) -> OwnedFrame {
        self.send(&request(args));
        self.receive().expect("a reply")
    }
}

pub(crate) fn request(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Whether a program is there; if it is not, says so, or fails under CI=true.
pub(crate) fn available(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        let missing = format!("SKIPPED: {program} is not installed (Debian: redis-tools, redis-server)");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
        eprintln!("{missing}");
    }
    found
}
