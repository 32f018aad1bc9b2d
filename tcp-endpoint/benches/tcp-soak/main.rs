//! Three replicas whose hosts fail again and again, at random moments, and clients that must not notice: digests, and everything that
//! passes the clients' cable. Needs root, and the programs of the test `takeover`.
#![expect(clippy::disallowed_methods, reason = "real processes in real time")]

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use clients::World;
use cluster::{Cluster, capture::Seen, write_file};
use gcs::rng::Rng;

mod clients;
#[path = "../../tests/cluster/mod.rs"]
mod cluster;

/// What the replicas run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_gcs-tcp");

/// Bytes of the file that is served.
const FILE: usize = 4_000_000;

/// Hosts fail at random moments, again and again. Prints what clients and their cable have seen; fails if that was anything
/// that must not be.
#[derive(Parser)]
struct Args {
    /// How many times a host fails.
    #[arg(long, default_value_t = 100)]
    kills: u64,
    /// Of what is random; moments differ nevertheless.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What happens to hosts.
    #[arg(long, value_delimiter = ',', default_value = "kill,stop,cut,part")]
    faults: Vec<Fault>,
    /// How many times in one cluster. Clusters serve files and echo in turn; each has the next seed.
    #[arg(long, default_value_t = 25)]
    each: u64,
    /// More words for `gcs-tcp`, such as `--mirror` or `--silence=50`; repeat it.
    #[arg(long, allow_hyphen_values = true)]
    with: Vec<String>,
    /// Keep the captures of clusters in which something was wrong in this folder.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Fault {
    /// SIGKILL, and a new process.
    Kill,
    /// SIGSTOP, SIGCONT when another one leads.
    Stop,
    /// The cable is out until another one leads.
    Cut,
    /// It does not hear the other replicas, nor they it, until another one leads; clients hear it.
    Part,
}

/// What has happened so far.
#[derive(Default)]
struct Tally {
    faults: u64,
    takeovers: u64,
    connections: u64,
    bytes: (u64, u64),
    /// In milliseconds: after how long another one led, and how long streams stood still.
    takes: BTreeMap<Fault, Vec<u64>>,
    stalls: BTreeMap<Fault, Vec<u64>>,
    violations: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.faults += other.faults;
        self.takeovers += other.takeovers;
        self.connections += other.connections;
        self.bytes = (self.bytes.0 + other.bytes.0, self.bytes.1 + other.bytes.1);
        for (to, from) in [(&mut self.takes, other.takes), (&mut self.stalls, other.stalls)] {
            for (fault, ms) in from {
                to.entry(fault).or_default().extend(ms);
            }
        }
        self.violations.extend(other.violations);
    }

    fn saw(&mut self, seen: Seen) {
        self.connections += seen.connections;
        self.bytes = (self.bytes.0 + seen.bytes.0, self.bytes.1 + seen.bytes.1);
        self.violations.extend(seen.told);
    }

    fn say(&self, what: &str) {
        println!(
            "{what}: {} faults, {} takeovers, {} connections, {} MB to clients, {} MB from them, {} violations",
            self.faults,
            self.takeovers,
            self.connections,
            self.bytes.0 / 1_000_000,
            self.bytes.1 / 1_000_000,
            self.violations.len(),
        );
        for (what, of) in [("another one led after", &self.takes), ("streams stood still for", &self.stalls)]
        {
            for (fault, ms) in of {
                let mut ms = ms.clone();
                ms.sort_unstable();
                let share = |of: usize| ms[(ms.len() * of / 100).min(ms.len() - 1)];
                let (half, most, all) = (share(50), share(99), share(100));
                println!(
                    "  {fault:?}, {} times: {what} {half} ms (median), {most} (p99), {all} (longest)",
                    ms.len()
                );
            }
        }
    }
}

