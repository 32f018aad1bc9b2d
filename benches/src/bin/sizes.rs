//! What a member more costs a group that is founded, idles, and changes its view: whole endpoints in the simulator. Times
//! are virtual, and everything else is counted, so the same on every machine.

use clap::Parser;
use gcs::{
    endpoint::{Effects, Endpoint, Input},
    frame::MAGIC_FRAME,
    guard::MAGIC_SEALED,
    id::MemberId,
    keys::PreShared,
    properties::Properties,
    sim::{
        Birth, Fault, Node, Observation, Oracle, Physics, Setup, Violation, What, Workload, WorkloadOptions,
        World,
    },
    time::Time,
    wire,
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

/// What a member more costs, besides messages, in virtual time. The same arguments print the same figures.
#[derive(Parser)]
struct Args {
    /// How many members. Several in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 3, 8, 16, 32, 64])]
    members: Vec<usize>,
    /// A stack of the catalogue.
    #[arg(long, default_value = "total+uniform")]
    stack: String,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Links take 200 µs, and up to 300 more.
const LATENCY_US: (u64, u64) = (200, 200);
const MS: u64 = 1_000_000;
/// What takes longer does not settle.
const PATIENCE: u64 = 30_000 * MS;
/// After a view change, so long is waited for its last words.
const REST: u64 = 1_000 * MS;
const IDLE_S: u64 = 10;

/// Datagrams, each counted for every destination.
#[derive(Clone, Copy, Default)]
struct Sum {
    datagrams: usize,
    bytes: usize,
}

impl Sum {
    fn add(&mut self, copies: usize, len: usize) {
        self.datagrams += copies;
        self.bytes += copies * len;
    }
}

/// What members have sent, and where they are.
#[derive(Default)]
struct Seen {
    control: Sum,
    frames: Sum,
    /// The longest control message of each kind, in bytes.
    longest: BTreeMap<&'static str, usize>,
    /// By process: how many members its view has, and since when.
    views: BTreeMap<usize, (usize, u64)>,
}

type Shared = Rc<RefCell<Seen>>;

/// An endpoint whose datagrams are counted.
struct Counted {
    endpoint: Endpoint,
    seen: Shared,
}

impl Node for Counted {
    fn handle(&mut self, now: Time, input: Input, effects: &mut Effects) {
        let before = effects.transmits.len();
        self.endpoint.handle(now, input, effects);
        let mut seen = self.seen.borrow_mut();
        for t in &effects.transmits[before..] {
            let bytes = t.payload.clone().into_bytes();
            let sealed = bytes[0] == MAGIC_SEALED;
            let said = t.to.first().filter(|_| sealed).and_then(|to| self.endpoint.read_own(*to, &bytes));
            let said = said.as_ref().unwrap_or(&bytes);
            if said[0] == MAGIC_FRAME {
                seen.frames.add(t.to.len(), bytes.len());
            } else {
                seen.control.add(t.to.len(), bytes.len());
                let longest = seen.longest.entry(wire::kind_name(said)).or_default();
                *longest = bytes.len().max(*longest);
            }
        }
    }
    fn deadline(&self) -> Time {
        self.endpoint.deadline()
    }
    fn check(&self) {}
    fn me(&self) -> MemberId {
        self.endpoint.me()
    }
    fn held_bytes(&self) -> usize {
        self.endpoint.held_bytes()
    }
}

/// Notes views.
struct Views(Shared);

impl Oracle for Views {
    fn name(&self) -> &'static str {
        "views"
    }
    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if let What::View(view) = &o.what {
            self.0.borrow_mut().views.insert(o.process, (view.members.len(), o.at));
        }
        Ok(())
    }
}

