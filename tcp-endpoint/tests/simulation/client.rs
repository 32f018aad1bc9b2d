//! A host with clients: connections that send, receive and check what they receive. They pause between pieces, so that faults happen in their
//! midst. It has our own TCP machine; another one is in `tests/smoltcp.rs`, and real clients are in `tests/takeover.rs`.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use gcs::{rng::Rng, time::Time};
use gcs_tcp_endpoint::{
    link::{Mac, Received},
    packet::{self, Arrival},
    tcp::{Config, Event, Host, Id, Reason, Segment},
};

use crate::{
    VIP,
    service::{DOWNLOAD, ECHO, bytes},
    station::Station,
};

/// What a client does.
#[derive(Clone, Debug)]
struct Session {
    /// When it connects.
    at: Time,
    port: u16,
    key: u64,
    /// Bytes that come back.
    len: u64,
    /// It writes (echo) or reads (download) so many bytes, then pauses so long.
    piece: u64,
    pause: Duration,
    next: Time,
    id: Option<Id>,
    written: u64,
    read: u64,
    shut: bool,
    finished: bool,
    gone: Option<Reason>,
}

pub(crate) struct Client {
    host: Host,
    station: Station,
    sessions: Vec<Session>,
    /// What a client has seen that it must not see.
    pub(crate) complaint: Option<String>,
}

const ADDRESS: [u8; 4] = [10, 0, 0, 50];

impl Client {
    /// A host whose clients begin in the first `until`.
    pub(crate) fn new(mut rng: Rng, mac: Mac, until: Duration) -> Self {
        let config = Config {
            receive_bytes: [8_000, 60_000, 4 << 20][rng.below(3) as usize],
            super_segment_bytes: [0, 65_000][rng.below(2) as usize],
            ..Config::default()
        };
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&rng.next_u64().to_le_bytes());
        let ms = until.as_millis() as u64;
        // Sometimes nothing happens for long.
        let (long, short) = if rng.chance(250) { (0, 1) } else { (2 + rng.below(3), 3 + rng.below(8)) };
        let sessions = (0..long + short).map(|i| Session::new(&mut rng, ms, i < long)).collect();
        let station = Station::new(mac, ADDRESS.into());
        Self { host: Host::new(config, secret), station, sessions, complaint: None }
    }

    /// All clients have got what they came for.
    pub(crate) fn is_done(&self) -> bool {
        self.sessions.iter().all(|s| s.gone.is_some())
    }

    /// Bytes that have come back.
    pub(crate) fn read(&self) -> u64 {
        self.sessions.iter().map(|s| s.read).sum()
    }

    /// What is not done.
    pub(crate) fn open(&self) -> Vec<String> {
        let open = self.sessions.iter().filter(|s| s.gone.is_none());
        open.map(|s| format!("{s:?} {:?}", s.id.and_then(|id| self.host.look(id)))).collect()
    }

    pub(crate) fn next_at(&mut self) -> Time {
        let host = self.host.deadline().unwrap_or(Time::NEVER);
        let sessions = self.sessions.iter().filter(|s| s.gone.is_none()).map(|s| s.next).min();
        host.min(self.station.next_at()).min(sessions.unwrap_or(Time::NEVER))
    }

    /// Takes frames, and does what is due; what is to leave.
    pub(crate) fn run(&mut self, now: Time, received: &[Received]) -> Vec<Bytes> {
        self.host.begin(now);
        for frame in received {
            let ingress = self.station.receive(frame);
            if let Some(Ok(Arrival::Segment(segment))) = ingress.as_ref().map(packet::read) {
                self.host.segment(&segment);
            }
        }
        self.events();
        for session in &mut self.sessions {
            if let Err(complaint) = session.go_on(now, &mut self.host) {
                self.complaint = Some(complaint);
            }
        }
        self.events();
        let mut out: Vec<Segment> = Vec::new();
        self.host.finish(&mut out);
        for segment in out {
            self.station.send(now, packet::write(&segment));
        }
        self.station.tick(now);
        std::mem::take(&mut self.station.out)
    }

    fn of(&mut self, id: Id) -> &mut Session {
        self.sessions.iter_mut().find(|s| s.id == Some(id)).expect("one of ours")
    }

    fn events(&mut self) {
        while let Some(event) = self.host.event() {
            match event {
                Event::Finished(id) => self.of(id).finished = true,
                Event::Gone(id, reason) => {
                    let session = self.of(id);
                    session.gone = Some(reason);
                    if reason != Reason::Ended || session.read != session.len {
                        let complaint = format!("a connection is gone: {session:?}");
                        self.complaint = Some(complaint);
                    }
                }
                Event::Accepted(_) | Event::Connected(_) | Event::Readable(_) | Event::Writable(_) => {}
            }
        }
    }
}

impl Session {
    fn new(rng: &mut Rng, ms: u64, long: bool) -> Self {
        let at = Time(rng.below(if long { ms / 3 } else { ms }) * 1_000_000 + rng.below(1_000_000));
        let piece = if long { 1 + rng.below(8_000) } else { 10_000 };
        let pause = Duration::from_micros(1_000 + rng.below(40_000));
        let lasts = u64::try_from(pause.as_millis()).expect("short").max(1);
        let len = if long { piece * (ms * 2 / 3 / lasts).min(150) } else { rng.below(3_000) };
        Self {
            at,
            port: if rng.chance(500) { ECHO } else { DOWNLOAD },
            key: rng.below(1 << 31),
            len,
            piece,
            pause,
            next: at,
            id: None,
            written: 0,
            read: 0,
            shut: false,
            finished: false,
            gone: None,
        }
    }

    fn go_on(&mut self, now: Time, host: &mut Host) -> Result<(), String> {
        if self.gone.is_some() || now < self.at {
            return Ok(());
        }
        let id = *self.id.get_or_insert_with(|| {
            host.connect(ADDRESS.into(), SocketAddr::from((VIP, self.port))).expect("a port")
        });
        let (mut reads, mut writes) = (u64::MAX, u64::MAX);
        let due = now >= self.next;
        if due {
            self.next = now + self.pause;
        }
        let its = if due { self.piece } else { 0 };
        if self.port == ECHO {
            writes = its
        } else {
            reads = its
        }
        self.receive(host, id, reads)?;
        self.send(host, id, writes);
        Ok(())
    }

    fn receive(&mut self, host: &mut Host, id: Id, most: u64) -> Result<(), String> {
        for piece in host.read(id, most) {
            let len = piece.len() as u64;
            if piece != bytes(self.key, self.read, len) {
                return Err(format!("other bytes than were sent, behind {} of {self:?}", self.read));
            }
            self.read += len;
        }
        if self.finished && host.finished(id) && self.read != self.len {
            return Err(format!("the stream ends at {} of {}", self.read, self.len));
        }
        Ok(())
    }

    fn send(&mut self, host: &mut Host, id: Id, most: u64) {
        if self.port == DOWNLOAD {
            if self.written == 0 {
                let request = [self.key.to_le_bytes(), self.len.to_le_bytes()].concat();
                self.written = request.len() as u64;
                host.write(id, &mut request.into());
            }
            // It ends its stream behind the other one's.
            if self.finished && !self.shut && host.finished(id) {
                self.shut = true;
                host.shutdown(id);
            }
            return;
        }
        let len = most.min(self.len - self.written).min(host.room(id));
        let mut piece = bytes(self.key, self.written, len);
        host.write(id, &mut piece);
        self.written += len - piece.len() as u64;
        if self.written == self.len && !self.shut {
            self.shut = true;
            host.shutdown(id);
        }
    }
}