/// One cluster, some faults.
fn run(args: &Args, seed: u64, faults: u64) -> Tally {
    let mut tally = Tally::default();
    let root = std::env::temp_dir().join(format!("tcp-soak-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&root).expect("a folder");
    let file = write_file(&root.join("file"), FILE);
    let echo = seed.is_multiple_of(2);
    let mut words = if echo { vec!["echo"] } else { vec!["serve", "--root", root.to_str().expect("a path")] };
    words.extend(args.with.iter().map(String::as_str));
    let mut cluster = Cluster::start(&words).expect("the privilege");
    cluster.leader();
    let pcap = args.keep.as_ref().map(|folder| folder.join(format!("{seed}.pcap")));
    let capture = cluster.watch(pcap.as_deref());
    let world = World::new(cluster.hosts.clone(), file);
    let mut rng = Rng::new(seed);
    thread::scope(|scope| {
        let clients = if echo { clients::of_echo(scope, &world) } else { clients::of_files(scope, &world) };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..faults {
                fault(&mut cluster, &world, args, &mut rng, &mut tally);
            }
        }));
        if outcome.is_err() {
            tally.violations.push("a replica does not do what it should: see above".to_owned());
        }
        world.stop();
        for client in clients {
            match client.join() {
                Ok(Ok(())) => {}
                Ok(Err(e)) => tally.violations.push(e),
                Err(_) => tally.violations.push("a client panics: see above".to_owned()),
            }
        }
    });
    tally.saw(cluster.seen(capture));
    if let Some(pcap) = pcap
        && tally.violations.is_empty()
    {
        std::fs::remove_file(pcap).expect("it is ours");
    }
    std::fs::remove_dir_all(root).expect("it is ours");
    tally
}

/// Something happens to a host, and then everything is as it was. More often it is the leader's.
fn fault(cluster: &mut Cluster, world: &World, args: &Args, rng: &mut Rng, tally: &mut Tally) {
    cluster.whole();
    thread::sleep(Duration::from_millis(rng.below(300)));
    let fault = args.faults[usize::try_from(rng.below(args.faults.len() as u64)).expect("few")];
    let leader = cluster.leader();
    let other = (leader + 1 + usize::from(rng.chance(500))) % 3;
    let of_leader = rng.chance(700);
    let host = if of_leader { leader } else { other };
    let began = Instant::now();
    match fault {
        Fault::Kill => cluster.kill(host),
        Fault::Stop => cluster.stop(host),
        Fault::Cut => cluster.cut(host),
        Fault::Part => cluster.part(host),
    }
    tally.faults += 1;
    if of_leader {
        cluster.leader();
        let took = u64::try_from((cluster.led_since() - began).as_millis()).expect("short");
        tally.takes.entry(fault).or_default().push(took);
        world.taken_over();
        tally.takeovers += 1;
        tally.stalls.entry(fault).or_default().extend(world.stalls(began));
    } else {
        cluster.excluded(host);
    }
    match fault {
        Fault::Kill => cluster.launch(host),
        Fault::Stop => cluster.go_on(host),
        Fault::Cut => cluster.mend(host),
        Fault::Part => cluster.unite(host),
    }
    cluster.wait(host, "joined");
    if began.elapsed() > Duration::from_secs(10) {
        println!("{fault:?} of {host}, leader: {of_leader}: all were back after {:?}", began.elapsed());
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut all = Tally::default();
    let mut seed = args.seed;
    while all.faults < args.kills {
        let before = all.violations.len();
        match catch_unwind(|| run(&args, seed, args.each.min(args.kills - all.faults))) {
            Ok(tally) => all.add(tally),
            Err(_) => {
                all.violations.push("the cluster cannot be used: see above".to_owned());
                all.faults += args.each;
            }
        }
        all.say(&format!("to seed {seed}"));
        for violation in &all.violations[before..] {
            println!("  seed {seed}: {violation}");
        }
        seed += 1;
    }
    all.say("in all");
    if all.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
