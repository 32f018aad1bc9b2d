//! What a link is told: its addresses, its medium, its intervals and bounds.

use super::mac::Mac;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    time::Duration,
};

/// The most virtual addresses of one link.
pub(crate) const MAX_VIPS: usize = 64;

/// A virtual address, and how many of its first bits are those of the link it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vip {
    /// The address.
    pub ip: IpAddr,
    /// Length of the link's prefix in bits.
    pub prefix: u8,
}

/// The text is not a virtual address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address with a prefix length; write it like 192.0.2.10/24 or 2001:db8::10/64")]
pub struct VipError(String);

impl Vip {
    /// Whether `other` is on the same link: of the same prefix, or an IPv6 link-local address.
    #[must_use]
    pub fn shares_link_with(&self, other: IpAddr) -> bool {
        match (self.ip, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128))).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0 || other.is_unicast_link_local()
            }
            _ => false,
        }
    }

    fn usable(&self) -> bool {
        let (longest, one) = match self.ip {
            IpAddr::V4(ip) => (32, !ip.is_broadcast() && ip.octets()[0] != 0),
            IpAddr::V6(_) => (128, true),
        };
        self.prefix <= longest
            && one
            && !self.ip.is_multicast()
            && !self.ip.is_unspecified()
            && !self.ip.is_loopback()
    }
}

impl FromStr for Vip {
    type Err = VipError;

    fn from_str(text: &str) -> Result<Self, VipError> {
        let parsed = text
            .split_once('/')
            .and_then(|(ip, prefix)| Some(Self { ip: ip.parse().ok()?, prefix: prefix.parse().ok()? }));
        parsed.filter(Self::usable).ok_or_else(|| VipError(text.to_owned()))
    }
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// Under which MAC the virtual addresses are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacChoice {
    /// The interface's own. A takeover is seen by neighbours that believe its announcement (RFC 5227; all common ones
    /// do).
    Own,
    /// One that moves with the addresses, as in VRRP (RFC 5798 section 7.3): neighbours notice nothing, switches
    /// learn. It is derived from the first address, or given here.
    Virtual(Option<Mac>),
    /// A multicast MAC, so that switches flood what is sent to the addresses, and every replica hears it. Neighbours
    /// must accept such an answer (Linux does; many routers need a static entry).
    Mirror,
}

/// What is below IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Ethernet frames.
    Ethernet {
        /// The source of frames that are sent.
        source: Mac,
        /// Where neighbours are told to send to: the same, or a multicast MAC.
        advertised: Mac,
        /// 802.1Q VLAN (1 to 4094); frames without a tag if none.
        vlan: Option<u16>,
    },
    /// Packets alone: a TUN. There is nothing to resolve or to announce.
    Ip,
}

/// Configuration of a [`Link`](super::Link). Made by [`Config::ethernet`] or [`Config::ip`]; the fields may be
/// changed then.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is below IP.
    pub medium: Medium,
    /// The virtual addresses: at least one, at most 64.
    pub vips: Vec<Vip>,
    /// Where IPv4 packets go that leave the link. Without one they are dropped.
    pub gateway_v4: Option<Ipv4Addr>,
    /// Where IPv6 packets go that leave the link.
    pub gateway_v6: Option<Ipv6Addr>,
    /// How often the addresses are announced again, after the announcements at 0, 50, 200 and 1,000 ms. Switches that
    /// snoop forget IPv6 listeners after 260 s.
    pub announce_every: Duration,
    /// At least this long between two defences of the addresses against another claimant (RFC 5227 section 2.4 has 10
    /// s for hosts that would rather yield; the leader does not).
    pub defend_every: Duration,
    /// How long a neighbour is believed without hearing from it (RFC 4861 section 10, `REACHABLE_TIME`).
    pub reachable: Duration,
    /// When a neighbour that has not been heard of is forgotten.
    pub forget: Duration,
    /// The most neighbours; the longest unused one makes room.
    pub neighbours: usize,
    /// Echo replies a second.
    pub echoes_per_second: u32,
    /// Answers to ARP and ND questions a second.
    pub answers_per_second: u32,
}

/// The configuration cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no address, or there are too many.
    #[error("{0} virtual addresses are configured; a link has 1 to 64")]
    Count(usize),
    /// The address cannot be one host's.
    #[error("the virtual address {0} cannot be a host's; configure one of the link's own unicast addresses")]
    Address(Vip),
    /// The VLAN number is out of range.
    #[error("VLAN {0} does not exist; 802.1Q has 1 to 4094")]
    Vlan(u16),
    /// The source MAC is a group's.
    #[error("{0} cannot be the source of frames; use the interface's own MAC, or a virtual one")]
    Source(Mac),
    /// The gateway is not on the link.
    #[error(
        "the gateway {0} is on the link of no virtual address; give the addresses the link's prefix length"
    )]
    Gateway(IpAddr),
}

