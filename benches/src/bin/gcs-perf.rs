//! Measures a group of processes on this machine.

use clap::{Parser, Subcommand};
use gcs_benches::{
    member,
    perf::{
        calm, compare, failover, idle, join, latency, rpc, slow, stores, sweep, tcp, tcp_idle, throughput,
    },
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
    /// The coordinator is killed (or stopped), or a member joins, under load: time until all have the next view, gaps.
    Failover(failover::Args),
    /// A steady load while the machine is busy with other work: how many members are excluded for nothing.
    Calm(calm::Args),
    /// A replica joins and receives the state while the others write at a steady rate: how long writes wait.
    Join(join::Args),
    /// One member does not read what is delivered to it, or is stopped again and again: rates, and memory at all.
    Slow(slow::Args),
    /// A group in which nobody casts: what it costs.
    Idle(idle::Args),
    /// One member calls the group: calls a second, and how long they take.
    Rpc(rpc::Args),
    /// Throughput at several values of one parameter, or latency at several rates: curves as SVG, the data as JSON.
    Sweep(sweep::Args),
    /// The same work for this toolkit, for Corosync, and for what bounds both: a table in Markdown.
    Compare(compare::Args),
    /// Replicated servers side by side: `gcs-kv`, etcd, and one Redis for scale. A table in Markdown.
    Stores(stores::Args),
    /// The replicated TCP endpoint beside the kernel's TCP: a table in Markdown.
    Tcp(tcp::Args),
    /// What idle connections of the TCP endpoint cost: memory, and time to hand them over.
    TcpIdle(tcp_idle::Args),
    /// One process of `tcp`.
    #[command(hide = true)]
    TcpPart {
        /// Which one, as JSON.
        part: String,
    },
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
        Mode::Throughput(args) => throughput::run(&args).map(Some),
        Mode::Latency(args) => latency::run(&args).map(Some),
        Mode::Failover(args) => failover::run(&args).map(Some),
        Mode::Calm(args) => calm::run(&args).map(Some),
        Mode::Join(args) => join::run(&args).map(Some),
        Mode::Slow(args) => slow::run(&args).map(Some),
        Mode::Idle(args) => idle::run(&args).map(Some),
        Mode::Rpc(args) => rpc::run(&args).map(Some),
        Mode::Sweep(args) => sweep::run(&args).map(Some),
        Mode::Compare(args) => compare::run(&args),
        Mode::Stores(args) => stores::run(&args),
        Mode::Tcp(args) => tcp::run(&args),
        Mode::TcpIdle(args) => tcp_idle::run(&args),
        Mode::TcpPart { part } => return gcs_benches::tcp::main(&serde_json::from_str(&part)?),
        Mode::Member { settings } => return member::main(&serde_json::from_str(&settings)?),
    };
    outcome?.map_or(Ok(()), |o| o.print(cli.json))
}
