//! One run: a group of representatives and clients, on one virtual time. Each run has at least one partition in which clients still reach
//! both sides.

use std::{cell::RefCell, rc::Rc};

use gcs::{
    endpoint::Endpoint,
    layer::Watch,
    rng::Rng,
    sim::{Birth, Fault, Faults, Physics, Setup, Step, When, World, generate, oracles},
    view::Role,
};
use gcs_monitor::health::verdict::Finding;

use crate::{
    client::Client,
    net::{MS, Net, Shared},
    representative::{Representative, Wrong},
};

/// How long things go wrong.
const SAFETY: u64 = 3_000 * MS;
/// By then everybody knows everything, after that.
const BOUND: u64 = 30_000 * MS;
const CLIENTS: usize = 4;

/// What runs have shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) verdicts: u64,
    pub(crate) told: u64,
    pub(crate) snapshots: u64,
    pub(crate) failovers: u64,
    pub(crate) partitions: u64,
    pub(crate) kills: u64,
    /// Instances of which observers found different things at the end.
    pub(crate) disputes: u64,
    pub(crate) hash: u64,
}

impl Shown {
    pub(crate) fn add(&mut self, other: &Self) {
        self.verdicts += other.verdicts;
        self.told += other.told;
        self.snapshots += other.snapshots;
        self.failovers += other.failovers;
        self.partitions += other.partitions;
        self.kills += other.kills;
        self.disputes += other.disputes;
        self.hash ^= other.hash;
    }
}

pub(crate) struct Run {
    world: World<Endpoint, Representative>,
    shared: Shared,
    clients: Vec<Client>,
    processes: usize,
    /// When who is dead comes back.
    back: Vec<Option<u64>>,
    steps: Vec<Step>,
    rng: Rng,
}

/// What goes wrong: of all kinds that do not need to be repaired by hand, and partitions.
fn faults(seed: u64, rng: &mut Rng) -> (usize, Vec<Step>) {
    let none = Faults::none();
    let kinds = Faults {
        most: 8,
        kills: true,
        pauses: true,
        cuts: true,
        disturbances: true,
        churn: true,
        congestion: true,
        renewals: true,
        forces: rng.chance(150),
        ..none
    };
    let plan = generate(seed, (3, 3), &kinds, SAFETY / MS);
    let mut steps = plan.steps;
    for _ in 0..1 + rng.below(2) {
        let at = 300 * MS + rng.below(SAFETY - 600 * MS);
        let lasts = Some((50 + rng.below(1_200)) * MS);
        let side = vec![rng.below(3) as usize];
        steps.push(Step { when: When::At(at), fault: Fault::Partition { side: side.clone(), lasts } });
        if rng.chance(600) {
            // Who may know what nobody else does.
            let at = at + rng.below(300 * MS);
            let process = if rng.chance(600) { side[0] } else { rng.below(3) as usize };
            steps
                .push(Step { when: When::At(at), fault: Fault::Kill { process, evidence: rng.chance(500) } });
        }
    }
    if rng.chance(60) {
        let at = 500 * MS + rng.below(SAFETY - 500 * MS);
        steps.push(Step { when: When::At(at), fault: Fault::StopAll });
    }
    (plan.processes, steps)
}

impl Run {
    /// A run with this stack, in which all representatives do something wrong or none does.
    pub(crate) fn new(seed: u64, stack: &str, wrong: Option<Wrong>, trace: bool) -> Self {
        let mut rng = Rng::new(seed ^ 0x6865_616c_7468_0001);
        let watch = [Watch::default(), Watch { heartbeat_ms: 20, silence_ms: 150, lease_ms: 100 }];
        let watch = watch[rng.below(2) as usize];
        let blueprint = gcs_stacks::named(stack).expect("a name of the catalogue");
        let setup = Setup { watch, mixed_versions: false, ..Setup::new(blueprint) };
        let (processes, steps) = faults(seed, &mut rng);
        if trace {
            eprintln!("{processes} processes, {watch:?} {steps:#?}");
        }
        let shared: Shared = Rc::new(RefCell::new(Net::new(rng.fork())));
        let clients = (0..CLIENTS).map(|n| Client::new(n, processes, rng.fork())).collect();
        let all = oracles::for_stack(setup.gives(), true, false);
        let forced = steps.iter().any(|step| matches!(step.fault, Fault::Force { .. }));
        let physics =
            Physics { trace_keep: if trace { 400 } else { 40 }, keep_quorum: !forced, ..Physics::default() };
        let net = shared.clone();
        let make = move |birth: &Birth| (setup.endpoint(birth), Representative::new(birth, &net, wrong));
        let mut world = World::new(seed, processes, physics, all, make);
        (0..processes).for_each(|process| world.set_role(process, Role::default()));
        world.found_with(3, 3);
        for process in 0..3 {
            world.start_at(rng.below(30 * MS), process);
        }
        world.schedule(&steps);
        Self { world, shared, clients, processes, back: vec![None; processes], steps, rng }
    }

