//! A kernel's TCP against super-packets: what is cut by the interface, or here, arrives as it was; what the kernel
//! sends in one piece is received in one. Needs root, iproute2 and iputils-ping: skipped without, but not where
//! `CI=true`.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod hosts;

use bytes::Bytes;
use etherparse::{PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice};
use gcs_tcp_endpoint::{
    link::{Checksum, Config, Ingress, Link, MacChoice, Medium, Outputs, Packet, Vip},
    net::{AfPacket, Interface, Options, Tap, Tun, mac_of},
};
use hosts::{Clock, Hosts, readable};
use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

const PORT: u16 = 80;
/// What the server sends in one super-packet, in pieces of odd lengths.
const DOWN: usize = 40_001;
/// What the client sends: no more than a first congestion window.
const UP: usize = 13_000;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

/// One connection's server: enough of TCP for a network that loses nothing.
struct Server<I> {
    interface: I,
    link: Link,
    clock: Clock,
    out: Outputs,
    /// Ours that is next, theirs that is next.
    next: (u32, u32),
    peer: Option<(IpAddr, IpAddr, u16)>,
    received: Vec<u8>,
    /// Packets that were several segments.
    joined: usize,
    /// Packets that nobody has to verify.
    good: usize,
}

impl<I: Interface> Server<I> {
    fn new((interface, config): (I, Config)) -> Self {
        let (link, out, clock) = (Link::new(config).unwrap(), Outputs::default(), Clock::start());
        let (peer, received) = (None, Vec::new());
        Self { interface, link, clock, out, next: (1000, 0), peer, received, joined: 0, good: 0 }
    }

    fn run(&mut self) {
        let mut frames = Vec::new();
        self.link.set_active(self.clock.now(), true, &mut self.out);
        while self.received.len() < UP {
            self.clock.check("the client's data");
            readable(&self.interface, Duration::from_millis(5));
            while self.interface.recv(&mut frames).unwrap() {}
            for frame in frames.drain(..) {
                self.link.receive(self.clock.now(), frame, &mut self.out);
            }
            for ingress in std::mem::take(&mut self.out.packets) {
                self.segment(&ingress);
            }
            self.link.tick(self.clock.now(), &mut self.out);
            self.interface.send(&mut self.out.frames, &|| true).unwrap();
        }
    }

    fn segment(&mut self, ingress: &Ingress) {
        let sliced = SlicedPacket::from_ip(&ingress.packet).unwrap();
        let (Some(TransportSlice::Tcp(tcp)), Some(net)) = (sliced.transport, sliced.net) else { return };
        let ends = match net {
            etherparse::NetSlice::Ipv4(ip) => {
                (IpAddr::from(ip.header().destination()), IpAddr::from(ip.header().source()))
            }
            etherparse::NetSlice::Ipv6(ip) => {
                (IpAddr::from(ip.header().destination()), IpAddr::from(ip.header().source()))
            }
            etherparse::NetSlice::Arp(_) => return,
        };
        if tcp.rst() {
            panic!("the client has closed the connection");
        }
        if tcp.syn() {
            self.peer = Some((ends.0, ends.1, tcp.source_port()));
            self.next = (1000, tcp.sequence_number().wrapping_add(1));
            self.send(&[], 0, true);
            self.next.0 += 1;
            return;
        }
        // The first time, or again: on a busy machine also this network may lose something.
        if tcp.acknowledgment_number() == 1001 && self.peer.is_some() {
            self.next.0 = 1001;
            let all = Bytes::from(pattern(DOWN));
            let pieces = [all.slice(..1), all.slice(1..20_000), all.slice(20_000..)];
            let segment = if ends.0.is_ipv4() { 1460 } else { 1440 };
            self.send(&pieces, segment, false);
            self.next.0 += DOWN as u32;
        }
        if tcp.sequence_number() == self.next.1 && !tcp.payload().is_empty() {
            self.next.1 = self.next.1.wrapping_add(tcp.payload().len() as u32);
            self.received.extend_from_slice(tcp.payload());
            let segment = usize::from(ingress.meta.segment);
            self.joined += usize::from(segment > 0 && tcp.payload().len() > segment);
            self.good += usize::from(ingress.meta.checksum == Checksum::Good);
            self.send(&[], 0, false);
        }
    }

