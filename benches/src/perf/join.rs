//! A replica joins and receives the state while the others write at a steady rate: how long writes wait.

use super::Common;
use crate::{
    member::{Job, Settings, VALUE},
    outcome::Outcome,
    parent::{Process, free_addrs},
    report::{Line, wall_ns},
};
use std::{thread, time::Duration};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// The size of the state in MiB.
    #[arg(long, default_value_t = 1024)]
    state: u64,
    /// Writes a second, of all replicas together.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
}

/// How long the longest of these steps may take: to fill the state, to transfer it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs it.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common, state, rate }: &Args) -> anyhow::Result<Outcome> {
    let c = Common { stack: vec!["total+uniform".to_owned()], payload: VALUE, ..common.clone() };
    let each = rate / c.members as u64;
    let settings = c.settings(|i| Job::Replica { fill: if i == 0 { *state } else { 0 }, rate: each })?;
    let members: Vec<_> = settings.iter().map(Process::start).collect::<Result<_, _>>()?;
    while !matches!(members[0].line(PATIENCE)?, Line::Filled) {}
    // A third of the time without, the rest with the joiner.
    thread::park_timeout(Duration::from_secs_f64(1.0 + c.seconds / 3.0));
    let bind = free_addrs(1)?[0];
    let job = Job::Replica { fill: 0, rate: 0 };
    let joiner = Settings { name: "joiner".to_owned(), bind, expect: 0, job, ..settings[0].clone() };
    let started = wall_ns();
    let joiner = Process::start(&joiner)?;
    let (at, keys) = loop {
        if let Line::Ready { at, keys } = joiner.line(PATIENCE)? {
            break (at, keys);
        }
    };
    let s = (at - started) as f64 / 1e9;
    let patient = Common { seconds: c.seconds + PATIENCE.as_secs_f64(), ..c.clone() };
    let outcome = Outcome { work: c, ..patient.collect("join", &members)? };
    let outcome = outcome.with("rate_per_s", *rate as f64).with("keys", keys as f64);
    Ok(outcome.with("transfer_s", s).with("transfer_mib_per_s", *state as f64 / s))
}
