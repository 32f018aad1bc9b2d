//! Contacts: where an agent is reached. One that nobody can dial (behind a NAT or a firewall) is reached at a relay, under a number there.
//!
//! Such a contact is written into an address that can never be one, as Teredo does (Huitema, RFC 4380), so that it names itself wherever an address may
//! stand: in rings, in messages, in the name of whoever has sent something. Its prefix is thrown away by all routers (Hilliard and Freedman, "A discard prefix for IPv6", RFC 6666).
//!
//! ```text
//!   0100:0000:0000:0000 : relay's IPv4 address : relay's port : number, upper half     port: number, lower half
//! ```
//! So relays have IPv4 addresses: that is where NATs are. In a row a contact is text, and says more ([`Told`]):
//!
//! ```text
//!   10.0.0.5:4803                                                            dialled
//!   192.0.2.7:4803/8f3a21c0,198.51.100.2:4803@office=10.0.0.5:4803           at a relay, or at another one under the same number; in
//!                                                                            the realm `office` it is dialled
//! ```

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
    str::FromStr,
    sync::Arc,
};

use thiserror::Error;

/// Bytes of the name of a realm.
const REALM_MAX: usize = 32;
/// Bytes of the text of a contact.
const TEXT_MAX: usize = 160;
const DISCARD: [u16; 4] = [0x0100, 0, 0, 0];

/// The contact of the agent that has this number at a relay.
#[must_use]
pub fn relayed(relay: SocketAddrV4, number: u32) -> SocketAddr {
    let (ip, [n0, n1, n2, n3]) = (u32::from(*relay.ip()), number.to_be_bytes());
    let (upper, lower) = (u16::from_be_bytes([n0, n1]), u16::from_be_bytes([n2, n3]));
    let [a, b, c, d] = DISCARD;
    let ip = Ipv6Addr::new(a, b, c, d, (ip >> 16) as u16, ip as u16, relay.port(), upper);
    (ip, lower).into()
}

/// The relay of a contact, and the number there; `None` if it is dialled.
#[must_use]
pub fn relay_of(contact: SocketAddr) -> Option<(SocketAddrV4, u32)> {
    let SocketAddr::V6(at) = contact else { return None };
    let [a, b, c, d, upper_ip, lower_ip, port, upper] = at.ip().segments();
    let ip = Ipv4Addr::from(u32::from(upper_ip) << 16 | u32::from(lower_ip));
    let number = u32::from(upper) << 16 | u32::from(at.port());
    ([a, b, c, d] == DISCARD).then_some((SocketAddrV4::new(ip, port), number))
}

/// A set of hosts that can dial each other, such as those of one site: up to 32 letters, digits and `-._`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Realm(Arc<str>);

/// Why a text names no realm.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no name of a realm: use up to {REALM_MAX} letters, digits and -._")]
pub struct RealmError(String);

impl FromStr for Realm {
    type Err = RealmError;

