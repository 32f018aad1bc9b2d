//! Measures a group of processes on this machine.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use gcs_benches::{
    member::{self, Job, MemberArgs},
    parent::{Process, free_addrs},
    report::{Figures, wall_ns},
};
use std::{net::SocketAddr, time::Duration};

/// Measures a group of processes on this machine.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Members cast as fast as the group takes it.
    Throughput {
        #[command(flatten)]
        common: Common,
        /// How many members cast, the ones of the highest ranks; all if not given.
        #[arg(long)]
        senders: Option<usize>,
    },
    /// One message in flight, from one member: time until it is delivered to its sender.
    Latency {
        #[command(flatten)]
        common: Common,
        /// The sender's rank; 0 is the sequencer.
        #[arg(long, default_value_t = 1)]
        sender: usize,
    },
    /// The coordinator is killed (or stopped) under load: time until every survivor has the next view.
    Failover {
        #[command(flatten)]
        common: Common,
        /// How often.
        #[arg(long, default_value_t = 10)]
        times: usize,
        /// SIGSTOP instead of SIGKILL: the host falls silent.
        #[arg(long)]
        stop: bool,
        /// Messages a second from each member meanwhile.
        #[arg(long, default_value_t = 10_000)]
        rate: u64,
    },
    /// A steady load while the machine is busy with other work: how many members are excluded for nothing.
    Calm {
        #[command(flatten)]
        common: Common,
        /// Threads of other work.
        #[arg(long, default_value_t = 2)]
        burn: usize,
    },
    /// One member; the other modes start these.
    Member(MemberArgs),
}

#[derive(clap::Args, Clone)]
struct Common {
    /// Members.
    #[arg(short = 'n', long, default_value_t = 3)]
    members: usize,
    /// The stack.
    #[arg(long, default_value = "total")]
    stack: String,
    /// Message size in bytes.
    #[arg(long, default_value_t = 64)]
    payload: usize,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Poll instead of sleeping.
    #[arg(long)]
    busy_poll: bool,
}

impl Common {
    fn args(&self, addrs: &[SocketAddr], i: usize, job: Job, expect: usize) -> Vec<String> {
        let contacts: Vec<_> = addrs.iter().map(ToString::to_string).collect();
        let job = match job {
            Job::Flood => "flood",
            Job::PingPong => "ping-pong",
            Job::Steady => "steady",
            Job::Listen => "listen",
        };
        let mut args: Vec<String> = [
            ("--bind", addrs[i].to_string()),
            ("--contact", contacts.join(",")),
            ("--expect", expect.to_string()),
            ("--stack", self.stack.clone()),
            ("--job", job.to_owned()),
            ("--payload", self.payload.to_string()),
            ("--seconds", self.seconds.to_string()),
        ]
        .into_iter()
        .flat_map(|(k, v)| [k.to_owned(), v])
        .collect();
        if self.busy_poll {
            args.push("--busy-poll".to_owned());
        }
        args
    }

    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.seconds + 20.0)
    }
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().mode {
        Mode::Member(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(member::run(args))
        }
        Mode::Throughput { common, senders } => throughput(&common, senders.unwrap_or(common.members)),
        Mode::Latency { common, sender } => latency(&common, sender),
        Mode::Failover { common, times, stop, rate } => failover(&common, times, stop, rate),
        Mode::Calm { common, burn } => calm(&common, burn),
    }
}

fn start(
    c: &Common,
    jobs: impl Fn(usize) -> Job,
    more: &[String],
) -> anyhow::Result<(Vec<Process>, Vec<SocketAddr>)> {
    let mut addrs = free_addrs(c.members)?;
    addrs.sort();
    let mut processes = Vec::new();
    for i in 0..c.members {
        let mut args = c.args(&addrs, i, jobs(i), c.members);
        args.extend_from_slice(more);
        processes.push(Process::start(&format!("p{i}"), &args)?);
    }
    Ok((processes, addrs))
}

