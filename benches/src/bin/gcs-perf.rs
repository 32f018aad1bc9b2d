//! Measures a group of processes on this machine.

use clap::{Parser, Subcommand};
use gcs_benches::{
    member,
    perf::{calm, failover, join, latency, slow, throughput},
};

/// Measures a group of processes on this machine.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Mode {
    /// Members cast as fast as the group takes it.
    Throughput(throughput::Args),
    /// One message in flight, from one member: time until it is delivered to its sender.
    Latency(latency::Args),
    /// The coordinator is killed (or stopped) under load: time until every survivor has the next view.
    Failover(failover::Args),
    /// A steady load while the machine is busy with other work: how many members are excluded for nothing.
    Calm(calm::Args),
    /// A replica joins and receives the state while the others write at a steady rate: how long writes wait.
    Join(join::Args),
    /// One member does not read what is delivered to it, or is stopped again and again: rates, and memory at all.
    Slow(slow::Args),
    /// One member; the other modes start these.
    #[command(hide = true)]
    Member {
        /// Its settings, as JSON.
        settings: String,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let outcome = match cli.mode {
        Mode::Throughput(args) => throughput::run(&args),
        Mode::Latency(args) => latency::run(&args),
        Mode::Failover(args) => failover::run(&args),
        Mode::Calm(args) => calm::run(&args),
        Mode::Join(args) => join::run(&args),
        Mode::Slow(args) => slow::run(&args),
        Mode::Member { settings } => return member::main(&serde_json::from_str(&settings)?),
    };
    outcome?.print(cli.json)
}
