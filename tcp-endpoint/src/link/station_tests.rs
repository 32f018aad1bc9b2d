//! A link between scripted stations: frames in, frames out.

use super::{
    arp::Arp,
    config::{Config, MacChoice, Medium, Vip},
    counters::Dropped,
    echo, ethernet,
    frame::{Checksum, Frame, Meta, Packet, Received},
    ip,
    mac::{Mac, solicited_node},
    ndp::Ndp,
    station::{Event, Link, Outputs},
};
use bytes::Bytes;
use etherparse::{EtherType, PacketBuilder};
use gcs::time::Time;
use proptest::prelude::*;
use smallvec::{SmallVec, smallvec};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const CLIENT: Mac = Mac([2, 0, 0, 0, 0, 0xc]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 0xf]);
const VIP4: &str = "192.0.2.10";
const VIP6: &str = "2001:db8::10";
const ALL_NODES: &str = "ff02::1";

fn at(ms: u64) -> Time {
    Time::from_ms(ms)
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn config(choice: MacChoice) -> Config {
    let vips = [format!("{VIP4}/24"), format!("{VIP6}/64")].iter().map(|v| v.parse().unwrap()).collect();
    let gateway_v4 = Some(v4("192.0.2.254"));
    Config { gateway_v4, ..Config::ethernet(OWN, choice, vips) }
}

/// A link that has been active since 0 ms, has made its announcements, and has given up its gateway before 3,000 ms.
fn active(config: Config) -> Link {
    let (mut link, mut out) = (Link::new(config).unwrap(), Outputs::default());
    link.set_active(at(0), true, &mut out);
    (0..=3).for_each(|second| link.tick(at(second * 1000), &mut out));
    link
}

fn passive(config: Config) -> Link {
    Link::new(config).unwrap()
}

fn frame(to: Mac, from: Mac, kind: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ethernet::write(to, from, None, kind).to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// What the link does with a frame.
fn feed(link: &mut Link, ms: u64, bytes: &[u8]) -> Outputs {
    let mut out = Outputs::default();
    let bytes = Bytes::copy_from_slice(bytes);
    link.receive(at(ms), Received { bytes, ..Received::default() }, &mut out);
    link.check();
    out
}

fn arp(request: bool, sender: &str, mac: Mac, target: &str) -> Vec<u8> {
    let arp = Arp { request, sender: v4(sender), sender_mac: mac, target: v4(target), target_mac: Mac::ZERO };
    frame(Mac::BROADCAST, mac, EtherType::ARP, &arp.write())
}

fn solicitation(from: &str, mac: Option<Mac>, target: &str) -> Vec<u8> {
    let group = solicited_node(v6(target));
    let ask = Ndp::Solicitation { target: v6(target), source_mac: mac };
    frame(Mac::of_group(group), CLIENT, EtherType::IPV6, &ask.write(v6(from), group))
}

fn advertisement(target: &str, mac: Mac) -> Vec<u8> {
    let tell =
        Ndp::Advertisement { target: v6(target), target_mac: Some(mac), solicited: false, overrides: true };
    let to = v6(ALL_NODES);
    frame(Mac::of_group(to), mac, EtherType::IPV6, &tell.write(v6("fe80::9"), to))
}

fn tcp_packet(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match (from.parse().unwrap(), to.parse().unwrap()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => PacketBuilder::ipv4(a.octets(), b.octets(), 64),
        (IpAddr::V6(a), IpAddr::V6(b)) => PacketBuilder::ipv6(a.octets(), b.octets(), 64),
        _ => panic!("of two families"),
    }
    .tcp(80, 4000, 1, 1000)
    .write(&mut bytes, payload)
    .unwrap();
    bytes
}

fn tcp_frame(from: &str, mac: Mac, to: &str) -> Vec<u8> {
    let six = from.contains(':');
    frame(OWN, mac, if six { EtherType::IPV6 } else { EtherType::IPV4 }, &tcp_packet(from, to, b"data"))
}

fn reply_to(to: &str) -> Packet {
    let from = if to.contains(':') { VIP6 } else { VIP4 };
    Packet { header: SmallVec::from_vec(tcp_packet(from, to, b"")), ..Packet::default() }
}

/// What the link does with a packet of ours.
fn sent(link: &mut Link, ms: u64, to: &str) -> Vec<Frame> {
    let mut out = Outputs::default();
    link.send(at(ms), reply_to(to), &mut out);
    link.check();
    out.frames
}

fn link_header(frame: &Frame) -> ethernet::Header {
    ethernet::read(&frame.link, None).unwrap()
}

fn as_arp(frame: &Frame) -> Arp {
    assert_eq!(link_header(frame).kind, EtherType::ARP);
    Arp::read(&frame.packet.header).unwrap()
}

fn as_ndp(frame: &Frame) -> (Ndp, IpAddr) {
    assert_eq!(link_header(frame).kind, EtherType::IPV6);
    let envelope = ip::read(&frame.packet.header, true).unwrap();
    (Ndp::read(&envelope, &frame.packet.header[40..]).unwrap(), envelope.destination)
}

#[test]
fn questions_are_answered_to_the_asker() {
    let mut link = active(config(MacChoice::Own));
    let out = feed(&mut link, 3000, &arp(true, "192.0.2.1", CLIENT, VIP4));
    assert_eq!(out.frames.len(), 1);
    let (header, answer) = (link_header(&out.frames[0]), as_arp(&out.frames[0]));
    assert_eq!((header.to, header.from), (CLIENT, OWN));
    let expected = Arp {
        request: false,
        sender: v4(VIP4),
        sender_mac: OWN,
        target: v4("192.0.2.1"),
        target_mac: CLIENT,
    };
    assert_eq!(answer, expected);

    let out = feed(&mut link, 3000, &solicitation("2001:db8::1", Some(CLIENT), VIP6));
    let (answer, to) = as_ndp(&out.frames[0]);
    let told = |solicited| Ndp::Advertisement {
        target: v6(VIP6),
        target_mac: Some(OWN),
        solicited,
        overrides: true,
    };
    assert_eq!((answer, to), (told(true), v6("2001:db8::1").into()));
    assert_eq!(link_header(&out.frames[0]).to, CLIENT);

    // Somebody wants to have our address (duplicate address detection): all are told.
    let out = feed(&mut link, 3000, &solicitation("::", None, VIP6));
    assert_eq!(as_ndp(&out.frames[0]), (told(false), v6(ALL_NODES).into()));
    let out = feed(&mut link, 3000, &arp(true, "0.0.0.0", CLIENT, VIP4));
    assert_eq!(as_arp(&out.frames[0]).sender_mac, OWN);
    assert_eq!(link.counters().answers, 4);
    assert_eq!(link.neighbours().count(), 2, "the gateway is gone, who asks without an address has none");
}

#[test]
fn who_is_not_active_is_silent_and_learns() {
    let mut link = passive(config(MacChoice::Own));
    let frames = [
        arp(true, "192.0.2.1", CLIENT, VIP4),
        arp(true, "192.0.2.254", ROUTER, "192.0.2.77"),
        arp(true, "192.0.2.7", CLIENT, "192.0.2.8"),
        solicitation("2001:db8::1", Some(CLIENT), VIP6),
        tcp_frame("192.0.2.3", CLIENT, VIP4),
        frame(OWN, CLIENT, EtherType::IPV4, &echo::request(v4("192.0.2.1").into(), v4(VIP4).into(), 1, b"")),
        arp(false, VIP4, ROUTER, VIP4),
    ];
    for bytes in &frames {
        let out = feed(&mut link, 0, bytes);
        assert!(out.frames.is_empty() && out.packets.is_empty() && out.events.is_empty());
    }
    assert!(sent(&mut link, 0, "192.0.2.1").is_empty());
    assert_eq!((link.counters().claims, link.counters().dropped(Dropped::Inactive)), (1, 3));
    let mut out = Outputs::default();
    link.tick(at(1_000_000), &mut out);
    assert!(out.frames.is_empty());

    // A takeover has nobody to ask.
    link.set_active(at(1_000_000), true, &mut out);
    assert_eq!(out.frames.len(), 4, "announcements only");
    for (to, mac) in
        [("192.0.2.1", CLIENT), ("192.0.2.3", CLIENT), ("8.8.8.8", ROUTER), ("2001:db8::1", CLIENT)]
    {
        let frames = sent(&mut link, 1_000_000, to);
        assert_eq!(frames.len(), 1, "{to}");
        assert_eq!(link_header(&frames[0]).to, mac, "{to}");
    }
    assert_eq!(
        link_header(&sent(&mut link, 1_000_000, "192.0.2.7")[0]).to,
        Mac::BROADCAST,
        "not our business then"
    );

    assert!(!out.frames.is_empty());
    link.set_active(at(1_000_000), false, &mut out);
    assert!(out.frames.is_empty(), "what has not been sent is not sent any more");
    link.tick(at(2_000_000), &mut out);
    assert!(out.frames.is_empty(), "silent again");
}

#[test]
fn announcements() {
    let mut link = passive(config(MacChoice::Own));
    let mut out = Outputs::default();
    link.set_active(at(10), true, &mut out);
    let frames = &out.frames;
    let (request, reply) = (as_arp(&frames[0]), as_arp(&frames[1]));
    for (arp, is_request) in [(request, true), (reply, false)] {
        assert_eq!(
            (arp.request, arp.sender, arp.target, arp.sender_mac),
            (is_request, v4(VIP4), v4(VIP4), OWN)
        );
    }
    let told =
        Ndp::Advertisement { target: v6(VIP6), target_mac: Some(OWN), solicited: false, overrides: true };
    assert_eq!(as_ndp(&frames[2]), (told, v6(ALL_NODES).into()));
    let to: Vec<Mac> = frames[..3].iter().map(|f| link_header(f).to).collect();
    assert_eq!(to, [Mac::BROADCAST, Mac::BROADCAST, Mac::of_group(v6(ALL_NODES))]);
    assert_eq!(link_header(&frames[3]).to, Mac::of_group(v6("ff02::16")), "switches that snoop");
    let question = as_arp(&frames[4]);
    assert!(question.request && question.target == v4("192.0.2.254"), "where is the gateway?");
    assert_eq!(frames.len(), 5);
    let mut rounds = Vec::new();
    while link.next_timer() < at(400_000) {
        let (now, before) = (link.next_timer(), link.counters().announcements);
        link.tick(now, &mut out);
        if link.counters().announcements > before {
            rounds.push(now.0 / 1_000_000);
        }
    }
    assert_eq!(rounds, [60, 210, 1010, 121_010, 241_010, 361_010]);
}

#[test]
fn packets_go_to_their_next_hop() {
    let mut link = active(config(MacChoice::Own));
    let asked = sent(&mut link, 5000, "192.0.2.1");
    let question = as_arp(&asked[0]);
    assert!(question.request && question.sender == v4(VIP4) && question.target == v4("192.0.2.1"));
    assert!(sent(&mut link, 5000, "192.0.2.1").is_empty(), "asked once");
    let out = feed(&mut link, 5001, &arp(false, "192.0.2.1", CLIENT, VIP4));
    assert_eq!(out.frames.len(), 2, "what waited goes");
    assert!(out.frames.iter().all(|f| link_header(f).to == CLIENT && f.packet == reply_to("192.0.2.1")));

    let asked = sent(&mut link, 5002, "2001:db8::1");
    let (question, to) = as_ndp(&asked[0]);
    assert_eq!(question, Ndp::Solicitation { target: v6("2001:db8::1"), source_mac: Some(OWN) });
    assert_eq!(to, IpAddr::V6(solicited_node(v6("2001:db8::1"))));
    let out = feed(&mut link, 5003, &advertisement("2001:db8::1", CLIENT));
    assert_eq!(link_header(&out.frames[0]).to, CLIENT);

    // Off the link: by the gateway, which is asked for; of the other family there is none.
    let asked = sent(&mut link, 5004, "8.8.8.8");
    assert_eq!(as_arp(&asked[0]).target, v4("192.0.2.254"));
    assert!(sent(&mut link, 5004, "2001:db8:1::1").is_empty());
    assert_eq!(link.counters().dropped(Dropped::NoRoute), 1);
    let mut out = Outputs::default();
    (5..20).for_each(|second| link.tick(at(second * 1000 + 5), &mut out));
    assert_eq!(link.counters().dropped(Dropped::Unreachable), 1, "the gateway does not answer");
}

#[test]
fn the_gateway_vouches_for_no_host_of_the_link() {
    let mut link = active(config(MacChoice::Own));
    feed(&mut link, 3000, &arp(true, "192.0.2.254", ROUTER, VIP4));
    feed(&mut link, 3000, &tcp_frame("192.0.2.66", ROUTER, VIP4));
    feed(&mut link, 3000, &tcp_frame("8.8.8.8", ROUTER, VIP4));
    let known: Vec<IpAddr> = link.neighbours().map(|n| n.0).collect();
    assert_eq!(known, [IpAddr::V4(v4("192.0.2.254"))]);
}

#[test]
fn conflicts_are_told_once_and_defended_against() {
    let mut link = active(config(MacChoice::Own));
    for (ms, claim, events, frames) in [
        (3000, arp(false, VIP4, CLIENT, VIP4), 1, 4),
        (3001, arp(true, VIP4, CLIENT, "192.0.2.1"), 0, 0),
        (3002, arp(true, VIP4, ROUTER, "192.0.2.1"), 1, 0),
        (4000, advertisement(VIP6, CLIENT), 0, 4),
        (4001, solicitation(VIP6, Some(CLIENT), "2001:db8::1"), 0, 0),
        (4002, arp(true, VIP4, OWN, "192.0.2.1"), 1, 0),
    ] {
        let out = feed(&mut link, ms, &claim);
        assert_eq!((out.events.len(), out.frames.len()), (events, frames), "at {ms}");
        if ms == 4002 {
            assert_eq!(out.events, [Event::SameMac]);
        }
        if ms == 3002 {
            assert_eq!(out.events, [Event::Conflict { ip: v4(VIP4).into(), mac: ROUTER }]);
        }
    }
    assert_eq!(link.counters().conflicts, 5);
    assert!(!link.neighbours().any(|(ip, ..)| ip == v4(VIP4)), "nobody is the address");
}

#[test]
fn tagged_frames() {
    let mut tagged = config(MacChoice::Own);
    tagged.medium = Medium::Ethernet { source: OWN, advertised: OWN, vlan: Some(7) };
    let mut link = active(tagged);
    let plain = arp(true, "192.0.2.1", CLIENT, VIP4);
    let with_tag = |vlan| {
        let mut bytes = ethernet::write(Mac::BROADCAST, CLIENT, Some(vlan), EtherType::ARP).to_vec();
        bytes.extend_from_slice(&plain[14..]);
        bytes
    };
    assert!(feed(&mut link, 3000, &plain).frames.is_empty());
    assert!(feed(&mut link, 3000, &with_tag(8)).frames.is_empty());
    assert_eq!(link.counters().dropped(Dropped::OtherVlan), 2);
    let answer = feed(&mut link, 3000, &with_tag(7)).frames;
    assert_eq!(link_header(&answer[0]).vlan, Some(7));
    let mut out = Outputs::default();
    let taken_out = Received { bytes: plain.clone().into(), vlan: Some(7), meta: Meta::default() };
    link.receive(at(3000), taken_out, &mut out);
    assert_eq!(out.frames.len(), 1);
    let mut untagged = active(config(MacChoice::Own));
    assert!(feed(&mut untagged, 3000, &with_tag(7)).frames.is_empty());
}

#[test]
fn a_mirrored_address_is_found_at_a_group() {
    let group = Mac::mirror_for(v4(VIP4).into());
    let mut link = active(config(MacChoice::Mirror));
    let answer = feed(&mut link, 3000, &arp(true, "192.0.2.1", CLIENT, VIP4)).frames;
    assert_eq!((link_header(&answer[0]).from, as_arp(&answer[0]).sender_mac), (OWN, group));
    let data = frame(group, CLIENT, EtherType::IPV4, &tcp_packet("192.0.2.1", VIP4, b"data"));
    assert_eq!(feed(&mut link, 3000, &data).packets.len(), 1);
    let mut replica = passive(config(MacChoice::Mirror));
    let out = feed(&mut replica, 3000, &data);
    assert_eq!((out.packets.len(), out.frames.len()), (1, 0), "every replica keeps what it hears");
    let to_all = frame(Mac::BROADCAST, CLIENT, EtherType::IPV4, &tcp_packet("192.0.2.1", VIP4, b""));
    assert!(feed(&mut link, 3000, &to_all).packets.is_empty());
    assert_eq!(link.counters().dropped(Dropped::OtherStation), 1);
}

#[test]
fn what_is_delivered_is_a_slice_without_padding() {
    let mut link = active(config(MacChoice::Own));
    let packet = tcp_packet("192.0.2.1", VIP4, b"data");
    let mut bytes = frame(OWN, CLIENT, EtherType::IPV4, &packet);
    bytes.extend([0xee; 2]);
    let bytes = Bytes::from(bytes);
    let meta = Meta { segment: 1448, checksum: Checksum::Good };
    let mut out = Outputs::default();
    link.receive(at(3000), Received { bytes: bytes.clone(), vlan: None, meta }, &mut out);
    let ingress = &out.packets[0];
    assert_eq!((&ingress.packet[..], ingress.meta), (&packet[..], meta));
    assert_eq!(ingress.packet.as_ptr(), bytes[14..].as_ptr(), "not copied");
}

#[test]
fn what_is_dropped_is_counted_by_kind() {
    let six = frame(OWN, CLIENT, EtherType::IPV6, &tcp_packet("2001:db8::1", VIP6, b""));
    let broken = |mut bytes: Vec<u8>, at: usize| {
        bytes[at] ^= 0xff;
        bytes
    };
    let request = echo::request(v4("192.0.2.1").into(), v4(VIP4).into(), 1, b"x");
    let cases = [
        (Dropped::ShortFrame, vec![0; 13]),
        (Dropped::OtherStation, frame(ROUTER, CLIENT, EtherType::IPV4, &[])),
        (Dropped::OtherStation, frame(OWN, Mac::BROADCAST, EtherType::IPV4, &[])),
        (Dropped::OtherStation, frame(OWN, OWN, EtherType::IPV4, &[])),
        (Dropped::OtherProtocol, frame(OWN, CLIENT, EtherType(0x88cc), &[])),
        (Dropped::BadArp, frame(OWN, CLIENT, EtherType::ARP, &[0; 28])),
        (Dropped::BadIp, frame(OWN, CLIENT, EtherType::IPV4, &[])),
        (Dropped::BadIp, broken(tcp_frame("192.0.2.1", CLIENT, VIP4), 24)),
        (Dropped::BadIp, six[..60].to_vec()),
        (Dropped::BadNdp, broken(solicitation("2001:db8::1", Some(CLIENT), VIP6), 56)),
        (Dropped::BadIcmp, broken(frame(OWN, CLIENT, EtherType::IPV4, &request), 42)),
        (Dropped::Martian, tcp_frame("192.0.2.255", CLIENT, VIP4)),
        (Dropped::Martian, tcp_frame(VIP4, CLIENT, VIP4)),
        (Dropped::Martian, tcp_frame("::", CLIENT, VIP6)),
        (Dropped::OtherAddress, tcp_frame("192.0.2.1", CLIENT, "192.0.2.11")),
        (Dropped::OtherAddress, arp(true, "192.0.2.1", CLIENT, "192.0.2.11")),
    ];
    for (why, bytes) in cases {
        let mut link = active(config(MacChoice::Own));
        let out = feed(&mut link, 3000, &bytes);
        assert!(out.frames.is_empty() && out.packets.is_empty(), "{why:?}");
        assert_eq!(link.counters().all_dropped().collect::<Vec<_>>(), [(why, 1)], "{bytes:02x?}");
    }
}

#[test]
fn echoes_and_answers_are_bounded() {
    let bounded = Config { echoes_per_second: 10, answers_per_second: 5, ..config(MacChoice::Own) };
    let mut link = active(bounded);
    let request = echo::request(v4("192.0.2.1").into(), v4(VIP4).into(), 1, b"x");
    let request = frame(OWN, CLIENT, EtherType::IPV4, &request);
    let replies: usize = (0..50).map(|_| feed(&mut link, 3000, &request).frames.len()).sum();
    let question = arp(true, "192.0.2.1", CLIENT, VIP4);
    let answers: usize = (0..50).map(|_| feed(&mut link, 3000, &question).frames.len()).sum();
    assert_eq!((replies, answers), (10, 5));
    assert_eq!(link.counters().dropped(Dropped::TooOften), 85);
}

#[test]
fn two_leaders_with_one_virtual_mac_hear_of_each_other() {
    let [mut old, mut new] = [0, 1].map(|_| passive(config(MacChoice::Virtual(None))));
    let mut out = Outputs::default();
    new.set_active(at(5000), true, &mut out);
    assert_eq!(link_header(&out.frames[0]).from, Mac::virtual_for(v4(VIP4).into()));
    for announced in &out.frames {
        let heard = feed(&mut old, 5000, &announced.to_vec());
        assert!(heard.events.is_empty() && heard.frames.is_empty(), "it is not active");
    }
    old.set_active(at(5000), true, &mut Outputs::default());
    let mut events = Vec::new();
    for announced in &out.frames {
        let heard = feed(&mut old, 5000, &announced.to_vec());
        assert!(heard.frames.is_empty());
        events.extend(heard.events);
    }
    assert_eq!((events, old.counters().same_mac), (vec![Event::SameMac], 5));
}

#[test]
fn hints_of_another_replica_are_used_and_asked_for() {
    let mut link = active(config(MacChoice::Own));
    for (ip, mac) in
        [("192.0.2.1", CLIENT), (VIP4, CLIENT), ("8.8.8.8", CLIENT), ("192.0.2.2", Mac::BROADCAST)]
    {
        link.hint(at(3000), v4(ip).into(), mac);
    }
    assert_eq!(link.neighbours().count(), 1, "neighbours only");
    assert_eq!(link_header(&sent(&mut link, 3000, "192.0.2.1")[0]).to, CLIENT);
    let mut out = Outputs::default();
    link.tick(at(4000), &mut out);
    let question = &out.frames[0];
    assert_eq!((as_arp(question).target, link_header(question).to), (v4("192.0.2.1"), CLIENT));
}

#[test]
fn a_tun_has_packets_only() {
    let vips: Vec<Vip> = vec!["192.0.2.10/32".parse().unwrap()];
    let (mut link, mut out) = (Link::new(Config::ip(vips)).unwrap(), Outputs::default());
    link.set_active(at(0), true, &mut out);
    assert!(out.frames.is_empty() && link.next_timer() == Time::NEVER);
    let request = echo::request(v4("10.0.0.1").into(), v4(VIP4).into(), 1, b"x");
    let out = feed(&mut link, 0, &request);
    assert!(out.frames[0].link.is_empty() && out.frames[0].packet.payload[..] == [Bytes::from_static(b"x")]);
    assert_eq!(feed(&mut link, 0, &tcp_packet("10.0.0.1", VIP4, b"")).packets.len(), 1);
    assert_eq!(sent(&mut link, 0, "10.0.0.1").len(), 1);
}

#[test]
fn what_is_sent_is_ours() {
    let mut link = active(config(MacChoice::Own));
    let mut out = Outputs::default();
    for packet in [
        Packet::default(),
        Packet { header: smallvec![0x45; 12], ..Packet::default() },
        Packet {
            header: SmallVec::from_vec(tcp_packet("192.0.2.77", "192.0.2.1", b"")),
            ..Packet::default()
        },
    ] {
        link.send(at(3000), packet, &mut out);
    }
    assert!(out.frames.is_empty());
    assert_eq!(link.counters().dropped(Dropped::NotOurs), 3);
    sent(&mut link, 3000, "192.0.2.255");
    sent(&mut link, 3000, VIP4);
    assert_eq!(link.counters().dropped(Dropped::NoRoute), 2);
}

/// Frames that are valid before some bytes of them are changed: random ones get no further than the first header.
fn nearly_valid() -> impl Strategy<Value = Vec<u8>> {
    let hosts = any::<[u8; 2]>()
        .prop_map(|[a, b]| (format!("192.0.{}.{b}", a % 8), format!("2001:db8::{a:x}:{b:x}")));
    let valid = (hosts, 0..9).prop_map(|((four, six), kind)| match kind {
        0 => arp(true, &four, CLIENT, VIP4),
        1 => arp(false, &four, CLIENT, VIP4),
        2 => solicitation(&six, Some(CLIENT), VIP6),
        3 => advertisement(&six, CLIENT),
        4 => tcp_frame(&four, CLIENT, VIP4),
        5 => tcp_frame(&six, CLIENT, VIP6),
        6 => frame(OWN, CLIENT, EtherType::IPV6, &echo::request(v6(&six).into(), v6(VIP6).into(), 1, b"x")),
        7 => arp(true, VIP4, CLIENT, VIP4),
        _ => frame(OWN, CLIENT, EtherType::IPV4, &echo::request(v4(&four).into(), v4(VIP4).into(), 1, b"x")),
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (valid, changes, any::<prop::sample::Index>()).prop_map(|(mut bytes, changes, cut)| {
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_frames_are_survived_in_bounded_memory(
        frames in prop::collection::vec(
            prop_oneof![nearly_valid(), prop::collection::vec(any::<u8>(), 0..100)], 0..80),
        choice in prop_oneof![Just(MacChoice::Own), Just(MacChoice::Mirror)],
        switches in any::<u64>(),
        vlan in any::<Option<u16>>(),
    ) {
        let (mut link, mut out) = (Link::new(Config { neighbours: 6, ..config(choice) }).unwrap(), Outputs::default());
        for (i, bytes) in frames.into_iter().enumerate() {
            let now = at(i as u64 * 400);
            link.set_active(now, switches >> (i % 64) & 1 == 1, &mut out);
            link.tick(now, &mut out);
            out = Outputs::default();
            let vlan = vlan.filter(|_| i % 7 == 0);
            link.receive(now, Received { bytes: bytes.into(), vlan, meta: Meta::default() }, &mut out);
            for to in ["192.0.2.99", "8.8.8.8", "2001:db8::99"] {
                link.send(now, reply_to(to), &mut out);
            }
            link.check();
            prop_assert!(link.is_active() || out.frames.is_empty());
            prop_assert!(out.frames.len() < 60, "one frame makes a bounded number");
        }
    }

    #[test]
    fn any_packets_from_a_tun_are_survived(packet in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut link = Link::new(Config::ip(vec!["192.0.2.10/32".parse().unwrap()])).unwrap();
        link.set_active(at(0), true, &mut Outputs::default());
        prop_assert!(feed(&mut link, 0, &packet).packets.is_empty());
    }
}
