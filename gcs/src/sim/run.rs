//! One simulation: a safety phase in which things go wrong, then healing and a liveness phase (the model is
//! `TigerBeetle`'s VOPR).

use super::{
    app::App,
    generate::generate,
    network::Disturbance,
    node::Node,
    oracles::{L1, L3, Oracle, ProcessSummary, Summary, Violation, for_stack},
    physics::Physics,
    plan::{Fault, Plan},
    process::Status,
    report::Report,
    setup::Setup,
    workload::Workload,
    world::{Birth, World},
};
use crate::rng::Rng;
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

const MS: u64 = 1_000_000;
/// The liveness phase looks this often whether the group is whole.
const LOOK: u64 = 10 * MS;
/// A whole group must stay whole for this long before it is taken for stable: longer than silence and leases, so that
/// nothing that was accepted before the network healed is still to be decided.
const STABLE: u64 = 1_000 * MS;
/// So long without a quorum after healing: there will be no progress.
const HOPELESS: u64 = 3_000 * MS;

/// Runs one simulation with the simulator's own application; the plan follows from the seed.
#[must_use]
pub fn run(seed: u64, setup: &Setup) -> Report {
    let plan = generate(seed, setup.members, &setup.faults, setup.safety_ms);
    run_plan(seed, setup, &plan)
}

/// Runs one simulation with the simulator's own application and this plan.
#[must_use]
pub fn run_plan(seed: u64, setup: &Setup, plan: &Plan) -> Report {
    let settings = setup.clone();
    run_nodes(seed, setup, plan, move |birth| settings.endpoint(birth))
}

/// Runs one simulation with the simulator's own application, this plan, and protocol code of yours. `node` makes that of
/// each life of each process, mostly around what [`Setup::endpoint`] gives.
#[must_use]
pub fn run_nodes<N: Node + 'static>(
    seed: u64,
    setup: &Setup,
    plan: &Plan,
    mut node: impl FnMut(&Birth) -> N + 'static,
) -> Report {
    let options = setup.workload_options();
    let mut world = build(seed, setup, plan, Vec::new(), move |birth| (node(birth), Workload::new(options)));
    run_world(seed, setup, plan, &mut world)
}

/// Runs one simulation with an application of yours, and oracles of yours besides those that the stack's promises call
/// for. `make` makes the application of each life of each process.
#[must_use]
pub fn run_app<A: App + 'static>(
    seed: u64,
    setup: &Setup,
    plan: &Plan,
    oracles: Vec<Box<dyn Oracle>>,
    mut make: impl FnMut(&Birth) -> A + 'static,
) -> Report {
    let settings = setup.clone();
    let make_both = move |birth: &Birth| (settings.endpoint(birth), make(birth));
    run_world(seed, setup, plan, &mut build(seed, setup, plan, oracles, make_both))
}

fn run_world<N: Node, A: App>(seed: u64, setup: &Setup, plan: &Plan, world: &mut World<N, A>) -> Report {
    let outcome = catch_unwind(AssertUnwindSafe(|| phases(world, seed, setup)));
    let outcome = outcome.unwrap_or_else(|p| Err(Violation::new("panic", panic_message(&*p))));
    report(seed, plan, world, outcome)
}

/// What a run found out: whether the group went on, or what was broken.
pub(super) fn report<N: Node, A: App>(
    seed: u64,
    plan: &Plan,
    world: &World<N, A>,
    outcome: Result<bool, Violation>,
) -> Report {
    let progress = matches!(outcome, Ok(true));
    let violation = outcome.err();
    Report {
        seed,
        plan: plan.clone(),
        violation,
        progress,
        trace_hash: world.trace().hash(),
        tail: world.trace().tail().cloned().collect(),
        observations: world.trace().count(),
        delivered: world.delivered,
        datagrams: world.network.sent,
        inputs: world.inputs,
        virtual_ns: world.now(),
        held_bytes: world.max_held,
    }
}

/// A world for a plan, its founders about to start.
pub(super) fn build<N: Node, A: App>(
    seed: u64,
    setup: &Setup,
    plan: &Plan,
    oracles: Vec<Box<dyn Oracle>>,
    make: impl FnMut(&Birth) -> (N, A) + 'static,
) -> World<N, A> {
    let mut all = oracles;
    let sealed = !setup.keys.is_empty();
    if sealed || !damages(plan) {
        all.splice(0..0, for_stack(setup.gives(), setup.state_transfer, setup.partitionable));
    }
    let physics = Physics { forgers: sealed || setup.physics.forgers, ..setup.physics.clone() };
    let mut world = World::new(seed, plan.processes, physics, all, make);
    let mut rng = Rng::new(seed ^ 0x0b00_0000_0000_0003);
    world.roster.partitionable = setup.partitionable;
    let roles = plan.roles.iter().filter(|_| !setup.partitionable);
    roles.for_each(|(process, role)| world.set_role(*process, *role));
    let votes = world.votes(plan.founders);
    let least = votes * 2 / 3 + 1;
    let more = rng.below((votes - least) as u64 + 1);
    world.found_with(least + usize::try_from(more).unwrap_or(0), plan.founders);
    for process in 0..plan.founders {
        let at = if rng.chance(700) { rng.below(20 * MS) } else { rng.below(300 * MS) };
        world.start_at(at, process);
    }
    world.schedule(&plan.steps);
    // Only who has lost the quorum can be forced to go on.
    world.physics.keep_quorum &= !plan.steps.iter().any(|s| matches!(s.fault, Fault::Force { .. }));
    world
}