    fn from_str(text: &str) -> Result<Self, RealmError> {
        let right = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if text.is_empty() || text.len() > REALM_MAX || !text.chars().all(right) {
            return Err(RealmError(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A contact as a row tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What names the agent to others.
    pub contact: SocketAddr,
    /// Another relay where it has the same number.
    pub spare: Option<SocketAddrV4>,
    /// Where it is dialled in its realm.
    pub local: Option<(Realm, SocketAddr)>,
}

/// Text that is no contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "this is no contact: write it like 10.0.0.5:4803, or 192.0.2.7:4803/8f3a21c0 for number 8f3a21c0 at a relay"
)]
pub struct ContactError;

impl From<SocketAddr> for Told {
    fn from(contact: SocketAddr) -> Self {
        Self { contact, spare: None, local: None }
    }
}

impl FromStr for Told {
    type Err = ContactError;

    fn from_str(text: &str) -> Result<Self, ContactError> {
        if text.len() > TEXT_MAX {
            return Err(ContactError);
        }
        let Some((relay, rest)) = text.split_once('/') else {
            let contact: SocketAddr = text.parse().map_err(|_| ContactError)?;
            // Whoever is at a relay says so in words, so that there is one way to write it.
            return if relay_of(contact).is_none() { Ok(contact.into()) } else { Err(ContactError) };
        };
        let (rest, local) = match rest.split_once('@') {
            None => (rest, None),
            Some((rest, local)) => {
                let (realm, at) = local.split_once('=').ok_or(ContactError)?;
                let realm = realm.parse().map_err(|_| ContactError)?;
                (rest, Some((realm, at.parse().map_err(|_| ContactError)?)))
            }
        };
        let (number, spare) = match rest.split_once(',') {
            None => (rest, None),
            Some((number, spare)) => (number, Some(spare.parse().map_err(|_| ContactError)?)),
        };
        let relay = relay.parse().map_err(|_| ContactError)?;
        let number = u32::from_str_radix(number, 16).map_err(|_| ContactError)?;
        Ok(Self { contact: relayed(relay, number), spare, local })
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((relay, number)) = relay_of(self.contact) else { return write!(f, "{}", self.contact) };
        write!(f, "{relay}/{number:08x}")?;
        if let Some(spare) = self.spare {
            write!(f, ",{spare}")?;
        }
        if let Some((realm, at)) = &self.local {
            write!(f, "@{realm}={at}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relay() -> SocketAddrV4 {
        "192.0.2.7:4803".parse().unwrap()
    }

    #[test]
    fn a_contact_at_a_relay_names_itself() {
        for number in [0, 1, 0x8f3a_21c0, u32::MAX] {
            assert_eq!(relay_of(relayed(relay(), number)), Some((relay(), number)));
        }
        for dialled in ["10.0.0.1:1", "[::1]:1", "[100:0:0:1::]:1", "[2001:db8::1]:1"] {
            assert_eq!(relay_of(dialled.parse().unwrap()), None, "{dialled}");
        }
    }

    #[test]
    fn what_a_row_tells_comes_back() {
        let contact = relayed(relay(), 0xc0);
        for (text, spare, local) in [
            ("192.0.2.7:4803/000000c0", None, None),
            ("192.0.2.7:4803/000000c0,198.51.100.2:9", Some("198.51.100.2:9"), None),
            ("192.0.2.7:4803/000000c0@home=10.0.0.5:4803", None, Some(("home", "10.0.0.5:4803"))),
            (
                "192.0.2.7:4803/000000c0,198.51.100.2:9@a-b=[::1]:1",
                Some("198.51.100.2:9"),
                Some(("a-b", "[::1]:1")),
            ),
        ] {
            let spare = spare.map(|spare| spare.parse().unwrap());
            let local = local.map(|(realm, at)| (realm.parse().unwrap(), at.parse().unwrap()));
            let told = Told { contact, spare, local };
            assert_eq!((text.parse(), told.to_string()), (Ok(told), text.to_owned()));
        }
        let dialled: SocketAddr = "10.0.0.5:4803".parse().unwrap();
        assert_eq!("10.0.0.5:4803".parse(), Ok(Told::from(dialled)));
    }

    #[test]
    fn what_is_no_contact_is_refused() {
        for wrong in [
            "",
            "a",
            "192.0.2.7:4803/",
            "192.0.2.7:4803/xyz",
            "192.0.2.7:4803/100000000",
            "[::1]:4803/1",
            "192.0.2.7:4803/1,",
            "192.0.2.7:4803/1@home",
            "192.0.2.7:4803/1@=10.0.0.1:1",
            "192.0.2.7:4803/1@a b=10.0.0.1:1",
            "[100::c000:207:12c3:0]:192",
            &format!("192.0.2.7:4803/1@{}=10.0.0.1:1", "x".repeat(33)),
        ] {
            assert_eq!(wrong.parse::<Told>(), Err(ContactError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in ".{0,200}") {
            if let Ok(told) = text.parse::<Told>() {
                prop_assert_eq!(told.to_string().parse(), Ok(told));
            }
        }
    }
}
