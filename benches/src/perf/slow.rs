//! One member does not read what is delivered to it, or is stopped again and again: rates, and memory at all.

use super::Common;
use crate::{member::Job, outcome::Outcome, report::wall_ns};
use std::{thread, time::Duration};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// Stop the slow member with SIGSTOP for so many of each 1000 ms; without, its application reads nothing at all.
    #[arg(long)]
    stop_ms: Option<u64>,
}

/// Runs it.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common: c, stop_ms }: &Args) -> anyhow::Result<Outcome> {
    let last = c.members - 1;
    let slow = if stop_ms.is_some() { Job::Flood } else { Job::Ignore };
    let processes = c.start(|i| if i == last { slow } else { Job::Flood })?;
    let end = wall_ns() + (c.seconds * 1e9) as u64;
    while let Some(ms) = stop_ms.filter(|_| wall_ns() < end) {
        processes[last].signal("-STOP")?;
        thread::park_timeout(Duration::from_millis(ms));
        processes[last].signal("-CONT")?;
        thread::park_timeout(Duration::from_millis(1000_u64.saturating_sub(ms)));
    }
    let outcome = c.collect("slow", &processes)?.totalled();
    Ok(outcome.with("stopped_ms_per_s", stop_ms.unwrap_or(0) as f64))
}
