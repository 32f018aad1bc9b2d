//! Arbitrary segments, from peers that know the numbers of their connections and from floods of strangers: nothing panics, what an
//! endpoint keeps stays within its bounds, and the streams of a connection that they have no part in arrive whole.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::Bytes;
use gcs::{rng::Rng, time::Time};
use gcs_tcp_endpoint::tcp::{Config, Event, Host, Id, KeepAlive, Payload, Reason, Segment, Seq};
use wire::{address, byte, cut};

#[allow(dead_code, reason = "the path of this test is another one")]
mod wire;

const FRIEND: usize = 0;
const SERVER: usize = 1;
/// Bytes of each of the friend's streams.
const STREAM: u64 = 100_000;
/// Batches with hostile segments.
const BATCHES: u32 = 400;
/// Ports of peers that come back again and again; strangers use others.
const PORTS: u64 = 6;

/// What a hostile peer knows of its connection: what came last.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    seq: u32,
    ack: u32,
    stamp: u32,
}

struct World {
    now: Time,
    rng: Rng,
    server: Host,
    friend: Host,
    on_the_way: BTreeMap<(Time, u64), (usize, Segment)>,
    count: u64,
    known: BTreeMap<SocketAddr, Known>,
    /// The friend's connection, at both ends, and how much was read and written there.
    ids: [Option<Id>; 2],
    read: [u64; 2],
    written: [u64; 2],
    gone: [Option<Reason>; 2],
    /// Connections of the others.
    others: Vec<Id>,
}