impl Config {
    /// An Ethernet at an interface whose own MAC is `own`; no VLAN, no gateways.
    #[must_use]
    pub fn ethernet(own: Mac, choice: MacChoice, vips: Vec<Vip>) -> Self {
        let first = vips.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |v| v.ip);
        let (source, advertised) = match choice {
            MacChoice::Own => (own, own),
            MacChoice::Virtual(mac) => {
                let mac = mac.unwrap_or_else(|| Mac::virtual_for(first));
                (mac, mac)
            }
            MacChoice::Mirror => (own, Mac::mirror_for(first)),
        };
        Self::new(Medium::Ethernet { source, advertised, vlan: None }, vips)
    }

    /// A TUN.
    #[must_use]
    pub fn ip(vips: Vec<Vip>) -> Self {
        Self::new(Medium::Ip, vips)
    }

    fn new(medium: Medium, vips: Vec<Vip>) -> Self {
        Self {
            medium,
            vips,
            gateway_v4: None,
            gateway_v6: None,
            announce_every: Duration::from_secs(120),
            defend_every: Duration::from_secs(1),
            reachable: Duration::from_secs(30),
            forget: Duration::from_secs(4 * 3600),
            neighbours: 4096,
            echoes_per_second: 1000,
            answers_per_second: 1000,
        }
    }

    /// Whether it can work.
    ///
    /// # Errors
    /// [`ConfigError`] says what cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.vips.is_empty() || self.vips.len() > MAX_VIPS {
            return Err(ConfigError::Count(self.vips.len()));
        }
        if let Some(vip) = self.vips.iter().find(|v| !v.usable()) {
            return Err(ConfigError::Address(*vip));
        }
        let Medium::Ethernet { source, vlan, .. } = self.medium else { return Ok(()) };
        if let Some(vlan) = vlan.filter(|v| !(1..=4094).contains(v)) {
            return Err(ConfigError::Vlan(vlan));
        }
        if !source.is_station() {
            return Err(ConfigError::Source(source));
        }
        match self.gateways().find(|g| !self.on_link(*g)) {
            Some(gateway) => Err(ConfigError::Gateway(gateway)),
            None => Ok(()),
        }
    }

    pub(crate) fn gateways(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [self.gateway_v4.map(IpAddr::V4), self.gateway_v6.map(IpAddr::V6)].into_iter().flatten()
    }

    pub(crate) fn on_link(&self, ip: IpAddr) -> bool {
        self.vips.iter().any(|v| v.shares_link_with(ip))
    }

    /// Whether `ip` means all hosts of one of the links.
    pub(crate) fn is_broadcast(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip else { return false };
        self.vips.iter().any(|v| {
            let host_bits = u32::MAX.checked_shr(v.prefix.into()).unwrap_or(0);
            v.prefix < 31 && v.shares_link_with(ip.into()) && ip.to_bits() & host_bits == host_bits
        })
    }

    pub(crate) fn is_vip(&self, ip: IpAddr) -> bool {
        self.vips.iter().any(|v| v.ip == ip)
    }

    pub(crate) fn is_gateway(&self, ip: IpAddr) -> bool {
        self.gateway(ip) == Some(ip)
    }

    /// The gateway for destinations of the family of `ip`.
    pub(crate) fn gateway(&self, ip: IpAddr) -> Option<IpAddr> {
        match ip {
            IpAddr::V4(_) => self.gateway_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.gateway_v6.map(IpAddr::V6),
        }
    }

    /// The virtual address that asks for `neighbour`: one of the same link if there is one.
    pub(crate) fn asking_for(&self, neighbour: IpAddr) -> Option<IpAddr> {
        let same = |v: &&Vip| v.ip.is_ipv4() == neighbour.is_ipv4();
        let near = self.vips.iter().filter(same).find(|v| v.shares_link_with(neighbour));
        near.or_else(|| self.vips.iter().find(same)).map(|v| v.ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let vip: Vip = "192.0.2.10/24".parse().unwrap();
        assert!(vip.shares_link_with("192.0.2.255".parse().unwrap()));
        assert!(!vip.shares_link_with("192.0.3.1".parse().unwrap()));
        let all: Vip = "192.0.2.10/0".parse().unwrap();
        assert!(all.shares_link_with("8.8.8.8".parse().unwrap()));
        let six: Vip = "2001:db8::10/64".parse().unwrap();
        assert!(six.shares_link_with("2001:db8::ffff:1".parse().unwrap()));
        assert!(six.shares_link_with("fe80::1".parse().unwrap()));
        assert!(!six.shares_link_with("2001:db8:1::1".parse().unwrap()));
        let config = Config::ip(vec![vip, six]);
        assert!(config.is_broadcast("192.0.2.255".parse().unwrap()));
        assert!(!config.is_broadcast("192.0.2.254".parse().unwrap()));
        assert!(!config.is_broadcast("192.0.3.255".parse().unwrap()));
        for wrong in ["", "1.2.3.4", "1.2.3.4/33", "::1/128", "224.0.0.1/4", "0.0.0.0/0", "x/1"] {
            assert!(wrong.parse::<Vip>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let vips: Vec<Vip> = vec!["192.0.2.10/24".parse().unwrap()];
        let good = Config::ethernet(Mac([2, 0, 0, 0, 0, 1]), MacChoice::Mirror, vips.clone());
        assert_eq!(good.check(), Ok(()));
        let off_link = Config { gateway_v4: Some([10, 0, 0, 1].into()), ..good.clone() };
        assert_eq!(off_link.check(), Err(ConfigError::Gateway([10, 0, 0, 1].into())));
        assert_eq!(Config { vips: vec![], ..good }.check(), Err(ConfigError::Count(0)));
        let group = Config::ethernet(Mac::BROADCAST, MacChoice::Own, vips);
        assert_eq!(group.check(), Err(ConfigError::Source(Mac::BROADCAST)));
    }
}
