//! Two endpoints and the path between them, on virtual time from one seed. Every endpoint has a twin that consumes the same
//! batches; both have to emit the same.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use gcs::{rng::Rng, time::Time};
use gcs_tcp_endpoint::tcp::{Config, Event, Host, Id, Payload, Reason, Segment, Thaw};

/// What the path does to packets.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    /// Up to this much more, so that packets overtake each other.
    pub(crate) jitter: Duration,
    /// In a thousand.
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    /// Bytes a second, of each direction; and how many bytes wait at most.
    pub(crate) rate: Option<(u64, u64)>,
}

impl Default for Path {
    fn default() -> Self {
        Self { delay: Duration::from_millis(10), jitter: Duration::ZERO, loss: 0, duplication: 0, rate: None }
    }
}

/// What an application does: it writes `sends` bytes, ends its stream behind them (or once the peer has, if it `answers`), and reads
/// `reads` bytes each time it is asked, and each millisecond.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) sends: u64,
    pub(crate) answers: bool,
    pub(crate) reads: u64,
    /// Bytes of one write.
    pub(crate) piece: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { sends: 100_000, answers: false, reads: u64::MAX, piece: 64 * 1024 }
    }
}

/// One side.
pub(crate) struct Side {
    pub(crate) host: Host,
    twin: Host,
    pub(crate) id: Option<Id>,
    plan: Plan,
    pub(crate) written: u64,
    pub(crate) read: u64,
    pub(crate) finished: bool,
    pub(crate) shut: bool,
    pub(crate) gone: Option<Reason>,
    /// When bytes were read last.
    pub(crate) read_at: Time,
    batches: u64,
    /// It has not read all that there was.
    hungry: bool,
    busy_until: Time,
}

/// Both sides and what is on its way.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) sides: [Side; 2],
    pub(crate) path: Path,
    rng: Rng,
    on_the_way: BTreeMap<(Time, u64), (usize, Segment)>,
    count: u64,
    pub(crate) packets: u64,
    pub(crate) lost: u64,
}

/// The byte at `position` of the stream that `side` sends.
pub(crate) fn byte(side: usize, position: u64) -> u8 {
    let x = (position ^ (side as u64) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x >> 56) as u8
}

pub(crate) fn address(side: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::from([10, 0, 0, side as u8 + 1]), 80)
}

impl Side {
    fn new(config: &Config, plan: Plan) -> Self {
        let host = || Host::new(config.clone(), [7; 32]);
        Self {
            host: host(),
            twin: host(),
            id: None,
            plan,
            written: 0,
            read: 0,
            finished: false,
            shut: false,
            gone: None,
            read_at: Time::ZERO,
            batches: 0,
            hungry: false,
            busy_until: Time::ZERO,
        }
    }

    /// One batch, at both twins.
    fn batch(&mut self, me: usize, now: Time, segments: &[Segment]) -> Vec<Segment> {
        let before = (self.written, self.read, self.finished, self.shut);
        let mut twin = std::mem::replace(&mut self.twin, Host::new(Config::default(), [0; 32]));
        std::mem::swap(&mut self.host, &mut twin);
        let (id, gone) = (self.id, self.gone);
        let emitted = self.one(me, now, segments);
        std::mem::swap(&mut self.host, &mut twin);
        let after = (self.written, self.read, self.finished, self.shut);
        (self.written, self.read, self.finished, self.shut) = before;
        (self.id, self.gone) = (id, gone);
        let again = self.one(me, now, segments);
        assert_eq!(after, (self.written, self.read, self.finished, self.shut));
        assert!(
            whole(&emitted) == whole(&again),
            "twins differ: {} and {} segments",
            emitted.len(),
            again.len()
        );
        assert_eq!(self.host.digest(), twin.digest(), "digests differ");
        self.twin = twin;
        self.batches += 1;
        if self.batches.is_multiple_of(7) {
            self.twin = again_from_snapshot(&self.host);
        }
        again
    }

