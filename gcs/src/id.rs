//! Who is who: processes, their incarnations, groups.

use std::{fmt, net::SocketAddr};

/// A member's position in its view, from 0. Lower ranks have been members for longer.
pub type Rank = u16;

/// The most members a view can have. Sets of members travel as 64-bit masks.
pub const MAX_MEMBERS: usize = 64;

/// One life of a process. A process that restarts, or is excluded and comes back, has a new one; larger is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// A process in one of its lives. Two lives of a process at one address are two members (property M7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    /// Where the process receives datagrams.
    pub addr: SocketAddr,
    /// Which life.
    pub incarnation: Incarnation,
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:x}", self.addr, self.incarnation.0)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Tells the frames of one group from those of others on the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupTag(pub u64);

impl GroupTag {
    /// The tag of the group called `name`.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(fnv1a(FNV_OFFSET, name.as_bytes()))
    }
}

pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, 64 bits: for tags and fingerprints, which need to be stable across versions and machines, not secret.
pub(crate) fn fnv1a(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}
