//! Echo requests and their replies (RFC 792, RFC 4443 section 4). What was sent is sent back, without copying it.

use super::{
    counters::Dropped,
    frame::{Checksum, Ingress, Packet},
    ip::{self, Envelope},
};
use etherparse::{
    Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header,
    checksum::Sum16BitWords,
};
use smallvec::{SmallVec, smallvec};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HOP_LIMIT: u8 = 64;
const ICMP_HEADER: usize = 8;

/// Whether an unfragmented packet with this envelope is an echo request.
pub(crate) fn is_request(envelope: &Envelope, packet: &[u8]) -> bool {
    let kind = packet.get(envelope.header).copied();
    match envelope.next {
        IpNumber::ICMP => kind == Some(8) && !envelope.fragment,
        IpNumber::IPV6_ICMP => kind == Some(128),
        _ => false,
    }
}

/// The reply to a packet that [`is_request`].
pub(crate) fn reply(envelope: &Envelope, request: &Ingress) -> Result<Packet, Dropped> {
    let verify = request.meta.checksum == Checksum::Unverified;
    let icmp = &request.packet[envelope.header..envelope.len];
    let header = match (envelope.source, envelope.destination) {
        (IpAddr::V4(from), IpAddr::V4(own)) => v4(own, from, icmp, verify),
        (IpAddr::V6(from), IpAddr::V6(own)) => v6(own, from, icmp, verify),
        _ => None,
    };
    let header = header.ok_or(Dropped::BadIcmp)?;
    let payload = request.packet.slice(envelope.header + ICMP_HEADER..envelope.len);
    Ok(Packet { header, payload: smallvec![payload], segment: 0, fill_checksum: false })
}

fn v4(from: Ipv4Addr, to: Ipv4Addr, icmp: &[u8], verify: bool) -> Option<SmallVec<[u8; 128]>> {
    let slice = Icmpv4Slice::from_slice(icmp).ok()?;
    let Icmpv4Type::EchoRequest(echo) = slice.icmp_type() else { return None };
    if verify && Sum16BitWords::new().add_slice(icmp).ones_complement() != 0 {
        return None;
    }
    let reply = etherparse::Icmpv4Header::with_checksum(Icmpv4Type::EchoReply(echo), slice.payload());
    let len = u16::try_from(icmp.len()).ok()?;
    let mut header = Ipv4Header::new(len, HOP_LIMIT, IpNumber::ICMP, from.octets(), to.octets()).ok()?;
    header.header_checksum = header.calc_header_checksum();
    let mut bytes = SmallVec::from_slice(&header.to_bytes());
    bytes.extend_from_slice(&reply.to_bytes());
    Some(bytes)
}

fn v6(from: Ipv6Addr, to: Ipv6Addr, icmp: &[u8], verify: bool) -> Option<SmallVec<[u8; 128]>> {
    let slice = Icmpv6Slice::from_slice(icmp).ok()?;
    let Icmpv6Type::EchoRequest(echo) = slice.icmp_type() else { return None };
    let sum = ip::pseudo_header(to.into(), from.into(), IpNumber::IPV6_ICMP, icmp.len()).add_slice(icmp);
    if verify && sum.ones_complement() != 0 {
        return None;
    }
    let kind = Icmpv6Type::EchoReply(echo);
    let mut reply = etherparse::Icmpv6Header::new(kind);
    reply.checksum = kind.calc_checksum(from.octets(), to.octets(), slice.payload()).ok()?;
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::ZERO,
        payload_length: u16::try_from(icmp.len()).ok()?,
        next_header: IpNumber::IPV6_ICMP,
        hop_limit: HOP_LIMIT,
        source: from.octets(),
        destination: to.octets(),
    };
    let mut bytes = SmallVec::from_slice(&header.to_bytes());
    bytes.extend_from_slice(&reply.to_bytes());
    Some(bytes)
}

/// An echo request, for tests.
#[cfg(test)]
pub(crate) fn request(from: IpAddr, to: IpAddr, sequence: u16, payload: &[u8]) -> Vec<u8> {
    use etherparse::{IcmpEchoHeader, PacketBuilder};
    let echo = IcmpEchoHeader { id: 7, seq: sequence };
    let mut bytes = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64)
            .icmpv4(Icmpv4Type::EchoRequest(echo))
            .write(&mut bytes, payload),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64)
            .icmpv6(Icmpv6Type::EchoRequest(echo))
            .write(&mut bytes, payload),
        _ => panic!("of two families"),
    }
    .unwrap();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Meta;
    use bytes::Bytes;

    fn answered(packet: Vec<u8>, checksum: Checksum) -> Result<Packet, Dropped> {
        let six = packet[0] >> 4 == 6;
        let envelope = ip::read(&packet, six).unwrap();
        assert!(is_request(&envelope, &packet));
        let meta = Meta { segment: 0, checksum };
        reply(&envelope, &Ingress { packet: Bytes::from(packet), meta })
    }

    #[test]
    fn replies_are_valid_and_carry_the_payload() {
        for (client, vip) in [("192.0.2.1", "192.0.2.10"), ("2001:db8::1", "2001:db8::10")] {
            let (client, vip): (IpAddr, IpAddr) = (client.parse().unwrap(), vip.parse().unwrap());
            let reply = answered(request(client, vip, 3, b"odd"), Checksum::Unverified).unwrap();
            assert_eq!(reply.addresses(), Some((vip, client)));
            assert_eq!(reply.payload[..], [Bytes::from_static(b"odd")]);
            let mut whole = reply.header.to_vec();
            whole.extend_from_slice(b"odd");
            let envelope = ip::read(&whole, vip.is_ipv6()).unwrap();
            let icmp = &whole[envelope.header..];
            assert_eq!(icmp[0], if vip.is_ipv4() { 0 } else { 129 });
            assert_eq!(icmp[4..8], [0, 7, 0, 3], "identifier and sequence number");
            let sum = match vip {
                IpAddr::V4(_) => Sum16BitWords::new(),
                IpAddr::V6(_) => ip::pseudo_header(vip, client, IpNumber::IPV6_ICMP, icmp.len()),
            };
            assert_eq!(sum.add_slice(icmp).ones_complement(), 0, "checksum");
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused_unless_somebody_else_has_verified_it() {
        for (client, vip) in [("192.0.2.1", "192.0.2.10"), ("2001:db8::1", "2001:db8::10")] {
            let mut packet = request(client.parse().unwrap(), vip.parse().unwrap(), 3, b"data");
            *packet.last_mut().unwrap() ^= 1;
            assert_eq!(answered(packet.clone(), Checksum::Unverified), Err(Dropped::BadIcmp));
            assert!(answered(packet, Checksum::Good).is_ok());
        }
    }
}
