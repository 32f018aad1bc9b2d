//! What a client's cable has to show, whoever emits for the virtual addresses: each connection keeps what it has promised
//! (`connection`), and one host at a time emits.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use etherparse::{NetSlice, SlicedPacket, TcpOptionElement, TransportSlice};
use gcs_tcp_endpoint::{link::Mac, tcp::Seq};

use super::{
    Tcp,
    connection::{Broken, Connection},
};

/// Violations that are told in words; further ones are only counted.
const TOLD: usize = 20;

/// Reads frames in order.
pub(crate) struct Oracle {
    vips: Vec<IpAddr>,
    /// By client and address: the latest connection.
    connections: BTreeMap<(SocketAddr, SocketAddr), Connection>,
    /// Who has emitted for the addresses, one after the other.
    emitters: Vec<(Duration, Mac)>,
    seen: Seen,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) frames: u64,
    pub(crate) connections: u64,
    /// New bytes of streams to the clients, and from them.
    pub(crate) bytes: (u64, u64),
    /// Bytes that the addresses have said again.
    pub(crate) again: u64,
    /// Resets of what was no open connection.
    pub(crate) resets: u64,
    /// How many times a client had to speak first after a takeover. That is none's fault where clients speak all the time.
    pub(crate) unkicked: u64,
    pub(crate) violations: u64,
    /// The first of them.
    pub(crate) told: Vec<String>,
}

impl Seen {
    /// Says it at once: whoever waits for the client may wait long.
    pub(crate) fn violates(&mut self, what: String) {
        self.violations += 1;
        if self.told.len() < TOLD {
            eprintln!("VIOLATION {what}");
            self.told.push(what);
        }
    }
}

impl Oracle {
    pub(crate) fn new(vips: Vec<IpAddr>) -> Self {
        Self { vips, connections: BTreeMap::new(), emitters: Vec::new(), seen: Seen::default() }
    }

    /// A frame at `at`. What cannot be read says nothing.
    pub(crate) fn frame(&mut self, at: Duration, frame: &Bytes) {
        self.seen.frames += 1;
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else { return };
        let (from, to): (IpAddr, IpAddr) = match &packet.net {
            Some(NetSlice::Ipv4(ip)) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            Some(NetSlice::Ipv6(ip)) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            Some(NetSlice::Arp(_)) => {
                // RFC 826: the sender's address stands behind its MAC.
                let sender = frame.get(28..32).and_then(|ip| <[u8; 4]>::try_from(ip).ok());
                return if sender.is_some_and(|ip| self.ours(ip.into())) {
                    self.emits(at, frame)
                };
            }
            None => return,
        };
        if self.ours(from) {
            self.emits(at, frame);
        }
        let Some(TransportSlice::Tcp(slice)) = &packet.transport else { return };
        let shift = slice.options_iterator().flatten().find_map(|option| match option {
            TcpOptionElement::WindowScale(shift) => Some(shift),
            _ => None,
        });
        let tcp = Tcp {
            seq: Seq(slice.sequence_number()),
            ack: slice.ack().then(|| Seq(slice.acknowledgment_number())),
            syn: slice.syn(),
            fin: slice.fin(),
            rst: slice.rst(),
            window: slice.window_size(),
            shift,
            payload: frame.slice_ref(slice.payload()),
        };
        let from = SocketAddr::new(from, slice.source_port());
        let to = SocketAddr::new(to, slice.destination_port());
        if self.ours(to.ip()) {
            self.client_sends((from, to), &tcp);
        } else if self.ours(from.ip()) {
            self.vip_sends(at, (to, from), &tcp);
        }
    }

    fn ours(&self, ip: IpAddr) -> bool {
        self.vips.contains(&ip)
    }

    fn emits(&mut self, at: Duration, frame: &Bytes) {
        let mac = frame.get(6..12).and_then(|mac| mac.try_into().ok()).map_or(Mac::ZERO, Mac);
        if self.emitters.last().is_none_or(|(_, last)| *last != mac) {
            self.emitters.push((at, mac));
        }
    }

    fn client_sends(&mut self, names: (SocketAddr, SocketAddr), tcp: &Tcp) {
        let begins = tcp.syn && tcp.ack.is_none();
        if begins && self.connections.get(&names).is_none_or(|c| c.isn() != tcp.seq) {
            self.connections.insert(names, Connection::new(tcp.seq, self.emitters.len()));
            self.seen.connections += 1;
        } else if let Some(connection) = self.connections.get_mut(&names) {
            self.seen.unkicked += u64::from(connection.hears(self.emitters.len()));
            self.seen.bytes.1 += connection.client_sends(tcp);
        }
    }

    fn vip_sends(&mut self, at: Duration, names: (SocketAddr, SocketAddr), tcp: &Tcp) {
        let Some(connection) = self.connections.get_mut(&names) else {
            self.seen.resets += u64::from(tcp.rst);
            return;
        };
        self.seen.resets += u64::from(tcp.rst && !connection.is_open());
        connection.hears(self.emitters.len());
        match connection.vip_sends(tcp) {
            Ok(new) => {
                self.seen.bytes.0 += new;
                self.seen.again += (tcp.payload.len() as u64).saturating_sub(new);
            }
            Err(broken) => {
                let mac = self.emitters.last().map_or(Mac::ZERO, |(_, mac)| *mac);
                let (client, vip) = names;
                self.seen.violates(format!("{at:?}: {vip} at {mac} to {client}: {broken:?}"));
                if broken == Broken::Reset {
                    self.connections.remove(&names);
                }
            }
        }
    }

    /// What was seen, now that all is over. `leaders`: the MACs of those who have said that they lead, one after the other. Nobody else may have
    /// emitted, and nobody when somebody else had begun to lead.
    pub(crate) fn end(mut self, leaders: &[Mac]) -> Seen {
        let mut rest = leaders.iter();
        let second = self.emitters.iter().position(|(_, mac)| !rest.any(|leader| leader == mac));
        if let Some(second) = second {
            let (at, mac) = self.emitters[second];
            let before = &self.emitters[second.saturating_sub(3)..second];
            self.seen.violates(format!("{at:?}: {mac} emits and does not lead, after {before:?}"));
        }
        self.seen
    }
}
