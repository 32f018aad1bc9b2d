//! One message in flight, from one member: time until it is delivered to its sender.

use super::Common;
use crate::member::Job;
use anyhow::Context as _;

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// The sender's rank; 0 is the sequencer.
    #[arg(long, default_value_t = 1)]
    sender: usize,
}

/// Runs it and prints the result.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common: c, sender }: &Args) -> anyhow::Result<()> {
    let processes = c.start(|i| if i == *sender { Job::PingPong } else { Job::Listen })?;
    let figures = processes.get(*sender).context("no such sender")?.figures(c.patience())?;
    let l = figures.latency_us.context("nothing was delivered")?;
    println!(
        "{} members, {}, {} B, sender {}: {} round trips, us p50 {:.1} p99 {:.1} p99.9 {:.1} max {:.0}",
        c.members, c.stack, c.payload, sender, l.count, l.p50, l.p99, l.p999, l.max
    );
    Ok(())
}
