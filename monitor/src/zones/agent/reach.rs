//! How an agent is reached that nobody can dial: it leases a number at two relays and tells others so in its row. How others reach it then is in `paths.rs`.
//!
//! ```text
//!   See ──► seed ──► Seen: at another address than it thought? Then there is a NAT between
//!   behind one: Lease at two relays, each 15 s, which keeps the NAT open ──no answer, four times──► another relay ──► its row changes
//! ```
//! Its two relays take turns, so when one dies every second datagram still arrives, and questions are asked twice: nobody takes it for gone
//! until it has found another one. It notices that itself, because nothing comes any more by one of them.
//!
//! * **Bounds**: [`RELAYS`] relays, [`FAILED`] relays that are not asked again for a while.

use std::{
    net::{SocketAddr, SocketAddrV4},
    time::Duration,
};

use gcs::{rng::Rng, time::Time};

use super::{Agent, Sends, summary::RELAYS as NAMED};
use crate::zones::{
    contact::{Realm, Told, relay_of, relayed},
    message::{Body, Message},
    name::ZoneName,
    table::Table,
};

/// At so many it has a number.
const RELAYS: usize = 2;
/// How often a lease is renewed: NATs forget after 30 s.
const RENEW: Duration = Duration::from_secs(15);
/// Until a relay is asked again that has not answered, and how often it is.
const RETRY: Duration = Duration::from_millis(500);
const TRIES: u8 = 4;
/// When for so long something has come by one relay and nothing by the other, that one is asked.
const QUIET: Duration = Duration::from_secs(2);
/// A relay that has not answered, or is full, is not asked again for so long; so many of them.
const AVOID: Duration = Duration::from_secs(60);
const FAILED: usize = 64;
/// How often it looks for a relay while it has not enough.
const LOOK: Duration = Duration::from_secs(1);
/// How often it asks at which address it is seen: until somebody answers, each time after twice as long, and then.
const SEE: Duration = Duration::from_secs(2);
const SEE_MAX: Duration = Duration::from_secs(60);
const SEE_AGAIN: Duration = Duration::from_secs(600);

/// What an agent is told of how it can be reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The hosts that can dial it, and it them.
    pub realm: Option<Realm>,
    /// Relays to ask for a lease before all others. If there are any, nobody can dial the agent.
    pub relays: Vec<SocketAddrV4>,
    /// Whom to ask at which address it is seen, and which one that is if there is no NAT between. None: it is believed what it says.
    pub expects: Vec<(SocketAddr, SocketAddr)>,
}

/// A relay at which it has a lease, or has asked for one.
#[derive(Debug)]
struct Held {
    relay: SocketAddrV4,
    granted: bool,
    /// How often it was asked since it has answered.
    tries: u8,
    due: Time,
    /// When something came by it last.
    heard: Time,
}

/// The state of an agent that may not be dialled.
#[derive(Debug)]
pub(super) struct Reached {
    told: Reach,
    /// Where it is dialled in its realm.
    local: SocketAddr,
    behind: bool,
    number: u32,
    token: u64,
    /// Granted ones first, in the order in which they were.
    held: Vec<Held>,
    failed: Vec<(SocketAddrV4, Time)>,
    next: Time,
    /// The number of the last question for its address, and when the next is due if nobody answers.
    see: u32,
    see_wait: Duration,
    rng: Rng,
}

impl Reached {
    /// The hosts that can dial it, and it them.
    pub(super) fn realm(&self) -> Option<&Realm> {
        self.told.realm.as_ref()
    }

    fn due(&self) -> Time {
        self.held.iter().map(|held| held.due).min().unwrap_or(Time::NEVER).min(self.next)
    }

    /// Something came from there.
    fn heard(&mut self, now: Time, from: SocketAddr) {
        let last = self.held.iter().map(|held| held.heard).max().unwrap_or(Time::ZERO);
        for held in self.held.iter_mut().filter(|held| held.granted) {
            if SocketAddr::V4(held.relay) == from {
                held.heard = now;
            } else if held.tries == 0 && last.since(held.heard) > QUIET {
                held.due = now;
            }
        }
    }

    fn at(&mut self, from: SocketAddr) -> Option<usize> {
        self.held.iter().position(|held| SocketAddr::V4(held.relay) == from)
    }

