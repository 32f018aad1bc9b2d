//! A proxy in the middle, on virtual time from one seed: three replicas that apply the same batches, and clients and back ends outside.
//! All replicas have to emit the same, whoever is replaced by a joiner meanwhile.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::Bytes;
use gcs::{blocks::Snapshot as _, rng::Rng, time::Time};
use gcs_tcp_endpoint::{
    link::{Checksum, Ingress, Meta},
    packet,
    proxy::{Config as ProxyConfig, Proxy},
    replica::{Batch, Endpoint, Mark},
    service::Service as _,
    tcp::{Config, Event, Host, Id, Payload, Reason, Segment},
};

pub(crate) const VIP: [u8; 4] = [10, 0, 0, 100];

pub(crate) fn back_end(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 21 + number], 5432))
}

/// What both ends of a session do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// What the client sends, and what the back end does, in bytes; the client at least 8.
    pub(crate) sends: [u64; 2],
    /// It ends its stream only when it has seen the other one's end.
    pub(crate) answers: [bool; 2],
    /// Most bytes that are read at a time, each millisecond.
    pub(crate) reads: [u64; 2],
}

/// A connection of somebody outside.
#[derive(Debug)]
pub(crate) struct End {
    /// 0 for clients, 1 for back ends.
    pub(crate) side: usize,
    /// Which session it is; a back end learns it from the client's first eight bytes.
    pub(crate) session: Option<u64>,
    /// Where it is connected to, or was.
    pub(crate) at: SocketAddr,
    pub(crate) written: u64,
    pub(crate) read: u64,
    first: Vec<u8>,
    pub(crate) finished: bool,
    shut: bool,
    pub(crate) gone: Option<Reason>,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    pub(crate) replicas: Vec<Endpoint<Proxy>>,
    config: Config,
    proxy: ProxyConfig,
    pub(crate) outside: Host,
    pub(crate) ends: BTreeMap<Id, End>,
    pub(crate) plans: Vec<Plan>,
    on_the_way: BTreeMap<(Time, u64), (bool, Segment)>,
    count: u64,
    batches: u64,
    /// One way.
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    /// In a thousand.
    pub(crate) loss: u64,
    /// One batch of so many is the last one of its leader: what it emits is lost, and a kick follows. 0: none.
    pub(crate) deaths: u64,
    /// Clients and back ends do nothing by themselves.
    pub(crate) manual: bool,
    /// What is sent there is lost.
    pub(crate) lost_to: Option<SocketAddr>,
}

