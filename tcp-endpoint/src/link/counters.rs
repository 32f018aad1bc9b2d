//! What was dropped, by kind, and what was done.

use std::collections::BTreeMap;

/// Why a frame or a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dropped {
    /// Shorter than its link header.
    ShortFrame,
    /// Tagged for another VLAN, or tagged at all where none is configured.
    OtherVlan,
    /// Sent to another station's MAC, or a packet for one address sent to all stations (RFC 1122 section 3.3.6).
    OtherStation,
    /// Neither ARP nor IP.
    OtherProtocol,
    /// Not an ARP packet for IPv4 over Ethernet, or its sender cannot be one.
    BadArp,
    /// Not a valid neighbour solicitation or advertisement (RFC 4861 section 7.1).
    BadNdp,
    /// Not a whole IP packet, or its header's checksum is wrong.
    BadIp,
    /// Not a valid ICMP message.
    BadIcmp,
    /// From an address that nobody can have: a group, a broadcast, none, or a virtual address itself.
    Martian,
    /// Not for a virtual address.
    OtherAddress,
    /// This endpoint is not active.
    Inactive,
    /// More questions than are answered.
    TooOften,
    /// Not an IP packet from a virtual address: a mistake of whoever sends.
    NotOurs,
    /// Off the link, and no gateway is configured.
    NoRoute,
    /// The neighbour did not answer.
    Unreachable,
    /// Too many packets wait for a neighbour's answer.
    QueueFull,
}

/// Counts since the link was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    dropped: BTreeMap<Dropped, u64>,
    /// Announcements of all addresses: one for each round.
    pub announcements: u64,
    /// Questions for a virtual address that were answered, ARP and ND.
    pub answers: u64,
    /// Echo requests that were answered.
    pub echoes: u64,
    /// Claims of a virtual address by another MAC while active.
    pub conflicts: u64,
    /// Frames from another station with our MAC while active.
    pub same_mac: u64,
    /// Claims of a virtual address by another MAC while not active: those of the leader, usually.
    pub claims: u64,
}

impl Counters {
    /// How many were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped.get(&why).copied().unwrap_or(0)
    }

    /// The reasons for which something was dropped, with counts.
    pub fn all_dropped(&self) -> impl Iterator<Item = (Dropped, u64)> + '_ {
        self.dropped.iter().map(|(why, n)| (*why, *n))
    }

    pub(crate) fn drop(&mut self, why: Dropped) {
        self.drop_many(why, 1);
    }

    pub(crate) fn drop_many(&mut self, why: Dropped, n: u64) {
        if n > 0 {
            *self.dropped.entry(why).or_default() += n;
        }
    }
}