    fn lose(&mut self, now: Time, at: usize) {
        let lost = self.held.remove(at);
        if self.failed.len() >= FAILED {
            self.failed.remove(0);
        }
        self.failed.push((lost.relay, now + AVOID));
        self.next = now;
    }

    /// Asks for leases, and for more time.
    fn keep(&mut self, now: Time, sends: &mut Sends) {
        while let Some(dead) = self.held.iter().position(|held| held.due <= now && held.tries >= TRIES) {
            self.lose(now, dead);
        }
        for held in self.held.iter_mut().filter(|held| held.due <= now) {
            (held.tries, held.due) = (held.tries + 1, now + RETRY);
            let body = Body::Lease(self.number, self.token);
            sends.push((held.relay.into(), Message { zone: ZoneName::root(), body }));
        }
    }

    /// Takes more relays, if there are any.
    fn look(&mut self, now: Time, mut others: Vec<SocketAddrV4>) {
        self.next = if self.held.len() < RELAYS { now + LOOK } else { Time::NEVER };
        self.failed.retain(|(_, until)| *until > now);
        let (held, failed) = (&self.held, &self.failed);
        let usable = |relay: &SocketAddrV4| {
            held.iter().all(|held| held.relay != *relay) && failed.iter().all(|(failed, _)| failed != relay)
        };
        let mut named: Vec<SocketAddrV4> = self.told.relays.iter().copied().filter(usable).collect();
        others.retain(usable);
        others.sort_unstable();
        others.dedup();
        named.reverse();
        while self.held.len() < RELAYS {
            let any = |rng: &mut Rng| usize::try_from(rng.below(others.len() as u64)).unwrap_or(0);
            let relay = match named.pop() {
                Some(relay) => relay,
                None if others.is_empty() => return,
                None => others.swap_remove(any(&mut self.rng)),
            };
            if self.held.iter().all(|held| held.relay != relay) {
                self.held.push(Held { relay, granted: false, tries: 0, due: now, heard: now });
            }
        }
    }

    /// How it tells others to reach it, if it has a lease.
    fn tells(&self) -> Option<Told> {
        let mut granted = self.held.iter().filter(|held| held.granted).map(|held| held.relay);
        let contact = relayed(granted.next()?, self.number);
        let local = self.told.realm.clone().map(|realm| (realm, self.local));
        Some(Told { contact, spare: granted.next(), local })
    }
}

impl Agent {
    /// The agent where others may not be able to dial it.
    #[must_use]
    pub fn reached(mut self, reach: Reach) -> Self {
        let mut rng = Rng::new(self.numbers.next_u64());
        self.reach = Some(Box::new(Reached {
            behind: !reach.relays.is_empty(),
            told: reach,
            local: self.contact,
            number: (rng.next_u64() >> 32) as u32,
            token: rng.next_u64(),
            held: Vec::new(),
            failed: Vec::new(),
            next: Time::ZERO,
            see: 0,
            see_wait: SEE,
            rng,
        }));
        self
    }

    /// How others are told to reach it.
    #[must_use]
    pub fn contact(&self) -> &Told {
        &self.told
    }