fn config() -> Config {
    Config {
        connections: 5,
        opening: 4,
        remembered: 3,
        send_bytes: 20_000,
        receive_bytes: 30_000,
        keep_alive: Some(KeepAlive {
            idle: Duration::from_secs(20),
            interval: Duration::from_secs(5),
            probes: 20,
        }),
        ..Config::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut server = Host::new(config(), [7; 32]);
        server.listen(address(SERVER));
        let mut friend = Host::new(Config::default(), [8; 32]);
        friend.begin(Time::from_ms(1));
        let id = friend.connect(address(FRIEND).ip(), address(SERVER)).expect("a port");
        Self {
            now: Time::from_ms(1),
            rng: Rng::new(seed),
            server,
            friend,
            on_the_way: BTreeMap::new(),
            count: 0,
            known: BTreeMap::new(),
            ids: [Some(id), None],
            read: [0; 2],
            written: [0; 2],
            gone: [None; 2],
            others: Vec::new(),
        }
    }

    fn one_of(&mut self, numbers: &[u32]) -> u32 {
        numbers[self.rng.below(numbers.len() as u64) as usize]
    }

    /// A number that is `near`, or close to the edges of windows, or anywhere.
    fn near(&mut self, near: u32) -> u32 {
        let ahead = self.one_of(&[0, 0, 0, 1, 10, 1000, 1460, 20_000, 30_000, 65_535, 1 << 20, 1 << 31]);
        let off = self.rng.below(3) as u32;
        let ahead = if self.rng.below(4) == 0 { ahead.wrapping_neg() } else { ahead };
        near.wrapping_add(ahead).wrapping_add(if self.rng.below(3) == 0 { off } else { 0 })
    }

    fn hostile(&mut self) -> Segment {
        let stranger = self.rng.below(4) == 0;
        let port = if stranger { 10_000 + self.rng.below(50_000) } else { 1000 + self.rng.below(PORTS) };
        let from = SocketAddr::from(([10, 0, 1, 1], port as u16));
        let known = self.known.get(&from).copied().unwrap_or_default();
        let (seq, ack) = (self.near(known.ack), self.near(known.seq));
        let ack = (self.rng.below(6) > 0).then_some(Seq(ack));
        let mut segment = Segment::new(from, address(SERVER), Seq(seq), ack);
        segment.syn = self.rng.below(5) == 0;
        if segment.syn && self.rng.below(3) > 0 {
            segment.ack = None;
        }
        segment.fin = self.rng.below(12) == 0;
        segment.rst = self.rng.below(30) == 0;
        segment.window = self.one_of(&[0, 1, 100, 1460, 30_000, 65_535]) as u16;
        self.options(&mut segment, known);
        let len = self.one_of(&[0, 0, 1, 10, 1460, 5000, 40_000]) as usize;
        if len > 0 {
            segment.payload = Payload::from_iter([Bytes::from(vec![7; len])]);
            segment.packet_bytes = self.one_of(&[0, 0, 1, 536, 1460, 65_535]) as u16;
        }
        segment
    }

    fn options(&mut self, segment: &mut Segment, known: Known) {
        segment.options.mss =
            (self.rng.below(2) == 0).then(|| self.one_of(&[0, 1, 536, 1460, 65_535]) as u16);
        segment.options.window_scale =
            (self.rng.below(2) == 0).then(|| self.one_of(&[0, 7, 14, 15, 255]) as u8);
        segment.options.sack_permitted = self.rng.below(2) == 0;
        if self.rng.below(2) == 0 {
            let value = self.now.0 as u32 / 1_000_000 + self.rng.below(10) as u32;
            let echo = self.near(known.stamp);
            segment.options.timestamps = Some((if self.rng.below(9) == 0 { echo } else { value }, echo));
        }
        for _ in 0..self.rng.below(5) {
            let block = (Seq(self.near(known.seq)), Seq(self.near(known.seq)));
            segment.options.sack.push(block);
        }
    }

    /// One batch of the server.
    fn serve(&mut self, hostile: u64) {
        let arrived = self.arrived(SERVER);
        self.server.begin(self.now);
        for segment in &arrived {
            self.server.segment(segment);
        }
        for _ in 0..hostile {
            let segment = self.hostile();
            self.server.segment(&segment);
            if self.rng.below(20) == 0 {
                let mtu = self.one_of(&[0, 68, 576, 1400, 65_535]) as u16;
                let seq = self.near(segment.ack.unwrap_or_default().0);
                self.server.path_mtu(segment.to, segment.from, Seq(seq), mtu);
            }
        }
        if hostile > 0 && self.rng.below(50) == 0 {
            self.server.kick();
        }
        self.events(SERVER);
        self.use_others();
        self.transfer(SERVER);
        let mut out = Vec::new();
        self.server.finish(&mut out);
        for segment in out {
            if segment.to.ip() == address(FRIEND).ip() {
                self.send(FRIEND, &segment);
            } else {
                let stamp = segment.options.timestamps.map_or(0, |(value, _)| value);
                let known = self.known.entry(segment.to).or_default();
                let seq = segment.seq.of(segment.seq_len()).0;
                *known = Known { seq, ack: segment.ack.map_or(known.ack, |ack| ack.0), stamp };
            }
        }
        self.bounds();
    }

    fn befriend(&mut self) {
        let arrived = self.arrived(FRIEND);
        self.friend.begin(self.now);
        for segment in &arrived {
            self.friend.segment(segment);
        }
        self.events(FRIEND);
        self.transfer(FRIEND);
        let mut out = Vec::new();
        self.friend.finish(&mut out);
        for segment in &out {
            self.send(SERVER, segment);
        }
    }

    fn host(&mut self, side: usize) -> &mut Host {
        if side == SERVER { &mut self.server } else { &mut self.friend }
    }

    fn events(&mut self, side: usize) {
        while let Some(event) = self.host(side).event() {
            match event {
                Event::Accepted(id) => match self.server.look(id) {
                    Some((_, _, remote)) if remote.ip() == address(FRIEND).ip() => self.ids[side] = Some(id),
                    Some(_) => self.others.push(id),
                    // It is gone again already.
                    None => {}
                },
                Event::Gone(id, reason) if self.ids[side] == Some(id) => self.gone[side] = Some(reason),
                _ => {}
            }
        }
    }

    /// Reads and writes the friend's connection.
    fn transfer(&mut self, side: usize) {
        let Some(id) = self.ids[side] else { return };
        for b in self.host(side).read(id, u64::MAX).concat() {
            assert_eq!(b, byte(1 - side, self.read[side]), "byte {} of the friend's stream", self.read[side]);
            self.read[side] += 1;
        }
        if self.written[side] < STREAM {
            let mut bytes: Bytes = (self.written[side]..STREAM).map(|i| byte(side, i)).collect();
            self.host(side).write(id, &mut bytes);
            self.written[side] = STREAM - bytes.len() as u64;
            if bytes.is_empty() {
                self.host(side).shutdown(id);
            }
        }
        self.events(side);
    }

    /// What an application may do with the connections of the others.
    fn use_others(&mut self) {
        for id in std::mem::take(&mut self.others) {
            match self.rng.below(12) {
                0 => self.server.close(id),
                1 => self.server.abort(id),
                what => {
                    if what == 2 {
                        self.server.shutdown(id);
                    } else if what < 6 {
                        self.server.write(id, &mut Bytes::from(vec![1; 30_000]));
                    } else if what < 9 {
                        self.server.read(id, 10_000);
                    }
                    self.others.push(id);
                }
            }
        }
        self.events(SERVER);
        self.others.retain(|id| self.server.look(*id).is_some());
    }

    fn bounds(&self) {
        let config = config();
        let most = (config.connections + config.opening) as usize;
        assert!(self.server.connections() <= most, "{} connections", self.server.connections());
        assert!(
            self.server.remembered() <= config.remembered as usize,
            "{} remembered",
            self.server.remembered()
        );
        let bytes = most as u64 * u64::from(config.send_bytes + config.receive_bytes);
        assert!(self.server.held() <= bytes, "{} bytes", self.server.held());
    }

    fn send(&mut self, to: usize, segment: &Segment) {
        for packet in cut(segment) {
            self.count += 1;
            self.on_the_way.insert((self.now + Duration::from_millis(5), self.count), (to, packet));
        }
    }

    fn arrived(&mut self, side: usize) -> Vec<Segment> {
        let due = self.on_the_way.iter().filter(|((at, _), (to, _))| *at <= self.now && *to == side);
        let keys: Vec<_> = due.map(|(key, _)| *key).collect();
        keys.into_iter().filter_map(|key| self.on_the_way.remove(&key)).map(|(_, segment)| segment).collect()
    }

    fn run(&mut self) {
        while self.ids[SERVER].is_none() {
            self.befriend();
            self.serve(0);
            self.now = self.now + Duration::from_millis(5);
        }
        for _ in 0..BATCHES {
            let pause = self.one_of(&[0, 1, 1, 5, 40, 300]);
            let pause = if self.rng.below(60) == 0 { 8000 } else { pause };
            self.now = self.now + Duration::from_millis(pause.into());
            let hostile = self.rng.below(20);
            self.befriend();
            self.serve(hostile);
        }
        while self.gone.iter().any(Option::is_none) {
            let arrival = self.on_the_way.first_key_value().map(|((at, _), _)| *at);
            let next = [arrival, self.server.deadline(), self.friend.deadline()].into_iter().flatten().min();
            let look =
                (self.read, self.written, self.gone, self.ids[SERVER].and_then(|id| self.server.look(id)));
            let next = next.unwrap_or_else(|| panic!("nothing will happen any more: {look:?}"));
            self.now = self.now.max(next);
            assert!(self.now < Time::from_ms(10_000_000), "no end: {look:?}");
            self.befriend();
            self.serve(0);
        }
        assert_eq!(self.gone, [Some(Reason::Ended); 2]);
        assert_eq!(self.read, [STREAM; 2]);
    }
}

#[test]
fn arbitrary_segments_do_no_harm() {
    let seeds = match std::env::var("SEED").map(|seed| seed.parse()) {
        Ok(Ok(seed)) => seed..seed + 1,
        _ => 1..std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(100) + 1,
    };
    let mut accepted = 0;
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            world.server.counters().accepted
        });
        accepted += run.unwrap_or_else(|e| {
            eprintln!("SEED={seed} repeats it");
            std::panic::resume_unwind(e);
        });
    }
    println!("{accepted} connections");
}
