//! What two processes say to each other when a connection begins.
//!
//! ```text
//! 0       4         5       6      8           16             24     26   28 … 44
//! | gcsL  | version | flags | zero | group tag | incarnation  | port | zero | IPv6 address (IPv4 mapped) |
//! ```
//! Integers are little-endian. Bit 0 of the flags: who connects means the connection to carry frames (see `tcp`); who
//! accepts takes such connections.

use crate::id::{GroupTag, Incarnation, MemberId};
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
};

/// Its length, in bytes.
pub(super) const LEN: usize = 44;
const MAGIC: [u8; 4] = *b"gcsL";
const VERSION: u8 = 1;
const FRAMES: u8 = 1;

/// This process, as it presents itself on its connections.
#[derive(Debug)]
pub(crate) struct Me {
    pub(super) group: GroupTag,
    pub(super) addr: SocketAddr,
    /// Whether connections may carry frames.
    pub(super) frames: bool,
    incarnation: AtomicU64,
    /// Connections from others that began with something else than a hello of this group.
    pub(super) refused: AtomicU64,
}

impl Me {
    pub(crate) fn new(group: GroupTag, addr: SocketAddr, frames: bool) -> Self {
        Self { group, addr, frames, incarnation: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// This process has a new incarnation. To be called before anybody can have heard of it.
    pub(crate) fn set_incarnation(&self, incarnation: Incarnation) {
        self.incarnation.store(incarnation.0, Ordering::Release);
    }

    /// The hello of a connection that carries frames, or only shows that this process lives.
    pub(super) fn hello(&self, frames: bool) -> [u8; LEN] {
        let incarnation = Incarnation(self.incarnation.load(Ordering::Acquire));
        Hello { group: self.group, id: MemberId { addr: self.addr, incarnation }, frames }.encode()
    }
}

/// Who is at this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) group: GroupTag,
    pub(super) id: MemberId,
    pub(super) frames: bool,
}

impl Hello {
    pub(super) fn encode(&self) -> [u8; LEN] {
        let mut b = [0; LEN];
        b[..4].copy_from_slice(&MAGIC);
        b[4] = VERSION;
        b[5] = if self.frames { FRAMES } else { 0 };
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
        let id = MemberId { addr, incarnation: Incarnation(word(16)?) };
        Some(Self { group: GroupTag(word(8)?), id, frames: b[5] & FRAMES != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_come_back_and_nonsense_is_refused() {
        for addr in ["127.0.0.1:4803", "[fe80::1]:9"] {
            let id = MemberId { addr: addr.parse().unwrap(), incarnation: Incarnation(77) };
            let hello = Hello { group: GroupTag(5), id, frames: addr.starts_with('1') };
            let mut b = hello.encode();
            assert_eq!(Hello::decode(&b), Some(hello));
            b[4] = 9;
            assert_eq!(Hello::decode(&b), None);
        }
        assert_eq!(Hello::decode(&[0; LEN]), None);
    }
}