    /// Until all is over. None: the group has lost its quorum.
    pub(crate) fn finish(mut self) -> Result<Option<Shown>, String> {
        self.until(SAFETY)?;
        self.world.apply(&Fault::Heal);
        for client in &mut self.clients {
            client.quiet = true;
        }
        let end = SAFETY + BOUND;
        let mut now = SAFETY;
        // What is under way arrives first.
        let mut least = now + 300 * MS;
        while now < least || self.lacks().is_some() {
            now += 20 * MS;
            if now > end {
                if !self.world.can_progress() {
                    return Ok(None);
                }
                let what = self.lacks().unwrap_or_default();
                return Err(format!("{}goes on: {what}", self.tail()));
            }
            self.until(now)?;
            if self.lacks().is_some() {
                least = now + 100 * MS;
            }
        }
        self.shown().map(Some)
    }

    fn shown(&self) -> Result<Shown, String> {
        let net = self.shared.borrow();
        let state = self.states().next().ok_or("nobody is there at the end")?;
        for client in 0..CLIENTS {
            net.book.adds_up(client, state).map_err(|what| format!("{}{what}", self.tail()))?;
        }
        let opinions = state.components().flat_map(|(_, component)| component.opinions());
        let disputed = opinions.filter(|o| {
            let down = o.opinions.iter().filter(|w| w.finding == Finding::Down).count();
            down > 0 && down < o.opinions.len()
        });
        let count = |of: fn(&Fault) -> bool| self.steps.iter().filter(|s| of(&s.fault)).count() as u64;
        Ok(Shown {
            verdicts: net.book.verdicts(),
            told: net.book.told,
            snapshots: net.book.snapshots,
            failovers: self.clients.iter().map(|client| client.failovers).sum(),
            partitions: count(|fault| matches!(fault, Fault::Partition { .. } | Fault::Cut { .. })),
            kills: count(|fault| matches!(fault, Fault::Kill { .. } | Fault::StopAll)),
            disputes: disputed.count() as u64,
            hash: self.world.trace().hash(),
        })
    }

    /// What was seen last, for whoever looks for the cause of something.
    fn tail(&self) -> String {
        self.world.trace().tail().map(|o| format!("{o}\n")).collect()
    }

    fn states(&self) -> impl Iterator<Item = &gcs_monitor::health::state::State> {
        (0..self.processes).filter_map(|process| self.world.app(process)?.state())
    }

    /// What somebody does not know yet that the latest of the representatives does, or which of them differ.
    fn lacks(&self) -> Option<String> {
        let Some(state) = self.states().max_by_key(|state| state.history()) else {
            return Some("there is no representative that has the state".to_owned());
        };
        if self.states().any(|other| other != state) {
            return Some("representatives hold different states".to_owned());
        }
        let net = self.shared.borrow();
        (0..CLIENTS).find_map(|client| net.book.lacks(client, state))
    }

    fn until(&mut self, until: u64) -> Result<(), String> {
        while self.shared.borrow().now < until {
            let now = self.shared.borrow().now + MS;
            self.shared.borrow_mut().now = now;
            self.world.run_until(now);
            for process in 0..self.processes {
                if self.world.app(process).is_none() {
                    self.shared.borrow_mut().reset(process);
                }
            }
            for client in &mut self.clients {
                client.step(&mut self.shared.borrow_mut());
            }
            self.restart(now);
            let violation = self.shared.borrow_mut().book.violation.take();
            let violation = violation.or_else(|| self.world.violation().map(ToString::to_string));
            if let Some(what) = violation {
                return Err(format!("{}{what}", self.tail()));
            }
        }
        Ok(())
    }

    /// Who is dead comes back.
    fn restart(&mut self, now: u64) {
        for process in 0..3 {
            if self.world.app(process).is_some() {
                self.back[process] = None;
            } else if now > 50 * MS && self.back[process].is_none_or(|at| at < now) {
                let at = now + 20 * MS + self.rng.below(900) * MS;
                self.back[process] = Some(at);
                self.world.start_at(at, process);
            }
        }
    }
}
