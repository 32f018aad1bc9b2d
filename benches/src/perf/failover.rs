//! The coordinator is killed (or stopped) under load: time until every survivor has the next view.

use super::Common;
use crate::{
    member::Job,
    outcome::Outcome,
    report::{Percentiles, histogram, wall_ns},
};
use std::time::Duration;

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
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
}

/// Runs it.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common, times, stop, rate }: &Args) -> anyhow::Result<Outcome> {
    let c = Common { seconds: 3600.0, ..common.clone() };
    let mut took = histogram()?;
    for round in 0..*times {
        let mut processes = c.start(|_| Job::Steady { rate: *rate })?;
        for p in &processes {
            p.view(c.members, Duration::from_secs(20))?;
        }
        std::thread::park_timeout(Duration::from_millis(1500));
        let victim = processes.remove(0);
        let killed = wall_ns();
        victim.signal(if *stop { "-STOP" } else { "-KILL" })?;
        let mut last = 0;
        for p in &processes {
            let (at, _) = p.view(c.members - 1, Duration::from_secs(20))?;
            last = last.max(at);
        }
        let ms = last.saturating_sub(killed) as f64 / 1e6;
        eprintln!("round {round}: {ms:.1} ms");
        took.record(last.saturating_sub(killed))?;
    }
    let mut outcome = Outcome::new("failover", &c).with("rate_per_s", *rate as f64);
    outcome.times.insert("view_at_all_us", Percentiles::of(&took));
    Ok(outcome)
}
