//! The replicated TCP endpoint beside the kernel's TCP, on the same virtual Ethernet: rounds in turn, medians.

use super::{median, site};
use crate::{
    outcome::Outcome,
    parent::Daemons,
    tcp::{
        Measure, PORT, Part,
        relay::{self, Carried, Path},
    },
};
use anyhow::{Context as _, ensure};
use gcs_tcp_endpoint::playground;
use std::{
    net::SocketAddr,
    process::Command,
    sync::{Arc, atomic::Ordering},
};

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
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = MEASURES)]
    measure: Vec<Measure>,
    /// The clients are so far away: the delay in each direction, in milliseconds.
    #[arg(long)]
    delay_ms: Option<f64>,
    /// So many percent of the frames to and from the clients are lost.
    #[arg(long)]
    loss: Option<f64>,
    /// Of the losses.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
    let carried = build(args)?;
    let mut rounds = vec![Vec::new(); args.replicas.len()];
    for round in 1..=args.rounds {
        for (at, &replicas) in args.replicas.iter().enumerate() {
            let (_servers, server) = start(replicas)?;
            let mut figures = Vec::new();
            for measure in &args.measure {
                figures.extend(ask(server, *measure, args.seconds)?);
            }
            eprintln!("round {round} of {}: {}: {figures:.0?}", args.rounds, name(replicas));
            rounds[at].push(figures);
        }
    }
    let columns = args.measure.iter().copied().flat_map(columns);
    let (titles, units): (Vec<_>, Vec<_>) = columns.copied().unzip();
    println!("| | {} |\n|---|{}", titles.join(" | "), "---|".repeat(titles.len()));
    for (at, &replicas) in args.replicas.iter().enumerate() {
        let all = |i: usize| rounds[at].iter().map(|r: &Vec<f64>| r[i]).collect();
        let cells = units.iter().enumerate().map(|(i, unit)| median(all(i)).unwrap_or_default() / unit);
        let cells: Vec<_> =
            cells.map(|c| if c < 100.0 { format!("{c:.2}") } else { format!("{c:.0}") }).collect();
        println!("| {} | {} |", name(replicas), cells.join(" | "));
    }
    if let Some(c) = carried {
        let [carried, lost, full] = [&c.carried, &c.lost, &c.full].map(|c| c.load(Ordering::Relaxed));
        println!("\nframes carried: {carried}, lost: {lost}, dropped for lack of room: {full}");
    }
    Ok(None)
}

/// The titles of a measure's figures, and what they are divided by.
fn columns(measure: Measure) -> &'static [(&'static str, f64)] {
    match measure {
        Measure::Down => &[("down MB/s", 1e6)],
        Measure::Up => &[("up MB/s", 1e6)],
        Measure::Short => &[("short connections/s", 1.0)],
        Measure::Request => &[("request p50 µs", 1.0), ("p99 µs", 1.0)],
    }
}

/// The hosts, and the cable of the clients' if it is a bad one.
fn build(args: &Args) -> anyhow::Result<Option<Arc<Carried>>> {
    let bad = args.delay_ms.is_some() || args.loss.is_some();
    let path = Path::new(args.delay_ms.unwrap_or_default(), args.loss.unwrap_or_default(), args.seed)?;
    site::build(SERVERS + usize::from(!bad), args.mtu)?;
    let carried = if bad {
        ip(&["netns", "add", &client()])?;
        Some(relay::connect(&client(), playground::address(SERVERS), args.mtu, path)?)
    } else {
        None
    };
    // Many short connections: the client's ports are not to run out.
    set(&client(), "net.ipv4.ip_local_port_range=1024 65000")?;
    set(&client(), "net.ipv4.tcp_tw_reuse=1")?;
    Ok(carried)
}

fn set(host: &str, setting: &str) -> anyhow::Result<()> {
    ip(&["netns", "exec", host, "sysctl", "-qw", setting])
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    let done = Command::new("ip").args(args).status()?;
    ensure!(done.success(), "failed: ip {}", args.join(" "));
    Ok(())
}

fn client() -> String {
    site::node(SERVERS)
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
