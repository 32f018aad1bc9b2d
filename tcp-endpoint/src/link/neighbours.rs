//! Who is at which MAC: the neighbour cache of RFC 826 and RFC 4861 section 7.3, for both families.
//!
//! ```text
//!            route              learn                 time               route
//!   (none) ────────► Incomplete ─────► Reachable ────────────► Stale ────────────► Probing
//!                        │                 ▲  ▲                  │ learn             │ │
//!                        │ no answer       │  └──────────────────┴───────────────────┘ │
//!                        ▼                 │                learn                      │ no answer
//!                      (none)           learn (none)                                 (none)
//! ```
//!
//! Deviations from RFC 4861: traffic from a host confirms it (a link that works one way only is TCP's to see); an
//! unknown host that sends to us is known at once by the MAC that its packet came from; there is no DELAY state,
//! Probing begins with a pause instead.
//!
//! Bounds: `Config::neighbours` entries; [`QUEUE`] packets wait for one neighbour, and [`QUEUED_BYTES`] for all.
//! Invariants (asserted by [`Neighbours::check`]): 1. each entry is in `due` exactly once; 2. packets wait in
//! Incomplete entries only; 3. the bounds hold.

use super::{config::Config, frame::Packet, mac::Mac};
use gcs::time::Time;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    ops::Bound::{Excluded, Unbounded},
    time::Duration,
};

/// Packets that wait for one neighbour; a further one drops the first (RFC 4861 section 7.2.2). After a takeover every connection sends at once,
/// and all of them may be with one neighbour (a router, a back end) that nobody has asked for yet.
pub(crate) const QUEUE: usize = 16_384;
/// Bytes that wait for all neighbours, with what a packet takes besides.
pub(crate) const QUEUED_BYTES: usize = 16 << 20;
/// Questions without an answer before a neighbour is given up (`MAX_MULTICAST_SOLICIT`, `MAX_UNICAST_SOLICIT`).
const TRIES: u8 = 3;
/// Between two of them (`RETRANS_TIMER`), and before the first one to a stale neighbour.
const RETRY: Duration = Duration::from_secs(1);

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has been asked for, and has not answered.
    Incomplete,
    /// It has been heard of lately.
    Reachable,
    /// It has not been heard of for a while; its MAC is still used.
    Stale,
    /// It is used, and being asked.
    Probing,
}

/// How sure something is that was heard of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// It said so in ARP, or in ND with the override flag.
    Said,
    /// It, or another member of the group, may be right: an advertisement without override, or a packet from there.
    Seen,
}

#[derive(Debug)]
struct Entry {
    state: State,
    mac: Mac,
    /// When it was last heard of.
    heard: Time,
    /// When something is to be done; as in `due`.
    due: Time,
    tries: u8,
    /// Used since the hand last passed.
    used: bool,
    queue: VecDeque<Packet>,
}

/// What a packet takes while it waits.
fn held(packet: &Packet) -> usize {
    size_of::<Packet>() + packet.len()
}

/// What becomes of a packet.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "returned once for each packet, which is most often sent")]
pub(crate) enum Route {
    /// It goes to this MAC.
    Send(Mac, Packet),
    /// It waits; the neighbour is to be asked for now if `ask`. `dropped` packets had to make room.
    Wait { ask: bool, dropped: u64 },
}

/// What time has brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask for the neighbour: at its MAC, or everybody.
    Ask(IpAddr, Option<Mac>),
    /// It is given up; so many packets waited for it.
    GivenUp(u64),
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Neighbours {
    most: usize,
    reachable: Duration,
    forget: Duration,
    /// They do not make room for others.
    gateways: Vec<IpAddr>,
    entries: BTreeMap<IpAddr, Entry>,
    due: BTreeSet<(Time, IpAddr)>,
    queued_bytes: usize,
    /// Where the search for somebody to forget goes on.
    hand: Option<IpAddr>,
}

impl Neighbours {
    pub(crate) fn new(config: &Config) -> Self {
        let (reachable, forget) = (config.reachable, config.forget);
        let gateways: Vec<IpAddr> = config.gateways().collect();
        // There is always somebody else to forget.
        let most = config.neighbours.max(gateways.len() + 2);
        let (entries, due) = (BTreeMap::new(), BTreeSet::new());
        Self { most, reachable, forget, gateways, entries, due, queued_bytes: 0, hand: None }
    }

