//! The machine against smoltcp as it is: another implementation, in both roles, over a path that loses, doubles and reorders packets.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use gcs::{rng::Rng, time::Time};
use gcs_tcp_endpoint::tcp::{Config, Event, Host, Id, Payload, Reason, Segment, Seq};
use smoltcp::{
    iface::{self, Interface, SocketHandle, SocketSet},
    phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp,
    time::Instant,
    wire::{
        HardwareAddress, IpAddress, IpCidr, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr,
        TcpSeqNumber, TcpTimestampRepr,
    },
};
use wire::{address, byte, cut};

#[allow(dead_code, reason = "this test has a path of its own, to the other implementation")]
mod wire;

/// Our side, and smoltcp's, in [`address`] and [`byte`].
const OURS: usize = 0;
const THEIRS: usize = 1;
const MTU: usize = 1500;

thread_local! {
    /// Milliseconds, for smoltcp's timestamps.
    static CLOCK: Cell<u32> = const { Cell::new(0) };
}

/// Packets from and to smoltcp.
#[derive(Default)]
struct Cable {
    to: VecDeque<Vec<u8>>,
    from: Vec<Vec<u8>>,
}

struct Incoming(Vec<u8>);
struct Outgoing<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}

impl Device for Cable {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        self.to.pop_front().map(|packet| (Incoming(packet), Outgoing(&mut self.from)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.from))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

fn v4(address: SocketAddr) -> Ipv4Addr {
    let SocketAddr::V4(address) = address else { panic!("the test is about IPv4") };
    *address.ip()
}

/// One packet, as smoltcp reads it.
fn to_packet(segment: &Segment) -> Vec<u8> {
    let payload = segment.payload.concat();
    let mut blocks = segment.options.sack.iter().map(|(left, right)| (left.0, right.0));
    let tcp = TcpRepr {
        src_port: segment.from.port(),
        dst_port: segment.to.port(),
        control: match (segment.syn, segment.fin, segment.rst, segment.psh) {
            (true, ..) => TcpControl::Syn,
            (_, true, ..) => TcpControl::Fin,
            (_, _, true, _) => TcpControl::Rst,
            (.., true) => TcpControl::Psh,
            _ => TcpControl::None,
        },
        seq_number: TcpSeqNumber(segment.seq.0.cast_signed()),
        ack_number: segment.ack.map(|ack| TcpSeqNumber(ack.0.cast_signed())),
        window_len: segment.window,
        window_scale: segment.options.window_scale,
        max_seg_size: segment.options.mss,
        sack_permitted: segment.options.sack_permitted,
        sack_ranges: std::array::from_fn(|_| blocks.next()),
        timestamp: segment.options.timestamps.map(|(value, echo)| TcpTimestampRepr::new(value, echo)),
        payload: &payload,
    };
    let (src_addr, dst_addr) = (v4(segment.from), v4(segment.to));
    let payload_len = tcp.buffer_len();
    let ip = Ipv4Repr { src_addr, dst_addr, next_header: IpProtocol::Tcp, payload_len, hop_limit: 64 };
    let mut bytes = vec![0; ip.buffer_len() + payload_len];
    assert!(bytes.len() <= MTU, "{} bytes in a packet", bytes.len());
    let sums = ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes), &sums);
    let mut packet = TcpPacket::new_unchecked(&mut bytes[ip.buffer_len()..]);
    tcp.emit(&mut packet, &src_addr.into(), &dst_addr.into(), &sums);
    bytes
}

/// A packet of smoltcp's, as a segment.
fn to_segment(bytes: &[u8]) -> Segment {
    let sums = ChecksumCapabilities::default();
    let ip = Ipv4Packet::new_checked(bytes).expect("an IP packet");
    let (src, dst) = (ip.src_addr(), ip.dst_addr());
    let packet = TcpPacket::new_checked(ip.payload()).expect("a TCP packet");
    let tcp = TcpRepr::parse(&packet, &src.into(), &dst.into(), &sums).expect("a segment");
    let number = |n: TcpSeqNumber| Seq(n.0.cast_unsigned());
    let (from, to) = ((IpAddr::from(src), tcp.src_port), (IpAddr::from(dst), tcp.dst_port));
    let mut segment =
        Segment::new(from.into(), to.into(), number(tcp.seq_number), tcp.ack_number.map(number));
    segment.syn = tcp.control == TcpControl::Syn;
    segment.fin = tcp.control == TcpControl::Fin;
    segment.rst = tcp.control == TcpControl::Rst;
    segment.psh = tcp.control == TcpControl::Psh;
    segment.window = tcp.window_len;
    segment.options.mss = tcp.max_seg_size;
    segment.options.window_scale = tcp.window_scale;
    segment.options.sack_permitted = tcp.sack_permitted;
    segment.options.timestamps = tcp.timestamp.map(|t| (t.tsval, t.tsecr));
    segment.options.sack =
        tcp.sack_ranges.iter().flatten().map(|&(left, right)| (Seq(left), Seq(right))).collect();
    segment.payload =
        Payload::from_iter((!tcp.payload.is_empty()).then(|| Bytes::copy_from_slice(tcp.payload)));
    segment
}