fn throughput(c: &Common, senders: usize) -> anyhow::Result<()> {
    let job = |i| if i + senders >= c.members { Job::Flood } else { Job::Listen };
    let (processes, _) = start(c, job, &[])?;
    let figures: Vec<Figures> =
        processes.iter().map(|p| p.figures(c.patience())).collect::<Result<_, _>>()?;
    let cpu: f64 = figures.iter().map(|f| f.cpu).sum();
    let mut rates = Vec::new();
    for (p, f) in processes.iter().zip(&figures) {
        let rate = f.delivered as f64 / f.seconds;
        rates.push(rate);
        let l = f.latency_us.unwrap_or_default();
        println!(
            "{}: {:.0} messages/s, {:.1} MB/s, latency us p50 {:.0} p99 {:.0}, peak {:.0} MiB",
            p.name,
            rate,
            rate * c.payload as f64 / 1e6,
            l.p50,
            l.p99,
            f.rss_mib
        );
    }
    let delivered = figures[0].delivered as f64;
    println!(
        "{} members, {senders} of them sending, {}, {} B: {:.0} messages/s at the slowest member, {:.2} CPU s per million messages in all",
        c.members,
        c.stack,
        c.payload,
        rates.iter().copied().fold(f64::INFINITY, f64::min),
        cpu / delivered * 1e6
    );
    Ok(())
}

fn latency(c: &Common, sender: usize) -> anyhow::Result<()> {
    let (processes, _) = start(c, |i| if i == sender { Job::PingPong } else { Job::Listen }, &[])?;
    let figures = processes.get(sender).context("no such sender")?.figures(c.patience())?;
    let l = figures.latency_us.context("nothing was delivered")?;
    println!(
        "{} members, {}, {} B, sender {}: {} round trips, us p50 {:.1} p99 {:.1} p99.9 {:.1} max {:.0}",
        c.members, c.stack, c.payload, sender, l.count, l.p50, l.p99, l.p999, l.max
    );
    Ok(())
}

fn failover(c: &Common, times: usize, stop: bool, rate: u64) -> anyhow::Result<()> {
    let c = Common { seconds: 3600.0, ..c.clone() };
    let more = ["--rate".to_owned(), rate.to_string()];
    let mut took = Vec::new();
    for round in 0..times {
        let (mut processes, _) = start(&c, |_| Job::Steady, &more)?;
        for p in &processes {
            p.view(c.members, Duration::from_secs(20))?;
        }
        std::thread::park_timeout(Duration::from_millis(1500));
        let victim = processes.remove(0);
        let killed = wall_ns();
        victim.signal(if stop { "-STOP" } else { "-KILL" })?;
        let mut last = 0;
        for p in &processes {
            let (at, _) = p.view(c.members - 1, Duration::from_secs(20))?;
            last = last.max(at);
        }
        let ms = last.saturating_sub(killed) as f64 / 1e6;
        println!("round {round}: {ms:.1} ms");
        took.push(ms);
    }
    took.sort_by(f64::total_cmp);
    println!(
        "{} of the coordinator of {}, {} messages/s each: view at all survivors after ms min {:.1} median {:.1} max {:.1}",
        if stop { "SIGSTOP" } else { "SIGKILL" },
        c.members,
        rate,
        took[0],
        took[took.len() / 2],
        took[took.len() - 1]
    );
    Ok(())
}

fn calm(c: &Common, burn: usize) -> anyhow::Result<()> {
    for _ in 0..burn {
        std::thread::spawn(|| {
            let mut x = 1_u64;
            loop {
                x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005));
            }
        });
    }
    let (processes, _) = start(c, |_| Job::Steady, &["--rate".to_owned(), "1000".to_owned()])?;
    let mut views = 0;
    let mut gap: f64 = 0.0;
    for p in &processes {
        loop {
            match p.line(c.patience())? {
                gcs_benches::report::Line::View { .. } => views += 1,
                gcs_benches::report::Line::Done(f) => {
                    gap = gap.max(f.longest_gap_ms);
                    break;
                }
            }
        }
    }
    println!(
        "{} members, {:.0} s, {burn} threads of other work: {} view changes after the first, longest gap {gap:.0} ms",
        c.members,
        c.seconds,
        views - processes.len()
    );
    Ok(())
}