    fn send(&mut self, payload: &[Bytes], segment: u16, syn: bool) {
        let (own, peer, port) = self.peer.unwrap();
        let builder = match (own, peer) {
            (IpAddr::V4(a), IpAddr::V4(b)) => PacketBuilder::ipv4(a.octets(), b.octets(), 64),
            (IpAddr::V6(a), IpAddr::V6(b)) => PacketBuilder::ipv6(a.octets(), b.octets(), 64),
            _ => panic!("of two families"),
        };
        let mut tcp = builder.tcp(PORT, port, self.next.0, 65_000).ack(self.next.1);
        if syn {
            tcp = tcp.syn().options(&[TcpOptionElement::MaximumSegmentSize(1460)]).unwrap();
        }
        let all = payload.concat();
        let mut bytes = Vec::new();
        tcp.write(&mut bytes, &all).unwrap();
        bytes.truncate(bytes.len() - all.len());
        let packet = Packet {
            header: bytes.into(),
            payload: payload.iter().cloned().collect(),
            segment,
            fill_checksum: true,
        };
        self.link.send(self.clock.now(), packet, &mut self.out);
    }
}

/// The client connects from host `c` to an address of the server on `host`; returns how many of the packets that the
/// server received were several segments, and how many nobody had to verify.
fn exchange<I: Interface>(
    hosts: &Hosts,
    host: &str,
    vip: &str,
    open: impl FnOnce() -> (I, Config) + Send,
    prepare: impl FnOnce() + Send,
) -> (usize, usize) {
    let to = SocketAddr::new(vip.parse().unwrap(), PORT);
    let (opened, is_open) = std::sync::mpsc::channel();
    thread::scope(|s| {
        let server = s.spawn(|| {
            hosts.enter(host, move || {
                let mut server = Server::new(open());
                opened.send(()).unwrap();
                server.run();
                assert!(server.received == pattern(UP), "what the client sent has changed");
                // Besides what it sends in pieces: a few acknowledgements, answers and announcements.
                let pieces = server.interface.traffic().sent > 28;
                assert_eq!(pieces, !server.interface.offload(), "{:?}", server.interface.traffic());
                (server.joined, server.good)
            })
        });
        is_open.recv().expect("the server runs");
        prepare();
        hosts.enter("c", || {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(20)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut received = vec![0; DOWN];
            stream.read_exact(&mut received).unwrap();
            assert!(received == pattern(DOWN), "what the server sent has changed");
            stream.write_all(&pattern(UP)).unwrap();
            server.join().unwrap()
        })
    })
}

