//! Neighbour solicitations and advertisements (RFC 4861 sections 4.3, 4.4 and 7.1).

use super::{counters::Dropped, ip::Envelope, mac::Mac};
use etherparse::{
    Icmpv6Slice, Icmpv6Type, IpNumber, Ipv6FlowLabel, Ipv6Header,
    icmpv6::{Icmpv6PayloadSlice, NdpOptionSlice, NdpOptionsIterator, NeighborAdvertisementHeader},
};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv6Addr};

/// Messages of neighbour discovery have not been forwarded: they have the highest hop limit.
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// A question or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ndp {
    /// Who has `target`? The source's MAC may be in it.
    Solicitation { target: Ipv6Addr, source_mac: Option<Mac> },
    /// `target` is at `target_mac`, or, without one, at the source of the frame.
    Advertisement { target: Ipv6Addr, target_mac: Option<Mac>, solicited: bool, overrides: bool },
}

/// Whether an ICMPv6 message is one of these.
pub(crate) fn is_one(icmp: &[u8]) -> bool {
    matches!(icmp.first(), Some(&(SOLICITATION | ADVERTISEMENT)))
}

impl Ndp {
    /// Reads an ICMPv6 message that [`is_one`], and that came in `envelope`; verifies all that RFC 4861 asks for.
    pub(crate) fn read(envelope: &Envelope, icmp: &[u8]) -> Result<Self, Dropped> {
        Self::read_valid(envelope, icmp).ok_or(Dropped::BadNdp)
    }

