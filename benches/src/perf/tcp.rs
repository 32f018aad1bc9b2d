//! The replicated TCP endpoint beside the kernel's TCP, on the same virtual Ethernet: rounds in turn, medians.

use super::{median, site};
use crate::{
    outcome::Outcome,
    parent::Daemons,
    tcp::{Measure, PORT, Part},
};
use anyhow::{Context as _, ensure};
use gcs_tcp_endpoint::playground;
use std::{net::SocketAddr, process::Command};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    /// How many replicas; repeat it. 0 is the kernel's TCP.
    #[arg(long, default_values_t = [0, 1, 3])]
    replicas: Vec<usize>,
    /// How often everything is measured, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// The limit of the interfaces, in bytes.
    #[arg(long, default_value_t = 1500)]
    mtu: usize,
    /// This is the process in the namespaces.
    #[arg(long, hide = true)]
    inside: bool,
}

const VIP: &str = "10.77.0.100";
/// The namespaces of the servers; the clients' is the next.
const SERVERS: usize = 3;
const MEASURES: [Measure; 4] = [Measure::Down, Measure::Up, Measure::Short, Measure::Request];

/// Prints a table in Markdown.
///
/// # Errors
/// There is no privilege to make namespaces, or a process fails.
pub fn run(args: &Args) -> anyhow::Result<Option<Outcome>> {
    ensure!(args.replicas.iter().all(|n| *n <= SERVERS), "at most {SERVERS} replicas");
    if !args.inside {
        playground::again_inside("--inside")?;
        return Ok(None);
    }
    playground::end_with_parent();
    site::build(SERVERS + 1, args.mtu)?;
    // Many short connections: the client's ports are not to run out.
    let ports = "net.ipv4.ip_local_port_range=1024 65000";
    for setting in [ports, "net.ipv4.tcp_tw_reuse=1"] {
        let done =
            Command::new("ip").args(["netns", "exec", &client(), "sysctl", "-qw", setting]).status()?;
        ensure!(done.success(), "cannot set {setting}");
    }
    let mut rounds = vec![Vec::new(); args.replicas.len()];
    for round in 1..=args.rounds {
        for (at, &replicas) in args.replicas.iter().enumerate() {
            eprintln!("round {round} of {}: {}", args.rounds, name(replicas));
            let (_servers, server) = start(replicas)?;
            let mut figures = Vec::new();
            for measure in MEASURES {
                figures.extend(ask(server, measure, args.seconds)?);
            }
            rounds[at].push(figures);
        }
    }
    println!(
        "| | down MB/s | up MB/s | short connections/s | request p50 µs | p99 µs |\n|---|---|---|---|---|---|"
    );
    for (at, &replicas) in args.replicas.iter().enumerate() {
        let column =
            |i: usize| median(rounds[at].iter().map(|r: &Vec<f64>| r[i]).collect()).unwrap_or_default();
        let [down, up, short, p50, p99] = std::array::from_fn(column);
        let name = name(replicas);
        println!("| {name} | {:.0} | {:.0} | {short:.0} | {p50:.0} | {p99:.0} |", down / 1e6, up / 1e6);
    }
    Ok(None)
}

fn client() -> String {
    format!("n{SERVERS}")
}

fn name(replicas: usize) -> String {
    match replicas {
        0 => "the kernel's TCP".to_owned(),
        1 => "a group of one".to_owned(),
        n => format!("{n} replicas"),
    }
}

/// A process in a namespace.
fn inside(node: &str, part: &Part) -> anyhow::Result<Command> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", node]).arg(std::env::current_exe()?);
    command.arg("tcp-part").arg(serde_json::to_string(part)?);
    Ok(command)
}

/// Starts servers, and says where they are reached.
fn start(replicas: usize) -> anyhow::Result<(Daemons, SocketAddr)> {
    let mut servers = Daemons::default();
    if replicas == 0 {
        let at = SocketAddr::new(playground::address(0).into(), PORT);
        servers.start(&mut inside("n0", &Part::Kernel(at))?)?;
        return Ok((servers, at));
    }
    let all: Vec<_> = (0..replicas).map(|i| SocketAddr::new(playground::address(i).into(), 4803)).collect();
    for (i, bind) in all.iter().enumerate() {
        let part = Part::Replica { bind: *bind, all: all.clone(), vip: format!("{VIP}/24") };
        servers.start(&mut inside(&format!("n{i}"), &part)?)?;
    }
    Ok((servers, SocketAddr::new(VIP.parse()?, PORT)))
}

fn ask(server: SocketAddr, measure: Measure, seconds: f64) -> anyhow::Result<Vec<f64>> {
    let output = inside(&client(), &Part::Client { server, measure, seconds })?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{measure:?}: {}", said.trim());
    serde_json::from_slice(&output.stdout).with_context(|| format!("{measure:?}: no figure"))
}
