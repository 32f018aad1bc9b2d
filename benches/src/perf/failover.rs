//! The coordinator is killed (or stopped), or a member joins, under a steady stream: time until every member that stays
//! has the next view, and how long the stream stops at each of them.

use super::Common;
use crate::{
    member::{Job, Settings},
    outcome::Outcome,
    parent::{Process, free_addrs},
    report::{Percentiles, histogram, wall_ns},
};
use anyhow::Context as _;
use std::time::Duration;

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// How often.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// SIGSTOP instead of SIGKILL: the host falls silent.
    #[arg(long)]
    stop: bool,
    /// A member joins; nobody is killed.
    #[arg(long, conflicts_with = "stop")]
    join: bool,
    /// Messages a second from each member meanwhile.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs it.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common, rounds, stop, join, rate }: &Args) -> anyhow::Result<Outcome> {
    // Members measure from one second after the first view on; what happens, happens half a second later.
    let c = Common { seconds: if *stop { 3.0 } else { 2.0 }, ..common.clone() };
    let (mut took, mut gaps) = (histogram()?, histogram()?);
    for round in 0..*rounds {
        let settings = c.settings(|_| Job::Steady { rate: *rate })?;
        let mut processes: Vec<_> = settings.iter().map(Process::start).collect::<Result<_, _>>()?;
        for p in &processes {
            p.view(c.members, PATIENCE)?;
        }
        std::thread::park_timeout(Duration::from_millis(1500));
        let at = wall_ns();
        let changed = if *join {
            let bind = free_addrs(1)?[0];
            let joiner = Settings { name: "joiner".to_owned(), bind, expect: 0, ..settings[0].clone() };
            Process::start(&Settings { job: Job::Listen, ..joiner })?
        } else {
            let victim = processes.remove(0);
            victim.signal(if *stop { "-STOP" } else { "-KILL" })?;
            victim
        };
        let size = if *join { c.members + 1 } else { c.members - 1 };
        let views: Vec<_> = processes.iter().map(|p| p.view(size, PATIENCE)).collect::<Result<_, _>>()?;
        let last = views.iter().map(|(at, _)| *at).max().context("nobody stays")?;
        took.record(last.saturating_sub(at).max(1))?;
        for p in &processes {
            let figures = p.figures(c.patience())?;
            // The ones that overlap the change.
            let gap = figures.gaps.iter().filter(|g| g.end >= at && g.end.saturating_sub(g.ns) <= last);
            let longest = gap.map(|g| g.ns).max().unwrap_or(crate::member::SMALLEST_GAP);
            gaps.record(longest)?;
        }
        eprintln!("round {round}: {:.1} ms", last.saturating_sub(at) as f64 / 1e6);
        drop(changed);
    }
    let mut outcome = Outcome::new("failover", &c).with("rate_per_s", *rate as f64);
    outcome.label = match (*join, *stop) {
        (true, _) => "a member joins",
        (_, true) => "SIGSTOP of the coordinator",
        _ => "SIGKILL of the coordinator",
    }
    .to_owned();
    outcome.times.insert("view_at_all_us", Percentiles::of(&took));
    outcome.times.insert("gap_at_each_us", Percentiles::of(&gaps));
    Ok(outcome.with("rounds", *rounds as f64))
}
