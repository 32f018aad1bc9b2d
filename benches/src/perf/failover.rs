//! The coordinator is killed (or stopped) under load: time until every survivor has the next view.

use super::Common;
use crate::{member::Job, report::wall_ns};
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

/// Runs it and prints the result.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common, times, stop, rate }: &Args) -> anyhow::Result<()> {
    let c = Common { seconds: 3600.0, ..common.clone() };
    let mut took = Vec::new();
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
        println!("round {round}: {ms:.1} ms");
        took.push(ms);
    }
    took.sort_by(f64::total_cmp);
    println!(
        "{} of the coordinator of {}, {} messages/s each: view at all survivors after ms min {:.1} median {:.1} max {:.1}",
        if *stop { "SIGSTOP" } else { "SIGKILL" },
        c.members,
        rate,
        took[0],
        took[took.len() / 2],
        took[took.len() - 1]
    );
    Ok(())
}