/// How far a side has come.
#[derive(Debug, Default)]
struct Progress {
    sends: u64,
    written: u64,
    read: u64,
    ended: bool,
}

struct World {
    now: Time,
    rng: Rng,
    /// In a thousand: packets that are lost, and that come twice.
    loss: u64,
    duplication: u64,
    delay_us: u64,
    jitter_us: u64,
    on_the_way: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    count: u64,
    host: Host,
    id: Option<Id>,
    gone: Option<Reason>,
    interface: Interface,
    cable: Cable,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    progress: [Progress; 2],
}

impl World {
    fn new(seed: u64, we_connect: bool) -> Self {
        let mut rng = Rng::new(seed);
        let config = Config {
            super_segment_bytes: [0, 65_000][rng.below(2) as usize],
            receive_bytes: [3000, 100_000, 4 << 20][rng.below(3) as usize],
            nagle: rng.below(2) == 0,
            ..Config::default()
        };
        let mut host = Host::new(config, [7; 32]);
        let mut cable = Cable::default();
        let mut settings = iface::Config::new(HardwareAddress::Ip);
        settings.random_seed = seed;
        let mut interface = Interface::new(settings, &mut cable, Instant::ZERO);
        interface
            .update_ip_addrs(|list| list.push(IpCidr::new(v4(address(THEIRS)).into(), 24)).expect("room"));
        let mut buffer = || tcp::SocketBuffer::new(vec![0; [2000, 60_000, 500_000][rng.below(3) as usize]]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        if rng.below(2) == 0 {
            socket.set_tsval_generator(Some(|| CLOCK.get()));
        }
        socket.set_nagle_enabled(rng.below(2) == 0);
        let mut id = None;
        if we_connect {
            socket.listen(address(THEIRS).port()).expect("a port");
            host.begin(Time::from_ms(1));
            id = Some(host.connect(address(OURS).ip(), address(THEIRS)).expect("a port"));
        } else {
            host.listen(address(OURS));
            let remote = (IpAddress::from(v4(address(OURS))), address(OURS).port());
            socket.connect(interface.context(), remote, 50_000).expect("a socket");
        }
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        let mut sends =
            || Progress { sends: [0, 1, 5000, 200_000][rng.below(4) as usize], ..Progress::default() };
        let progress = [sends(), sends()];
        Self {
            now: Time::from_ms(1),
            loss: [0, 10, 50, 150][rng.below(4) as usize],
            duplication: [0, 0, 50][rng.below(3) as usize],
            delay_us: rng.below(40_000),
            jitter_us: [0, 100, 10_000][rng.below(3) as usize],
            on_the_way: BTreeMap::new(),
            count: 0,
            host,
            id,
            gone: None,
            interface,
            cable,
            sockets,
            socket,
            progress,
            rng,
        }
    }

    fn send(&mut self, to: usize, packet: &[u8]) {
        if self.rng.chance(self.loss) {
            return;
        }
        for _ in 0..=u64::from(self.rng.chance(self.duplication)) {
            let late = self.delay_us + self.rng.below(self.jitter_us + 1);
            self.count += 1;
            self.on_the_way
                .insert((self.now + Duration::from_micros(late), self.count), (to, packet.to_vec()));
        }
    }

    /// What has arrived for one side, in its order.
    fn arrived(&mut self, side: usize) -> Vec<Vec<u8>> {
        let due: Vec<_> =
            self.on_the_way.iter().filter(|((at, _), (to, _))| *at <= self.now && *to == side).collect();
        let keys: Vec<_> = due.into_iter().map(|(key, _)| *key).collect();
        keys.into_iter().filter_map(|key| self.on_the_way.remove(&key)).map(|(_, packet)| packet).collect()
    }

    fn ours(&mut self) {
        let packets = self.arrived(OURS);
        self.host.begin(self.now);
        for packet in packets {
            self.host.segment(&to_segment(&packet));
        }
        while let Some(event) = self.host.event() {
            match event {
                Event::Accepted(id) => self.id = Some(id),
                Event::Gone(_, reason) => self.gone = Some(reason),
                _ => {}
            }
        }
        if let Some(id) = self.id {
            self.our_application(id);
        }
        let mut out = Vec::new();
        self.host.finish(&mut out);
        for segment in out.iter().flat_map(cut) {
            self.send(THEIRS, &to_packet(&segment));
        }
    }

    fn our_application(&mut self, id: Id) {
        let progress = &mut self.progress[OURS];
        for b in self.host.read(id, u64::MAX).concat() {
            assert_eq!(b, byte(THEIRS, progress.read), "byte {} that smoltcp sent", progress.read);
            progress.read += 1;
        }
        let mut bytes: Bytes = (progress.written..progress.sends).map(|i| byte(OURS, i)).collect();
        self.host.write(id, &mut bytes);
        progress.written = progress.sends - bytes.len() as u64;
        if progress.written == progress.sends && !progress.ended {
            progress.ended = true;
            self.host.shutdown(id);
        }
        while let Some(event) = self.host.event() {
            if let Event::Gone(_, reason) = event {
                self.gone = Some(reason);
            }
        }
    }

    fn theirs(&mut self) {
        let at = Instant::from_micros(i64::try_from(self.now.0 / 1000).expect("not so late"));
        CLOCK.set(u32::try_from(self.now.0 / 1_000_000).expect("not so late"));
        let packets = self.arrived(THEIRS);
        self.cable.to.extend(packets);
        self.interface.poll(at, &mut self.cable, &mut self.sockets);
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        let progress = &mut self.progress[THEIRS];
        while socket.can_recv() {
            let read = |bytes: &mut [u8]| {
                for b in &*bytes {
                    assert_eq!(*b, byte(OURS, progress.read), "byte {} that we sent", progress.read);
                    progress.read += 1;
                }
                (bytes.len(), ())
            };
            socket.recv(read).expect("can receive");
        }
        if socket.may_send() {
            let bytes: Vec<u8> = (progress.written..progress.sends).map(|i| byte(THEIRS, i)).collect();
            progress.written += socket.send_slice(&bytes).expect("may send") as u64;
            if progress.written == progress.sends && !progress.ended {
                progress.ended = true;
                socket.close();
            }
        }
        self.interface.poll(at, &mut self.cable, &mut self.sockets);
        for packet in std::mem::take(&mut self.cable.from) {
            self.send(OURS, &packet);
        }
    }

    fn over(&self) -> bool {
        let state = self.sockets.get::<tcp::Socket<'_>>(self.socket).state();
        self.gone.is_some() && matches!(state, tcp::State::Closed | tcp::State::TimeWait)
    }

    fn run(&mut self) {
        loop {
            self.ours();
            self.theirs();
            if self.over() {
                break;
            }
            let at = Instant::from_micros(i64::try_from(self.now.0 / 1000).expect("not so late"));
            let theirs = self.interface.poll_at(at, &self.sockets);
            let theirs = theirs.map(|at| Time(u64::try_from(at.total_micros()).unwrap_or_default() * 1000));
            let arrival = self.on_the_way.first_key_value().map(|((at, _), _)| *at);
            let next = [theirs, arrival, self.host.deadline()].into_iter().flatten().min();
            let socket = self.sockets.get::<tcp::Socket<'_>>(self.socket);
            let (gone, state, progress) = (self.gone, socket.state(), &self.progress);
            let next = next.unwrap_or_else(|| panic!("nothing will happen: {gone:?}, {state}, {progress:?}"));
            // Whole microseconds, as smoltcp counts.
            self.now = Time(next.0.div_ceil(1000) * 1000).max(self.now + Duration::from_micros(1));
            assert!(self.now < Time::from_ms(3_600_000), "no end: {gone:?}, {state}, {progress:?}");
        }
        assert_eq!(self.gone, Some(Reason::Ended));
        assert_eq!(self.progress[OURS].read, self.progress[THEIRS].sends);
        assert_eq!(self.progress[THEIRS].read, self.progress[OURS].sends);
        assert_eq!(self.host.held(), 0);
    }
}

fn both_streams_arrive(we_connect: bool) {
    let seeds = match std::env::var("SEED").map(|seed| seed.parse()) {
        Ok(Ok(seed)) => seed..seed + 1,
        _ => 1..std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(150) + 1,
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| World::new(seed, we_connect).run());
        if let Err(e) = run {
            eprintln!("SEED={seed} repeats it");
            std::panic::resume_unwind(e);
        }
    }
}

#[test]
fn smoltcp_connects_to_us() {
    both_streams_arrive(false);
}

#[test]
fn we_connect_to_smoltcp() {
    both_streams_arrive(true);
}
