//! Cutting super-packets into segments, and filling in checksums, where no interface does.

use crate::link::{Packet, ip};
use bytes::Bytes;
use etherparse::{IpNumber, checksum::Sum16BitWords};
use smallvec::SmallVec;

/// Where the checksum is in a TCP header.
pub(super) const TCP_CHECKSUM: usize = 16;
const TCP_SEQUENCE: usize = 4;
const TCP_FLAGS: usize = 13;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Cuts a TCP packet into packets with at most `packet.segment` bytes of payload each, with complete headers and
/// checksums; payloads are not copied. A packet with no segment size stays one; its checksum is filled in if it is to
/// be.
///
/// As network cards do it: sequence numbers go on; identifications of IPv4 packets go up by one; FIN and PSH are in
/// the last segment only, CWR in the first only (RFC 3168 section 6.1.2).
///
/// None if it is not a TCP packet and would have to be one, or if it is longer than 65,535 bytes.
#[must_use]
pub fn segments(mut packet: Packet) -> Option<Vec<Packet>> {
    let step = usize::from(packet.segment);
    let len = packet.payload_len();
    if step == 0 || len <= step {
        packet.segment = 0;
        if packet.fill_checksum {
            packet.fill_checksum = false;
            finish(&mut packet)?;
        }
        return Some(vec![packet]);
    }
    let at = packet.transport_at()?;
    tcp_len(&packet, at)?;
    let first = read_u32(&packet.header, at + TCP_SEQUENCE);
    let identification = u16::from_be_bytes([packet.header[4], packet.header[5]]);
    let count = len.div_ceil(step);
    let mut pieces = packet.payload.into_iter();
    let mut piece = Bytes::new();
    let mut cut = Vec::with_capacity(count);
    for i in 0..count {
        let mut segment = Packet { header: packet.header.clone(), ..Packet::default() };
        let mut wanted = step.min(len - i * step);
        while wanted > 0 {
            if piece.is_empty() {
                piece = pieces.next()?;
            }
            let part = piece.split_to(wanted.min(piece.len()));
            wanted -= part.len();
            segment.payload.push(part);
        }
        let header = &mut segment.header;
        let offset = u32::try_from(i * step).ok()?;
        header[at + TCP_SEQUENCE..][..4].copy_from_slice(&first.wrapping_add(offset).to_be_bytes());
        if i > 0 {
            header[at + TCP_FLAGS] &= !CWR;
        }
        if i + 1 < count {
            header[at + TCP_FLAGS] &= !(FIN | PSH);
        }
        if header[0] >> 4 == 4 {
            let identification = identification.wrapping_add(u16::try_from(i).ok()?);
            header[4..6].copy_from_slice(&identification.to_be_bytes());
        }
        finish(&mut segment)?;
        cut.push(segment);
    }
    Some(cut)
}

/// Writes lengths and checksums of a TCP packet. None if it is not one.
fn finish(packet: &mut Packet) -> Option<()> {
    let at = packet.transport_at()?;
    let len = packet.len();
    if packet.header[0] >> 4 == 4 {
        packet.header[2..4].copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
        packet.header[10..12].fill(0);
        let sum = Sum16BitWords::new().add_slice(&packet.header[..at]).ones_complement();
        packet.header[10..12].copy_from_slice(&sum.to_ne_bytes());
    } else {
        packet.header[4..6].copy_from_slice(&u16::try_from(len - at).ok()?.to_be_bytes());
    }
    let pseudo = pseudo_sum(packet)?;
    packet.header[at + TCP_CHECKSUM..][..2].fill(0);
    let mut sum = Sum16BitWords::new().add_2bytes(pseudo).add_slice(&packet.header[at..]);
    let mut odd = false;
    for piece in &packet.payload {
        let part = !Sum16BitWords::new().add_slice(piece).ones_complement();
        // What begins at an odd offset has its bytes in the other halves of the words (RFC 1071 section 2, B).
        let part = if odd { part.swap_bytes() } else { part };
        sum = sum.add_2bytes(part.to_ne_bytes());
        odd ^= piece.len() % 2 == 1;
    }
    packet.header[at + TCP_CHECKSUM..][..2].copy_from_slice(&sum.ones_complement().to_ne_bytes());
    Some(())
}

/// Writes what belongs in the checksum's place until an interface fills it in: the sum of the pseudo-header. None if
/// it is not TCP.
#[cfg(target_os = "linux")]
pub(super) fn fill_pseudo_checksum(packet: &mut Packet) -> Option<()> {
    let at = packet.transport_at()?;
    let pseudo = pseudo_sum(packet)?;
    packet.header[at + TCP_CHECKSUM..][..2].copy_from_slice(&pseudo);
    Some(())
}

fn pseudo_sum(packet: &Packet) -> Option<[u8; 2]> {
    let at = packet.transport_at()?;
    tcp_len(packet, at)?;
    let (source, destination) = packet.addresses()?;
    let len = packet.len() - at;
    u16::try_from(packet.len()).ok()?;
    let sum = ip::pseudo_header(source, destination, IpNumber::TCP, len);
    Some((!sum.ones_complement()).to_ne_bytes())
}

/// Length of the TCP header at `at`, which ends the packet's headers. None if it is not TCP.
pub(super) fn tcp_len(packet: &Packet, at: usize) -> Option<usize> {
    let header = &packet.header;
    let next = header.get(if header[0] >> 4 == 4 { 9 } else { 6 })?;
    let len = usize::from(header.get(at + 12)? >> 4) * 4;
    (*next == IpNumber::TCP.0 && len >= 20 && at + len == header.len()).then_some(len)
}

