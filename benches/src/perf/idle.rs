//! A group in which nobody casts: what it costs.

use super::Common;
use crate::{member::Job, outcome::Outcome};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
}

/// Runs it.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common: c }: &Args) -> anyhow::Result<Outcome> {
    let processes = c.start(|_| Job::Listen)?;
    let outcome = c.collect("idle", &processes)?;
    let cpu = outcome.members.iter().map(|m| m.cpu_percent).fold(0.0, f64::max);
    Ok(outcome.with("cpu_percent_at_most", cpu))
}
