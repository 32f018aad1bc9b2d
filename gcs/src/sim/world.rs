//! The world: processes, the network between them, and virtual time.
//!
//! ```text
//! queue ── arrival ──> inbox ── read ──> node.handle ──> effects ──> network ──> queue
//!       ── tick ────────────────────────────┘    │
//!       ── wake ──> application <── events ──────┘   everything applications see ──> trace, oracles
//! ```
//! One thread, one queue, generators forked from one seed: the same set-up gives the same run, bit for bit.

use super::{
    app::App,
    clock::LocalClock,
    network::Network,
    node::Node,
    oracles::{Oracle, Violation},
    physics::Physics,
    plan::{Step, When},
    process::{INBOX, Process, Status, index_of, member_of},
    queue::Queue,
    roster::Roster,
    trace::{Observation, Trace, What},
};
use crate::{
    blocks::Snapshot,
    endpoint::{Datagram, Input},
    id::MemberId,
    rng::Rng,
    time::Time,
    view::{Role, ViewId},
};
use bytes::Bytes;
use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

/// The simulated time of day at the start, nanoseconds since the Unix epoch.
pub(super) const WALL_START: u64 = 1_700_000_000_000_000_000;

/// What a process's next life is made from.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    /// The process.
    pub process: usize,
    /// Who it is in this life.
    pub me: MemberId,
    /// Which life, from 1.
    pub life: u32,
    /// How many processes there are.
    pub processes: usize,
    /// How many votes must meet to found the group, if it is one of those; others join.
    pub expect: Option<usize>,
    /// What it counts for.
    pub role: Role,
    /// A seed.
    pub seed: u64,
    /// The seed of the whole run.
    pub run: u64,
}

pub(super) enum Happening {
    Arrival { to: usize, from: SocketAddr, payload: Bytes },
    Read(usize),
    Tick(usize),
    Wake(usize),
    Resume(usize, u32),
    Uncongest(usize, u32),
    State { process: usize, life: u32, view: ViewId, snapshot: Arc<dyn Snapshot> },
    Evidence { watcher: usize, gone: MemberId },
    Step(usize),
    Start(usize),
}

/// A step of the plan, and how far it is.
pub(super) struct Planned {
    pub(super) step: Step,
    /// How many datagrams that it waits for were sent.
    pub(super) count: u32,
    pub(super) fate: Fate,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Waits,
    Taken,
    /// There was nothing to be done: to kill a process that is dead, say.
    Void,
}

type Make<N, A> = Box<dyn FnMut(&Birth) -> (N, A)>;

/// Processes, their network and virtual time. Most users call [`super::run`] instead.
pub struct World<N, A> {
    pub(super) now: u64,
    pub(super) physics: Physics,
    pub(super) processes: Vec<Process<N, A>>,
    pub(super) network: Network,
    pub(super) queue: Queue<Happening>,
    pub(super) steps: Vec<Planned>,
    pub(super) triggers: bool,
    pub(super) rng: Rng,
    pub(super) quiet: bool,
    /// Whether there is no group yet, or none any more: who starts now founds one.
    pub(super) founding: bool,
    /// So many votes found it, out of the first `founders`.
    pub(super) expect: usize,
    pub(super) founders: usize,
    pub(super) probes_delivered: usize,
    pub(super) overheard: VecDeque<Bytes>,
    /// So many datagrams will be forged; what was sent between whom may be repeated.
    pub(super) forgeries: u64,
    pub(super) recorded: VecDeque<(SocketAddr, usize, Bytes)>,
    pub(super) roster: Roster,
    pub(super) max_held: usize,
    /// The seed of the whole run.
    run: u64,
    make: Make<N, A>,
    pub(super) trace: Trace,
    oracles: Vec<Box<dyn Oracle>>,
    pub(super) violation: Option<Violation>,
    pub(super) inputs: u64,
    pub(super) delivered: u64,
}

