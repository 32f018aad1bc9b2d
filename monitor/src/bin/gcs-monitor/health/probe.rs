//! `gcs-monitor health probe`.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use gcs_monitor::health::probe::{self, Look, Plan, Process, Thresholds};

use super::{Failed, Named, print, serial};

#[derive(Args)]
pub(super) struct Probe {
    #[command(flatten)]
    named: Named,
    /// The number of its process on this host: its end is known at once, and ends this.
    #[arg(long, value_name = "NUMBER")]
    pid: Option<i32>,
    /// It accepts connections there.
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["http", "exec"])]
    tcp: Option<SocketAddr>,
    /// This page has a status from 200 to 399: http://ADDRESS:PORT/PATH.
    #[arg(long, value_name = "URL", conflicts_with = "exec")]
    http: Option<String>,
    /// This command succeeds. It runs with your rights, without a shell: the words behind --exec, up to the end of the line.
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true)]
    exec: Option<Vec<String>>,
    /// Between two looks.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    every_ms: u64,
    /// What takes longer is sluggish.
    #[arg(long, default_value_t = 500)]
    limit_ms: u64,
    /// What takes longer is down.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    patience_ms: u64,
    /// So many looks in a row must fail until it is down.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    down_after: u32,
    /// So many must succeed until it is up.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    up_after: u32,
}

pub(super) async fn run(probe: Probe) -> Result<(), Failed> {
    let look = match (probe.tcp, &probe.http, probe.exec) {
        (Some(address), ..) => Some(Look::Tcp(address)),
        (_, Some(url), _) => Some(Look::http(url)?),
        (_, _, words) => words.map(Look::Exec),
    };
    let process = probe.pid.map(Process::watch).transpose()?;
    if look.is_none() && process.is_none() {
        return Err("there is nothing to look at: give --pid, --tcp, --http or --exec".into());
    }
    let Named { component, instance, at } = probe.named;
    // What is told of components that nobody watches need not be taken.
    let (client, _) = at.client()?;
    let plan = Plan {
        component,
        instance,
        observer: at.who()?,
        process,
        look,
        every: Duration::from_millis(probe.every_ms),
        limit: Duration::from_millis(probe.limit_ms),
        patience: Duration::from_millis(probe.patience_ms),
        thresholds: Thresholds { down: probe.down_after, up: probe.up_after },
        serial: serial(),
    };
    let said = |looked: &probe::Looked| {
        _ = print(&format!("{:?}: {}", looked.finding, looked.evidence).to_lowercase())
    };
    probe::run(plan, &client, said).await?;
    Ok(())
}