fn read_u32(bytes: &SmallVec<[u8; 128]>, at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use etherparse::{PacketBuilder, SlicedPacket};
    use proptest::prelude::*;
    use std::net::IpAddr;

    pub(crate) const V4: [IpAddr; 2] = [
        IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10)),
        IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    ];
    pub(crate) const V6: [IpAddr; 2] = [
        IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10)),
        IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    ];

    /// A TCP packet with 12 bytes of options, and FIN, PSH and CWR set.
    pub(crate) fn tcp([from, to]: [IpAddr; 2], payload: &[&[u8]], segment: u16) -> Packet {
        let builder = match (from, to) {
            (IpAddr::V4(a), IpAddr::V4(b)) => PacketBuilder::ipv4(a.octets(), b.octets(), 64),
            (IpAddr::V6(a), IpAddr::V6(b)) => PacketBuilder::ipv6(a.octets(), b.octets(), 64),
            _ => panic!("of two families"),
        };
        let all = payload.concat();
        let mut bytes = Vec::new();
        let builder = builder.tcp(80, 4000, u32::MAX - 1000, 1000).fin().psh().ack(7).cwr();
        builder.options_raw(&[1; 12]).unwrap().write(&mut bytes, &all).unwrap();
        let mut header = SmallVec::from_slice(&bytes[..bytes.len() - all.len()]);
        if from.is_ipv4() {
            header[4..6].copy_from_slice(&0xffff_u16.to_be_bytes());
        }
        let payload = payload.iter().map(|p| Bytes::copy_from_slice(p)).collect();
        Packet { header, payload, segment, fill_checksum: true }
    }

    fn whole(packet: &Packet) -> Vec<u8> {
        let mut all = packet.header.to_vec();
        packet.payload.iter().for_each(|p| all.extend_from_slice(p));
        all
    }

    /// Asserts lengths and checksums of one segment; returns (sequence, flags, identification, payload).
    fn examined(packet: &Packet) -> (u32, u8, u16, Vec<u8>) {
        let bytes = whole(packet);
        let six = bytes[0] >> 4 == 6;
        let envelope = ip::read(&bytes, six).expect("header checksum and length");
        assert_eq!(envelope.len, bytes.len());
        let (at, tcp) = (envelope.header, &bytes[envelope.header..]);
        let sum = ip::pseudo_header(envelope.source, envelope.destination, IpNumber::TCP, tcp.len());
        assert_eq!(sum.add_slice(tcp).ones_complement(), 0, "checksum");
        let sliced = SlicedPacket::from_ip(&bytes).unwrap();
        let Some(etherparse::TransportSlice::Tcp(slice)) = sliced.transport else { panic!("not TCP") };
        let identification = u16::from_be_bytes([bytes[4], bytes[5]]);
        (slice.sequence_number(), bytes[at + TCP_FLAGS], identification, slice.payload().to_vec())
    }

    #[test]
    fn headers_of_the_segments() {
        for addresses in [V4, V6] {
            let cut = segments(tcp(addresses, &[&[1; 700], &[2; 701], &[3; 1100]], 1000)).unwrap();
            let seen: Vec<_> = cut.iter().map(examined).collect();
            assert_eq!(seen.len(), 3);
            let first = u32::MAX - 1000;
            let sequences = seen.iter().map(|s| s.0.wrapping_sub(first)).collect::<Vec<_>>();
            assert_eq!(sequences, [0, 1000, 2000]);
            let ack = 0x10;
            assert_eq!(seen.iter().map(|s| s.1).collect::<Vec<_>>(), [CWR | ack, ack, FIN | PSH | ack]);
            if addresses == V4 {
                assert_eq!(seen.iter().map(|s| s.2).collect::<Vec<_>>(), [0xffff, 0, 1], "wraps");
            }
            let pieces: Vec<usize> = cut.iter().map(|s| s.payload.len()).collect();
            assert_eq!(pieces, [2, 2, 1], "slices of the pieces");
            assert_eq!(seen[2].3, [3; 501]);
        }
    }

    #[test]
    fn what_is_no_super_packet_stays_one() {
        let one = segments(tcp(V4, &[b"x"], 1000)).unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(examined(&one[0]).1, FIN | PSH | CWR | 0x10);
        let finished = Packet { fill_checksum: false, ..tcp(V6, &[b"x"], 0) };
        assert_eq!(segments(finished.clone()), Some(vec![finished]));
        let mut long = tcp(V4, &[&[0; 60_000]], 0);
        long.payload.push(Bytes::from_static(&[0; 6_000]));
        assert_eq!(segments(long), None, "longer than IP has room for");
        let udp = {
            let mut packet = tcp(V4, &[&[0; 2000]], 1000);
            packet.header[9] = 17;
            packet
        };
        assert_eq!(segments(udp), None);
    }

    proptest! {
        #[test]
        fn the_stream_is_the_same(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 0..8),
            segment in 1_u16..2000,
            six in any::<bool>(),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(|p| &p[..]).collect();
            let cut = segments(tcp(if six { V6 } else { V4 }, &pieces, segment)).unwrap();
            let mut stream = Vec::new();
            for packet in &cut {
                let (sequence, _, _, payload) = examined(packet);
                prop_assert_eq!(sequence.wrapping_sub(u32::MAX - 1000) as usize, stream.len());
                prop_assert!(payload.len() <= usize::from(segment));
                stream.extend(payload);
            }
            prop_assert_eq!(stream, pieces.concat());
        }
    }
}
