//! What passes between TCP, the link and an interface. Payloads are shared (`Bytes`), headers are owned.

use bytes::Bytes;
use smallvec::SmallVec;
use std::net::IpAddr;

/// An IP packet to send: headers, and payload in pieces that are not copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// The IP header and the transport's. Lengths and the IPv4 header's checksum are filled in; if `segment` is not
    /// 0, they are those of the whole super-packet.
    pub header: SmallVec<[u8; 128]>,
    /// What follows the headers.
    pub payload: SmallVec<[Bytes; 2]>,
    /// If not 0, the packet is TCP and is cut on its way into packets with this many bytes of payload each (the last
    /// may have fewer), by the network card, the system or [`crate::net::segment`]. At most 65,535 bytes in all.
    pub segment: u16,
    /// The TCP checksum is not in the header yet: whoever can do it cheapest fills it in. What is in its place is
    /// ignored.
    pub fill_checksum: bool,
}

impl Packet {
    /// Length in bytes, headers included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.header.len() + self.payload_len()
    }

    /// Whether there is nothing in it, not even a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes after the headers.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.payload.iter().map(Bytes::len).sum()
    }

    /// Source and destination as the IP header has them; none if it is not one.
    #[must_use]
    pub fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        let h = &self.header;
        match h.first()? >> 4 {
            4 => Some((
                IpAddr::from(<[u8; 4]>::try_from(h.get(12..16)?).ok()?),
                IpAddr::from(<[u8; 4]>::try_from(h.get(16..20)?).ok()?),
            )),
            6 => Some((
                IpAddr::from(<[u8; 16]>::try_from(h.get(8..24)?).ok()?),
                IpAddr::from(<[u8; 16]>::try_from(h.get(24..40)?).ok()?),
            )),
            _ => None,
        }
    }

    /// Length of the IP header in bytes: where the transport's begins, as long as nobody sends IPv6 extension
    /// headers. None if it is not an IP header.
    #[must_use]
    pub fn transport_at(&self) -> Option<usize> {
        let first = *self.header.first()?;
        let at = match first >> 4 {
            4 => usize::from(first & 15) * 4,
            6 => 40,
            _ => return None,
        };
        (at >= 20 && at <= self.header.len()).then_some(at)
    }
}

/// A packet with its link header: what an [`Interface`](crate::net::Interface) sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Ethernet header, with an 802.1Q tag if there is a VLAN; empty where the medium has none (TUN).
    pub link: SmallVec<[u8; 18]>,
    /// What follows. ARP is all header, too.
    pub packet: Packet,
}

impl Frame {
    /// Length in bytes, link header included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.link.len() + self.packet.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it in one piece, copied: for tests and traces.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = self.link.to_vec();
        all.extend_from_slice(&self.packet.header);
        self.packet.payload.iter().for_each(|piece| all.extend_from_slice(piece));
        all
    }
}

/// Whether the transport's checksum is to be verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nobody has.
    #[default]
    Unverified,
    /// The card has, or the packet comes from this machine and has never been on a wire. What is in the header's
    /// field may be wrong: it may not have been filled in.
    Good,
}

/// What the system knows about a received packet (virtio 1.2, section 5.1.6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// If not 0, consecutive segments of one TCP connection have been joined; all but the last had this many bytes of
    /// payload.
    pub segment: u16,
    /// Whether the transport's checksum is to be verified.
    pub checksum: Checksum,
}

/// A frame (or, from a TUN, a packet) as an [`Interface`](crate::net::Interface) received it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// All of it. A slice of a larger buffer: who keeps it for long keeps that.
    pub bytes: Bytes,
    /// The VLAN of an 802.1Q tag that the system has taken out of the frame.
    pub vlan: Option<u16>,
    /// What the system knows about it.
    pub meta: Meta,
}

/// An IP packet for one of the virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The packet, from the IP header to its end: a slice of the received buffer. The header is well-formed, and
    /// IPv4's checksum right; it may be a fragment.
    pub packet: Bytes,
    /// What the system knows about it.
    pub meta: Meta,
}
