//! A packet becomes a segment, or what a router says about one.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, IpSlice, TcpSlice};
use thiserror::Error;

use super::options;
use crate::{
    link::{Checksum, Ingress},
    tcp::{Payload, Segment, Seq},
};

/// ICMP: destination unreachable, fragmentation needed (RFC 792, RFC 1191). ICMPv6: packet too big (RFC 4443).
const V4_TOO_BIG: [u8; 2] = [3, 4];
const V6_TOO_BIG: u8 = 2;

/// What a packet is to TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A segment.
    Segment(Segment),
    /// A router cannot pass on packets of this connection that are longer than `mtu` bytes.
    TooBig {
        /// Our side of the connection.
        local: SocketAddr,
        /// The peer.
        remote: SocketAddr,
        /// The sequence number in the packet that was too big.
        seq: Seq,
        /// What the router can pass on, in bytes; 0 if it does not say.
        mtu: u16,
    },
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Dropped {
    /// Not a whole IP packet with a whole transport header.
    #[error("malformed")]
    Malformed,
    /// A fragment: TCP announces segment sizes that need none.
    #[error("fragment")]
    Fragment,
    /// Its checksum is wrong.
    #[error("checksum")]
    Checksum,
    /// Neither TCP nor an ICMP message about TCP.
    #[error("other protocol")]
    Other,
}

/// Reads a packet.
///
/// # Errors
/// Why it is dropped.
pub fn read(ingress: &Ingress) -> Result<Arrival, Dropped> {
    let bytes = &ingress.packet[..];
    let ip = IpSlice::from_slice(bytes).map_err(|_| Dropped::Malformed)?;
    if ip.is_fragmenting_payload() {
        return Err(Dropped::Fragment);
    }
    let addresses = (ip.source_addr(), ip.destination_addr());
    let transport = ip.payload().payload;
    match ip.payload_ip_number() {
        IpNumber::TCP => segment(ingress, addresses, transport),
        IpNumber::ICMP => too_big(transport, transport.get(..2) == Some(&V4_TOO_BIG)),
        IpNumber::IPV6_ICMP => too_big(transport, transport.first() == Some(&V6_TOO_BIG)),
        _ => Err(Dropped::Other),
    }
}

fn segment(ingress: &Ingress, (from, to): (IpAddr, IpAddr), transport: &[u8]) -> Result<Arrival, Dropped> {
    let tcp = TcpSlice::from_slice(transport).map_err(|_| Dropped::Malformed)?;
    if ingress.meta.checksum == Checksum::Unverified {
        let right = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => tcp.calc_checksum_ipv4(from.octets(), to.octets()),
            (IpAddr::V6(from), IpAddr::V6(to)) => tcp.calc_checksum_ipv6(from.octets(), to.octets()),
            _ => return Err(Dropped::Malformed),
        };
        if right.ok() != Some(tcp.checksum()) {
            return Err(Dropped::Checksum);
        }
    }
    let from = SocketAddr::new(from, tcp.source_port());
    let to = SocketAddr::new(to, tcp.destination_port());
    let ack = tcp.ack().then(|| Seq(tcp.acknowledgment_number()));
    let mut segment = Segment::new(from, to, Seq(tcp.sequence_number()), ack);
    (segment.syn, segment.fin, segment.rst, segment.psh) = (tcp.syn(), tcp.fin(), tcp.rst(), tcp.psh());
    segment.window = tcp.window_size();
    segment.options = options::read(tcp.options(), segment.syn);
    if !tcp.payload().is_empty() {
        segment.payload = Payload::from_iter([ingress.packet.slice_ref(tcp.payload())]);
        segment.packet_bytes = ingress.meta.segment;
    }
    Ok(Arrival::Segment(segment))
}

/// Reads the beginning of our packet that the message brings back. The message's own checksum is not worth looking at: the
/// machine believes only what fits to something under way.
fn too_big(icmp: &[u8], it_is: bool) -> Result<Arrival, Dropped> {
    let (true, Some(mtu), Some(ours)) = (it_is, icmp.get(4..8), icmp.get(8..)) else {
        return Err(Dropped::Other);
    };
    let six = ours.first().is_some_and(|b| b >> 4 == 6);
    let (header, protocol) =
        if six { (40, ours.get(6)) } else { (usize::from(ours.first().unwrap_or(&0) & 15) * 4, ours.get(9)) };
    let (Some(6), Some(ip), Some(tcp)) =
        (protocol.copied(), ours.get(..header), ours.get(header..header + 8))
    else {
        return Err(Dropped::Other);
    };
    let (local, remote) = if six {
        let at = |i: usize| IpAddr::from(<[u8; 16]>::try_from(&ip[i..i + 16]).expect("sixteen bytes"));
        (at(8), at(24))
    } else {
        if ip.len() < 20 {
            return Err(Dropped::Malformed);
        }
        let at = |i: usize| IpAddr::from(<[u8; 4]>::try_from(&ip[i..i + 4]).expect("four bytes"));
        (at(12), at(16))
    };
    let port = |i: usize| u16::from_be_bytes([tcp[i], tcp[i + 1]]);
    Ok(Arrival::TooBig {
        local: SocketAddr::new(local, port(0)),
        remote: SocketAddr::new(remote, port(2)),
        seq: Seq(u32::from_be_bytes(tcp[4..8].try_into().expect("four bytes"))),
        mtu: u16::try_from(u32::from_be_bytes(mtu.try_into().expect("four bytes"))).unwrap_or(u16::MAX),
    })
}