    /// Whether it is behind a NAT or a firewall, as far as it knows.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.reach.as_ref().is_some_and(|reach| reach.behind)
    }

    /// Whether it is a relay.
    pub(super) fn relays_itself(&self) -> bool {
        self.leases.most() > 0 && self.contact.is_ipv4() && !self.is_behind()
    }

    pub(super) fn next_reach(&self) -> Time {
        self.reach.as_ref().map_or(Time::NEVER, |reach| reach.due())
    }

    /// Does what it takes to be reached.
    pub(super) fn be_reached(&mut self, now: Time, sends: &mut Sends) {
        let Some(mut reach) = self.reach.take() else { return };
        if reach.behind {
            if reach.next <= now {
                reach.look(now, self.relays_known());
            }
            reach.keep(now, sends);
            // Who is lost makes room for another one.
            if reach.next <= now {
                reach.look(now, self.relays_known());
                reach.keep(now, sends);
            }
        } else {
            reach.next = if reach.told.expects.is_empty() { Time::NEVER } else { now + reach.see_wait };
            reach.see_wait = SEE_MAX.min(2 * reach.see_wait);
            reach.see = self.number();
            for (whom, _) in &reach.told.expects {
                sends.push((*whom, Message { zone: ZoneName::root(), body: Body::See(reach.see) }));
            }
        }
        self.reach = Some(reach);
        self.tell_contact(now);
    }

    /// How long an answer of this contact may take: by relays the way there, and the way back, are up to twice as long.
    pub(super) fn patience(&self, whom: SocketAddr) -> Duration {
        self.config.answer * if relay_of(whom).is_some() { 2 } else { 1 }
    }

    /// Relays that rows name.
    fn relays_known(&self) -> Vec<SocketAddrV4> {
        let issues = self.tables.iter().flat_map(Table::issues);
        let named = issues.flat_map(|(_, issue)| issue.row.get(NAMED).elements().iter().take(RELAYS + 1));
        named.filter_map(|relay| relay.as_text()?.parse().ok()).collect()
    }

    /// Its row is to say where it is reached now.
    fn tell_contact(&mut self, now: Time) {
        let Some(reach) = self.reach.as_ref().filter(|reach| reach.behind) else { return };
        let told = reach.tells().unwrap_or_else(|| reach.local.into());
        if told != self.told {
            (self.contact, self.told) = (told.contact, told);
            self.reissue_at = now;
        }
    }

    fn on_seen(&mut self, now: Time, from: SocketAddr, number: u32, at: SocketAddr) {
        let Some(reach) = self.reach.as_mut().filter(|reach| !reach.behind && reach.see == number) else {
            return;
        };
        let expected = reach.told.expects.iter().find(|(whom, _)| *whom == from).map(|(_, at)| *at);
        match expected {
            Some(expected) if expected != at => (reach.behind, reach.next) = (true, now),
            Some(_) => (reach.next, reach.see_wait) = (now + SEE_AGAIN, SEE),
            None => {}
        }
    }

    fn on_leased(&mut self, now: Time, from: SocketAddr, number: u32, granted: bool) {
        let Some(reach) = self.reach.as_mut().filter(|reach| reach.number == number) else { return };
        let Some(at) = reach.at(from).filter(|at| reach.held[*at].tries > 0) else { return };
        if granted {
            let held = &mut reach.held[at];
            (held.granted, held.tries, held.due, held.heard) = (true, 0, now + RENEW, now);
            reach.held.sort_by_key(|held| !held.granted);
        } else {
            reach.lose(now, at);
        }
        self.tell_contact(now);
    }

    /// What a datagram says, who says so, and where it came from if that is not where its sender is reached. What is between relays and those
    /// behind them goes no further.
    pub(super) fn opened(
        &mut self,
        now: Time,
        from: SocketAddr,
        message: Message,
        sends: &mut Sends,
    ) -> Option<(SocketAddr, Option<SocketAddr>, Message)> {
        if let Some(reach) = &mut self.reach {
            reach.heard(now, from);
        }
        let (origin, at, bytes) = match message.body {
            Body::See(number) => {
                sends.push((from, Message { zone: ZoneName::root(), body: Body::Seen(number, from) }));
                return None;
            }
            Body::Seen(number, at) => {
                self.on_seen(now, from, number, at);
                return None;
            }
            Body::Lease(number, token) => {
                self.on_lease(now, from, (number, token), sends);
                return None;
            }
            Body::Leased(number, granted) => {
                self.on_leased(now, from, number, granted);
                return None;
            }
            Body::Relay(number, claimed, bytes) => {
                self.on_relay(now, from, (number, claimed, bytes), sends);
                return None;
            }
            Body::Relayed(origin, bytes) => {
                let own = self.reach.as_mut().and_then(|reach| reach.at(from));
                (own.map(|_| origin), None, bytes)
            }
            Body::By(origin, bytes) => (relay_of(origin).map(|_| origin), Some(from), bytes),
            _ => return Some((from, None, message)),
        };
        // One inside of another one would go from relay to relay.
        let inner = Message::decode(&bytes).ok().filter(|inner| !inner.body.is_between());
        let opened = origin.zip(inner);
        self.counters.strange += u64::from(opened.is_none());
        opened.map(|(origin, inner)| (origin, at, inner))
    }
}
