//! A steady load while the machine is busy with other work: how many members are excluded for nothing.

use super::Common;
use crate::{member::Job, outcome::Outcome};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// Threads of other work.
    #[arg(long, default_value_t = 2)]
    burn: usize,
    /// Messages a second from each member meanwhile.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
}

/// Runs it.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common: c, burn, rate }: &Args) -> anyhow::Result<Outcome> {
    for _ in 0..*burn {
        std::thread::spawn(|| {
            let mut x = 1_u64;
            loop {
                x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005));
            }
        });
    }
    let processes = c.start(|_| Job::Steady { rate: *rate })?;
    let outcome = c.collect("calm", &processes)?;
    let views: u64 = outcome.members.iter().map(|m| m.view_changes).sum();
    let gap = outcome.members.iter().map(|m| m.longest_gap_ms).fold(0.0, f64::max);
    let outcome = outcome.with("view_changes", views as f64).with("longest_gap_ms", gap);
    Ok(outcome.with("other_threads", *burn as f64).with("rate_per_s", *rate as f64))
}
