//! A segment becomes a packet.

use std::net::IpAddr;

use etherparse::{IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader};

use super::options;
use crate::{link::Packet, tcp::Segment};

/// How many routers a packet may pass (RFC 9293, section 3.9.2).
const HOPS: u8 = 64;

/// The packet that carries `segment`, its TCP checksum to be filled in on its way. At most 65,535 bytes: what the machine
/// emits fits.
///
/// # Panics
/// If a segment is longer than an IP packet.
#[must_use]
pub fn write(segment: &Segment) -> Packet {
    let mut tcp = TcpHeader::new(segment.from.port(), segment.to.port(), segment.seq.0, segment.window);
    tcp.ack = segment.ack.is_some();
    tcp.acknowledgment_number = segment.ack.map_or(0, |a| a.0);
    (tcp.syn, tcp.fin, tcp.rst, tcp.psh) = (segment.syn, segment.fin, segment.rst, segment.psh);
    tcp.set_options_raw(&options::write(&segment.options)).expect("at most forty bytes");
    let len = u16::try_from(tcp.header_len() + segment.payload_len()).expect("a segment fits into a packet");
    let mut packet = Packet {
        payload: segment.payload.clone(),
        segment: segment.packet_bytes,
        fill_checksum: true,
        ..Packet::default()
    };
    match (segment.from.ip(), segment.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip =
                Ipv4Header::new(len, HOPS, IpNumber::TCP, from.octets(), to.octets()).expect("checked above");
            ip.dont_fragment = true;
            ip.header_checksum = ip.calc_header_checksum();
            packet.header.extend_from_slice(&ip.to_bytes());
        }
        (from, to) => {
            let octets = |ip| match ip {
                IpAddr::V4(ip) => std::net::Ipv4Addr::to_ipv6_mapped(&ip).octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            let ip = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: len,
                next_header: IpNumber::TCP,
                hop_limit: HOPS,
                source: octets(from),
                destination: octets(to),
            };
            packet.header.extend_from_slice(&ip.to_bytes());
        }
    }
    packet.header.extend_from_slice(&tcp.to_bytes());
    packet
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        link::{Checksum, Ingress, Meta},
        packet::{Arrival, Dropped, read},
        tcp::{Options, Seq},
    };

    fn sample(six: bool, len: usize) -> Segment {
        let (from, to) =
            if six { ("[2001:db8::1]:80", "[2001:db8::2]:4000") } else { ("192.0.2.1:80", "192.0.2.2:4000") };
        let mut segment = Segment::new(from.parse().unwrap(), to.parse().unwrap(), Seq(7), Some(Seq(9)));
        segment.window = 77;
        segment.psh = true;
        segment.options = Options {
            timestamps: Some((1, 2)),
            sack: [(Seq(3), Seq(4))].into_iter().collect(),
            ..Options::default()
        };
        let half = vec![1u8; len / 2];
        segment.payload =
            [half, vec![2u8; len - len / 2]].into_iter().map(Bytes::from).filter(|b| !b.is_empty()).collect();
        segment
    }

    fn ingress(packet: &Packet) -> Ingress {
        let all = [&packet.header[..], &packet.payload.concat()].concat();
        Ingress { packet: all.into(), meta: Meta { segment: 0, checksum: Checksum::Good } }
    }

    fn router(to: IpAddr, icmp: &[u8]) -> Packet {
        let len = u16::try_from(icmp.len()).unwrap();
        let header = match to {
            IpAddr::V4(to) => Ipv4Header::new(len, HOPS, IpNumber::ICMP, [192, 0, 2, 9], to.octets())
                .unwrap()
                .to_bytes()
                .to_vec(),
            IpAddr::V6(to) => {
                let (next_header, destination) = (IpNumber::IPV6_ICMP, to.octets());
                Ipv6Header {
                    payload_length: len,
                    next_header,
                    hop_limit: HOPS,
                    destination,
                    ..Ipv6Header::default()
                }
                .to_bytes()
                .to_vec()
            }
        };
        Packet {
            header: header.into(),
            payload: [Bytes::copy_from_slice(icmp)].into_iter().collect(),
            ..Packet::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for (six, len) in [(false, 0), (true, 0), (false, 1000), (true, 1001), (false, 65_000)] {
            let segment = sample(six, len);
            let Ok(Arrival::Segment(back)) = read(&ingress(&write(&segment))) else { panic!() };
            assert_eq!(back.payload.concat(), segment.payload.concat());
            assert_eq!(
                Segment { payload: <_>::default(), ..back },
                Segment { payload: <_>::default(), ..segment }
            );
        }
    }

    #[test]
    fn a_wrong_checksum_is_seen() {
        let mut it = ingress(&write(&sample(false, 100)));
        it.meta.checksum = Checksum::Unverified;
        assert_eq!(read(&it), Err(Dropped::Checksum));
    }

    #[test]
    fn a_router_says_that_a_packet_is_too_big() {
        for six in [false, true] {
            let ours = ingress(&write(&sample(six, 1000))).packet;
            let mut icmp = if six { vec![2, 0, 0, 0, 0, 0, 5, 0] } else { vec![3, 4, 0, 0, 0, 0, 5, 0] };
            icmp.extend_from_slice(&ours[..ours.len().min(100)]);
            let to = if six { "2001:db8::1" } else { "192.0.2.1" };
            let message = router(to.parse().unwrap(), &icmp);
            let Ok(Arrival::TooBig { local, remote, seq, mtu }) = read(&ingress(&message)) else { panic!() };
            assert_eq!((local.port(), remote.port(), seq, mtu), (80, 4000, Seq(7), 1280));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200), first in prop::sample::select(vec![0x45u8, 0x60, 0x4f])) {
            let mut bytes = bytes;
            if let Some(b) = bytes.first_mut() { *b = first; }
            let len = u16::try_from(bytes.len()).unwrap();
            if bytes.len() > 10 && first == 0x45 {
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
                bytes[6..8].copy_from_slice(&[0, 0]);
                bytes[9] = [1, 6][usize::from(bytes[9] & 1)];
            }
            if bytes.len() >= 40 && first == 0x60 {
                bytes[4..6].copy_from_slice(&(len - 40).to_be_bytes());
                bytes[6] = [58, 6][usize::from(bytes[6] & 1)];
            }
            let _ = read(&Ingress { packet: bytes.into(), meta: Meta { segment: 0, checksum: Checksum::Good } });
        }
    }
}