    fn one(&mut self, me: usize, now: Time, segments: &[Segment]) -> Vec<Segment> {
        self.host.begin(now);
        if me == 0 && self.id.is_none() && self.gone.is_none() {
            self.id = Some(self.host.connect(address(0).ip(), address(1)).expect("a port"));
        }
        for segment in segments {
            self.host.segment(segment);
        }
        self.events();
        if let Some(id) = self.id {
            self.application(me, now, id);
        }
        self.events();
        let mut out = Vec::new();
        self.host.finish(&mut out);
        out
    }

    fn events(&mut self) {
        while let Some(event) = self.host.event() {
            match event {
                Event::Accepted(id) => self.id = Some(id),
                Event::Finished(_) => self.finished = true,
                Event::Gone(_, reason) => self.gone = Some(reason),
                Event::Connected(_) | Event::Readable(_) | Event::Writable(_) => {}
            }
        }
    }

    fn application(&mut self, me: usize, now: Time, id: Id) {
        let bytes = self.host.read(id, self.plan.reads).concat();
        for b in &bytes {
            assert_eq!(*b, byte(1 - me, self.read), "byte {} of the stream of {}", self.read, 1 - me);
            self.read += 1;
        }
        if !bytes.is_empty() {
            self.read_at = now;
        }
        self.hungry = bytes.len() as u64 == self.plan.reads;
        let answering = self.plan.answers && !self.finished;
        while self.written < self.plan.sends && !answering {
            let room = self.host.room(id);
            let len = self.plan.piece.min(self.plan.sends - self.written).min(room + 1);
            let mut bytes: Bytes = (self.written..self.written + len).map(|i| byte(me, i)).collect();
            self.host.write(id, &mut bytes);
            self.written += len - bytes.len() as u64;
            if !bytes.is_empty() {
                break;
            }
        }
        if self.written == self.plan.sends && !answering && !self.shut {
            self.host.shutdown(id);
            self.shut = true;
        }
    }
}

/// The same segments, each payload in one piece: how it is cut is nobody's business.
fn whole(segments: &[Segment]) -> Vec<Segment> {
    let one = |s: &Segment| Payload::from_iter([Bytes::from(s.payload.concat())]);
    segments.iter().map(|s| Segment { payload: one(s), ..s.clone() }).collect()
}

/// A joiner's endpoint.
fn again_from_snapshot(host: &Host) -> Host {
    let frozen = host.freeze();
    let mut thaw = Thaw::new(host.config().clone());
    for i in 0..frozen.chunks() {
        thaw.chunk(&frozen.chunk(i)).expect("a chunk");
    }
    thaw.finish().expect("a whole snapshot")
}

/// Cuts a segment into the packets that the interface would make of it.
pub(crate) fn cut(segment: &Segment) -> Vec<Segment> {
    let len = segment.payload_len();
    let packet = usize::from(segment.packet_bytes);
    if packet == 0 || len <= packet {
        return vec![Segment { packet_bytes: 0, ..segment.clone() }];
    }
    let all: Bytes = segment.payload.concat().into();
    let packets = len.div_ceil(packet);
    (0..packets)
        .map(|i| {
            let last = i + 1 == packets;
            let bytes = all.slice(i * packet..len.min((i + 1) * packet));
            Segment {
                seq: segment.seq.of((i * packet) as u64),
                payload: Payload::from_iter([bytes]),
                fin: segment.fin && last,
                psh: segment.psh && last,
                packet_bytes: 0,
                ..segment.clone()
            }
        })
        .collect()
}

impl World {
    pub(crate) fn new(seed: u64, path: Path, configs: [Config; 2], plans: [Plan; 2]) -> Self {
        let [a, b] = plans;
        let mut sides = [Side::new(&configs[0], a), Side::new(&configs[1], b)];
        sides[1].host.listen(address(1));
        sides[1].twin.listen(address(1));
        Self {
            now: Time::from_ms(1),
            sides,
            path,
            rng: Rng::new(seed),
            on_the_way: BTreeMap::new(),
            count: 0,
            packets: 0,
            lost: 0,
        }
    }

