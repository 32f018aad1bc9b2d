//! [`Nats`]: agents that nobody can dial, each behind one of several translators of addresses. They are of the strictest kind: another port for each destination, and only that destination
//! may answer, within 30 s (Rosenberg et al., RFC 3489, section 5, "symmetric"). The addresses behind each are the same as behind all others.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use super::world::{address, index};
use crate::zones::agent::Reach;

/// For so long whoever was sent something may answer, in milliseconds.
const OPEN_MS: u64 = 30_000;
/// Where NATs are reached, and what is behind each.
const OUTSIDE: u32 = 0xcb00_7100;
const INSIDE: u32 = 0xc0a8_0000;

#[derive(Debug)]
struct Mapping {
    port: u16,
    until_ms: u64,
}

/// Which agents are behind NATs, and what these let through.
#[derive(Debug, Default)]
pub(super) struct Nats {
    /// The NAT of each agent that is behind one, and its address there.
    behind: BTreeMap<u32, (u8, SocketAddr)>,
    inside: BTreeMap<(u8, SocketAddr), u32>,
    /// By agent and whom it has sent something.
    mappings: BTreeMap<(u32, SocketAddr), Mapping>,
    /// By NAT and port.
    back: BTreeMap<(u8, u16), (u32, SocketAddr)>,
    ports: BTreeMap<u8, u16>,
    /// How agents are told that they are reached, and for how many they are relays.
    pub(super) reach: BTreeMap<usize, Reach>,
    pub(super) relays: BTreeMap<usize, usize>,
}

impl Nats {
    /// Puts an agent behind a NAT.
    pub(super) fn put(&mut self, of: usize, nat: u8) {
        let (of, rank) = (of as u32, self.inside.keys().filter(|(other, _)| *other == nat).count() as u32);
        let local = SocketAddr::from((Ipv4Addr::from(INSIDE + 1 + rank), 4803));
        self.behind.insert(of, (nat, local));
        self.inside.insert((nat, local), of);
    }

    /// The address of an agent, as it knows it.
    pub(super) fn own_address(&self, of: usize) -> SocketAddr {
        self.behind.get(&(of as u32)).map_or_else(|| address(of), |(_, local)| *local)
    }

    fn nat_of(&self, of: u32) -> Option<u8> {
        self.behind.get(&of).map(|(nat, _)| *nat)
    }

    /// To whom a datagram gets, and where it seems to come from; `None` if it gets nowhere.
    pub(super) fn pass(&mut self, now_ms: u64, from: u32, to: SocketAddr) -> Option<(u32, SocketAddr)> {
        let nat = self.nat_of(from);
        let SocketAddr::V4(v4) = to else { return None };
        if u32::from(*v4.ip()) & 0xffff_0000 == INSIDE {
            // These addresses mean something on this side only.
            let to = self.inside.get(&(nat?, to))?;
            return Some((*to, self.own_address(from as usize)));
        }
        let seen = match nat {
            Some(nat) => self.translated(now_ms, nat, from, to),
            None => address(from as usize),
        };
        let outside = u32::from(*v4.ip()).wrapping_sub(OUTSIDE);
        if let Ok(nat) = u8::try_from(outside) {
            let (inside, remote) = self.back.get(&(nat, v4.port()))?;
            let open = self
                .mappings
                .get(&(*inside, *remote))
                .is_some_and(|m| m.until_ms > now_ms && m.port == v4.port());
            return (open && *remote == seen).then_some((*inside, seen));
        }
        index(to).filter(|to| self.nat_of(*to).is_none()).map(|to| (to, seen))
    }

    /// Where what an agent sends comes out of its NAT.
    fn translated(&mut self, now_ms: u64, nat: u8, from: u32, to: SocketAddr) -> SocketAddr {
        let until_ms = now_ms + OPEN_MS;
        let port = match self.mappings.get_mut(&(from, to)).filter(|mapping| mapping.until_ms > now_ms) {
            Some(mapping) => {
                mapping.until_ms = until_ms;
                mapping.port
            }
            None => {
                let port = self.ports.entry(nat).or_insert(1023);
                *port = port.checked_add(1).unwrap_or(1024);
                let port = *port;
                self.back.insert((nat, port), (from, to));
                self.mappings.insert((from, to), Mapping { port, until_ms });
                port
            }
        };
        (Ipv4Addr::from(OUTSIDE + u32::from(nat)), port).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_sent_something_may_answer_and_not_for_long() {
        let mut nats = Nats::default();
        [1, 2].into_iter().for_each(|of| nats.put(of, 0));
        nats.put(3, 1);
        assert_eq!(nats.pass(0, 0, nats.own_address(1)), None, "nobody dials in");
        let (to, seen) = nats.pass(0, 1, address(0)).expect("it dials out");
        assert!(to == 0 && seen != address(1) && seen != nats.own_address(1));
        assert_eq!(nats.pass(29_999, 0, seen), Some((1, address(0))));
        assert_eq!(nats.pass(0, 4, seen), None, "somebody else");
        assert_eq!(nats.pass(30_000, 0, seen), None, "too late");
        let again = nats.pass(30_000, 1, address(0)).expect("it dials out").1;
        assert_ne!(again, seen, "another port");
        assert_ne!(nats.pass(30_000, 1, address(4)).expect("it dials out").1, again, "one for each");
        assert_eq!(nats.pass(0, 1, nats.own_address(2)), Some((2, nats.own_address(1))));
        assert_eq!(nats.own_address(3), nats.own_address(1));
        assert_eq!(
            nats.pass(0, 2, nats.own_address(3)).map(|(to, _)| to),
            Some(1),
            "their addresses are the same"
        );
    }
}
