//! Ethernet II headers with at most one 802.1Q tag.

use super::{counters::Dropped, mac::Mac};
use etherparse::{EtherType, Ethernet2Header, Ethernet2HeaderSlice, SingleVlanHeader, VlanId, VlanPcp};
use smallvec::SmallVec;

/// What was read of a frame's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) to: Mac,
    pub(crate) from: Mac,
    /// None without a tag, and with one that has a priority only (VLAN 0).
    pub(crate) vlan: Option<u16>,
    /// Of the payload.
    pub(crate) kind: EtherType,
    /// Where the payload begins.
    pub(crate) len: usize,
}

/// Reads a header. `taken_out` is the VLAN of a tag that the system has taken out of the frame.
pub(crate) fn read(frame: &[u8], taken_out: Option<u16>) -> Result<Header, Dropped> {
    let ethernet = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| Dropped::ShortFrame)?;
    let mut header = Header {
        to: Mac(ethernet.destination()),
        from: Mac(ethernet.source()),
        vlan: taken_out.map(|v| v & 0x0fff).filter(|v| *v != 0),
        kind: ethernet.ether_type(),
        len: Ethernet2Header::LEN,
    };
    if header.kind == EtherType::VLAN_TAGGED_FRAME {
        if header.vlan.is_some() {
            // A tag inside another: a VLAN of somebody else's.
            return Err(Dropped::OtherVlan);
        }
        let (tag, _) = SingleVlanHeader::from_slice(&frame[header.len..]).map_err(|_| Dropped::ShortFrame)?;
        header.vlan = Some(tag.vlan_id.value()).filter(|v| *v != 0);
        header.kind = tag.ether_type;
        header.len += SingleVlanHeader::LEN;
    }
    Ok(header)
}

/// The bytes of a header.
pub(crate) fn write(to: Mac, from: Mac, vlan: Option<u16>, kind: EtherType) -> SmallVec<[u8; 18]> {
    let tag = vlan.and_then(|v| VlanId::try_new(v).ok());
    let outer = if tag.is_some() { EtherType::VLAN_TAGGED_FRAME } else { kind };
    let ethernet = Ethernet2Header { destination: to.0, source: from.0, ether_type: outer };
    let mut bytes = SmallVec::from_slice(&ethernet.to_bytes());
    if let Some(vlan_id) = tag {
        let pcp = VlanPcp::ZERO;
        let tag = SingleVlanHeader { pcp, drop_eligible_indicator: false, vlan_id, ether_type: kind };
        bytes.extend_from_slice(&tag.to_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const B: Mac = Mac([2, 0, 0, 0, 0, 2]);

    #[test]
    fn what_is_written_is_read() {
        for (vlan, len) in [(None, 14), (Some(7), 18), (Some(4094), 18)] {
            let bytes = write(A, B, vlan, EtherType::ARP);
            let expected = Header { to: A, from: B, vlan, kind: EtherType::ARP, len };
            assert_eq!(read(&bytes, None), Ok(expected));
            for short in 0..bytes.len() {
                assert_eq!(read(&bytes[..short], None), Err(Dropped::ShortFrame), "{short} bytes");
            }
        }
    }

    #[test]
    fn tags_that_the_system_has_taken_out() {
        let plain = write(A, B, None, EtherType::IPV4);
        assert_eq!(read(&plain, Some(0x2007)).map(|h| h.vlan), Ok(Some(7)), "with a priority");
        assert_eq!(read(&plain, Some(0x2000)).map(|h| h.vlan), Ok(None), "a priority only");
        let tagged = write(A, B, Some(8), EtherType::IPV4);
        assert_eq!(read(&tagged, Some(7)), Err(Dropped::OtherVlan));
    }
}
