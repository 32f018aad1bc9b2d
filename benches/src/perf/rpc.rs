//! One member calls the group: calls a second, and how long they take.

use super::Common;
use crate::{
    member::{Job, Wanted},
    outcome::Outcome,
};
use anyhow::Context as _;

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// How many replies a call waits for; repeat it for several measurements.
    #[arg(long, value_enum, default_values = ["first", "majority", "all"])]
    replies: Vec<Wanted>,
    /// Calls under way at a time; repeat it for several measurements.
    #[arg(long, default_values_t = [1, 64])]
    in_flight: Vec<usize>,
    /// The caller's rank.
    #[arg(long, default_value_t = 1)]
    caller: usize,
}

/// Runs it.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common: c, replies, in_flight, caller }: &Args) -> anyhow::Result<Outcome> {
    let mut all = Outcome::new("rpc", c).with("caller", *caller as f64);
    for wanted in replies {
        for n in in_flight {
            let (wanted, n) = (*wanted, (*n).max(1));
            let job = |i| Job::Call { wanted, in_flight: if i == *caller { n } else { 0 } };
            let mut part = c.collect("rpc", &c.start(job)?)?;
            part.label = format!("replies {wanted:?}, {n} in flight").to_lowercase();
            let at = part.members.get(*caller).context("no such caller")?;
            let (calls, took) = (at.messages_per_s, at.latency_us.context("no call was answered")?);
            part.times.insert("call_us", took);
            all.parts.push(part.with("calls_per_s", calls).with("in_flight", n as f64));
        }
    }
    Ok(all)
}