    /// Where `packet` goes that is for the neighbour `ip`.
    pub(crate) fn route(&mut self, now: Time, ip: IpAddr, packet: Packet) -> Route {
        if let Some(entry) = self.entries.get_mut(&ip)
            && entry.state != State::Incomplete
        {
            entry.used = true;
            let mac = entry.mac;
            if entry.state == State::Reachable && now >= entry.heard + self.reachable {
                entry.state = State::Stale;
            }
            if entry.state == State::Stale {
                (entry.state, entry.tries) = (State::Probing, 0);
                self.set_due(ip, now + RETRY);
            }
            return Route::Send(mac, packet);
        }
        let ask = self.expect(now, ip);
        let dropped = self.queue(ip, packet);
        Route::Wait { ask, dropped }
    }

    /// Makes an entry for a neighbour that is to be asked for; false if there is one.
    pub(crate) fn expect(&mut self, now: Time, ip: IpAddr) -> bool {
        let unknown = !self.entries.contains_key(&ip);
        if unknown {
            self.insert(now, ip, State::Incomplete, Mac::ZERO, now + RETRY);
        }
        unknown
    }

    fn queue(&mut self, ip: IpAddr, packet: Packet) -> u64 {
        let Some(entry) = self.entries.get_mut(&ip) else { return 1 };
        let len = held(&packet);
        if self.queued_bytes + len > QUEUED_BYTES {
            return 1;
        }
        let first = if entry.queue.len() == QUEUE { entry.queue.pop_front() } else { None };
        entry.queue.push_back(packet);
        self.queued_bytes = self.queued_bytes + len - first.as_ref().map_or(0, held);
        u64::from(first.is_some())
    }

    /// `ip` was heard of at `mac`. Returns what waited for it.
    pub(crate) fn learn(&mut self, now: Time, ip: IpAddr, mac: Mac, evidence: Evidence) -> VecDeque<Packet> {
        let Some(entry) = self.entries.get_mut(&ip) else {
            self.insert(now, ip, State::Reachable, mac, now + self.reachable);
            return VecDeque::new();
        };
        let fresh = entry.state == State::Reachable && now < entry.heard + self.reachable;
        if entry.mac != mac && evidence == Evidence::Seen && fresh {
            // RFC 4861 section 7.2.5: what is known is doubted, but not replaced.
            entry.state = State::Stale;
            self.set_due(ip, now + self.forget);
            return VecDeque::new();
        }
        if entry.state == State::Reachable {
            // When it is due, it is seen that it has been heard of since.
            (entry.mac, entry.heard) = (mac, now);
            return VecDeque::new();
        }
        (entry.state, entry.mac, entry.heard) = (State::Reachable, mac, now);
        let waiting = std::mem::take(&mut entry.queue);
        self.queued_bytes -= waiting.iter().map(held).sum::<usize>();
        self.set_due(ip, now + self.reachable);
        waiting
    }

    /// Somebody else knows a neighbour that is not known here.
    pub(crate) fn hint(&mut self, now: Time, ip: IpAddr, mac: Mac) {
        self.insert(now, ip, State::Stale, mac, now + self.forget);
    }

    /// The MAC of a neighbour.
    pub(crate) fn mac(&self, ip: IpAddr) -> Option<Mac> {
        self.entries.get(&ip).filter(|e| e.state != State::Incomplete).map(|e| e.mac)
    }

    pub(crate) fn knows(&self, ip: IpAddr) -> bool {
        self.entries.contains_key(&ip)
    }

    /// All neighbours, by address.
    pub(crate) fn all(&self) -> impl Iterator<Item = (IpAddr, Mac, State)> + '_ {
        self.entries.iter().map(|(ip, e)| (*ip, e.mac, e.state))
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn next_timer(&self) -> Time {
        self.due.first().map_or(Time::NEVER, |(at, _)| *at)
    }

    /// The first thing that is due, if any; to be called until there is none.
    pub(crate) fn tick(&mut self, now: Time) -> Option<Due> {
        loop {
            let (_, ip) = *self.due.first().filter(|(at, _)| *at <= now)?;
            let entry = self.entries.get_mut(&ip)?;
            match entry.state {
                State::Reachable if entry.heard + self.reachable > now => {
                    let until = entry.heard + self.reachable;
                    self.set_due(ip, until);
                }
                State::Reachable => {
                    entry.state = State::Stale;
                    let until = (entry.heard + self.forget).max(now + RETRY);
                    self.set_due(ip, until);
                }
                State::Stale => drop(self.remove(ip)),
                State::Incomplete | State::Probing => {
                    let mac = (entry.state == State::Probing).then_some(entry.mac);
                    // The first question to a stale neighbour is yet to be asked.
                    let most = if mac.is_some() { TRIES } else { TRIES - 1 };
                    if entry.tries == most {
                        return Some(Due::GivenUp(self.remove(ip)));
                    }
                    entry.tries += 1;
                    self.set_due(ip, now + RETRY);
                    return Some(Due::Ask(ip, mac));
                }
            }
        }
    }