/// The byte at `position` of what `side` sends in a session; a client's begins with the session's number.
fn byte(session: u64, side: usize, position: u64) -> u8 {
    if side == 0 && position < 8 {
        return session.to_le_bytes()[position as usize];
    }
    ((position ^ session << 32 ^ (side as u64) << 63).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn replica(config: &Config, proxy: &ProxyConfig) -> Endpoint<Proxy> {
    let listen = proxy.ports().map(|port| SocketAddr::from((VIP, port))).collect();
    let service = Proxy::new(proxy.clone(), vec![VIP.into()], |_| {}).expect("a good configuration");
    Endpoint::new(config.clone(), listen, service)
}

/// A replica that joins: it has the state of another one.
pub(crate) fn joiner(
    from: &Endpoint<Proxy>,
    config: &Config,
    proxy: &ProxyConfig,
) -> Result<Endpoint<Proxy>, gcs_tcp_endpoint::replica::ThawError> {
    let mut joiner = replica(config, proxy);
    let frozen = from.freeze();
    for i in 0..frozen.chunks() {
        joiner.thaw(i, i + 1 == frozen.chunks(), &frozen.chunk(i))?;
    }
    Ok(joiner)
}

/// Each payload in one piece: how it is cut is nobody's business.
fn whole(segments: &[Segment]) -> Vec<Segment> {
    let one = |s: &Segment| Payload::from_iter([Bytes::from(s.payload.concat())]);
    segments.iter().map(|s| Segment { payload: one(s), ..s.clone() }).collect()
}

impl World {
    pub(crate) fn new(seed: u64, config: Config, proxy: ProxyConfig) -> Self {
        let mut outside = Host::new(Config { linger: Duration::from_secs(1), ..config.clone() }, [3; 32]);
        for listener in &proxy.listeners {
            listener.back_ends.iter().for_each(|b| outside.listen(b.address));
        }
        let mut world = Self {
            now: Time::from_ms(1),
            rng: Rng::new(seed),
            replicas: (0..3).map(|_| replica(&config, &proxy)).collect(),
            config,
            proxy,
            outside,
            ends: BTreeMap::new(),
            plans: Vec::new(),
            on_the_way: BTreeMap::new(),
            count: 0,
            batches: 0,
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: 0,
            deaths: 0,
            manual: false,
            lost_to: None,
        };
        let mut first = Batch::new(world.now, Mark::default());
        first.secret(&[9; 32]);
        world.apply(&first, true);
        world
    }

    /// The proxy's connections.
    pub(crate) fn middle(&self) -> &Host {
        self.replicas[0].host().expect("it has begun")
    }

    /// A client connects.
    pub(crate) fn connect(&mut self, plan: Plan) -> Id {
        let session = self.plans.len() as u64;
        self.plans.push(plan);
        self.outside.begin(self.now);
        let client = [10, 0, 0, 50 + (session % 50) as u8].into();
        let to = SocketAddr::from((VIP, self.proxy.listeners[0].port));
        let id = self.outside.connect(client, to).expect("a port");
        self.ends.insert(id, End::new(0, Some(session), to));
        self.finish_outside();
        id
    }

    /// Somebody connects to a port, who does nothing by himself.
    pub(crate) fn dial(&mut self, from: [u8; 4], port: u16) -> Id {
        self.manual = true;
        let to = SocketAddr::from((VIP, port));
        let id = self.outside(|host| host.connect(from.into(), to).expect("a port"));
        self.ends.insert(id, End::new(0, None, to));
        id
    }

    /// Does something to a connection outside, in a batch of its own.
    pub(crate) fn outside<T>(&mut self, f: impl FnOnce(&mut Host) -> T) -> T {
        self.outside.begin(self.now);
        let it = f(&mut self.outside);
        self.finish_outside();
        it
    }

    fn finish_outside(&mut self) {
        let mut out = Vec::new();
        self.outside.finish(&mut out);
        out.into_iter().for_each(|s| self.send(true, s));
    }

    fn send(&mut self, to_proxy: bool, segment: Segment) {
        if self.rng.chance(self.loss) || self.lost_to == Some(segment.to) {
            return;
        }
        let jitter = self.rng.below(self.jitter.as_nanos() as u64 + 1);
        self.count += 1;
        let at = self.now + self.delay + Duration::from_nanos(jitter);
        self.on_the_way.insert((at, self.count), (to_proxy, segment));
    }

    /// All replicas apply a batch, and emit the same; every seventh time one of them is replaced by a joiner before.
    fn apply(&mut self, batch: &Batch, emits: bool) {
        self.batches += 1;
        if self.batches.is_multiple_of(7) {
            let i = self.rng.below(3) as usize;
            let joiner = joiner(&self.replicas[i], &self.config, &self.proxy).expect("the same release");
            self.replicas[(i + 1) % 3] = joiner;
        }
        let bytes = batch.to_bytes();
        let mut emitted = Vec::new();
        let mut services = Vec::new();
        for (i, replica) in self.replicas.iter_mut().enumerate() {
            let mut out = Vec::new();
            replica.apply(&bytes, &mut out).expect("a batch");
            let digest = replica.host().map(Host::digest);
            emitted.push((whole(&out), digest));
            services.push(replica.service().snapshot());
            assert!(emitted[i] == emitted[0], "replica {i} emits something else at {}", self.now);
            assert!(services[i] == services[0], "the service of replica {i} differs at {}", self.now);
        }
        let (out, _) = emitted.swap_remove(0);
        if emits {
            out.into_iter().for_each(|s| self.send(false, s));
        }
    }

    /// What is next; false if nothing ever will be.
    pub(crate) fn step(&mut self) -> bool {
        let arrival = self.on_the_way.first_key_value().map(|(&(at, _), (to, _))| (at, *to));
        let middle = self.replicas[0].deadline().map(|at| (at, true));
        let outside = self.outside.deadline().map(|at| (at, false));
        let hungry = self.ends.iter().any(|(id, e)| e.gone.is_none() && !self.outside.finished(*id));
        let reads = (hungry && !self.manual).then(|| (self.now + Duration::from_millis(1), false));
        let Some((at, proxy)) = [arrival, middle, outside, reads].into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(at);
        let mut segments = Vec::new();
        while let Some(first) = self.on_the_way.first_entry() {
            if first.key().0 > self.now || first.get().0 != proxy || segments.len() >= 64 {
                break;
            }
            segments.push(first.remove().1);
        }
        if proxy {
            self.batch(&segments)
        } else {
            self.outside_batch(&segments)
        }
        true
    }

    fn batch(&mut self, segments: &[Segment]) {
        let last = self.replicas[0].last();
        let mut batch = Batch::new(self.now.max(Time(last.0 + 1)), self.replicas[0].mark());
        for segment in segments {
            let packet = packet::write(segment);
            let bytes = [&packet.header[..], &packet.payload.concat()].concat();
            let meta = Meta { segment: packet.segment, checksum: Checksum::Good };
            batch.packet(&Ingress { packet: bytes.into(), meta });
        }
        let dies = self.deaths > 0 && self.rng.below(self.deaths) == 0;
        self.apply(&batch, !dies);
        if dies {
            self.now = self.now + Duration::from_millis(self.rng.below(50));
            let mut kick =
                Batch::new(self.now.max(Time(self.replicas[0].last().0 + 1)), self.replicas[0].mark());
            kick.kick();
            self.apply(&kick, true);
        }
    }

    fn outside_batch(&mut self, segments: &[Segment]) {
        self.outside.begin(self.now);
        segments.iter().for_each(|s| self.outside.segment(s));
        self.events();
        if !self.manual {
            let open: Vec<Id> =
                self.ends.iter().filter(|(_, e)| e.gone.is_none()).map(|(id, _)| *id).collect();
            for id in open {
                let end = self.ends.get_mut(&id).expect("listed");
                end.go_on(id, &mut self.outside, &self.plans);
            }
            self.events();
        }
        self.finish_outside();
    }

    fn events(&mut self) {
        while let Some(event) = self.outside.event() {
            match event {
                Event::Accepted(id) => {
                    let (_, at, _) = self.outside.look(id).expect("it was just accepted");
                    self.ends.insert(id, End::new(1, None, at));
                }
                Event::Finished(id) => self.ends.get_mut(&id).expect("accepted").finished = true,
                Event::Gone(id, reason) => self.ends.get_mut(&id).expect("accepted").gone = Some(reason),
                Event::Connected(_) | Event::Readable(_) | Event::Writable(_) => {}
            }
        }
    }

    /// Until `holds`; panics when that takes longer than `most` of virtual time.
    pub(crate) fn until(&mut self, what: &str, most: Duration, holds: impl Fn(&Self) -> bool) {
        let end = self.now + most;
        while !holds(self) {
            let goes_on = self.now < end && self.step();
            let open = self.ends.values().filter(|e| e.gone.is_none()).collect::<Vec<_>>();
            assert!(goes_on, "not seen by {}: {what}; {open:?}", self.now);
        }
    }

    /// For so long.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end && self.step() {}
    }

    /// The ends of a session: the client's and the back end's, as far as that is known.
    pub(crate) fn session(&self, session: u64) -> [Option<(Id, &End)>; 2] {
        [0, 1].map(|side| {
            let mut all = self.ends.iter().filter(|(_, e)| e.side == side && e.session == Some(session));
            all.next_back().map(|(id, e)| (*id, e))
        })
    }

    /// Both streams of all sessions have arrived whole, and nothing is left of them.
    pub(crate) fn check(&self) {
        for (n, plan) in (0..).zip(&self.plans) {
            let [Some((_, client)), Some((_, back))] = self.session(n) else {
                panic!("session {n} did not reach a back end")
            };
            for (end, other) in [(client, 1), (back, 0)] {
                assert_eq!(end.gone, Some(Reason::Ended), "session {n}: {end:?}");
                assert_eq!(end.read, plan.sends[other], "session {n}: {end:?}");
            }
        }
        for replica in &self.replicas {
            assert_eq!(replica.service().sessions(), 0);
        }
        assert_eq!((self.middle().connections(), self.middle().held()), (0, 0));
    }
}

impl End {
    fn new(side: usize, session: Option<u64>, at: SocketAddr) -> Self {
        Self {
            side,
            session,
            at,
            written: 0,
            read: 0,
            first: Vec::new(),
            finished: false,
            shut: false,
            gone: None,
        }
    }

    fn go_on(&mut self, id: Id, host: &mut Host, plans: &[Plan]) {
        let most = self.session.map_or(8, |n| plans[n as usize].reads[self.side]);
        let most = if self.session.is_none() { 8 - self.first.len() as u64 } else { most };
        for b in host.read(id, most).concat() {
            if self.session.is_none() {
                self.first.push(b);
            } else if let Some(n) = self.session {
                assert_eq!(b, byte(n, 1 - self.side, self.read), "byte {} of session {n}", self.read);
            }
            self.read += 1;
        }
        if self.session.is_none() && self.first.len() == 8 {
            self.session = Some(u64::from_le_bytes(self.first[..].try_into().expect("eight bytes")));
        }
        let Some(session) = self.session else { return };
        let plan = &plans[session as usize];
        let ends = !plan.answers[self.side] || self.finished && host.finished(id);
        let sends = plan.sends[self.side];
        let len = host.room(id).min(sends - self.written).min(100_000);
        let mut bytes: Bytes =
            (self.written..self.written + len).map(|i| byte(session, self.side, i)).collect();
        host.write(id, &mut bytes);
        self.written += len;
        if self.written == sends && ends && !self.shut {
            host.shutdown(id);
            self.shut = true;
        }
    }
}
