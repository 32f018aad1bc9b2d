//! [`World`].

mod events;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use gcs::{rng::Rng, time::Time};

use super::{fleet::Fleet, nat::Nats, wheel::Wheel};
use crate::{
    events::conditions::Conditions,
    trust::{Refusal, Revocation},
    value::Value,
    zones::{
        agent::{Agent, Config, Found, InstallError, Lookup, LookupError, Reach, Sends, summary},
        function::Function,
        message::Message,
        name::ZoneName,
        table::{Issue, Stamp, Table},
    },
};

/// The shape of a tree: every zone has `branching` children, `levels` levels below the root.
#[derive(Clone, Copy, Debug)]
pub struct Agents {
    /// Children of a zone.
    pub branching: usize,
    /// Levels; the last one is of agents.
    pub levels: u32,
}

impl Agents {
    /// How many agents that are.
    #[must_use]
    pub fn count(self) -> usize {
        self.branching.pow(self.levels)
    }

    /// The name of an agent.
    #[must_use]
    pub fn name(self, of: usize) -> ZoneName {
        let nth = |level: u32| of / self.branching.pow(level) % self.branching;
        let path: String = (0..self.levels).rev().map(|level| format!("/{}", part(nth(level)))).collect();
        path.parse().unwrap_or_else(|_| ZoneName::root())
    }
}

/// The name of a zone's child.
fn part(nth: usize) -> Arc<str> {
    format!("z{nth:02}").into()
}

/// What is between agents.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// The least and the most that a message takes; evenly between.
    pub latency_ms: (u64, u64),
    /// How many of a thousand messages get lost.
    pub loss_per_mille: u64,
}

/// Whom agents know at first.
#[derive(Clone, Copy, Debug)]
pub enum Seeds {
    /// The first of their zone, and the one after them in the tree.
    Near,
    /// All of them the first agent, and nobody else.
    First,
}

/// Everything that a run depends on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The tree.
    pub agents: Agents,
    /// How agents behave.
    pub config: Config,
    /// Whom they know at first.
    pub seeds: Seeds,
    /// For the root. In a world that grows, the first agent is told of them; in one that has grown, everybody knows them.
    pub functions: Vec<Arc<Function>>,
    /// What is between them.
    pub network: Network,
    /// Of everything random.
    pub seed: u64,
}

enum Event {
    Tick(u32),
    Deliver { to: u32, from: u32, seen: SocketAddr, message: Message },
}

/// What an agent has sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Messages.
    pub messages: u64,
    /// Their bytes, with those of the headers of datagrams.
    pub bytes: u64,
}

/// Many agents, and what is under way between them.
pub struct World {
    plan: Plan,
    agents: Vec<Agent>,
    /// When an agent is woken next, in milliseconds.
    wakes: Vec<u64>,
    dead: Vec<bool>,
    /// Agents hear only those of their part.
    parts: Vec<u8>,
    /// How long a message lies with an agent before it is looked at, in milliseconds.
    slow: Vec<u64>,
    traffic: Vec<Traffic>,
    /// What agents look at, and of which state of their standing queries that is.
    conditions: Vec<(u64, Conditions)>,
    wheel: Wheel<Event>,
    rng: Rng,
    /// Of everything that was delivered.
    trace: u64,
    /// None: agents are open.
    fleet: Option<Fleet>,
    nats: Nats,
}

/// Where an agent is reached.
#[must_use]
pub fn address(of: usize) -> SocketAddr {
    let of = u32::try_from(of).unwrap_or(u32::MAX);
    (Ipv4Addr::from(0x0a00_0000 + of), 4803).into()
}

/// An agent that knows a few others.
fn born(
    plan: &Plan,
    config: &Arc<Config>,
    (fleet, nats): (Option<&Fleet>, &Nats),
    of: usize,
    seed: u64,
) -> Agent {
    let (agents, name) = (plan.agents, plan.agents.name(of));
    let first = of / agents.branching * agents.branching;
    let seeds = match plan.seeds {
        Seeds::Near => vec![address(first), address((of + agents.branching) % agents.count())],
        Seeds::First => vec![address(0)],
    };
    let agent = Agent::new(config.clone(), name, nats.own_address(of), seeds, seed);
    let agent = agent.relay_for(nats.relays.get(&of).copied().unwrap_or(0));
    let agent = match nats.reach.get(&of) {
        Some(reach) => agent.reached(reach.clone()),
        None => agent,
    };
    match fleet {
        Some(fleet) => fleet.keys(of).and_then(|keys| agent.with_keys(keys)).expect("it is its key"),
        None => agent,
    }
}