/// A device of a name that was not used before: a process that another test starts may keep the last one open for a moment, between its
/// fork and its exec.
fn fresh(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{kind}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn vips(texts: [&str; 2]) -> Vec<Vip> {
    texts.iter().map(|v| v.parse().unwrap()).collect()
}

fn on_ethernet(offload: bool) -> (AfPacket, Config) {
    let vips = vips(["10.77.0.100/24", "fd77::100/64"]);
    let config = Config::ethernet(mac_of("eth0").unwrap(), MacChoice::Own, vips);
    let options = Options { offload, ..Options::default() };
    (AfPacket::open("eth0", &config, options).unwrap(), config)
}

#[test]
fn on_an_ethernet() {
    let Some(hosts) = Hosts::new() else { return };
    for vip in ["10.77.0.100", "fd77::100"] {
        for offload in [true, false] {
            let (joined, good) = exchange(&hosts, "h0", vip, || on_ethernet(offload), || {});
            assert!(joined > 0 && good > 0, "{vip}: what the kernel sends in one piece is received in one");
        }
    }
}

/// A link on a VLAN; not every kernel has VLANs of its own, so both ends are ours.
struct Tagged {
    nic: AfPacket,
    link: Link,
    out: Outputs,
}

impl Tagged {
    fn open(vip: &str, offload: bool) -> Self {
        let own = mac_of("eth0").unwrap();
        let mut config = Config::ethernet(own, MacChoice::Own, vec![vip.parse().unwrap()]);
        config.medium = Medium::Ethernet { source: own, advertised: own, vlan: Some(7) };
        let options = Options { offload, ..Options::default() };
        let nic = AfPacket::open("eth0", &config, options).unwrap();
        Self { nic, link: Link::new(config).unwrap(), out: Outputs::default() }
    }

    fn turn(&mut self, clock: Clock) {
        let mut frames = Vec::new();
        self.link.set_active(clock.now(), true, &mut self.out);
        while self.nic.recv(&mut frames).unwrap() {}
        for frame in frames {
            self.link.receive(clock.now(), frame, &mut self.out);
        }
        self.link.tick(clock.now(), &mut self.out);
        self.nic.send(&mut self.out.frames, &|| true).unwrap();
    }
}

#[test]
fn in_a_vlan() {
    let Some(hosts) = Hosts::new() else { return };
    for offload in [true, false] {
        let [mut from, mut to] = [("h0", "10.80.0.100/24"), ("h1", "10.80.0.101/24")]
            .map(|(host, vip)| hosts.enter(host, || Tagged::open(vip, offload)));
        let (clock, data) = (Clock::start(), pattern(10_000));
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ipv4([10, 80, 0, 100], [10, 80, 0, 101], 64).tcp(PORT, 4000, 0, 1000);
        builder.write(&mut bytes, &data).unwrap();
        bytes.truncate(40);
        let payload = [Bytes::from(data.clone())].into_iter().collect();
        from.link.set_active(clock.now(), true, &mut from.out);
        let packet = Packet { header: bytes.into(), payload, segment: 1460, fill_checksum: true };
        from.link.send(clock.now(), packet, &mut from.out);
        let mut received = Vec::new();
        while received.len() < data.len() {
            clock.check("the packet in its VLAN");
            readable(&to.nic, Duration::from_millis(1));
            from.turn(clock);
            to.turn(clock);
            for ingress in to.out.packets.drain(..) {
                assert_eq!(ingress.meta.segment > 0, offload);
                received.extend_from_slice(&ingress.packet[40..]);
            }
        }
        assert!(received == data, "what was sent has changed");
    }
}

#[test]
fn behind_a_tap() {
    let Some(hosts) = Hosts::new() else { return };
    for vip in ["10.78.0.100", "fd78::100"] {
        for offload in [true, false] {
            let name = fresh("tap");
            let open = || {
                let tap = Tap::open(&name, 1500, offload).unwrap();
                let vips = vips(["10.78.0.100/24", "fd78::100/64"]);
                let config = Config::ethernet(tap.mac().unwrap(), MacChoice::Own, vips);
                (tap, config)
            };
            let (joined, good) = exchange(&hosts, "c", vip, open, || {
                hosts.on("c", &format!("addr add 10.78.0.1/24 dev {name}"));
                hosts.on("c", &format!("addr add fd78::1/64 dev {name} nodad"));
            });
            assert_eq!((joined > 0, good > 0), (offload, offload), "{vip}");
        }
    }
}

#[test]
fn behind_a_tun() {
    let Some(hosts) = Hosts::new() else { return };
    for vip in ["10.79.0.100", "fd79::100"] {
        for offload in [true, false] {
            let name = fresh("tun");
            let open = || {
                let vips = vips(["10.79.0.100/32", "fd79::100/128"]);
                (Tun::open(&name, 1500, offload).unwrap(), Config::ip(vips))
            };
            let (joined, good) = exchange(&hosts, "c", vip, open, || {
                hosts.on("c", &format!("route add 10.79.0.100/32 dev {name}"));
                hosts.on("c", &format!("route add fd79::100/128 dev {name}"));
            });
            assert_eq!((joined > 0, good > 0), (offload, offload), "{vip}");
        }
    }
}