    /// Nobody asks any more: what waits is dropped (its number is returned), what is known stays.
    pub(crate) fn silence(&mut self, now: Time) -> u64 {
        let open: Vec<IpAddr> = self
            .entries
            .iter()
            .filter(|(_, e)| matches!(e.state, State::Incomplete | State::Probing))
            .map(|(ip, _)| *ip)
            .collect();
        let mut dropped = 0;
        for ip in open {
            let Some(entry) = self.entries.get_mut(&ip) else { continue };
            if entry.state == State::Incomplete {
                dropped += self.remove(ip);
            } else {
                entry.state = State::Stale;
                self.set_due(ip, now + self.forget);
            }
        }
        dropped
    }

    fn insert(&mut self, now: Time, ip: IpAddr, state: State, mac: Mac, due: Time) {
        while self.entries.len() >= self.most {
            self.forget_one();
        }
        let queue = VecDeque::new();
        self.entries.insert(ip, Entry { state, mac, heard: now, due, tries: 0, used: true, queue });
        self.due.insert((due, ip));
    }

    /// Second chance: the first one after the hand that has not been used since the hand last passed it.
    fn forget_one(&mut self) {
        loop {
            let after = self.hand.map_or(Unbounded, Excluded);
            let Some((ip, entry)) = self.entries.range_mut((after, Unbounded)).next() else {
                self.hand = None;
                continue;
            };
            let ip = *ip;
            self.hand = Some(ip);
            if !std::mem::take(&mut entry.used) && !self.gateways.contains(&ip) {
                self.remove(ip);
                return;
            }
        }
    }

    /// Returns how many packets waited.
    fn remove(&mut self, ip: IpAddr) -> u64 {
        let Some(entry) = self.entries.remove(&ip) else { return 0 };
        self.due.remove(&(entry.due, ip));
        self.queued_bytes -= entry.queue.iter().map(held).sum::<usize>();
        entry.queue.len() as u64
    }

    fn set_due(&mut self, ip: IpAddr, due: Time) {
        if let Some(entry) = self.entries.get_mut(&ip) {
            self.due.remove(&(entry.due, ip));
            entry.due = due;
            self.due.insert((due, ip));
        }
    }

    /// Asserts the invariants.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        assert_eq!(self.entries.len(), self.due.len(), "each entry is due once");
        assert!(self.entries.len() <= self.most, "entries are bounded");
        let mut bytes = 0;
        for (ip, e) in &self.entries {
            assert!(self.due.contains(&(e.due, *ip)), "each entry is due once");
            assert!(e.queue.is_empty() || e.state == State::Incomplete, "packets wait in Incomplete only");
            assert!(e.queue.len() <= QUEUE, "queues are bounded");
            bytes += e.queue.iter().map(held).sum::<usize>();
        }
        assert_eq!(bytes, self.queued_bytes, "bytes are counted");
        assert!(bytes <= QUEUED_BYTES, "bytes are bounded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smallvec::SmallVec;

    const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
    const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);

