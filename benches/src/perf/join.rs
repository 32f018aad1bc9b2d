//! A replica joins and receives the state while the others write at a steady rate: how long writes wait.

use super::Common;
use crate::{
    member::{Job, Settings},
    parent::{Process, free_addrs},
    report::{Line, Percentiles, wall_ns},
};
use std::{thread, time::Duration};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// The size of the state in MiB.
    #[arg(long, default_value_t = 1024)]
    state: u64,
    /// Writes a second, of all replicas together.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
}

/// How long the longest of these steps may take: to fill the state, to transfer it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs it and prints the result.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common, state, rate }: &Args) -> anyhow::Result<()> {
    let c = Common { stack: "total+uniform".to_owned(), ..common.clone() };
    let each = rate / c.members as u64;
    let settings = c.settings(|i| Job::Replica { fill: if i == 0 { *state } else { 0 }, rate: each })?;
    let members: Vec<_> = settings.iter().map(Process::start).collect::<Result<_, _>>()?;
    println!("filling {state} MiB");
    while !matches!(members[0].line(PATIENCE)?, Line::Filled) {}
    // A third of the time without, the rest with the joiner.
    thread::park_timeout(Duration::from_secs_f64(1.0 + c.seconds / 3.0));
    let bind = free_addrs(1)?[0];
    let job = Job::Replica { fill: 0, rate: 0 };
    let joiner = Settings { name: "joiner".to_owned(), bind, expect: 0, job, ..settings[0].clone() };
    let started = wall_ns();
    let joiner = Process::start(&joiner)?;
    loop {
        if let Line::Ready { at, keys } = joiner.line(PATIENCE)? {
            let s = (at - started) as f64 / 1e9;
            println!("the joiner has the state, {keys} keys, after {s:.2} s: {:.0} MiB/s", *state as f64 / s);
            break;
        }
    }
    for p in &members {
        let f = p.figures(c.patience() + PATIENCE)?;
        let show = |p: Option<Percentiles>| {
            let p = p.unwrap_or_default();
            format!(
                "{} writes, ms p50 {:.2} p99 {:.2} max {:.1}",
                p.count,
                p.p50 / 1e3,
                p.p99 / 1e3,
                p.max / 1e3
            )
        };
        println!("{}: before the join {}; from then on {}", p.name, show(f.latency_us), show(f.later_us));
        println!("    longest time without an answer {:.1} ms, peak {:.0} MiB", f.longest_gap_ms, f.rss_mib);
    }
    Ok(())
}
