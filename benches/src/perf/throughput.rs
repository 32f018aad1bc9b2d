//! Members cast as fast as the group takes it.

use super::Common;
use crate::{member::Job, outcome::Outcome};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// How many members cast, the ones of the highest ranks; all if not given.
    #[arg(long)]
    senders: Option<usize>,
    /// Messages a second of each sender, timed from when each was due; as fast as the group takes it if not given.
    #[arg(long)]
    rate: Option<u64>,
}

/// Runs it.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common, senders, rate }: &Args) -> anyhow::Result<Outcome> {
    measure(common, senders.unwrap_or(common.members), *rate)
}

/// One measurement: so many senders, each at a rate or as fast as it can.
pub(super) fn measure(c: &Common, senders: usize, rate: Option<u64>) -> anyhow::Result<Outcome> {
    let job = rate.map_or(Job::Flood, |rate| Job::Steady { rate });
    let processes = c.start(|i| if i + senders >= c.members { job } else { Job::Listen })?;
    let outcome = c.collect("throughput", &processes)?.totalled().with("senders", senders as f64);
    Ok(match rate {
        Some(rate) => outcome.with("offered_per_s", rate as f64 * senders as f64),
        None => outcome,
    })
}