impl<N: Node, A: App> World<N, A> {
    /// A world of `processes` processes, none of them started. `make` makes the protocol code and the application of
    /// each life.
    pub fn new(
        seed: u64,
        processes: usize,
        physics: Physics,
        oracles: Vec<Box<dyn Oracle>>,
        make: impl FnMut(&Birth) -> (N, A) + 'static,
    ) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed_0000_0000_0001);
        let network = Network::new(processes, physics.latency_us, rng.fork());
        Self {
            now: 0,
            processes: (0..processes).map(|_| Process::new(rng.fork())).collect(),
            network,
            queue: Queue::new(),
            steps: Vec::new(),
            triggers: false,
            quiet: false,
            founding: true,
            expect: processes / 2 + 1,
            founders: processes,
            probes_delivered: 0,
            overheard: VecDeque::new(),
            forgeries: 0,
            recorded: VecDeque::new(),
            roster: Roster::default(),
            max_held: 0,
            run: seed,
            make: Box::new(make),
            trace: Trace::new(physics.trace_keep),
            oracles,
            violation: None,
            inputs: 0,
            delivered: 0,
            physics,
            rng,
        }
    }

    /// True time, in nanoseconds since the start.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// What has happened.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The first promise that was broken, if any was.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The application in a process that is alive.
    #[must_use]
    pub fn app(&self, process: usize) -> Option<&A> {
        self.processes.get(process).and_then(|p| p.app.as_ref())
    }

    /// What a process counts for, from its next life on.
    pub fn set_role(&mut self, process: usize, role: Role) {
        self.processes[process].role = role;
    }

    /// How many votes the first so many processes have.
    #[must_use]
    pub fn votes(&self, first: usize) -> usize {
        self.processes[..first].iter().map(|p| usize::from(p.role.weight)).sum()
    }

    /// The group comes into being as soon as `expect` votes of the first `founders` processes have met.
    pub fn found_with(&mut self, expect: usize, founders: usize) {
        self.expect = expect;
        self.founders = founders;
    }

    /// Starts a process at a time (nanoseconds).
    pub fn start_at(&mut self, at: u64, process: usize) {
        self.queue.push(at.max(self.now), Happening::Start(process));
    }

    /// Calls [`App::wake`] of a process at a time (nanoseconds), unless it is called before; a stopped one is woken when it goes on. For
    /// what comes to an application from elsewhere than its group.
    pub fn wake_at(&mut self, at: u64, process: usize) {
        let at = at.max(self.now);
        let p = &mut self.processes[process];
        if p.app.is_some() && at < p.wake_at {
            p.wake_at = at;
            self.queue.push(at, Happening::Wake(process));
        }
    }

    /// When something happens next (nanoseconds).
    #[must_use]
    pub fn next_at(&self) -> Option<u64> {
        self.queue.next_at()
    }

    /// Adds steps of a plan.
    pub fn schedule(&mut self, steps: &[Step]) {
        for step in steps {
            let index = self.steps.len();
            match step.when {
                When::At(at) => self.queue.push(at.max(self.now), Happening::Step(index)),
                When::Sends { .. } => self.triggers = true,
            }
            self.steps.push(Planned { step: step.clone(), count: 0, fate: Fate::Waits });
        }
    }

    /// Runs until a time (nanoseconds), or until a promise is broken.
    pub fn run_until(&mut self, until: u64) {
        while self.violation.is_none() && self.queue.next_at().is_some_and(|at| at <= until) {
            let Some((at, happening)) = self.queue.pop() else { break };
            self.now = at;
            self.happen(happening);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { to, from, payload } => {
                self.arrive(to, Datagram { from, payload: payload.into() })
            }
            Happening::Read(p) => self.read(p),
            Happening::Tick(p) => {
                if self.processes[p].tick_at == self.now {
                    self.processes[p].tick_at = u64::MAX;
                    self.input(p, Input::Tick);
                }
            }
            Happening::Wake(p) => {
                if self.processes[p].wake_at == self.now {
                    self.processes[p].wake_at = u64::MAX;
                    self.wake(p);
                }
            }
            Happening::Resume(p, life) => {
                if self.processes[p].life == life && self.processes[p].status == Status::Paused(self.now) {
                    self.resume(p);
                }
            }
            Happening::Uncongest(p, life) => {
                if self.processes[p].life == life {
                    self.input(p, Input::Congested(false));
                }
            }
            Happening::State { process, life, view, snapshot } => {
                if self.processes[process].life == life {
                    self.input(process, Input::State { view, snapshot });
                }
            }
            Happening::Evidence { watcher, gone } => self.evidence(watcher, gone),
            Happening::Step(i) => self.take_step(i),
            Happening::Start(p) => self.start(p),
        }
    }

    pub(super) fn take_step(&mut self, i: usize) {
        if self.steps[i].fate == Fate::Waits {
            self.steps[i].fate = Fate::Taken;
            let fault = self.steps[i].step.fault.clone();
            if !self.apply(&fault) {
                self.steps[i].fate = Fate::Void;
            }
        }
    }

    /// Runs through the next instant at which something happens, at most until a time (nanoseconds).
    pub(super) fn run_next(&mut self, until: u64) {
        self.run_until(self.queue.next_at().map_or(until, |at| at.min(until)));
    }

    /// Takes note of something that a process's application sees.
    pub(super) fn record(&mut self, process: usize, member: MemberId, what: What) {
        // From the first view on, there is a group to join.
        self.founding &= !matches!(what, What::View(_));
        let observation = Observation { at: self.now, process, member, what };
        self.roster.observe(&observation);
        for oracle in &mut self.oracles {
            if self.violation.is_none()
                && let Err(violation) = oracle.observe(&observation)
            {
                self.violation = Some(violation);
            }
        }
        self.trace.add(observation);
    }

    /// The oracles, to be asked for their final word.
    pub(super) fn take_oracles(&mut self) -> Vec<Box<dyn Oracle>> {
        std::mem::take(&mut self.oracles)
    }

    /// Who a process is now.
    #[must_use]
    pub fn me(&self, process: usize) -> MemberId {
        let p = &self.processes[process];
        p.node.as_ref().map_or_else(|| member_of(process, p.life), Node::me)
    }

    /// Begins a life of a process that is not alive.
    pub(super) fn start(&mut self, process: usize) {
        let p = &mut self.processes[process];
        if p.is_alive() {
            return;
        }
        let before = (p.life > 0 && p.status == Status::Dead(false)).then(|| self.me(process));
        let p = &mut self.processes[process];
        let life = p.life + 1;
        let me = member_of(process, life);
        let seed = p.rng.next_u64();
        let drift = self.physics.drift_ppm;
        let ppm = i64::try_from(p.rng.below(2 * drift + 1)).unwrap_or(0) - i64::try_from(drift).unwrap_or(0);
        let clock = LocalClock::new(self.now, p.rng.below(5_000_000), ppm);
        let processes = self.processes.len();
        let founds =
            self.founding && life_founds(life, process < self.founders, self.roster.latest().is_some());
        let expect = founds.then_some(self.expect);
        let role = self.processes[process].role;
        let birth = Birth { process, me, life, processes, expect, role, seed, run: self.run };
        let (node, app) = (self.make)(&birth);
        self.processes[process].begin(node, app, clock);
        self.processes[process].founds = founds;
        self.record(process, me, What::Started);
        if before.is_some() {
            // The host is back: its kernel knows nothing of the old connections and says so.
            self.spread_evidence(process);
        }
        self.input(process, Input::Start { wall_ns: WALL_START + self.now });
        self.call_app(process, |app, cx| app.started(cx));
    }

    fn arrive(&mut self, to: usize, datagram: Datagram) {
        let wake_us = self.physics.wake_us;
        let Some(p) = self.processes.get_mut(to).filter(|p| p.is_alive()) else { return };
        if p.inbox.len() >= INBOX {
            return;
        }
        p.inbox.push_back(datagram);
        if !p.reading && p.status == Status::Up {
            p.reading = true;
            let delay = p.rng.below(wake_us * 1_000 + 1);
            self.queue.push(self.now + delay, Happening::Read(to));
        }
    }

    fn read(&mut self, process: usize) {
        let p = &mut self.processes[process];
        if p.status == Status::Up && p.reading {
            p.reading = false;
            let batch: Vec<_> = p.inbox.drain(..).collect();
            if !batch.is_empty() {
                self.input(process, Input::Datagrams(batch));
            }
        }
    }

    fn wake(&mut self, process: usize) {
        if let Status::Paused(until) = self.processes[process].status {
            self.processes[process].wake_at = until;
            return;
        }
        self.call_app(process, |app, cx| app.wake(cx));
    }

    /// A stopped process goes on: it reads what has waited, and its timers are late.
    pub(super) fn resume(&mut self, process: usize) {
        let p = &mut self.processes[process];
        p.status = Status::Up;
        p.reading = true;
        self.record(process, self.me(process), What::Woke);
        self.queue.push(self.now, Happening::Read(process));
        for input in std::mem::take(&mut self.processes[process].waiting) {
            self.input(process, input);
        }
        self.input(process, Input::Tick);
        if self.processes[process].wake_at != u64::MAX {
            self.processes[process].wake_at = self.now;
            self.queue.push(self.now, Happening::Wake(process));
        }
    }

    fn evidence(&mut self, watcher: usize, gone: MemberId) {
        let Some(dead) = index_of(gone.addr) else { return };
        if !self.processes[watcher].watches.contains(&gone) {
            return;
        }
        if self.network.is_cut(self.now, dead, watcher) || self.network.is_cut(self.now, watcher, dead) {
            self.queue.push(self.now + 100_000_000, Happening::Evidence { watcher, gone });
        } else {
            self.input(watcher, Input::Gone(gone));
        }
    }

    /// Puts a datagram of a stranger on its way.
    pub(super) fn inject(&mut self, delay: Duration, to: usize, from: SocketAddr, payload: Bytes) {
        let at = self.now + u64::try_from(delay.as_nanos()).unwrap_or(0);
        self.queue.push(at, Happening::Arrival { to, from, payload });
    }

    /// A process's local time.
    #[must_use]
    pub fn local(&self, process: usize) -> Time {
        self.processes[process].clock.local(self.now)
    }
}

/// Whether a process that starts while there is no group founds one. Before the first group, only the first lives of its
/// founders do: a restarted founder's earlier pledge may still count. After a total stop, everybody does.
fn life_founds(life: u32, is_founder: bool, was_group: bool) -> bool {
    was_group || (is_founder && life == 1)
}
