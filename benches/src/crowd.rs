//! Hundreds of participants of bimodal multicast in one thread, on virtual time: the protocol of `gcs_stacks::bimodal`
//! itself, which knows no limit of members, between a lossy network and members that fall asleep.

use gcs::rng::Rng;
use gcs_stacks::bimodal::gossip::{Effect, Gossip, Said, Settings};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Datagrams that wait for a member that sleeps; more are dropped, as a socket's buffer does.
const INBOX: usize = 256;
/// A datagram takes at least, and at most, so long, in nanoseconds.
const DELAY: (u64, u64) = (1_000_000, 10_000_000);
/// After the last cast there is time for repairs.
const AFTER: u64 = 5_000_000_000;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// How many members; the first one casts.
    pub members: u32,
    /// So many of a thousand datagrams are lost.
    pub loss_per_mille: u64,
    /// So many of a thousand members sleep half of the time, the caster is never among them.
    pub sleepers_per_mille: u64,
    /// They sleep so long at a time, and are awake so long, on average.
    pub nap: Duration,
    /// So many messages are cast in a second.
    pub rate: u64,
    /// For so many seconds.
    pub seconds: u64,
    /// A round takes so long.
    pub round: Duration,
    /// The protocol's parameters.
    pub settings: Settings,
    /// The seed of everything.
    pub seed: u64,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            members: 500,
            loss_per_mille: 50,
            sleepers_per_mille: 250,
            nap: Duration::from_millis(500),
            rate: 100,
            seconds: 20,
            round: Duration::from_millis(100),
            settings: Settings::default(),
            seed: 1,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many messages were cast.
    pub cast: u64,
    /// How many the healthy member that has least has delivered at the end.
    pub least: u64,
    /// The lowest rate of a healthy member while messages were cast, in a thousand of theirs.
    pub rate_per_mille: u64,
    /// The lowest rate of a healthy member in one second, in a thousand of what was cast in it.
    pub second_per_mille: u64,
    /// How many messages healthy members have given up.
    pub given_up: u64,
    /// How many of a thousand messages sleepers have delivered.
    pub sleepers_per_mille: u64,
    /// Milliseconds from cast to delivery at healthy members: half of all, 99 of a hundred, all.
    pub latency_ms: [u64; 3],
    /// The most datagrams that a member has sent in one of its rounds, and received in one.
    pub busiest: [u64; 2],
    /// The most items that a member has held.
    pub held: usize,
}

#[derive(Debug)]
enum Event {
    Arrives { to: u32, from: u32, what: Said<u64> },
    Round(u32),
    Cast,
    Sleeps(u32),
    Wakes(u32),
}

/// What waits until a member wakes up.
#[derive(Default)]
struct Nap {
    inbox: VecDeque<(u32, Said<u64>)>,
    round: bool,
}

struct Member {
    gossip: Gossip<u64>,
    rng: Rng,
    sleeper: bool,
    /// If it sleeps.
    asleep: Option<Nap>,
    delivered: u64,
    /// By second of casting.
    by_second: Vec<u64>,
    given_up: u64,
    /// In this round.
    sent: u64,
    received: u64,
}

struct World {
    crowd: Crowd,
    rng: Rng,
    now: u64,
    count: u64,
    queue: BTreeMap<(u64, u64), Event>,
    members: Vec<Member>,
    latencies: Vec<u64>,
    outcome: Outcome,
}

impl Crowd {
    /// Runs it. The same values give the same outcome.
    #[must_use]
    pub fn run(&self) -> Outcome {
        let mut world = World::new(*self);
        let end = self.seconds * 1_000_000_000 + AFTER;
        while let Some(((at, _), event)) = world.queue.pop_first() {
            if at > end {
                break;
            }
            world.now = at;
            world.handle(event);
        }
        world.conclude()
    }
}

impl World {
    fn new(crowd: Crowd) -> Self {
        let mut rng = Rng::new(crowd.seed);
        let member = |me| Member {
            gossip: Gossip::new(me, crowd.members, crowd.settings),
            rng: rng.fork(),
            sleeper: me > 0 && u64::from(me) * crowd.sleepers_per_mille % 1000 < crowd.sleepers_per_mille,
            asleep: None,
            delivered: 0,
            by_second: vec![0; usize::try_from(crowd.seconds).unwrap_or(0)],
            given_up: 0,
            sent: 0,
            received: 0,
        };
        let members: Vec<_> = (0..crowd.members).map(member).collect();
        let mut world = Self {
            crowd,
            rng,
            now: 0,
            count: 0,
            queue: BTreeMap::new(),
            members,
            latencies: Vec::new(),
            outcome: Outcome::default(),
        };
        for me in 0..crowd.members {
            let at = world.rng.below(nanos(crowd.round));
            world.at(at, Event::Round(me));
            if world.members[me as usize].sleeper {
                let at = world.nap();
                world.at(at, Event::Sleeps(me));
            }
        }
        world.at(0, Event::Cast);
        world
    }

    fn at(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.queue.insert((at, self.count), event);
    }