/// Whether the plan damages datagrams: then payloads may change unnoticed, and only panics count, unless all is sealed.
fn damages(plan: &Plan) -> bool {
    let damage = |f: &Fault| matches!(f, Fault::Disturb { what: Disturbance::Corrupt, .. });
    plan.steps.iter().any(|s| damage(&s.fault))
}

pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// Both phases and the final word of the oracles. Returns whether the group was expected to make progress, and did.
fn phases<N: Node, A: App>(world: &mut World<N, A>, seed: u64, setup: &Setup) -> Result<bool, Violation> {
    world.run_until(setup.safety_ms * MS);
    world.heal();
    let mut rng = Rng::new(seed ^ 0x11fe_0000_0000_0004);
    let all = world.founding;
    for process in 0..world.processes.len() {
        if matches!(world.processes[process].status, Status::Dead(_)) && (rng.chance(500) || all) {
            let at = world.now() + rng.below(50 * MS);
            world.start_at(at, process);
        }
    }
    conclude(world, setup.liveness_ms * MS)
}

/// The liveness phase, after healing, and the final word of the oracles.
pub(super) fn conclude<N: Node, A: App>(world: &mut World<N, A>, limit: u64) -> Result<bool, Violation> {
    let end = world.now() + limit;
    let mut probes = Vec::new();
    if settle(world, end) {
        world.quiet = true;
        // What the applications have cast so far comes before the probes.
        let wanted: Vec<_> = (0..world.processes.len()).filter(|p| world.wants_in(*p)).collect();
        probes = wanted.iter().filter_map(|p| world.cast_probe(*p)).collect();
        let readers = wanted.iter().filter(|p| !world.processes[**p].role.witness).count();
        while world.probes_delivered < probes.len() * readers && world.now() < end {
            if world.violation().is_some() {
                break;
            }
            world.run_until(world.now() + LOOK);
        }
        world.run_until(world.now() + 50 * MS);
    }
    if let Some(violation) = world.violation() {
        return Err(violation.clone());
    }
    let summary = world.summary(probes);
    for mut oracle in world.take_oracles() {
        oracle.finish(&summary)?;
    }
    Ok(summary.expect_progress)
}

/// Waits until the group is whole and stays so. False if that does not happen, or cannot.
fn settle<N: Node, A: App>(world: &mut World<N, A>, end: u64) -> bool {
    let (mut whole_since, mut hope_at) = (None, world.now());
    while world.now() < end && world.violation().is_none() {
        world.run_until(world.now() + LOOK);
        let now = world.now();
        let summary = world.summary(Vec::new());
        if summary.expect_progress {
            hope_at = now;
        } else if now - hope_at > HOPELESS {
            return false;
        }
        let whole = summary.expect_progress && L1.finish(&summary).is_ok() && L3.finish(&summary).is_ok();
        match whole_since {
            Some(since) if whole && now - since >= STABLE => return true,
            Some(_) if whole => {}
            _ => whole_since = whole.then_some(now),
        }
    }
    false
}

impl<N: Node, A: App> World<N, A> {
    /// Whether a process is alive and wants to be in the group.
    pub(super) fn wants_in(&self, process: usize) -> bool {
        let p = &self.processes[process];
        p.is_alive() && !p.leaving
    }

    /// Whether the group can go on: a quorum lives, or there is none yet and enough processes are there to found one.
    #[must_use]
    pub fn can_progress(&self) -> bool {
        if self.founding {
            let there = || self.processes.iter().filter(|p| p.is_alive() && p.founds && !p.leaving);
            let votes: usize = there().map(|p| usize::from(p.role.weight)).sum();
            return votes >= self.expect && there().any(|p| p.role.class() == 0);
        }
        self.roster.has_quorum(None)
    }

    /// How the run stands.
    pub(super) fn summary(&self, probes: Vec<super::envelope::MessageId>) -> Summary {
        let of = |process: usize| {
            let p = &self.processes[process];
            let me = self.me(process);
            let view = p.view.as_ref().filter(|_| p.view_of == Some(me));
            ProcessSummary {
                member: me,
                alive: p.is_alive(),
                leaving: p.leaving,
                witness: p.role.witness,
                gave_up: p.status == Status::Gone && !p.leaving,
                view: view.map(|v| (v.id, v.members.iter().map(|m| m.id).collect())),
                blocked: p.blocked,
                writable: p.writable,
                awaits_state: p.awaits_state,
            }
        };
        let processes = (0..self.processes.len()).map(of).collect();
        Summary { expect_progress: self.can_progress(), processes, probes }
    }
}
