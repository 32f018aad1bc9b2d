//! What the oracle of captures says to frames that an endpoint must not emit, and to those that it may.

mod capture;

use std::time::Duration;

use capture::{Oracle, Seen};
use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder, TcpHeader};
use gcs_tcp_endpoint::link::Mac;

const CLIENT: [u8; 4] = [10, 0, 0, 4];
const VIP: [u8; 4] = [10, 0, 0, 100];
const ONE: Mac = Mac([2, 0, 0, 0, 0, 1]);
const TWO: Mac = Mac([2, 0, 0, 0, 0, 2]);
/// Where the streams begin: they wrap soon.
const THEIRS: u32 = u32::MAX - 2;
const OURS: u32 = u32::MAX - 3;

struct Cable(Oracle);

impl Cable {
    fn new() -> Self {
        Self(Oracle::new(vec![VIP.into()]))
    }

    fn frame(&mut self, (mac, from, to): (Mac, [u8; 4], [u8; 4]), tcp: TcpHeader, payload: &[u8]) {
        let mut frame = Vec::new();
        let packet = PacketBuilder::ethernet2(mac.0, [2; 6]).ipv4(from, to, 64).tcp_header(tcp);
        packet.write(&mut frame, payload).expect("a vector takes it");
        self.0.frame(Duration::ZERO, &frame.into());
    }

    /// The client sends at a position, and acknowledges all.
    fn client(&mut self, at: u32, payload: &[u8], change: impl FnOnce(&mut TcpHeader)) {
        let mut tcp = TcpHeader::new(4000, 80, THEIRS.wrapping_add(at), 1000);
        tcp.ack = at > 0;
        change(&mut tcp);
        self.frame((Mac([2; 6]), CLIENT, VIP), tcp, payload);
    }

    /// The endpoint sends at a position, and acknowledges another.
    fn vip(&mut self, mac: Mac, (at, ack): (u32, u32), payload: &[u8], change: impl FnOnce(&mut TcpHeader)) {
        let mut tcp = TcpHeader::new(80, 4000, OURS.wrapping_add(at), 1000);
        (tcp.ack, tcp.acknowledgment_number) = (true, THEIRS.wrapping_add(ack));
        change(&mut tcp);
        self.frame((mac, VIP, CLIENT), tcp, payload);
    }

    /// A connection that is open, on which both have sent six bytes.
    fn open() -> Self {
        let mut it = Self::new();
        it.client(0, b"", |tcp| tcp.syn = true);
        it.vip(ONE, (0, 1), b"", |tcp| tcp.syn = true);
        it.client(1, b"please", |_| ());
        it.vip(ONE, (1, 7), b"answer", |_| ());
        it
    }

    fn end(self) -> Seen {
        self.0.end(&[ONE, TWO])
    }

    #[track_caller]
    fn says(self, what: &str) {
        let seen = self.end();
        assert!(seen.told.first().is_some_and(|told| told.contains(what)), "{what} is not in {seen:?}");
    }

    #[track_caller]
    fn nothing_is_wrong(self) -> Seen {
        let seen = self.end();
        assert_eq!(seen.violations, 0, "{seen:?}");
        seen
    }
}

#[test]
fn a_takeover_that_nobody_notices() {
    let mut it = Cable::open();
    it.vip(TWO, (5, 7), b"er, and more", |_| ());
    it.vip(TWO, (1, 7), b"answer, and", |_| ());
    it.vip(TWO, (17, 7), b"", |tcp| tcp.fin = true);
    it.client(7, b"", |tcp| tcp.fin = true);
    it.vip(TWO, (18, 8), b"", |tcp| tcp.window_size = 0);
    it.vip(TWO, (18, 8), b"", |tcp| tcp.rst = true);
    let seen = it.nothing_is_wrong();
    assert_eq!(seen.unkicked, 0);
    assert_eq!((seen.connections, seen.bytes, seen.again, seen.resets), (1, (16, 7), 13, 1));
}

#[test]
fn a_leader_that_waits_for_its_clients() {
    let mut it = Cable::open();
    it.0.frame(Duration::ZERO, &announcement().into());
    it.client(7, b"hello?", |_| ());
    it.client(13, b"hello?", |_| ());
    it.vip(TWO, (7, 19), b"", |_| ());
    assert_eq!(it.nothing_is_wrong().unkicked, 1);
}

/// A gratuitous ARP request of the second leader's.
fn announcement() -> Vec<u8> {
    let arp = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &TWO.0,
        &VIP,
        &[0; 6],
        &VIP,
    );
    let mut frame = Vec::new();
    let packet = PacketBuilder::ethernet2(TWO.0, [0xff; 6]).arp(arp.expect("lengths that fit"));
    packet.write(&mut frame).expect("a vector takes it");
    frame
}

#[test]
fn a_reset() {
    let mut it = Cable::open();
    it.vip(ONE, (7, 7), b"", |tcp| tcp.rst = true);
    it.says("Reset");
}

#[test]
fn a_refusal_is_none() {
    let mut it = Cable::new();
    it.client(0, b"", |tcp| tcp.syn = true);
    it.vip(ONE, (0, 1), b"", |tcp| tcp.rst = true);
    it.nothing_is_wrong();
}

#[test]
fn other_bytes() {
    let mut it = Cable::open();
    it.vip(TWO, (3, 7), b"swEr", |_| ());
    it.says("Differs { at: 5 }");
}

#[test]
fn another_beginning() {
    let mut it = Cable::open();
    it.vip(TWO, (1, 1), b"", |tcp| tcp.syn = true);
    it.says("Begins");
}

#[test]
fn another_end() {
    for (at, bytes, fin) in [(7, &b"more"[..], false), (6, b"", true), (3, b"swers", true)] {
        let mut it = Cable::open();
        it.vip(ONE, (7, 7), b"", |tcp| tcp.fin = true);
        it.vip(TWO, (at, 7), bytes, |tcp| tcp.fin = fin);
        it.says("Ends");
    }
}

#[test]
fn what_was_acknowledged_is_forgotten() {
    let mut it = Cable::open();
    it.vip(TWO, (7, 6), b"", |_| ());
    it.says("AckBack { before: 7, now: 6 }");
}

#[test]
fn an_acknowledgement_of_what_nobody_has_sent() {
    let mut it = Cable::open();
    it.vip(ONE, (7, 8), b"", |_| ());
    it.says("AckAhead");
}

#[test]
fn a_window_that_shrinks() {
    let mut it = Cable::open();
    it.vip(ONE, (7, 7), b"", |tcp| tcp.window_size = 999);
    it.says("EdgeBack { before: 1007, now: 1006 }");
}

#[test]
fn two_leaders_at_once() {
    let mut it = Cable::open();
    it.vip(TWO, (7, 7), b"", |_| ());
    it.vip(ONE, (7, 7), b"", |_| ());
    it.says("emits and does not lead");
}

#[test]
fn who_emits_without_saying_that_it_leads() {
    let mut it = Cable::open();
    it.vip(Mac([2, 0, 0, 0, 0, 3]), (7, 7), b"", |_| ());
    it.says("02:00:00:00:00:03 emits and does not lead");
}
