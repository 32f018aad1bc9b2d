//! The clients' end of the Ethernet: it believes whoever says last that he has the virtual address, as Linux does, a multicast MAC as well
//! (RFC 826; RFC 1812, section 3.3.2, would have it otherwise for routers).

use std::net::Ipv4Addr;

use bytes::Bytes;
use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use gcs::time::Time;
use gcs_tcp_endpoint::link::{Checksum, Frame, Ingress, Mac, Meta, Packet, Received};

use crate::{VIP, ether::Ether};

const BROADCAST: Mac = Mac([0xff; 6]);
/// How long to wait for an answer, in nanoseconds.
const ASK_AGAIN: u64 = 200_000_000;
/// Packets that wait for one.
const WAITING: usize = 64;

pub(crate) struct Station {
    mac: Mac,
    ip: Ipv4Addr,
    /// Who has the virtual address.
    vip: Option<Mac>,
    asked: Time,
    waiting: Vec<Packet>,
    pub(crate) out: Vec<Bytes>,
}

impl Station {
    pub(crate) fn new(mac: Mac, ip: Ipv4Addr) -> Self {
        Self { mac, ip, vip: None, asked: Time::ZERO, waiting: Vec::new(), out: Vec::new() }
    }

    /// When [`Self::tick`] is to be called.
    pub(crate) fn next_at(&self) -> Time {
        if self.waiting.is_empty() { Time::NEVER } else { Time(self.asked.0 + ASK_AGAIN) }
    }

    pub(crate) fn tick(&mut self, now: Time) {
        if self.next_at() <= now {
            self.asked = now;
            self.arp(ArpOperation::REQUEST, BROADCAST, VIP.into());
        }
    }

    /// A packet, if the frame has one for this station.
    pub(crate) fn receive(&mut self, received: &Received) -> Option<Ingress> {
        let frame = &received.bytes;
        if frame[..6] != self.mac.0 && frame[..6] != BROADCAST.0 {
            return None;
        }
        if frame[12..14] == EtherType::IPV4.0.to_be_bytes() {
            let meta = Meta { segment: 0, checksum: Checksum::Unverified };
            return Some(Ingress { packet: frame.slice(14..), meta });
        }
        if frame[12..14] == EtherType::ARP.0.to_be_bytes() {
            let mac = Mac(frame[22..28].try_into().expect("six bytes"));
            if frame[28..32] == VIP {
                self.vip = Some(mac);
                for packet in std::mem::take(&mut self.waiting) {
                    self.put(mac, packet);
                }
            }
            if frame[20..22] == [0, 1] && frame[38..42] == self.ip.octets() {
                let asks: [u8; 4] = frame[28..32].try_into().expect("four bytes");
                self.arp(ArpOperation::REPLY, mac, asks.into());
            }
        }
        None
    }

    pub(crate) fn send(&mut self, now: Time, packet: Packet) {
        match self.vip {
            Some(mac) => self.put(mac, packet),
            None if self.waiting.len() < WAITING => {
                self.waiting.push(packet);
                self.tick(now);
            }
            None => {}
        }
    }

    fn put(&mut self, to: Mac, packet: Packet) {
        let link = [&to.0[..], &self.mac.0, &EtherType::IPV4.0.to_be_bytes()].concat();
        self.out.extend(Ether::wire(Frame { link: link.into(), packet }));
    }

    fn arp(&mut self, operation: ArpOperation, to: Mac, ip: Ipv4Addr) {
        let (mac, own, target) = (self.mac.0, self.ip.octets(), ip.octets());
        let (hardware, protocol) = (ArpHardwareId::ETHERNET, EtherType::IPV4);
        let arp = ArpPacket::new(hardware, protocol, operation, &mac, &own, &to.0, &target);
        let mut frame = Vec::new();
        let packet = PacketBuilder::ethernet2(mac, to.0).arp(arp.expect("lengths that fit"));
        packet.write(&mut frame).expect("a vector takes it");
        self.out.push(frame.into());
    }
}
