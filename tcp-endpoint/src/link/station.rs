//! [`Link`]: one interface's share of the virtual addresses. This is what it does with what comes in; `outgoing` has
//! what it says.
//!
//! Needs: frames for the addresses (an [`Interface`](crate::net::Interface)), the time, and to be told whether this
//! endpoint is the leader. Gives: IP packets for the addresses, frames to send, and conflicts as events.
//!
//! While it is not *active* it sends nothing at all, and delivers nothing (in a mirrored group: it delivers, for the
//! replica to keep), but it learns who the neighbours are, so that a takeover has nobody to ask.
//!
//! Invariants: 1. not active, nothing is sent (asserted where frames are, in `outgoing`); 2. what is delivered is a
//! whole packet for one of the addresses, from an address that a host can have.

use super::{
    announce::Announcer,
    arp::Arp,
    config::{Config, ConfigError, Medium},
    counters::{Counters, Dropped},
    echo, ethernet,
    frame::{Frame, Ingress, Meta, Packet, Received},
    ip::{self, Envelope},
    mac::Mac,
    ndp::{self, Ndp},
    neighbours::{Due, Evidence, Neighbours, State},
    rate::Rate,
};
use bytes::Bytes;
use etherparse::{EtherType, IpNumber};
use gcs::time::Time;
use std::net::IpAddr;

/// Something that an operator wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another station says that it has the address. Told once for each MAC and each time that this endpoint is
    /// active, for up to 16 MACs; the address is announced again, at most each [`Config::defend_every`].
    Conflict {
        /// The address.
        ip: IpAddr,
        /// Who else claims it.
        mac: Mac,
    },
    /// Another station sends from this station's MAC: a second leader with the same virtual MAC, or a loop in the
    /// network. Told once each time that this endpoint is active.
    SameMac,
}

/// What the link wants done. Its owner empties it.
#[derive(Debug, Default)]
pub struct Outputs {
    /// To be sent, in this order.
    pub frames: Vec<Frame>,
    /// For TCP, in this order.
    pub packets: Vec<Ingress>,
    /// For the operator.
    pub events: Vec<Event>,
}

/// Where a frame came from, and whom it was sent to. None on a TUN.
type Stations = Option<ethernet::Header>;

/// The virtual addresses on one interface. See the module's example.
#[derive(Debug)]
pub struct Link {
    pub(super) config: Config,
    pub(super) active: bool,
    /// Whether another station with our MAC has been told of since it is active.
    same_mac: bool,
    pub(super) neighbours: Neighbours,
    announcer: Announcer,
    echoes: Rate,
    answers: Rate,
    pub(super) counters: Counters,
}

