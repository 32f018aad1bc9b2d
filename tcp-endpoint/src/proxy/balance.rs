//! Which back end gets a new connection.

use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How back ends are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest connections.
    LeastConnections,
    /// The same one for the same client address, as long as that back end can be chosen.
    SourceHash,
}

/// A back end that can be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its number among those of its listener.
    pub(super) number: usize,
    pub(super) address: SocketAddr,
    pub(super) connections: u32,
}

impl Balance {
    /// Chooses one of `candidates`; `turn` is whose turn it is, and moves behind who was chosen.
    pub(super) fn choose(
        self,
        candidates: impl Iterator<Item = Candidate>,
        client: IpAddr,
        turn: &mut u32,
    ) -> Option<usize> {
        let waits = |c: &Candidate| (c.number < *turn as usize, c.number);
        let chosen = match self {
            Self::RoundRobin => candidates.min_by_key(waits),
            Self::LeastConnections => candidates.min_by_key(|c| (c.connections, waits(c))),
            Self::SourceHash => candidates.max_by_key(|c| score(client, c.address)),
        }?;
        *turn = u32::try_from(chosen.number + 1).unwrap_or(0);
        Some(chosen.number)
    }
}

/// Rendezvous hashing (Thaler and Ravishankar, 1998): when a back end goes, only its own clients move.
fn score(client: IpAddr, back_end: SocketAddr) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for ip in [client, back_end.ip()] {
        match ip {
            IpAddr::V4(ip) => hasher.update(&ip.octets()),
            IpAddr::V6(ip) => hasher.update(&ip.octets()),
        };
    }
    hasher.update(&back_end.port().to_be_bytes());
    let mut score = [0; 8];
    hasher.finalize_xof().fill(&mut score);
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(how: Balance, connections: &[Option<u32>], client: u8, turn: &mut u32) -> Option<usize> {
        let all = connections.iter().enumerate().filter_map(|(number, connections)| {
            let address = SocketAddr::from(([10, 0, 1, number as u8], 80));
            Some(Candidate { number, address, connections: (*connections)? })
        });
        how.choose(all, [10, 0, 0, client].into(), turn)
    }

    #[test]
    fn in_turn() {
        let mut turn = 0;
        let mut next = |connections| choose(Balance::RoundRobin, connections, 1, &mut turn);
        let all: &[_] = &[Some(9), Some(0), Some(5)];
        assert_eq!([next(all), next(all), next(all), next(all)], [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(next(&[Some(0), None, Some(0)]), Some(2), "one that cannot be chosen is left out");
        assert_eq!(next(&[None, None, None]), None);
    }

    #[test]
    fn the_fewest_connections() {
        let mut turn = 0;
        let mut next = |connections| choose(Balance::LeastConnections, connections, 1, &mut turn);
        assert_eq!(next(&[Some(2), Some(1), Some(1)]), Some(1));
        assert_eq!(next(&[Some(1), Some(1), Some(1)]), Some(2), "equals take turns");
        assert_eq!(next(&[Some(1), Some(1), Some(1)]), Some(0));
        assert_eq!(next(&[Some(1), None, Some(7)]), Some(0));
    }

    #[test]
    fn a_client_stays_where_it_is() {
        let mut turn = 0;
        let mut next = |connections: &[_], client| {
            choose(Balance::SourceHash, connections, client, &mut turn).expect("there are some")
        };
        let all = [Some(0); 4];
        let before: Vec<_> = (0..200).map(|client| next(&all, client)).collect();
        assert_eq!(before, (0..200).map(|client| next(&all, client)).collect::<Vec<_>>());
        for number in 0..4 {
            let share = before.iter().filter(|b| **b == number).count();
            assert!((25..=75).contains(&share), "{share} of 200 clients at back end {number}");
        }
        let without = [Some(0), Some(0), None, Some(0)];
        for (client, was) in before.iter().enumerate() {
            let is = next(&without, client as u8);
            assert!(is != 2 && (is == *was || *was == 2), "client {client} moved from {was} to {is}");
        }
    }
}
