//! Members cast as fast as the group takes it.

use super::Common;
use crate::{member::Job, report::Figures};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// How many members cast, the ones of the highest ranks; all if not given.
    #[arg(long)]
    senders: Option<usize>,
}

/// Runs it and prints the result.
///
/// # Errors
/// A member did not start, or said nothing in time.
pub fn run(Args { common: c, senders }: &Args) -> anyhow::Result<()> {
    let senders = senders.unwrap_or(c.members);
    let processes = c.start(|i| if i + senders >= c.members { Job::Flood } else { Job::Listen })?;
    let figures: Vec<Figures> =
        processes.iter().map(|p| p.figures(c.patience())).collect::<Result<_, _>>()?;
    let cpu: f64 = figures.iter().map(|f| f.cpu).sum();
    let mut rates = Vec::new();
    for (p, f) in processes.iter().zip(&figures) {
        let rate = f.delivered as f64 / f.seconds;
        rates.push(rate);
        let l = f.latency_us.unwrap_or_default();
        println!(
            "{}: {:.0} messages/s, {:.1} MB/s, latency us p50 {:.0} p99 {:.0}, peak {:.0} MiB",
            p.name,
            rate,
            rate * c.payload as f64 / 1e6,
            l.p50,
            l.p99,
            f.rss_mib
        );
    }
    let delivered = figures[0].delivered as f64;
    println!(
        "{} members, {senders} of them sending, {}, {} B: {:.0} messages/s at the slowest member, {:.2} CPU s per million messages in all",
        c.members,
        c.stack,
        c.payload,
        rates.iter().copied().fold(f64::INFINITY, f64::min),
        cpu / delivered * 1e6
    );
    Ok(())
}
