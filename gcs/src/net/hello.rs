//! What two processes say to each other when a liveness connection begins.
//!
//! ```text
//! 0       4         5      8           16             24     26   28 … 44
//! | gcsL  | version | zero | group tag | incarnation  | port | zero | IPv6 address (IPv4 mapped) |
//! ```
//! Integers are little-endian.

use crate::id::{GroupTag, Incarnation, MemberId};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Its length, in bytes.
pub(super) const LEN: usize = 44;
const MAGIC: [u8; 4] = *b"gcsL";
const VERSION: u8 = 1;

/// Who is at this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) group: GroupTag,
    pub(super) id: MemberId,
}

impl Hello {
    pub(super) fn encode(&self) -> [u8; LEN] {
        let mut b = [0; LEN];
        b[..4].copy_from_slice(&MAGIC);
        b[4] = VERSION;
        b[8..16].copy_from_slice(&self.group.0.to_le_bytes());
        b[16..24].copy_from_slice(&self.id.incarnation.0.to_le_bytes());
        b[24..26].copy_from_slice(&self.id.addr.port().to_le_bytes());
        let ip = match self.id.addr.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        b[28..].copy_from_slice(&ip.octets());
        b
    }

    /// None if it is not a hello of this version.
    pub(super) fn decode(b: &[u8; LEN]) -> Option<Self> {
        if b[..4] != MAGIC || b[4] != VERSION {
            return None;
        }
        let word = |at: usize| Some(u64::from_le_bytes(*b.get(at..)?.first_chunk()?));
        let ip = Ipv6Addr::from(*b.get(28..)?.first_chunk::<16>()?).to_canonical();
        let addr = SocketAddr::new(ip, u16::from_le_bytes([b[24], b[25]]));
        Some(Self { group: GroupTag(word(8)?), id: MemberId { addr, incarnation: Incarnation(word(16)?) } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_come_back_and_nonsense_is_refused() {
        for addr in ["127.0.0.1:4803", "[fe80::1]:9"] {
            let id = MemberId { addr: addr.parse().unwrap(), incarnation: Incarnation(77) };
            let hello = Hello { group: GroupTag(5), id };
            let mut b = hello.encode();
            assert_eq!(Hello::decode(&b), Some(hello));
            b[4] = 9;
            assert_eq!(Hello::decode(&b), None);
        }
        assert_eq!(Hello::decode(&[0; LEN]), None);
    }
}
