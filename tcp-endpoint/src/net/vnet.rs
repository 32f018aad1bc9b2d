//! Offload headers: `struct virtio_net_hdr` (virtio 1.2, section 5.1.6), native byte order, as packet sockets and
//! TUNs have them.
//!
//! | offset | size | |
//! |---|---|---|
//! | 0 | 1 | flags: 1 checksum to be filled in, 2 checksum good |
//! | 1 | 1 | kind of segmentation: 0 none, 1 TCP over IPv4, 4 TCP over IPv6; 0x80 with CWR in the first segment |
//! | 2 | 2 | length of all headers |
//! | 4 | 2 | payload of a segment |
//! | 6 | 2 | where checksumming begins |
//! | 8 | 2 | where the checksum goes, from there |

use super::segment::{TCP_CHECKSUM, fill_pseudo_checksum, segments, tcp_len};
use crate::link::{Checksum, Frame, Meta};
use smallvec::SmallVec;
use std::io::IoSlice;

/// Length of the header.
pub(super) const LEN: usize = 10;
const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
const ECN: u8 = 0x80;
const CWR: u8 = 0x80;

/// What a received header says.
pub(super) fn read(header: [u8; LEN]) -> Meta {
    let joined = matches!(header[1] & !ECN, TCP_V4 | TCP_V6);
    let segment = if joined { u16::from_ne_bytes([header[4], header[5]]) } else { 0 };
    let good = header[0] & (NEEDS_CHECKSUM | DATA_VALID) != 0;
    Meta { segment, checksum: if good { Checksum::Good } else { Checksum::Unverified } }
}

/// The header of a frame that is to be sent. If the checksum is to be filled in below, what belongs in its field
/// until then (the sum of the pseudo-header) is written there. None if the frame is not what it says.
pub(super) fn write(frame: &mut Frame) -> Option<[u8; LEN]> {
    let mut header = [0; LEN];
    let packet = &mut frame.packet;
    let cut = packet.segment > 0 && packet.payload_len() > usize::from(packet.segment);
    if !packet.fill_checksum && !cut {
        return Some(header);
    }
    let at = packet.transport_at()?;
    let headers = u16::try_from(frame.link.len() + at + tcp_len(packet, at)?).ok()?;
    fill_pseudo_checksum(packet)?;
    header[0] = NEEDS_CHECKSUM;
    if cut {
        let ecn = if packet.header[at + 13] & CWR != 0 { ECN } else { 0 };
        header[1] = ecn | if packet.header[0] >> 4 == 4 { TCP_V4 } else { TCP_V6 };
        header[2..4].copy_from_slice(&headers.to_ne_bytes());
        header[4..6].copy_from_slice(&packet.segment.to_ne_bytes());
    }
    let start = u16::try_from(frame.link.len() + at).ok()?;
    header[6..8].copy_from_slice(&start.to_ne_bytes());
    header[8..10].copy_from_slice(&u16::try_from(TCP_CHECKSUM).ok()?.to_ne_bytes());
    Some(header)
}

/// Appends a frame with its header, cut into segments if `offload` is not to be had. Appends nothing if it is not
/// what it says.
pub(super) fn prepare(mut frame: Frame, offload: bool, to: &mut Vec<([u8; LEN], Frame)>) {
    let packet = &frame.packet;
    if offload || (packet.segment == 0 && !packet.fill_checksum) {
        to.extend(write(&mut frame).map(|header| (header, frame)));
        return;
    }
    let Frame { link, packet } = frame;
    let cut = segments(packet).unwrap_or_default();
    to.extend(cut.into_iter().map(|packet| ([0; LEN], Frame { link: link.clone(), packet })));
}

/// The pieces of a frame behind its offload header, in order.
pub(super) fn pieces<'a>(header: &'a [u8; LEN], frame: &'a Frame) -> SmallVec<[IoSlice<'a>; 6]> {
    let headers = [&header[..], &frame.link, &frame.packet.header];
    headers.into_iter().chain(frame.packet.payload.iter().map(|b| &b[..])).map(IoSlice::new).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::segment::tests::{V4, V6, tcp},
        *,
    };
    use crate::link::Packet;
    use smallvec::smallvec;

    fn header(flags: u8, kind: u8, segment: u16) -> [u8; LEN] {
        let [a, b] = segment.to_ne_bytes();
        [flags, kind, 0, 0, a, b, 0, 0, 0, 0]
    }

    #[test]
    fn received_headers() {
        let meta = |segment, checksum| Meta { segment, checksum };
        assert_eq!(read(header(0, 0, 0)), meta(0, Checksum::Unverified));
        assert_eq!(read(header(1, 0, 0)), meta(0, Checksum::Good));
        assert_eq!(read(header(2, TCP_V4, 1448)), meta(1448, Checksum::Good));
        assert_eq!(read(header(0, TCP_V6 | ECN, 1428)), meta(1428, Checksum::Unverified));
        assert_eq!(read(header(1, 5, 1400)), meta(0, Checksum::Good), "UDP is not TCP");
    }

    #[test]
    fn sent_headers() {
        for (addresses, ip, kind) in [(V4, 20, TCP_V4), (V6, 40, TCP_V6)] {
            let mut frame = Frame { link: smallvec![0; 14], packet: tcp(addresses, &[&[7; 3000]], 1448) };
            frame.packet.header[ip + 13] |= CWR;
            let h = write(&mut frame).unwrap();
            let at = |i: usize| u16::from_ne_bytes([h[i], h[i + 1]]);
            assert_eq!((h[0], h[1]), (NEEDS_CHECKSUM, kind | ECN));
            assert_eq!((at(2), at(4)), (14 + ip as u16 + 32, 1448));
            assert_eq!((at(6), at(8)), (14 + ip as u16, 16));
        }
    }

    #[test]
    fn a_short_packet_is_not_cut_and_a_finished_one_not_touched() {
        let mut short = Frame { link: smallvec![], packet: tcp(V4, &[&[7; 10]], 1448) };
        let h = write(&mut short).unwrap();
        assert_eq!((h[0], h[1]), (NEEDS_CHECKSUM, 0));
        let packet = Packet { fill_checksum: false, segment: 0, ..tcp(V4, &[b"x"], 0) };
        let mut finished = Frame { link: smallvec![], packet };
        let before = finished.clone();
        assert_eq!((write(&mut finished), finished), (Some([0; LEN]), before));
    }

    #[test]
    fn what_is_not_tcp_is_refused() {
        for header in [vec![], vec![0x45; 10], vec![0x45; 30], vec![0x60; 50], vec![0x99; 60]] {
            let packet = Packet { header: header.into(), fill_checksum: true, ..Packet::default() };
            assert_eq!(write(&mut Frame { link: smallvec![], packet }), None);
        }
    }
}