impl Link {
    /// A link that is not active.
    ///
    /// # Errors
    /// The configuration cannot work.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            active: false,
            same_mac: false,
            neighbours: Neighbours::new(&config),
            announcer: Announcer::new(config.announce_every, config.defend_every),
            echoes: Rate::new(config.echoes_per_second, config.echoes_per_second),
            answers: Rate::new(config.answers_per_second, config.answers_per_second),
            counters: Counters::default(),
            config,
        })
    }

    /// From now on this endpoint has the addresses (and announces them), or has them no more (and is silent: frames
    /// in `out` that have not been sent are dropped).
    pub fn set_active(&mut self, now: Time, active: bool, out: &mut Outputs) {
        if self.active == active {
            return;
        }
        self.active = active;
        self.same_mac = false;
        if !active {
            self.announcer.end();
            let unsent = self.neighbours.silence(now) + out.frames.drain(..).count() as u64;
            self.counters.drop_many(Dropped::Inactive, unsent);
            return;
        }
        if self.config.medium == Medium::Ip {
            return;
        }
        self.announcer.begin(now);
        self.tick(now, out);
        for gateway in self.config.gateways() {
            if self.neighbours.expect(now, gateway) {
                self.ask(gateway, None, out);
            }
        }
    }

    /// Whether this endpoint has the addresses.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Takes in what an interface has received.
    pub fn receive(&mut self, now: Time, received: Received, out: &mut Outputs) {
        if let Err(why) = self.on_frame(now, received, out) {
            self.counters.drop(why);
        }
    }

    /// Sends an IP packet from a virtual address. Off the link it goes to the gateway; it waits while a neighbour's
    /// MAC is asked for.
    pub fn send(&mut self, now: Time, packet: Packet, out: &mut Outputs) {
        if let Err(why) = self.route(now, packet, out) {
            self.counters.drop(why);
        }
    }

    /// Does what is due. To be called when [`Self::next_timer`] has come.
    pub fn tick(&mut self, now: Time, out: &mut Outputs) {
        if self.announcer.due(now) {
            self.announce(out);
        }
        while let Some(due) = self.neighbours.tick(now) {
            match due {
                Due::Ask(ip, mac) => self.ask(ip, mac, out),
                Due::GivenUp(waited) => self.counters.drop_many(Dropped::Unreachable, waited),
            }
        }
    }

    /// When [`Self::tick`] is to be called; [`Time::NEVER`] if nothing is due.
    #[must_use]
    pub fn next_timer(&self) -> Time {
        self.announcer.next_timer().min(self.neighbours.next_timer())
    }

    /// What it was told at first.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was dropped, and what was done.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Who is known on this link: for display, and for another replica's [`Self::hint`].
    pub fn neighbours(&self) -> impl Iterator<Item = (IpAddr, Mac, State)> + '_ {
        self.neighbours.all()
    }

    /// What another replica knows of a neighbour: used, but asked for at once.
    pub fn hint(&mut self, now: Time, ip: IpAddr, mac: Mac) {
        if !self.neighbours.knows(ip) && self.is_neighbour(ip) && mac.is_station() {
            self.neighbours.hint(now, ip, mac);
        }
    }

    fn on_frame(&mut self, now: Time, received: Received, out: &mut Outputs) -> Result<(), Dropped> {
        let Received { bytes, vlan, meta } = received;
        let Medium::Ethernet { source, advertised, vlan: ours } = self.config.medium else {
            let six = bytes.first().is_some_and(|first| first >> 4 == 6);
            return self.on_ip(now, None, bytes, six, meta, out);
        };
        let header = ethernet::read(&bytes, vlan)?;
        if header.vlan != ours {
            return Err(Dropped::OtherVlan);
        }
        let to_us = header.to == source || header.to == advertised;
        if header.from == source {
            self.on_same_mac(out);
            return Err(Dropped::OtherStation);
        }
        if !(to_us || header.to.is_group()) || !header.from.is_station() {
            return Err(Dropped::OtherStation);
        }
        let payload = bytes.slice(header.len..);
        match header.kind {
            EtherType::ARP => self.on_arp(now, Arp::read(&payload)?, out),
            EtherType::IPV4 => self.on_ip(now, Some(header), payload, false, meta, out),
            EtherType::IPV6 => self.on_ip(now, Some(header), payload, true, meta, out),
            _ => Err(Dropped::OtherProtocol),
        }
    }

    fn on_arp(&mut self, now: Time, arp: Arp, out: &mut Outputs) -> Result<(), Dropped> {
        let (sender, mac) = (IpAddr::V4(arp.sender), arp.sender_mac);
        if self.config.is_vip(sender) {
            self.on_claim(now, sender, mac, out);
            return Ok(());
        }
        let for_us = self.config.is_vip(arp.target.into());
        self.learn(now, sender, mac, Evidence::Said, for_us, out);
        if !for_us {
            return Err(Dropped::OtherAddress);
        }
        if arp.request && self.may_answer(now)? {
            let answer = Arp {
                request: false,
                sender: arp.target,
                sender_mac: self.advertised(),
                target: arp.sender,
                target_mac: mac,
            };
            self.push_arp(mac, &answer, out);
        }
        Ok(())
    }

    fn on_ip(
        &mut self,
        now: Time,
        stations: Stations,
        packet: Bytes,
        six: bool,
        meta: Meta,
        out: &mut Outputs,
    ) -> Result<(), Dropped> {
        let envelope = ip::read(&packet, six)?;
        let body = &packet[envelope.header..envelope.len];
        if let Some(header) = stations
            && envelope.next == IpNumber::IPV6_ICMP
            && ndp::is_one(body)
        {
            return self.on_ndp(now, &envelope, Ndp::read(&envelope, body)?, header.from, out);
        }
        let Envelope { source, destination, .. } = envelope;
        if source.is_unspecified() || self.config.is_vip(source) || self.config.is_broadcast(source) {
            return Err(Dropped::Martian);
        }
        if !self.config.is_vip(destination) {
            return Err(Dropped::OtherAddress);
        }
        if let Some(header) = stations {
            if header.to.is_group() && header.to != self.advertised() {
                return Err(Dropped::OtherStation);
            }
            self.learn_from_traffic(now, source, header.from, out);
        }
        let is_echo = echo::is_request(&envelope, &packet);
        if !self.active && (is_echo || !self.mirrors()) {
            return Err(Dropped::Inactive);
        }
        let ingress = Ingress { packet: packet.slice(..envelope.len), meta };
        if !is_echo {
            out.packets.push(ingress);
            return Ok(());
        }
        if !self.echoes.allows(now) {
            return Err(Dropped::TooOften);
        }
        let reply = echo::reply(&envelope, &ingress)?;
        self.counters.echoes += 1;
        self.route(now, reply, out)
    }

    fn on_ndp(
        &mut self,
        now: Time,
        envelope: &Envelope,
        ndp: Ndp,
        from: Mac,
        out: &mut Outputs,
    ) -> Result<(), Dropped> {
        match ndp {
            Ndp::Solicitation { target, source_mac } => {
                let (source, for_us) = (envelope.source, self.config.is_vip(target.into()));
                if self.config.is_vip(source) {
                    self.on_claim(now, source, source_mac.unwrap_or(from), out);
                    return Ok(());
                }
                if let Some(mac) = source_mac {
                    self.learn(now, source, mac, Evidence::Said, for_us, out);
                }
                if !for_us {
                    return Err(Dropped::OtherAddress);
                }
                if self.may_answer(now)? {
                    self.advertise(target, source, source_mac.unwrap_or(from), out);
                }
            }
            Ndp::Advertisement { target, target_mac, solicited, overrides } => {
                let (ip, mac) = (IpAddr::V6(target), target_mac.unwrap_or(from));
                if self.config.is_vip(ip) {
                    self.on_claim(now, ip, mac, out);
                    return Ok(());
                }
                let evidence = if overrides || solicited { Evidence::Said } else { Evidence::Seen };
                self.learn(now, ip, mac, evidence, false, out);
            }
        }
        Ok(())
    }

    /// Another station may have said that it has `ip`.
    fn on_claim(&mut self, now: Time, ip: IpAddr, mac: Mac, out: &mut Outputs) {
        let Medium::Ethernet { source, advertised, .. } = self.config.medium else { return };
        if mac == source || mac == advertised {
            return;
        }
        if !self.active {
            self.counters.claims += 1;
            return;
        }
        self.counters.conflicts += 1;
        let (new, defend) = self.announcer.claimed(now, mac);
        if new {
            out.events.push(Event::Conflict { ip, mac });
        }
        if defend {
            self.announce(out);
        }
    }

    /// A frame that came in seems to be ours; an interface does not show us what we send.
    fn on_same_mac(&mut self, out: &mut Outputs) {
        if self.active {
            self.counters.same_mac += 1;
            if !std::mem::replace(&mut self.same_mac, true) {
                out.events.push(Event::SameMac);
            }
        }
    }

    /// Whether a question for one of our addresses is to be answered.
    fn may_answer(&mut self, now: Time) -> Result<bool, Dropped> {
        if !self.active {
            return Ok(false);
        }
        if !self.answers.allows(now) {
            return Err(Dropped::TooOften);
        }
        self.counters.answers += 1;
        Ok(true)
    }

    /// A neighbour, or who says it is one, is at `mac`. Whoever asked for us is remembered, and so are gateways; of
    /// others only what is known is corrected (RFC 826, "Packet Reception").
    fn learn(&mut self, now: Time, ip: IpAddr, mac: Mac, how: Evidence, for_us: bool, out: &mut Outputs) {
        let wanted = for_us || self.config.is_gateway(ip) || self.neighbours.knows(ip);
        if !wanted || !self.is_neighbour(ip) || !mac.is_station() {
            return;
        }
        for packet in self.neighbours.learn(now, ip, mac, how) {
            self.push_packet(mac, packet, out);
        }
    }

    /// A packet came from a host on the link. What the gateway forwards says nothing about hosts, even if it seems to
    /// come from one.
    fn learn_from_traffic(&mut self, now: Time, source: IpAddr, from: Mac, out: &mut Outputs) {
        let gateway = self.config.gateway(source);
        if gateway == Some(source) || gateway.and_then(|g| self.neighbours.mac(g)) != Some(from) {
            self.learn(now, source, from, Evidence::Seen, true, out);
        }
    }

    pub(super) fn is_neighbour(&self, ip: IpAddr) -> bool {
        let one = !ip.is_unspecified() && !ip.is_multicast() && !self.config.is_broadcast(ip);
        one && self.config.on_link(ip) && !self.config.is_vip(ip)
    }

    pub(super) fn advertised(&self) -> Mac {
        match self.config.medium {
            Medium::Ethernet { advertised, .. } => advertised,
            Medium::Ip => Mac::ZERO,
        }
    }

    fn mirrors(&self) -> bool {
        self.advertised().is_group()
    }

    /// Asserts the invariants of its parts.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.neighbours.check();
        assert!(self.active || self.announcer.next_timer() == Time::NEVER, "who is not active is silent");
    }
}
