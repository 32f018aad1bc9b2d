//! Simulated executions, as many as you like: whole groups under faults from a seed, every guarantee checked.

use clap::Parser;
use gcs::{
    guard::Keys,
    keys::PreShared,
    properties::Properties,
    rng::Rng,
    sim::{Faults, Report, Setup, certified, run},
    stack::Blueprint,
};
use gcs_stacks::{Adaptive, Dish, Slots, compose_with};
use std::{
    process::ExitCode,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// Simulated executions, as many as you like. A failing seed prints what went wrong, and the command that repeats it.
#[derive(Parser)]
struct Args {
    /// How many executions.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// The stack; `composed` is another one for each seed, for a random wish; `all` takes the named ones in turn, and every
    /// third time a composed one.
    #[arg(long, default_value = "all")]
    stack: String,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Go on after a failure, and list all failing seeds at the end.
    #[arg(long)]
    keep_going: bool,
    /// How many of the last observations a failure prints.
    #[arg(long, default_value_t = 200)]
    tail: usize,
    /// Show datagrams among the observations, except frames.
    #[arg(long)]
    datagrams: bool,
    /// Draw votes, witnesses and learners for every seed, not only for each eleventh.
    #[arg(long)]
    roles: bool,
    /// Let the operator force somebody to go on in every seed, not only in each eleventh.
    #[arg(long)]
    forces: bool,
    /// Let every part of the group go on in every seed, not only in each thirteenth.
    #[arg(long)]
    partitionable: bool,
    /// Damage datagrams as well; then only panics count.
    #[arg(long)]
    corrupt: bool,
}

/// How much each process casts a second: a busy group and an idle one take different paths.
const CASTS: [u64; 3] = [60, 20, 6];

/// The keys of groups that sign.
static CERTIFIED: LazyLock<Vec<Arc<dyn Keys>>> =
    LazyLock::new(|| certified((0..16).map(|i| format!("p{i}"))));

/// The set-up of a seed: stacks, sizes, load and state transfer in turn.
fn setup(args: &Args, seed: u64) -> anyhow::Result<(String, Setup)> {
    let names: Vec<_> = gcs_stacks::names().collect();
    let stack = match args.stack.as_str() {
        "all" if seed.is_multiple_of(3) => "composed",
        "all" => names[usize::try_from(seed % names.len() as u64)?],
        named => named,
    };
    let mut setup = Setup::new(if stack == "composed" { composed(seed)? } else { gcs_stacks::named(stack)? });
    if setup.gives().contains(Properties::ENCRYPTED) {
        // Forgers and damage are nothing to a closed group.
        setup.keys = if setup.gives().contains(Properties::SIGNED) {
            CERTIFIED.clone()
        } else {
            vec![Arc::new(PreShared::new(&[7; 32])?.repeatable())]
        };
    }
    setup.members = (3, 7);
    setup.physics.trace_keep = args.tail;
    setup.physics.trace_datagrams = args.datagrams;
    setup.state_transfer = !(seed / 7).is_multiple_of(3);
    setup.workload.casts_per_second = CASTS[usize::try_from(seed / 42 % CASTS.len() as u64)?];
    setup.partitionable = args.partitionable || seed % 13 == 6;
    let (roles, forces) = (args.roles || seed % 11 == 4, args.forces || seed % 11 == 8);
    let corruption = args.corrupt || !setup.keys.is_empty();
    let renewals = setup.blueprint.description().contains("adaptive");
    setup.faults = Faults { corruption, roles, forces, renewals, ..Faults::all() };
    Ok((stack.to_owned(), setup))
}

/// A stack for a random set of properties.
fn composed(seed: u64) -> anyhow::Result<Blueprint> {
    let mut rng = Rng::new(seed ^ 0xc0_4405_ed00_0008);
    let all = [
        Properties::FIFO,
        Properties::CAUSAL_ORDER,
        Properties::TOTAL_ORDER,
        Properties::UNIFORM,
        Properties::STABILITY,
        Properties::FORWARD_CORRECTION,
        Properties::LATERAL_CORRECTION,
        Properties::COMPRESSED,
        Properties::ENCRYPTED,
    ];
    let wanted = all.into_iter().filter(|_| rng.chance(500)).fold(Properties::NONE, |sum, p| sum | p);
    // Drawn apart, so that other seeds stay what they were.
    let signed = Rng::new(seed ^ 0xc0_4405_ed00_0009).chance(50);
    let wanted = if signed { wanted | Properties::SIGNED } else { wanted };
    let order = match rng.below(3) {
        0 => vec![Dish::new(Slots).at(Dish::ORDER).cost(10)],
        1 => vec![Dish::new(Adaptive { much: 30 }).at(Dish::ORDER).cost(10)],
        _ => Vec::new(),
    };
    Ok(compose_with(wanted, &order)?)
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let _ = setup(&args, args.from)?;
    // A violated assertion is a finding, not a crash: its message is in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let (next, done, stop) = (AtomicU64::new(args.from), AtomicU64::new(0), AtomicBool::new(false));
    let (progress, delivered) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
    let started = now();
    thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.from + args.seeds {
                        return;
                    }
                    let Ok((stack, setup)) = setup(&args, seed) else { return };
                    let report = run(seed, &setup);
                    progress.fetch_add(u64::from(report.progress), Ordering::Relaxed);
                    delivered.fetch_add(report.delivered, Ordering::Relaxed);
                    if !report.is_ok() {
                        say(&args, &stack, &report, &failed);
                        stop.fetch_or(!args.keep_going, Ordering::Relaxed);
                    }
                    let n = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if n % 5_000 == 0 {
                        println!(
                            "{n} executions, {:.0} a second",
                            n as f64 / started.elapsed().as_secs_f64()
                        );
                    }
                }
            });
        }
    });
    let n = done.load(Ordering::Relaxed);
    let failed = failed.into_inner().unwrap_or_default();
    println!(
        "{n} executions from seed {}, {:.0} a second; {} made progress to the end, {} messages delivered; {} failed",
        args.from,
        n as f64 / started.elapsed().as_secs_f64(),
        progress.load(Ordering::Relaxed),
        delivered.load(Ordering::Relaxed),
        failed.len()
    );
    for (seed, what) in failed.iter().take(50) {
        println!("  seed {seed}: {what}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(args: &Args, stack: &str, report: &Report, failed: &Mutex<Vec<(u64, String)>>) {
    let what = report.violation.as_ref().map(ToString::to_string).unwrap_or_default();
    if let Ok(mut failed) = failed.lock() {
        if failed.is_empty() {
            println!("{report}");
            let corrupt = if args.corrupt { " --corrupt" } else { "" };
            let roles = if args.roles { " --roles" } else { "" };
            let forces = if args.forces { " --forces" } else { "" };
            let parts = if args.partitionable { " --partitionable" } else { "" };
            let from = report.seed;
            println!(
                "repeat with: sim-soak --seeds 1 --from {from} --stack {stack}{corrupt}{roles}{forces}{parts}"
            );
        }
        failed.push((report.seed, format!("{stack}: {}", what.lines().next().unwrap_or(""))));
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads clocks")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
