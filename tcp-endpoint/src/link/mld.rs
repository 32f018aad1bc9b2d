//! Telling switches which IPv6 groups are listened to (MLDv2, RFC 3810 section 5.2).
//!
//! Neighbours ask for an IPv6 address at a multicast group; a switch that snoops (RFC 4541) sends that only where
//! somebody has reported the group, which RFC 4861 section 7.2.1 therefore asks for. Queries are not answered:
//! reports go with the announcements, which are repeated in time (the listener interval is 260 s).
//!
//! | offset | size | |
//! |---|---|---|
//! | 0 | 40 | IPv6 to `ff02::16`, hop limit 1, from no address (RFC 3590) |
//! | 40 | 8 | hop-by-hop options: router alert |
//! | 48 | 8 | ICMPv6 type 143, number of records |
//! | 56 | 20 each | kind 4: listens to the group, whoever sends |

use super::mac::solicited_node;
use etherparse::{Icmpv6Header, Icmpv6Type, IpNumber, Ipv6FlowLabel, Ipv6Header};
use smallvec::SmallVec;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

/// Where reports go.
pub(crate) const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
const REPORT: u8 = 143;
const CHANGE_TO_EXCLUDE: u8 = 4;
/// Next header, length, router alert for MLD (RFC 2711), padding.
const HOP_BY_HOP: [u8; 8] = [IpNumber::IPV6_ICMP.0, 0, 5, 2, 0, 0, 1, 0];

/// The whole packet that reports the groups where neighbours ask for these addresses; none if no one is IPv6.
pub(crate) fn report(addresses: impl Iterator<Item = IpAddr>) -> Option<SmallVec<[u8; 128]>> {
    let groups: BTreeSet<Ipv6Addr> = addresses
        .filter_map(|ip| match ip {
            IpAddr::V6(ip) => Some(solicited_node(ip)),
            IpAddr::V4(_) => None,
        })
        .collect();
    let mut records = Vec::with_capacity(20 * groups.len());
    for group in &groups {
        records.extend([CHANGE_TO_EXCLUDE, 0, 0, 0]);
        records.extend(group.octets());
    }
    let [high, low] = u16::try_from(groups.len()).ok().filter(|n| *n > 0)?.to_be_bytes();
    let kind = Icmpv6Type::Unknown { type_u8: REPORT, code_u8: 0, bytes5to8: [0, 0, high, low] };
    let nobody = Ipv6Addr::UNSPECIFIED.octets();
    let mut icmp = Icmpv6Header::new(kind);
    icmp.checksum = kind.calc_checksum(nobody, ROUTERS.octets(), &records).ok()?;
    let len = HOP_BY_HOP.len() + icmp.header_len() + records.len();
    let ip = Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::ZERO,
        payload_length: u16::try_from(len).ok()?,
        next_header: IpNumber::IPV6_HEADER_HOP_BY_HOP,
        hop_limit: 1,
        source: nobody,
        destination: ROUTERS.octets(),
    };
    let mut bytes = SmallVec::from_slice(&ip.to_bytes());
    bytes.extend_from_slice(&HOP_BY_HOP);
    bytes.extend_from_slice(&icmp.to_bytes());
    bytes.extend_from_slice(&records);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{SlicedPacket, TransportSlice};

    #[test]
    fn a_report_is_valid_and_has_each_group_once() {
        let addresses = ["192.0.2.10", "2001:db8::10", "2001:db8:1::10", "2001:db8::11"];
        let report = report(addresses.iter().map(|a| a.parse().unwrap())).unwrap();
        assert_eq!(report.len(), 56 + 2 * 20);
        let sliced = SlicedPacket::from_ip(&report).unwrap();
        let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else { panic!("not ICMPv6") };
        assert!(icmp.is_checksum_valid([0; 16], ROUTERS.octets()));
        assert_eq!((icmp.type_u8(), icmp.bytes5to8()), (REPORT, [0, 0, 0, 2]));
        assert_eq!(icmp.payload()[4..20], "ff02::1:ff00:10".parse::<Ipv6Addr>().unwrap().octets());
    }

    #[test]
    fn nothing_to_report() {
        assert_eq!(report(["192.0.2.10".parse().unwrap()].into_iter()), None);
    }
}