    fn send(&mut self, from: usize, segment: Segment) {
        self.packets += 1;
        if self.rng.chance(self.path.loss) {
            self.lost += 1;
            return;
        }
        let mut at = self.now;
        if let Some((rate, waits)) = self.path.rate {
            let len = segment.payload_len() as u64 + 60;
            let busy = &mut self.sides[from].busy_until;
            let begins = (*busy).max(self.now);
            if begins.since(self.now).as_nanos() as u64 * rate / 1_000_000_000 > waits {
                self.lost += 1;
                return;
            }
            *busy = begins + Duration::from_nanos(len * 1_000_000_000 / rate);
            at = *busy;
        }
        for _ in 0..=u64::from(self.rng.chance(self.path.duplication)) {
            let jitter = self.rng.below(self.path.jitter.as_nanos() as u64 + 1);
            self.count += 1;
            let arrives = at + self.path.delay + Duration::from_nanos(jitter);
            self.on_the_way.insert((arrives, self.count), (1 - from, segment.clone()));
        }
    }

    /// One batch of one side; false when nothing will ever happen again.
    pub(crate) fn step(&mut self) -> bool {
        let arrival = self.on_the_way.first_key_value().map(|(&(at, _), (to, _))| (at, *to));
        let reads = |s: &Side| s.hungry && s.gone.is_none();
        let slow = (0..2).find(|&i| reads(&self.sides[i])).map(|i| (self.now + Duration::from_millis(1), i));
        let timers: Vec<_> = (0..2).filter_map(|i| Some((self.sides[i].host.deadline()?, i))).collect();
        let start = self.sides[0].id.is_none().then_some((self.now, 0));
        if std::env::var("TRACE").is_ok() {
            eprintln!("{} {timers:?} {arrival:?}", self.now);
        }
        let Some((at, side)) = timers.into_iter().chain(arrival).chain(slow).chain(start).min() else {
            return false;
        };
        self.now = self.now.max(at);
        let mut segments = Vec::new();
        while let Some(first) = self.on_the_way.first_entry() {
            if first.key().0 > self.now || first.get().0 != side || segments.len() >= 64 {
                break;
            }
            segments.push(first.remove().1);
        }
        let emitted = self.sides[side].batch(side, self.now, &segments);
        if std::env::var("TRACE").is_ok() {
            for (what, list) in [("<", &segments), (">", &emitted)] {
                for s in list {
                    let flags = [(s.syn, "S"), (s.fin, "F"), (s.rst, "R")]
                        .map(|(on, name)| if on { name } else { "" })
                        .concat();
                    eprintln!(
                        "{} {side} {what} {flags} {} len {} ack {:?} win {} {:?}",
                        self.now,
                        s.seq.0,
                        s.payload_len(),
                        s.ack,
                        s.window,
                        s.options.sack
                    );
                }
            }
        }
        for packet in emitted.iter().flat_map(cut) {
            self.send(side, packet);
        }
        true
    }

    /// Until both connections are gone; panics when that takes longer than `most` of virtual time.
    pub(crate) fn run(&mut self, most: Duration) {
        let end = self.now + most;
        while self.sides.iter().any(|s| s.gone.is_none()) {
            let state =
                |s: &Side| (s.written, s.read, s.finished, s.gone, s.id.and_then(|id| s.host.look(id)));
            let [a, b] = &self.sides;
            assert!(self.now < end, "no end at {}: {:?} {:?}", self.now, state(a), state(b));
            assert!(
                self.step(),
                "nothing will happen any more: {:?} {:?}",
                state(&self.sides[0]),
                state(&self.sides[1])
            );
        }
    }
}
