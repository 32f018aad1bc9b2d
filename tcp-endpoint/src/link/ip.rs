//! As much of IP headers as a link needs: who sends to whom, and where the packet ends.

use super::counters::Dropped;
use etherparse::{IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice, checksum::Sum16BitWords};
use std::net::IpAddr;

/// What was read of a packet's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// What follows the header: the transport, or an IPv6 extension header.
    pub(crate) next: IpNumber,
    pub(crate) hop_limit: u8,
    /// Length of the header.
    pub(crate) header: usize,
    /// Length of the packet; what follows is padding.
    pub(crate) len: usize,
    /// Whether it is a part of a packet (IPv4 only; IPv6 has an extension header for it).
    pub(crate) fragment: bool,
}

/// Reads a packet's header. `six` is what the link header says.
pub(crate) fn read(packet: &[u8], six: bool) -> Result<Envelope, Dropped> {
    let read = if six { read_v6(packet) } else { read_v4(packet) };
    let envelope = read.filter(|e| e.len <= packet.len()).ok_or(Dropped::BadIp)?;
    if possible_source(envelope.source) { Ok(envelope) } else { Err(Dropped::Martian) }
}

fn read_v4(packet: &[u8]) -> Option<Envelope> {
    let h = Ipv4HeaderSlice::from_slice(packet).ok()?;
    if Sum16BitWords::new().add_slice(h.slice()).ones_complement() != 0 {
        return None;
    }
    let (header, len) = (h.slice().len(), usize::from(h.total_len()));
    (len >= header).then(|| Envelope {
        source: h.source_addr().into(),
        destination: h.destination_addr().into(),
        next: h.protocol(),
        hop_limit: h.ttl(),
        header,
        len,
        fragment: h.is_fragmenting_payload(),
    })
}

fn read_v6(packet: &[u8]) -> Option<Envelope> {
    let h = Ipv6HeaderSlice::from_slice(packet).ok()?;
    Some(Envelope {
        source: h.source_addr().into(),
        destination: h.destination_addr().into(),
        next: h.next_header(),
        hop_limit: h.hop_limit(),
        header: h.header_len(),
        len: h.header_len() + usize::from(h.payload_length()),
        fragment: false,
    })
}

/// Who sends is one host. The unspecified IPv6 address may ask for neighbours, so it is refused elsewhere.
fn possible_source(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(ip) => {
            !ip.is_multicast() && !ip.is_broadcast() && !ip.is_loopback() && ip.octets()[0] != 0
        }
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_loopback(),
    }
}

/// The TCP or ICMPv6 pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) of a transport with `len` bytes.
pub(crate) fn pseudo_header(
    source: IpAddr,
    destination: IpAddr,
    next: IpNumber,
    len: usize,
) -> Sum16BitWords {
    let add = |sum: Sum16BitWords, ip| match ip {
        IpAddr::V4(ip) => {
            let mut sum = sum;
            sum.add_4bytes(ip.octets())
        }
        IpAddr::V6(ip) => {
            let mut sum = sum;
            sum.add_16bytes(ip.octets())
        }
    };
    let mut sum = add(add(Sum16BitWords::new(), source), destination).add_2bytes([0, next.0]);
    sum.add_4bytes(u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Ipv4Header, Ipv6FlowLabel, Ipv6Header};

    fn v4(source: [u8; 4], payload: u16) -> Vec<u8> {
        let header = Ipv4Header::new(payload, 64, IpNumber::TCP, source, [192, 0, 2, 10]).unwrap();
        let mut bytes = Vec::new();
        header.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn version_four() {
        let mut packet = v4([192, 0, 2, 1], 3);
        packet.extend([1, 2, 3, 0, 0]);
        let read_it = read(&packet, false).unwrap();
        assert_eq!((read_it.header, read_it.len, read_it.fragment), (20, 23, false));
        assert_eq!(read_it.next, IpNumber::TCP);
        assert_eq!(read(&packet[..22], false), Err(Dropped::BadIp), "cut short");
        assert_eq!(read(&packet, true), Err(Dropped::BadIp), "not what the link header says");
        packet[8] ^= 1;
        assert_eq!(read(&packet, false), Err(Dropped::BadIp), "checksum");
    }

    #[test]
    fn version_six() {
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: 2,
            next_header: IpNumber::IPV6_ICMP,
            hop_limit: 255,
            source: [1; 16],
            destination: [2; 16],
        };
        let mut packet = header.to_bytes().to_vec();
        assert_eq!(read(&packet, true), Err(Dropped::BadIp), "cut short");
        packet.extend([0; 3]);
        let read_it = read(&packet, true).unwrap();
        assert_eq!((read_it.header, read_it.len, read_it.hop_limit), (40, 42, 255));
    }

    #[test]
    fn impossible_sources() {
        for source in [[224, 0, 0, 1], [255; 4], [127, 0, 0, 1], [0; 4]] {
            assert_eq!(read(&v4(source, 0), false), Err(Dropped::Martian), "{source:?}");
        }
    }
}