    /// Half to one and a half times the average.
    fn nap(&mut self) -> u64 {
        let mean = nanos(self.crowd.nap);
        mean / 2 + self.rng.below(mean)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrives { to, from, what } => match &mut self.members[to as usize].asleep {
                Some(nap) if nap.inbox.len() < INBOX => nap.inbox.push_back((from, what)),
                Some(_) => {}
                None => self.receive(to, from, what),
            },
            Event::Round(me) => match &mut self.members[me as usize].asleep {
                Some(nap) => nap.round = true,
                None => self.round(me),
            },
            Event::Cast => self.cast(),
            Event::Sleeps(me) => {
                self.members[me as usize].asleep = Some(Nap::default());
                let at = self.now + self.nap();
                self.at(at, Event::Wakes(me));
            }
            Event::Wakes(me) => {
                let Nap { inbox, round } = self.members[me as usize].asleep.take().unwrap_or_default();
                inbox.into_iter().for_each(|(from, what)| self.receive(me, from, what));
                if round {
                    self.round(me);
                }
                let at = self.now + self.nap();
                self.at(at, Event::Sleeps(me));
            }
        }
    }

    fn cast(&mut self) {
        let mut out = Vec::new();
        let (now, caster) = (self.now, 0);
        let seq = self.members[caster as usize].gossip.cast(now, 1, &mut out);
        self.outcome.cast += 1;
        self.carry_out(caster, out);
        for to in 1..self.crowd.members {
            self.send(caster, to, Said::Item { from: caster, seq, item: now });
        }
        let next = self.outcome.cast * 1_000_000_000 / self.crowd.rate.max(1);
        if next < self.crowd.seconds * 1_000_000_000 {
            self.at(next, Event::Cast);
        }
    }

    fn round(&mut self, me: u32) {
        let member = &mut self.members[me as usize];
        let work = [std::mem::take(&mut member.sent), std::mem::take(&mut member.received)];
        let mut out = Vec::new();
        member.gossip.round(&mut member.rng, &mut out);
        for (most, work) in self.outcome.busiest.iter_mut().zip(work) {
            *most = work.max(*most);
        }
        self.outcome.held = self.outcome.held.max(member.gossip.held_bytes());
        self.carry_out(me, out);
        let round = nanos(self.crowd.round);
        let at = self.now + round - round / 16 + self.rng.below(round / 8);
        self.at(at, Event::Round(me));
    }

    fn receive(&mut self, me: u32, from: u32, what: Said<u64>) {
        let member = &mut self.members[me as usize];
        member.received += 1;
        let mut out = Vec::new();
        match what {
            Said::Digest { round, runs } => member.gossip.on_digest(from, round, &runs, &mut out),
            Said::Ask { round, runs } => member.gossip.on_ask(from, round, &runs, &mut out),
            Said::Item { from, seq, item } => member.gossip.on_item(from, seq, item, 1, &mut out),
        }
        self.carry_out(me, out);
    }

    fn carry_out(&mut self, me: u32, effects: Vec<Effect<u64>>) {
        for effect in effects {
            let member = &mut self.members[me as usize];
            match effect {
                Effect::Deliver { item, .. } => {
                    member.delivered += 1;
                    if let Some(count) = member.by_second.get_mut((self.now / 1_000_000_000) as usize) {
                        *count += 1;
                    }
                    if !member.sleeper && me != 0 {
                        self.latencies.push((self.now - item) / 1_000_000);
                    }
                }
                Effect::Lost { count, .. } => member.given_up += count,
                Effect::Send { to, what } => {
                    // What is cast is no work of a round.
                    member.sent += 1;
                    self.send(me, to, what);
                }
            }
        }
    }

    fn send(&mut self, from: u32, to: u32, what: Said<u64>) {
        if !self.rng.chance(self.crowd.loss_per_mille) {
            let at = self.now + DELAY.0 + self.rng.below(DELAY.1 - DELAY.0);
            self.at(at, Event::Arrives { to, from, what });
        }
    }

    fn conclude(mut self) -> Outcome {
        let cast = self.outcome.cast.max(1);
        let (sleepers, healthy): (Vec<_>, Vec<_>) = self.members.iter().partition(|m| m.sleeper);
        let in_time = |m: &&Member| m.by_second.iter().sum::<u64>() * 1000 / cast;
        let worst = |m: &&Member| m.by_second.iter().min().map_or(0, |n| n * 1000 / self.crowd.rate.max(1));
        self.latencies.sort_unstable();
        let latency = |per_mille: usize| {
            self.latencies.get(self.latencies.len() * per_mille / 1000).copied().unwrap_or(0)
        };
        Outcome {
            least: healthy.iter().map(|m| m.delivered).min().unwrap_or(0),
            rate_per_mille: healthy.iter().map(in_time).min().unwrap_or(0),
            second_per_mille: healthy.iter().map(worst).min().unwrap_or(0),
            given_up: healthy.iter().map(|m| m.given_up).sum(),
            sleepers_per_mille: sleepers.iter().map(|m| m.delivered).sum::<u64>() * 1000
                / (cast * (sleepers.len() as u64).max(1)),
            latency_ms: [latency(500), latency(990), self.latencies.last().copied().unwrap_or(0)],
            ..self.outcome
        }
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
