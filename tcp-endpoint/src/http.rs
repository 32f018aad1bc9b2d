//! An HTTP/1.1 server of files (RFC 9110, RFC 9112), as a [`Service`]: GET and HEAD, persistent connections, pipelining. Every replica
//! reads the same files: the folder has to have the same content everywhere, and must not change while the group runs.
//!
//! Bounds: a head of 16 KiB, 256 KiB of a file in memory per connection besides what TCP holds.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Component, Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{
    service::{Io, RestoreError, Service},
    tcp::{Id, Reason},
};

/// Longest request head.
const HEAD: usize = 16 * 1024;
/// Bytes that are read from a file at once.
const PIECE: usize = 256 * 1024;
/// Header fields of a request.
const FIELDS: usize = 64;

/// The server.
pub struct Files {
    root: PathBuf,
    clients: BTreeMap<Id, Client>,
}

/// One connection.
#[derive(Default, Serialize, Deserialize)]
struct Client {
    /// What has come and is not answered yet.
    head: BytesMut,
    /// What TCP has not taken yet.
    unsent: Bytes,
    /// The file that is being sent.
    body: Option<Body>,
    /// Nothing is answered any more.
    last: bool,
}

/// What remains to be sent of a file.
#[derive(Serialize, Deserialize)]
struct Body {
    path: PathBuf,
    at: u64,
    end: u64,
    /// Not in a snapshot: every replica opens its own.
    #[serde(skip)]
    file: Option<File>,
}

impl Body {
    /// The next bytes; None at the end, or if the file is shorter than it was.
    fn next(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.end - self.at).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; len];
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        self.file.as_ref()?.read_exact_at(&mut piece, self.at).ok()?;
        self.at += len as u64;
        (len > 0).then_some(piece)
    }
}

/// What a request asks for.
struct Asked {
    head_only: bool,
    path: PathBuf,
    close: bool,
}

impl Files {
    /// Serves the files below `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, clients: BTreeMap::new() }
    }

    /// Goes on with a connection as far as there are requests and room.
    fn go_on(&mut self, id: Id, io: &mut Io<'_>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        loop {
            if !client.sent(id, io) {
                return;
            }
            if client.last {
                io.shutdown(id);
                self.clients.remove(&id);
                return;
            }
            let most = HEAD.saturating_sub(client.head.len());
            for bytes in io.read(id, most as u64) {
                client.head.extend_from_slice(&bytes);
            }
            match parse(&client.head) {
                Ok(Some((len, asked))) => {
                    let _ = client.head.split_to(len);
                    client.answer(&self.root, &asked);
                }
                Ok(None) if client.head.len() < HEAD => {
                    if io.finished(id) {
                        client.last = true;
                        continue;
                    }
                    return;
                }
                Ok(None) => client.refuse("431 Request Header Fields Too Large"),
                Err(status) => client.refuse(status),
            }
        }
    }
}

impl Client {
    /// Sends what there is; false when there is no more room.
    fn sent(&mut self, id: Id, io: &mut Io<'_>) -> bool {
        loop {
            if !self.unsent.is_empty() {
                io.write(id, &mut self.unsent);
                if !self.unsent.is_empty() {
                    return false;
                }
            }
            let Some(body) = &mut self.body else { return true };
            match body.next() {
                Some(piece) => self.unsent = piece.into(),
                None => {
                    self.last |= body.at < body.end;
                    self.body = None;
                }
            }
        }
    }

    fn answer(&mut self, root: &Path, asked: &Asked) {
        self.last = asked.close;
        let path = root.join(&asked.path);
        let Some(len) = path.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len()) else {
            return self.say("404 Not Found", 0);
        };
        self.say("200 OK", len);
        if !asked.head_only {
            self.body = Some(Body { path, at: 0, end: len, file: None });
        }
    }

    fn refuse(&mut self, status: &str) {
        self.last = true;
        self.say(status, 0);
    }

    fn say(&mut self, status: &str, len: u64) {
        let connection = if self.last { "Connection: close\r\n" } else { "" };
        self.unsent = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n{connection}\r\n").into();
    }
}

/// The first request in `head`, and how long it is; None when more has to come.
fn parse(head: &[u8]) -> Result<Option<(usize, Asked)>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(len) = request.parse(head).map_err(|_| "400 Bad Request")? else {
        return Ok(None);
    };
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err("405 Method Not Allowed"),
    };
    let target = request.path.unwrap_or("/");
    let path = target.split('?').next().unwrap_or("/").trim_start_matches('/');
    let path = PathBuf::from(if path.is_empty() { "index.html" } else { path });
    if !path.components().all(|c| matches!(c, Component::Normal(_))) {
        return Err("400 Bad Request");
    }
    let field =
        |name: &str| request.headers.iter().find(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value);
    if field("transfer-encoding").is_some() || field("content-length").is_some_and(|v| v != b"0") {
        return Err("413 Content Too Large");
    }
    let says = |word: &[u8]| {
        field("connection").is_some_and(|v| v.to_ascii_lowercase().windows(word.len()).any(|w| w == word))
    };
    let close = says(b"close") || request.version == Some(0) && !says(b"keep-alive");
    Ok(Some((len, Asked { head_only, path, close })))
}

impl Service for Files {
    fn on_open(&mut self, id: Id, _io: &mut Io<'_>) {
        self.clients.insert(id, Client::default());
    }

    fn on_data(&mut self, id: Id, io: &mut Io<'_>) {
        self.go_on(id, io);
    }

    fn on_finished(&mut self, id: Id, io: &mut Io<'_>) {
        self.go_on(id, io);
    }

    fn on_close(&mut self, id: Id, _reason: Reason, _io: &mut Io<'_>) {
        self.clients.remove(&id);
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.clients).expect("numbers, bytes and paths")
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.clients = postcard::from_bytes(snapshot).map_err(|_| RestoreError::Malformed)?;
        Ok(())
    }
}
