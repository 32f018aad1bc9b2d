//! A steady load while the machine is busy with other work: how many members are excluded for nothing.

use super::Common;
use crate::{member::Job, report::Line};

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

/// Runs it and prints the result.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common: c, burn, rate }: &Args) -> anyhow::Result<()> {
    for _ in 0..*burn {
        std::thread::spawn(|| {
            let mut x = 1_u64;
            loop {
                x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005));
            }
        });
    }
    let processes = c.start(|_| Job::Steady { rate: *rate })?;
    let mut views = 0;
    let mut gap: f64 = 0.0;
    for p in &processes {
        loop {
            match p.line(c.patience())? {
                Line::View { .. } => views += 1,
                Line::Done(f) => {
                    gap = gap.max(f.longest_gap_ms);
                    break;
                }
                Line::Filled | Line::Ready { .. } => {}
            }
        }
    }
    println!(
        "{} members, {:.0} s, {burn} threads of other work: {} view changes after the first, longest gap {gap:.0} ms",
        c.members,
        c.seconds,
        views - processes.len()
    );
    Ok(())
}