    fn ip(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn packet(n: u8) -> Packet {
        Packet { header: SmallVec::from_slice(&[n; 40]), ..Packet::default() }
    }

    fn cache() -> Neighbours {
        let forget = Duration::from_secs(600);
        let vips = vec!["192.0.2.10/24".parse().unwrap()];
        let gateway_v4 = Some([192, 0, 2, 254].into());
        Neighbours::new(&Config { neighbours: 8, forget, gateway_v4, ..Config::ip(vips) })
    }

    fn at(seconds: u64) -> Time {
        Time::from_ms(seconds * 1000)
    }

    fn state(cache: &Neighbours, n: u8) -> Option<State> {
        cache.all().find(|(a, ..)| *a == ip(n)).map(|(.., s)| s)
    }

    #[test]
    fn packets_wait_for_an_answer_in_order() {
        let mut c = cache();
        assert_eq!(c.route(at(0), ip(1), packet(0)), Route::Wait { ask: true, dropped: 0 });
        for n in 1..QUEUE {
            assert_eq!(c.route(at(0), ip(1), packet(n as u8)), Route::Wait { ask: false, dropped: 0 });
        }
        assert_eq!(c.route(at(0), ip(1), packet(99)), Route::Wait { ask: false, dropped: 1 });
        c.check();
        let waited = c.learn(at(0), ip(1), A, Evidence::Said);
        assert_eq!(waited.len(), QUEUE);
        assert_eq!((&waited[0], &waited[QUEUE - 1]), (&packet(1), &packet(99)), "the first one made room");
        assert_eq!(c.route(at(1), ip(1), packet(1)), Route::Send(A, packet(1)));
        c.check();
    }

    #[test]
    fn a_neighbour_that_does_not_answer_is_given_up() {
        let mut c = cache();
        c.route(at(0), ip(1), packet(0));
        assert_eq!(c.tick(at(0)), None);
        assert_eq!(c.tick(at(1)), Some(Due::Ask(ip(1), None)));
        assert_eq!(c.tick(at(1)), None);
        assert_eq!(c.tick(at(2)), Some(Due::Ask(ip(1), None)));
        assert_eq!(c.tick(at(3)), Some(Due::GivenUp(1)));
        assert_eq!((c.next_timer(), state(&c, 1)), (Time::NEVER, None));
        c.check();
    }

    #[test]
    fn a_stale_neighbour_is_used_and_asked() {
        let mut c = cache();
        c.learn(at(0), ip(1), A, Evidence::Said);
        c.learn(at(20), ip(1), A, Evidence::Seen);
        assert_eq!(c.tick(at(30)), None, "heard of since");
        assert_eq!((c.next_timer(), state(&c, 1)), (at(50), Some(State::Reachable)));
        assert_eq!(c.tick(at(50)), None);
        assert_eq!(state(&c, 1), Some(State::Stale));
        assert_eq!(c.route(at(60), ip(1), packet(0)), Route::Send(A, packet(0)));
        assert_eq!(state(&c, 1), Some(State::Probing));
        for second in 61..64 {
            assert_eq!(c.tick(at(second)), Some(Due::Ask(ip(1), Some(A))));
        }
        c.learn(at(63), ip(1), A, Evidence::Seen);
        assert_eq!(c.tick(at(64)), None, "it has answered");
        assert_eq!(state(&c, 1), Some(State::Reachable));
        c.check();
    }

    #[test]
    fn silent_neighbours_are_forgotten() {
        let mut c = cache();
        c.learn(at(0), ip(1), A, Evidence::Said);
        assert_eq!(c.tick(at(30)), None);
        assert_eq!(c.next_timer(), at(600));
        assert_eq!(c.tick(at(600)), None);
        assert_eq!(state(&c, 1), None);
        c.check();
    }

    #[test]
    fn another_mac_is_believed_when_it_is_said() {
        let mut c = cache();
        c.learn(at(0), ip(1), A, Evidence::Said);
        c.learn(at(1), ip(1), B, Evidence::Seen);
        assert_eq!((c.mac(ip(1)), state(&c, 1)), (Some(A), Some(State::Stale)), "doubted");
        c.learn(at(1), ip(1), B, Evidence::Seen);
        assert_eq!(c.mac(ip(1)), Some(B), "seen again");
        c.learn(at(2), ip(1), A, Evidence::Said);
        assert_eq!((c.mac(ip(1)), state(&c, 1)), (Some(A), Some(State::Reachable)));
        c.check();
    }

    #[test]
    fn the_unused_make_room() {
        let mut c = cache();
        c.learn(at(0), ip(254), B, Evidence::Said);
        for n in 1..8 {
            c.learn(at(0), ip(n), A, Evidence::Said);
        }
        c.learn(at(0), ip(8), A, Evidence::Said);
        for n in [2, 3, 5] {
            c.route(at(1), ip(n), packet(0));
        }
        for n in 9..12 {
            c.learn(at(2), ip(n), A, Evidence::Said);
            c.check();
        }
        assert!(
            [2, 3, 5, 254].iter().all(|n| c.knows(ip(*n))),
            "those in use stay: {:?}",
            c.all().collect::<Vec<_>>()
        );
    }

    #[test]
    fn silence_drops_what_waits_and_keeps_what_is_known() {
        let mut c = cache();
        c.route(at(0), ip(1), packet(0));
        c.learn(at(0), ip(2), A, Evidence::Said);
        c.tick(at(40));
        c.route(at(40), ip(2), packet(0));
        assert_eq!(c.silence(at(40)), 1);
        assert_eq!((state(&c, 1), state(&c, 2)), (None, Some(State::Stale)));
        assert_eq!(c.tick(at(100)), None);
        c.check();
    }
}