/// What a change of the group took.
struct Took {
    ms: f64,
    control: Sum,
    /// The longest of its control messages.
    longest: (&'static str, usize),
    decide: usize,
}

/// A group in virtual time.
struct Group {
    world: World<Counted, Workload>,
    seen: Shared,
}

impl Group {
    fn new(args: &Args, members: usize) -> anyhow::Result<Self> {
        let mut setup = Setup::new(gcs_stacks::named(&args.stack)?);
        setup.mixed_versions = false;
        if setup.gives().contains(Properties::ENCRYPTED) {
            setup.keys = vec![Arc::new(PreShared::new(&[7; 32])?.repeatable())];
        }
        let seen = Shared::default();
        let counted = Rc::clone(&seen);
        let make = move |birth: &Birth| {
            let endpoint = setup.endpoint(birth);
            let idle = WorkloadOptions { casts_per_second: 0, ..WorkloadOptions::default() };
            (Counted { endpoint, seen: Rc::clone(&counted) }, Workload::new(idle))
        };
        let physics = Physics { latency_us: LATENCY_US, ..Physics::default() };
        let oracles: Vec<Box<dyn Oracle>> = vec![Box::new(Views(Rc::clone(&seen)))];
        let mut world = World::new(args.seed, members, physics, oracles, make);
        world.found_with(members, members);
        Ok(Self { world, seen })
    }

    /// Lets time go on until so many processes are in a view of so many members, and all is said about it.
    fn until(&mut self, members: usize) -> anyhow::Result<Took> {
        let begun = self.world.now();
        let there = |seen: &Seen| {
            let views = seen.views.values().filter(|(n, at)| *n == members && *at >= begun);
            (views.clone().count() == members).then(|| views.map(|(_, at)| *at).max()).flatten()
        };
        let done = loop {
            if let Some(at) = there(&self.seen.borrow()) {
                break at;
            }
            anyhow::ensure!(self.world.now() < begun + PATIENCE, "no view of {members} in 30 s");
            self.world.run_until(self.world.now() + MS);
        };
        self.world.run_until(self.world.now() + REST);
        let seen = std::mem::take(&mut *self.seen.borrow_mut());
        self.seen.borrow_mut().views.clone_from(&seen.views);
        let longest = seen.longest.iter().max_by_key(|(_, len)| **len).map_or(("", 0), |(k, l)| (*k, *l));
        let decide = seen.longest.get("decide").copied().unwrap_or(0);
        Ok(Took { ms: (done - begun) as f64 / MS as f64, control: seen.control, longest, decide })
    }

    fn after(&mut self, fault: &Fault, members: usize) -> anyhow::Result<Took> {
        anyhow::ensure!(self.world.apply(fault), "nothing comes of {fault}");
        self.until(members)
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    println!(
        "{}; links take 0.2 to 0.5 ms; ms until the last member has the view; control datagrams, and KiB of them, all \
         members together; idle: datagrams sent a second by each member, and bytes of each",
        args.stack
    );
    println!(
        "members | founded ms  datagrams    KiB longest | idle/s bytes | crash ms datagrams   KiB | silent ms | join ms datagrams   KiB | decide"
    );
    for n in &args.members {
        measure(&args, *n)?;
    }
    Ok(())
}

fn measure(args: &Args, n: usize) -> anyhow::Result<()> {
    let mut group = Group::new(args, n)?;
    (0..n).for_each(|p| group.world.start_at(0, p));
    let founded = group.until(n)?;
    group.world.run_until(group.world.now() + IDLE_S * 1_000 * MS);
    let idle = std::mem::take(&mut group.seen.borrow_mut().frames);
    let last = n - 1;
    let crash = group.after(&Fault::Kill { process: last, evidence: true }, last)?;
    let join = group.after(&Fault::Start { process: last }, n)?;
    let silent = group.after(&Fault::Kill { process: last, evidence: false }, last)?;
    let kib = |sum: Sum| sum.bytes as f64 / 1024.0;
    println!(
        "{n:7} | {:10.1} {:10} {:6.0} {:7} | {:6.1} {:5} | {:8.1} {:9} {:5.0} | {:9.0} | {:7.1} {:9} {:5.0} | {:6}",
        founded.ms,
        founded.control.datagrams,
        kib(founded.control),
        format!("{} {}", founded.longest.0, founded.longest.1),
        idle.datagrams as f64 / (n as u64 * IDLE_S) as f64,
        idle.bytes / idle.datagrams.max(1),
        crash.ms,
        crash.control.datagrams,
        kib(crash.control),
        silent.ms,
        join.ms,
        join.control.datagrams,
        kib(join.control),
        join.decide,
    );
    Ok(())
}