    fn read_valid(envelope: &Envelope, icmp: &[u8]) -> Option<Self> {
        let (IpAddr::V6(source), IpAddr::V6(to)) = (envelope.source, envelope.destination) else {
            return None;
        };
        let slice = Icmpv6Slice::from_slice(icmp).ok()?;
        let valid = slice.is_checksum_valid(source.octets(), to.octets());
        if envelope.hop_limit != HOP_LIMIT || slice.code_u8() != 0 || !valid {
            return None;
        }
        match (slice.icmp_type(), slice.payload_slice().ok()?) {
            (Icmpv6Type::NeighborSolicitation, Icmpv6PayloadSlice::NeighborSolicitation(s)) => {
                let (target, source_mac) = (s.target_address(), mac_in(s.options_iterator())?);
                let anonymous = source.is_unspecified();
                let asked_properly = !anonymous || (is_solicited_node(to) && source_mac.is_none());
                (!target.is_multicast() && asked_properly)
                    .then_some(Self::Solicitation { target, source_mac })
            }
            (Icmpv6Type::NeighborAdvertisement(flags), Icmpv6PayloadSlice::NeighborAdvertisement(a)) => {
                let (target, target_mac) = (a.target_address(), mac_in(a.options_iterator())?);
                let (solicited, overrides) = (flags.solicited, flags.r#override);
                let to_all = to.is_multicast() && solicited;
                (!target.is_multicast() && !to_all && !source.is_unspecified())
                    .then_some(Self::Advertisement { target, target_mac, solicited, overrides })
            }
            _ => None,
        }
    }

    /// The whole IPv6 packet.
    pub(crate) fn write(&self, source: Ipv6Addr, to: Ipv6Addr) -> SmallVec<[u8; 128]> {
        let (kind, target, option, mac) = match *self {
            Self::Solicitation { target, source_mac } => {
                (Icmpv6Type::NeighborSolicitation, target, 1, source_mac)
            }
            Self::Advertisement { target, target_mac, solicited, overrides } => {
                let flags = NeighborAdvertisementHeader { router: false, solicited, r#override: overrides };
                (Icmpv6Type::NeighborAdvertisement(flags), target, 2, target_mac)
            }
        };
        let mut payload: SmallVec<[u8; 24]> = SmallVec::from_slice(&target.octets());
        if let Some(mac) = mac {
            payload.extend_from_slice(&[option, 1]);
            payload.extend_from_slice(&mac.0);
        }
        icmp_packet(kind, source, to, HOP_LIMIT, &payload)
    }
}

/// An ICMPv6 message in an IPv6 packet; its checksum covers `payload`, which is appended.
fn icmp_packet(
    kind: Icmpv6Type,
    from: Ipv6Addr,
    to: Ipv6Addr,
    hops: u8,
    payload: &[u8],
) -> SmallVec<[u8; 128]> {
    let checksum = kind.calc_checksum(from.octets(), to.octets(), payload);
    let mut icmp = etherparse::Icmpv6Header::new(kind);
    // Fails for payloads beyond 4 GiB only.
    icmp.checksum = checksum.unwrap_or_default();
    let len = icmp.header_len() + payload.len();
    let ip = Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::ZERO,
        payload_length: u16::try_from(len).unwrap_or(u16::MAX),
        next_header: IpNumber::IPV6_ICMP,
        hop_limit: hops,
        source: from.octets(),
        destination: to.octets(),
    };
    let mut bytes = SmallVec::from_slice(&ip.to_bytes());
    bytes.extend_from_slice(&icmp.to_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The link address among the options, of either kind: a message has only one. None if the options are malformed.
fn mac_in(options: NdpOptionsIterator<'_>) -> Option<Option<Mac>> {
    let mut found = None;
    for option in options {
        let address = match option.ok()? {
            NdpOptionSlice::SourceLinkLayerAddress(o) => o.link_layer_address().try_into().ok(),
            NdpOptionSlice::TargetLinkLayerAddress(o) => o.link_layer_address().try_into().ok(),
            _ => continue,
        };
        found = Some(Mac(address?));
    }
    Some(found)
}

fn is_solicited_node(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    s[..6] == [0xff02, 0, 0, 0, 0, 1] && s[6] >> 8 == 0xff
}

#[cfg(test)]
mod tests {
    use super::{super::ip, *};

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn a(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn read(packet: &[u8]) -> Result<Ndp, Dropped> {
        let envelope = ip::read(packet, true).unwrap();
        assert!(is_one(&packet[40..]));
        Ndp::read(&envelope, &packet[40..envelope.len])
    }

    #[test]
    fn what_is_written_is_read() {
        let target = a("2001:db8::10");
        for mac in [None, Some(MAC)] {
            let asks = Ndp::Solicitation { target, source_mac: mac };
            assert_eq!(read(&asks.write(a("2001:db8::1"), a("ff02::1:ff00:10"))), Ok(asks));
            for (solicited, overrides) in [(true, true), (false, true), (true, false)] {
                let answers = Ndp::Advertisement { target, target_mac: mac, solicited, overrides };
                assert_eq!(read(&answers.write(target, a("2001:db8::1"))), Ok(answers));
            }
        }
    }

    #[test]
    fn what_the_standard_refuses() {
        let target = a("2001:db8::10");
        let asks = Ndp::Solicitation { target, source_mac: Some(MAC) };
        let good = asks.write(a("2001:db8::1"), a("ff02::1:ff00:10"));
        for (at, what) in [(7, "hop limit"), (41, "code"), (42, "checksum"), (65, "option's length")] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(read(&bad), Err(Dropped::BadNdp), "{what}");
        }
        let refused = |ndp: Ndp, from, to| assert_eq!(read(&ndp.write(a(from), a(to))), Err(Dropped::BadNdp));
        refused(asks, "::", "ff02::1:ff00:10");
        let nameless = Ndp::Solicitation { target, source_mac: None };
        refused(nameless, "::", "2001:db8::10");
        refused(Ndp::Solicitation { target: a("ff02::1"), source_mac: None }, "fe80::1", "ff02::1");
        let answer = Ndp::Advertisement { target, target_mac: Some(MAC), solicited: true, overrides: true };
        refused(answer, "2001:db8::10", "ff02::1");
    }
}
