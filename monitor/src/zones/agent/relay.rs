//! What an agent does for others that nobody can dial: they lease a number at it, and it passes on to them what is sent to that number.
//!
//! ```text
//!   behind a NAT ──Lease 7──► relay          anybody ──Relay to 7──► relay ──Relayed──► behind the NAT, at the address the lease came from
//!                ◄──Leased───
//! ```
//! It passes a datagram on once, only to who has a lease, never longer than it came, and does not look into it. Rows are signed where agents have
//! keys, so a relay can only lose what it is to pass on; nobody has to trust it.
//!
//! * **Bounds**: leases, as it was told; for each [`RATE`] bytes a second after [`BURST`]; datagrams of [`RELAYED_MAX`].

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use gcs::time::Time;

use super::{Agent, Sends, bucket::Bucket};
use crate::zones::{
    contact::relay_of,
    message::{Body, DATAGRAM, Message},
    name::ZoneName,
};

/// How long a lease lasts unless it is renewed: a few renewals may get lost.
const LEASE: Duration = Duration::from_secs(60);
/// Bytes a second that are passed on to one: more than the busiest agent is sent.
const RATE: u64 = 16 << 10;
const BURST: u64 = 256 << 10;
/// Bytes of a datagram that is passed on: a message with the longest row fits.
const RELAYED_MAX: usize = 9 << 10;

#[derive(Debug)]
struct Lease {
    /// Only who knows it may renew the lease, and from another address, too: NATs are restarted.
    token: u64,
    at: SocketAddr,
    until: Time,
    bucket: Bucket,
}

/// Leases of numbers at an agent.
#[derive(Debug, Default)]
pub(super) struct Leases {
    most: usize,
    held: BTreeMap<u32, Lease>,
}

impl Leases {
    /// None for an agent that is no relay.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    fn grant(&mut self, now: Time, at: SocketAddr, number: u32, token: u64) -> bool {
        self.held.retain(|_, lease| lease.until > now);
        let until = now + LEASE;
        let full = self.held.len() >= self.most;
        match self.held.get_mut(&number) {
            Some(lease) if lease.token != token => return false,
            Some(lease) => (lease.at, lease.until) = (at, until),
            None if full => return false,
            None => {
                self.held.insert(number, Lease { token, at, until, bucket: Bucket::new(BURST) });
            }
        }
        true
    }

    /// Where datagrams to this number go.
    pub(super) fn at(&self, now: Time, number: u32) -> Option<SocketAddr> {
        self.held.get(&number).filter(|lease| lease.until > now).map(|lease| lease.at)
    }

    fn may_pass(&mut self, now: Time, number: u32, bytes: usize) -> Option<SocketAddr> {
        let lease = self.held.get_mut(&number).filter(|lease| lease.until > now)?;
        lease.bucket.take(now, RATE, bytes).then_some(lease.at)
    }

    /// Its invariants.
    pub(super) fn check(&self) {
        assert!(self.held.len() <= self.most, "R1: {} leases", self.held.len());
    }
}

impl Agent {
    /// The agent as a relay for so many others; 0: for nobody.
    #[must_use]
    pub fn relay_for(mut self, leases: usize) -> Self {
        self.leases.most = leases;
        self
    }

    /// Somebody wants a number here.
    pub(super) fn on_lease(
        &mut self,
        now: Time,
        from: SocketAddr,
        (number, token): (u32, u64),
        sends: &mut Sends,
    ) {
        let granted = self.relays_itself() && self.leases.grant(now, from, number, token);
        sends.push((from, Message { zone: ZoneName::root(), body: Body::Leased(number, granted) }));
    }

    /// Something is to be passed on. Whoever can be dialled is named by the address it is seen at, so that nobody is answered who has not asked.
    pub(super) fn on_relay(
        &mut self,
        now: Time,
        from: SocketAddr,
        (number, claimed, bytes): (u32, SocketAddr, Vec<u8>),
        sends: &mut Sends,
    ) {
        let origin = if relay_of(claimed).is_some() { claimed } else { from };
        let grows = origin.is_ipv6() && claimed.is_ipv4();
        let at = match bytes.len() <= RELAYED_MAX && !grows {
            true => self.leases.may_pass(now, number, DATAGRAM + bytes.len()),
            false => None,
        };
        let Some(at) = at else {
            self.counters.not_relayed += 1;
            return;
        };
        self.counters.relayed += 1;
        sends.push((at, Message { zone: ZoneName::root(), body: Body::Relayed(origin, bytes) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_lease_is_renewed_by_who_knows_its_token_and_ends() {
        let mut leases = Leases { most: 2, ..Leases::default() };
        let s = |s: u64| Time::from_ms(s * 1000);
        assert!(leases.grant(s(0), at(1), 7, 70) && leases.grant(s(0), at(2), 8, 80));
        assert!(!leases.grant(s(1), at(3), 7, 71), "it is somebody else's");
        assert!(!leases.grant(s(1), at(3), 9, 90), "there are two already");
        assert!(leases.grant(s(30), at(4), 7, 70), "the NAT was restarted");
        assert_eq!(
            (leases.at(s(59), 7), leases.at(s(59), 8), leases.at(s(60), 8)),
            (Some(at(4)), Some(at(2)), None)
        );
        assert!(leases.grant(s(61), at(3), 9, 90), "8 is over");
        leases.check();
    }

    #[test]
    fn what_is_passed_on_to_one_is_bounded() {
        let mut leases = Leases { most: 2, ..Leases::default() };
        let seconds = 10;
        leases.grant(Time::ZERO, at(1), 7, 70);
        leases.grant(Time::ZERO, at(2), 8, 80);
        let passed = (0..seconds * 1000).filter(|ms| leases.may_pass(Time::from_ms(*ms), 7, 1000).is_some());
        let bytes = passed.count() as u64 * 1000;
        assert!((BURST..=BURST + RATE * seconds).contains(&bytes), "{bytes}");
        assert_eq!(leases.may_pass(Time::from_ms(1), 8, 1000), Some(at(2)), "the other one has its own");
        assert_eq!(leases.may_pass(Time::from_ms(1), 9, 1), None, "nobody has a lease of it");
    }
}
