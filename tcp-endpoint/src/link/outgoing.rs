//! What a [`Link`] sends: packets to their next hop, questions, answers, announcements.

use super::{
    arp::Arp,
    config::Medium,
    counters::Dropped,
    ethernet,
    frame::{Frame, Packet},
    mac::{Mac, solicited_node},
    mld,
    ndp::Ndp,
    neighbours::Route,
    station::{Link, Outputs},
};
use etherparse::EtherType;
use gcs::time::Time;
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

impl Link {
    pub(super) fn route(&mut self, now: Time, packet: Packet, out: &mut Outputs) -> Result<(), Dropped> {
        if !self.active {
            return Err(Dropped::Inactive);
        }
        let (source, to) = packet.addresses().ok_or(Dropped::NotOurs)?;
        if !self.config.is_vip(source) {
            return Err(Dropped::NotOurs);
        }
        if self.config.medium == Medium::Ip {
            self.push(Frame { link: SmallVec::new(), packet }, out);
            return Ok(());
        }
        let next = if self.config.on_link(to) { Some(to) } else { self.config.gateway(to) };
        let next = next.filter(|n| self.is_neighbour(*n)).ok_or(Dropped::NoRoute)?;
        match self.neighbours.route(now, next, packet) {
            Route::Send(mac, packet) => self.push_packet(mac, packet, out),
            Route::Wait { ask, dropped } => {
                self.counters.drop_many(Dropped::QueueFull, dropped);
                if ask {
                    self.ask(next, None, out);
                }
            }
        }
        Ok(())
    }

    /// Asks where `neighbour` is: the station that it was last seen at, or all.
    pub(super) fn ask(&mut self, neighbour: IpAddr, mac: Option<Mac>, out: &mut Outputs) {
        let source_mac = self.advertised();
        match (neighbour, self.config.asking_for(neighbour)) {
            (IpAddr::V4(target), Some(IpAddr::V4(sender))) => {
                let question =
                    Arp { request: true, sender, sender_mac: source_mac, target, target_mac: Mac::ZERO };
                self.push_arp(mac.unwrap_or(Mac::BROADCAST), &question, out);
            }
            (IpAddr::V6(target), Some(IpAddr::V6(source))) => {
                let question = Ndp::Solicitation { target, source_mac: Some(source_mac) };
                let group = solicited_node(target);
                let to = if mac.is_some() { target } else { group };
                self.push_ndp(mac.unwrap_or(Mac::of_group(group)), &question, source, to, out);
            }
            _ => {}
        }
    }

    /// Answers a solicitation; one without a source address is answered to all (RFC 4861 section 7.2.4).
    pub(super) fn advertise(&mut self, target: Ipv6Addr, asker: IpAddr, mac: Mac, out: &mut Outputs) {
        let (to, mac, solicited) = match asker {
            IpAddr::V6(asker) if !asker.is_unspecified() => (asker, mac, true),
            _ => (ALL_NODES, Mac::of_group(ALL_NODES), false),
        };
        let target_mac = Some(self.advertised());
        let answer = Ndp::Advertisement { target, target_mac, solicited, overrides: true };
        self.push_ndp(mac, &answer, target, to, out);
    }

    /// One round: for each address both forms of gratuitous ARP (RFC 5227 section 3: some believe only one of them),
    /// or an unsolicited advertisement (RFC 4861 section 7.2.6); and the groups at which IPv6 neighbours ask, for
    /// switches.
    pub(super) fn announce(&mut self, out: &mut Outputs) {
        self.counters.announcements += 1;
        let own = self.advertised();
        for i in 0..self.config.vips.len() {
            match self.config.vips[i].ip {
                IpAddr::V4(ip) => {
                    let say = |request, target_mac| Arp {
                        request,
                        sender: ip,
                        sender_mac: own,
                        target: ip,
                        target_mac,
                    };
                    self.push_arp(Mac::BROADCAST, &say(true, Mac::ZERO), out);
                    self.push_arp(Mac::BROADCAST, &say(false, own), out);
                }
                IpAddr::V6(ip) => self.advertise(ip, Ipv4Addr::UNSPECIFIED.into(), Mac::ZERO, out),
            }
        }
        if let Some(header) = mld::report(self.config.vips.iter().map(|v| v.ip)) {
            let packet = Packet { header, ..Packet::default() };
            self.push_to(Mac::of_group(mld::ROUTERS), EtherType::IPV6, packet, out);
        }
    }

    pub(super) fn push_arp(&mut self, to: Mac, arp: &Arp, out: &mut Outputs) {
        let header = SmallVec::from_slice(&arp.write());
        self.push_to(to, EtherType::ARP, Packet { header, ..Packet::default() }, out);
    }

    fn push_ndp(&mut self, mac: Mac, ndp: &Ndp, source: Ipv6Addr, to: Ipv6Addr, out: &mut Outputs) {
        let header = ndp.write(source, to);
        self.push_to(mac, EtherType::IPV6, Packet { header, ..Packet::default() }, out);
    }

    pub(super) fn push_packet(&mut self, to: Mac, packet: Packet, out: &mut Outputs) {
        let six = packet.header.first().is_some_and(|first| first >> 4 == 6);
        self.push_to(to, if six { EtherType::IPV6 } else { EtherType::IPV4 }, packet, out);
    }

    fn push_to(&mut self, to: Mac, kind: EtherType, packet: Packet, out: &mut Outputs) {
        let Medium::Ethernet { source, vlan, .. } = self.config.medium else { return };
        self.push(Frame { link: ethernet::write(to, source, vlan, kind), packet }, out);
    }

    fn push(&mut self, frame: Frame, out: &mut Outputs) {
        assert!(self.active, "who is not active is silent");
        out.frames.push(frame);
    }
}