pub(super) fn index(address: SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V4(at) => u32::from(*at.ip()).checked_sub(0x0a00_0000),
        SocketAddr::V6(_) => None,
    }
}

impl World {
    /// Agents that know nobody but a few.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self::made(plan, None)
    }

    /// The same with keys: functions are signed by the authority of the root.
    #[must_use]
    pub fn closed(plan: Plan) -> Self {
        let (fleet, plan) = Self::signed(plan);
        Self::made(plan, Some(fleet))
    }

    fn signed(plan: Plan) -> (Fleet, Plan) {
        let fleet = Fleet::new(plan.agents);
        let functions = plan.functions.iter().map(|function| fleet.signed(function));
        let functions = functions.collect::<Result<_, _>>().expect("the functions of a plan are right");
        (fleet, Plan { functions, ..plan })
    }

    fn made(plan: Plan, fleet: Option<Fleet>) -> Self {
        let count = plan.agents.count();
        let config = Arc::new(plan.config.clone());
        let mut rng = Rng::new(plan.seed);
        let around = (fleet.as_ref(), &Nats::default());
        let mut agents: Vec<Agent> =
            (0..count).map(|of| born(&plan, &config, around, of, rng.next_u64())).collect();
        for function in &plan.functions {
            let installed = agents[0].install(Time::ZERO, &ZoneName::root(), function);
            installed.expect("the functions of a plan are right");
        }
        let mut wheel = Wheel::new();
        (0..count).for_each(|of| wheel.put(1 + rng.below(1000), Event::Tick(of as u32)));
        Self {
            plan,
            agents,
            wakes: vec![u64::MAX; count],
            dead: vec![false; count],
            parts: vec![0; count],
            slow: vec![0; count],
            traffic: vec![Traffic::default(); count],
            conditions: std::iter::repeat_with(Default::default).take(count).collect(),
            wheel,
            rng,
            trace: 0,
            fleet,
            nats: Nats::default(),
        }
    }

    /// Agents that have been there for long: everybody knows everybody.
    #[must_use]
    pub fn grown(plan: Plan) -> Self {
        Self::settled(Self::new(plan))
    }

    /// The same with keys, and everybody has the certificates of all whom it knows.
    #[must_use]
    pub fn grown_closed(plan: Plan) -> Self {
        Self::settled(Self::closed(plan))
    }

    fn settled(mut world: Self) -> Self {
        let (branching, levels) = (world.plan.agents.branching, world.plan.agents.levels);
        // The issues of all zones of one level, from the agents up, and the tables made of them.
        let mut issues: Vec<Arc<Issue>> =
            world.agents.iter().map(|agent| agent.first_issue(Time::ZERO)).collect();
        let mut tables: Vec<Vec<Table>> = Vec::new();
        for level in (0..levels).rev() {
            let of_zones = issues.chunks(branching).map(|children| {
                let mut table = Table::default();
                for (nth, issue) in children.iter().enumerate() {
                    table.offer(Time::ZERO, &part(nth), issue);
                }
                table
            });
            let of_zones: Vec<Table> = of_zones.collect();
            let row = |(nth, table): (usize, &Table)| {
                let first = table.speakers().first().and_then(|contact| index(*contact)).unwrap_or(0);
                let speaker = &world.agents[first as usize];
                let (generator, rep) = (speaker.first_issue(Time::ZERO).stamp.generator, speaker.name());
                let zone = summary::Zone { id: &part(nth % branching), rep };
                let context = world.agents[0].context(Time::ZERO);
                let functions: Vec<&Arc<Function>> = world.plan.functions.iter().collect();
                let (row, _) = summary::summary(&functions, &context, zone, table);
                let stamp = Stamp { version: 1, generator };
                speaker.sealed((level as usize).saturating_sub(1), zone.id, stamp, row)
            };
            issues = of_zones.iter().enumerate().map(row).collect();
            tables.insert(0, of_zones);
        }
        for function in &world.plan.functions {
            tables[0][0].offer_function(function);
        }
        let chains: Vec<_> = world.agents.iter().map(Agent::chain).collect();
        for (of, agent) in world.agents.iter_mut().enumerate() {
            let around = |level: usize| of / branching.pow(levels - level as u32);
            let tables = tables.iter().enumerate().map(|(level, of)| of[around(level)].clone());
            let tables: Vec<Table> = tables.collect();
            // Of all agents that have issued something in these tables: leaves, and the first that speak for zones.
            let issues = tables.iter().flat_map(Table::issues).flat_map(|(_, issue)| issue.contacts());
            let signers = issues.filter_map(index).filter_map(|of| chains[of as usize].clone());
            agent.settle_keys(signers.collect::<Vec<_>>());
            agent.settle(Time::ZERO, tables);
        }
        world
    }

    /// The time of all agents.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_ms(self.now_ms())
    }

    /// Milliseconds since the beginning.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.wheel.now()
    }

    /// An agent.
    #[must_use]
    pub fn agent(&self, of: usize) -> &Agent {
        &self.agents[of]
    }

    /// Of all agents that live.
    pub fn living(&self) -> impl Iterator<Item = (usize, &Agent)> {
        self.agents.iter().enumerate().filter(|(of, _)| !self.dead[*of])
    }

    /// What each agent has sent.
    #[must_use]
    pub fn traffic(&self) -> &[Traffic] {
        &self.traffic
    }

    /// The shape of the tree.
    #[must_use]
    pub fn agents(&self) -> Agents {
        self.plan.agents
    }

    /// Whether an agent speaks for the zone that it is a leaf of, and maybe for zones around it.
    #[must_use]
    pub fn speaks(&self, of: usize) -> bool {
        let agent = &self.agents[of];
        agent
            .table(agent.levels() - 1)
            .is_some_and(|table| table.speakers().contains(&agent.contact().contact))
    }

    /// The same for runs that are the same.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// An agent dies, and nothing tells of it.
    pub fn kill(&mut self, of: usize) {
        self.dead[of] = true;
    }

    /// A dead agent is started again: another life.
    pub fn restart(&mut self, of: usize) {
        self.bear(of);
        self.conditions[of] = Default::default();
        self.dead[of] = false;
        self.wakes[of] = self.now_ms() + 1;
        self.wheel.put(self.now_ms() + 1, Event::Tick(of as u32));
    }

    /// Puts an agent behind a NAT, of 256, before it lives. What it expects to be seen at is its own address.
    pub fn behind(&mut self, of: usize, nat: u8, reach: Reach) {
        self.nats.put(of, nat);
        let own = self.nats.own_address(of);
        let expects = reach.expects.iter().map(|(whom, _)| (*whom, own)).collect();
        self.nats.reach.insert(of, Reach { expects, ..reach });
        self.bear(of);
    }

    /// Makes an agent a relay for so many others, before it lives.
    pub fn relay_for(&mut self, of: usize, leases: usize) {
        self.nats.relays.insert(of, leases);
        self.bear(of);
    }

    fn bear(&mut self, of: usize) {
        let config = Arc::new(self.plan.config.clone());
        let seed = self.rng.next_u64();
        self.agents[of] = born(&self.plan, &config, (self.fleet.as_ref(), &self.nats), of, seed);
    }

    /// An agent begins anew under the name of another one, by mistake.
    pub fn impostor(&mut self, of: usize, instead: usize) {
        let name = self.agents[of].name().clone();
        let config = Arc::new(self.plan.config.clone());
        let seeds = vec![address(of)];
        self.agents[instead] = Agent::new(config, name, address(instead), seeds, self.rng.next_u64());
    }

    /// Another agent is started where this one was, such as one without keys.
    pub fn replace(&mut self, of: usize, agent: Agent) {
        self.agents[of] = agent;
        self.dead[of] = false;
        self.wakes[of] = self.now_ms() + 1;
        self.wheel.put(self.now_ms() + 1, Event::Tick(of as u32));
    }

    /// A message from anybody arrives at an agent, now.
    pub fn inject(&mut self, to: usize, from: SocketAddr, message: Message) {
        let (now, mut sends) = (self.now(), Sends::new());
        self.agents[to].receive(now, from, message, &mut sends);
        self.send(to, sends);
    }

    /// Who has which keys; none if agents are open.
    #[must_use]
    pub fn fleet(&self) -> Option<&Fleet> {
        self.fleet.as_ref()
    }

    /// Gives an agent a revocation. Whether it is new.
    ///
    /// # Errors
    /// It does not take it.
    pub fn revoke(&mut self, of: usize, revocation: &Arc<Revocation>) -> Result<bool, Refusal> {
        let now = self.now();
        let new = self.agents[of].revoke(now, revocation)?;
        self.send(of, Sends::new());
        Ok(new)
    }

    /// Somebody sets the clock of an agent's machine: it began so many seconds after 1970.
    pub fn set_epoch(&mut self, of: usize, epoch_s: u64) {
        self.agents[of].set_epoch(epoch_s);
        self.send(of, Sends::new());
    }

    /// Why an agent has refused something: each reason once.
    pub fn reasons(&mut self, of: usize) -> Vec<String> {
        self.agents[of].reasons()
    }

    /// From now on an agent hears only the agents of the same part, and they it; all begin in part 0.
    pub fn part(&mut self, of: usize, part: u8) {
        self.parts[of] = part;
    }

    /// From now on messages lie with an agent for so long before it looks at them.
    pub fn slow(&mut self, of: usize, time: Duration) {
        self.slow[of] = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    }

    /// Sets an attribute of an agent.
    pub fn set(&mut self, of: usize, name: &str, value: Value) {
        let now = self.now();
        self.agents[of].set(now, [(name.into(), value)]);
        self.send(of, Sends::new());
    }

    /// Installs a function for the root at an agent.
    ///
    /// # Errors
    /// The agent does not take it.
    pub fn install(&mut self, of: usize, function: &Arc<Function>) -> Result<(), InstallError> {
        let now = self.now();
        self.agents[of].install(now, &ZoneName::root(), function)?;
        self.send(of, Sends::new());
        Ok(())
    }

    /// Asks for the table of a zone at an agent; what has come of it is at [`Self::found`] later.
    ///
    /// # Errors
    /// The agent does not know where to ask.
    pub fn look_up(&mut self, of: usize, zone: &ZoneName) -> Result<Lookup, LookupError> {
        let now = self.now();
        let lookup = self.agents[of].look_up(now, zone)?;
        self.send(of, Sends::new());
        Ok(lookup)
    }

    /// What has come of the lookups of an agent.
    pub fn found(&mut self, of: usize) -> Vec<(Lookup, Result<Found, LookupError>)> {
        self.agents[of].found()
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now_ms() + u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        while self.now_ms() < end {
            let (now, events) = self.wheel.next();
            let now = Time::from_ms(now);
            for event in events {
                self.happens(now, event);
            }
        }
    }

    fn happens(&mut self, now: Time, event: Event) {
        let mut sends = Vec::new();
        let of = match event {
            Event::Tick(of) => {
                let of = of as usize;
                if self.dead[of] || (self.wakes[of] != self.now_ms() && self.wakes[of] != u64::MAX) {
                    return;
                }
                self.wakes[of] = u64::MAX;
                self.look(now, of);
                self.agents[of].tick(now, &mut sends);
                of
            }
            Event::Deliver { to, from, seen, message } => {
                let to = to as usize;
                if self.dead[to] || self.parts[to] != self.parts[from as usize] {
                    return;
                }
                self.trace =
                    self.trace.rotate_left(5) ^ (u64::from(from) << 32 | to as u64) ^ message.bytes() as u64;
                self.agents[to].receive(now, seen, message, &mut sends);
                to
            }
        };
        self.send(of, sends);
    }

    /// What an agent sends is under way, and it is woken when it wants to be.
    fn send(&mut self, from: usize, sends: Sends) {
        let now = self.now_ms();
        let (least, most) = self.plan.network.latency_ms;
        for (to, message) in sends {
            self.traffic[from].messages += 1;
            self.traffic[from].bytes += message.bytes() as u64;
            let Some((to, seen)) = self.nats.pass(now, from as u32, to) else { continue };
            if to as usize >= self.agents.len() {
                continue;
            }
            if self.rng.chance(self.plan.network.loss_per_mille) {
                continue;
            }
            let at = now + least + self.rng.below(most - least + 1) + self.slow[to as usize];
            self.wheel.put(at, Event::Deliver { to, from: from as u32, seen, message });
        }
        let (seen, conditions) = &self.conditions[from];
        let look =
            if *seen == self.agents[from].others_changed() { conditions.next() } else { Time::from_ms(now) };
        let at = self.agents[from].next_timer().min(look).0.div_ceil(1_000_000).max(now + 1);
        if at < self.wakes[from] {
            self.wakes[from] = at;
            self.wheel.put(at, Event::Tick(from as u32));
        }
    }
}
