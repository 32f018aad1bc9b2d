//! Link addresses, and those that are derived from a virtual address.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// An IEEE 802 address of 48 bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Not an address: the target of a question in ARP.
    pub const ZERO: Self = Self([0; 6]);
    /// Everybody on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it stands for several stations (the I/G bit of IEEE 802): multicast or broadcast.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether one station can have it.
    #[must_use]
    pub fn is_station(self) -> bool {
        !self.is_group() && self != Self::ZERO
    }

    /// The virtual address that goes with `vip` wherever it goes, as in VRRP (RFC 5798 section 7.3), but of the
    /// locally administered range, so that it cannot meet that of a real VRRP router: `02:5e` and the IPv4 address,
    /// or `02:5f` and a hash of the IPv6 address.
    #[must_use]
    pub fn virtual_for(vip: IpAddr) -> Self {
        Self::derived([0x02, if vip.is_ipv4() { 0x5e } else { 0x5f }], vip)
    }

    /// A multicast address that stands for `vip`, so that switches flood what is sent to it: `03:bf` and the IPv4
    /// address, or `03:be` and a hash of the IPv6 address. Not of the range `01:00:5e`, which IGMP snooping would
    /// prune.
    #[must_use]
    pub fn mirror_for(vip: IpAddr) -> Self {
        Self::derived([0x03, if vip.is_ipv4() { 0xbf } else { 0xbe }], vip)
    }

    /// The address of an IPv6 multicast group: `33:33` and its last four bytes (RFC 2464 section 7).
    #[must_use]
    pub fn of_group(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }

    fn derived([first, second]: [u8; 2], vip: IpAddr) -> Self {
        let [a, b, c, d] = match vip {
            IpAddr::V4(ip) => ip.octets(),
            // FNV-1a: all bits of the address count.
            IpAddr::V6(ip) => ip
                .octets()
                .iter()
                .fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
                .to_be_bytes(),
        };
        Self([first, second, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The group where neighbours ask for `ip` (RFC 4291 section 2.7.1).
pub(crate) fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    let low = (u16::from(b) << 8) | u16::from(c);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_addresses_are_of_the_right_kind() {
        for vip in ["192.0.2.10", "2001:db8::10", "2001:db8::11"] {
            let vip: IpAddr = vip.parse().unwrap();
            let (own, mirror) = (Mac::virtual_for(vip), Mac::mirror_for(vip));
            assert!(own.is_station() && own.0[0] & 2 == 2, "locally administered, one station");
            assert!(mirror.is_group() && mirror.0[0] & 2 == 2, "locally administered, a group");
        }
        let of = |ip: &str| Mac::virtual_for(ip.parse().unwrap());
        assert_eq!(of("192.0.2.10").to_string(), "02:5e:c0:00:02:0a");
        assert_ne!(of("2001:db8::10"), of("2001:db8:1::10"));
    }

    #[test]
    fn groups_of_ipv6() {
        let group = solicited_node("2001:db8::1:2:3".parse().unwrap());
        assert_eq!(group, "ff02::1:ff02:3".parse::<Ipv6Addr>().unwrap());
        assert_eq!(Mac::of_group(group).to_string(), "33:33:ff:02:00:03");
    }
}
