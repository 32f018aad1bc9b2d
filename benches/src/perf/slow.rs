//! One member does not read what is delivered to it, or is stopped again and again: rates, and memory at all.

use super::Common;
use crate::{
    member::Job,
    report::{Line, wall_ns},
};
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

/// Runs it and prints the result.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common: c, stop_ms }: &Args) -> anyhow::Result<()> {
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
    for p in &processes {
        let mut views = 0;
        let f = loop {
            match p.line(c.patience())? {
                Line::View { .. } => views += 1,
                Line::Done(f) => break f,
                Line::Filled | Line::Ready { .. } => {}
            }
        };
        println!(
            "{}: {:.0} messages/s, {} view changes, peak {:.0} MiB",
            p.name,
            f.delivered as f64 / f.seconds,
            usize::saturating_sub(views, 1),
            f.rss_mib
        );
    }
    Ok(())
}
