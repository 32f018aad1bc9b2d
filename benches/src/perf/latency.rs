//! One message in flight, from one member: time until it is delivered to its sender.

use super::Common;
use crate::{member::Job, outcome::Outcome};
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

/// Runs it.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common, sender }: &Args) -> anyhow::Result<Outcome> {
    measure(common, *sender)
}

/// One measurement, with the sender of this rank.
pub(super) fn measure(c: &Common, sender: usize) -> anyhow::Result<Outcome> {
    let processes = c.start(|i| if i == sender { Job::PingPong } else { Job::Listen })?;
    let mut outcome = c.collect("latency", &processes)?.totalled().with("sender", sender as f64);
    let l = outcome.members.get(sender).context("no such sender")?.latency_us;
    outcome.times.insert("round_trip_us", l.context("nothing was delivered")?);
    Ok(outcome)
}
