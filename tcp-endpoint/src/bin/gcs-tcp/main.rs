//! `gcs-tcp`: connections that outlive the host that holds them.

mod demo;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use gcs::{group::Group, layer::Watch};
use gcs_stacks::cli::{self, KeyFiles};
use gcs_tcp_endpoint::{
    ReplicatedListener,
    http::Files,
    link::{MacChoice, Vip},
    proxy::{self, Balance, Proxy, Verdict},
    service::{Echo, Service},
    tcp::{Config, KeepAlive},
};

const EXAMPLES: &str = "\
Example: three hosts on one Ethernet serve the files in /srv at 10.0.0.100, an address that none of them has:
  gcs-tcp serve --root /srv --group web --bind 10.0.0.1:4803 --contact 10.0.0.2:4803,10.0.0.3:4803 --expect 3 \\
    --interface eth0 --vip 10.0.0.100/24 --listen 80
on each, with its own --bind. Kill any of them during a download: it goes on.

Example: the same hosts pass connections on to two databases:
  gcs-tcp proxy --listen 5432 --to 10.0.0.21:5432,10.0.0.22:5432 --group db --bind 10.0.0.1:4803 \\
    --contact 10.0.0.2:4803,10.0.0.3:4803 --expect 3 --interface eth0 --vip 10.0.0.100/24
Kill any of them during a transaction: it goes on. `gcs-tcp proxy --help` shows more than one listener.

Prints `view`s (who is there), `leads`, `follows`, `joined` (it has the others' state), `blocked` and `resumed`, one a line.

Needs CAP_NET_RAW (or root), to receive frames for the virtual address.";

const PROXY: &str = "\
Example of a file for --config; only `listen` and `to` have to be there, what is shown besides is the default:
  connections = 50000                # sessions in all
  [[listener]]
  listen = 5432                      # at every virtual address
  to = [
    { address = \"10.0.0.21:5432\", connections = 10000, drain = false },
    { address = \"10.0.0.22:5432\" },
  ]
  balance = \"round-robin\"            # or least-connections, source-hash
  proxy_protocol = false             # tell back ends who the client is (PROXY protocol, version 2)
  connect_timeout_ms = 3000          # then the next back end is tried
  check = { interval_ms = 2000, timeout_ms = 1000, rise = 2, fall = 3 }   # interval_ms = 0: no checks
  [control]                          # nothing by default; `echo drain 10.0.0.22:5432 | nc -N 10.0.0.100 9000`
  listen = 9000                      # takes `drain ADDR:PORT`, `resume ADDR:PORT` and `status`, one a line
  from = [\"10.0.0.9\"]              # the operators' hosts

All replicas have to be given the same. Back ends see the virtual address as their client, reach it through the replicas' interface,
and must not run on the replicas' own hosts. A back end with `drain = true` gets no new sessions until an operator says `resume`.

Prints what the others print, and `up ADDRESS` or `down ADDRESS` when checks change what is thought of a back end.";

/// Serves TCP connections that outlive the host that holds them.
#[derive(Parser)]
#[command(name = "gcs-tcp", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send back what clients send.
    Echo {
        #[command(flatten)]
        port: Port,
        #[command(flatten)]
        replica: Replica,
    },
    /// Serve the files of a folder over HTTP/1.1; the folder has to be the same on all hosts.
    Serve {
        /// The folder.
        #[arg(long, value_name = "PATH")]
        root: PathBuf,
        #[command(flatten)]
        port: Port,
        #[command(flatten)]
        replica: Replica,
    },
    /// Pass connections on to back ends: replicas die, and no session notices.
    #[command(after_help = PROXY)]
    Proxy {
        #[command(flatten)]
        route: Route,
        #[command(flatten)]
        replica: Replica,
    },
    /// Show it on this machine, in namespaces of its own: three replicas, a download, and every host that served it dies.
    Demo(demo::Demo),
    /// What a replica knows of itself: who leads, connections, how far behind, how long until stable.
    Status {
        /// The replica's `--control`.
        #[arg(value_name = "PATH")]
        control: PathBuf,
    },
    /// Tell a replica that is blocked that the others are gone for good: it goes on with its connections. If they are not, there are two
    /// of the address, and what the others do will be lost.
    ForcePrimary {
        /// The replica's `--control`.
        #[arg(value_name = "PATH")]
        control: PathBuf,
    },
}

#[derive(Args)]
struct Port {
    /// The port that clients connect to, at every virtual address.
    #[arg(long, value_name = "PORT")]
    listen: u16,
}

/// One listener, or a file with more.
#[derive(Args)]
struct Route {
    /// A file (TOML) with listeners, limits and checks; the same at all replicas.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "to", "balance"])]
    config: Option<PathBuf>,
    /// The port that clients connect to, at every virtual address.
    #[arg(long, value_name = "PORT", required_unless_present = "config", requires = "to")]
    listen: Option<u16>,
    /// The back ends.
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', requires = "listen")]
    to: Vec<SocketAddr>,
    /// How a back end is chosen for a new connection.
    #[arg(long, value_enum, default_value_t)]
    balance: Balance,
}

#[derive(Args)]
struct Replica {
    /// The group's name; the same at all replicas.
    #[arg(long, value_name = "NAME")]
    group: String,
    /// The address (UDP and TCP) at which the other replicas reach this one.
    #[arg(long, value_name = "ADDR:PORT")]
    bind: SocketAddr,
    /// The other replicas.
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    contact: Vec<SocketAddr>,
    /// Begin as soon as so many replicas have met; more than half of all that will ever be started.
    #[arg(long, value_name = "N", default_value_t = 1)]
    expect: usize,
    /// How long a replica may be silent before the others go on without it (a process that dies is noticed at once). What is too short
    /// for a busy machine costs takeovers, no connections. At least 20.
    #[arg(long, value_name = "MS", default_value_t = Watch::default().silence_ms, value_parser = clap::value_parser!(u64).range(20..=60_000))]
    silence: u64,
    /// The Ethernet interface on which clients are.
    #[arg(long, value_name = "NAME")]
    interface: String,
    /// The virtual addresses, with the length of their networks' prefixes. No host may have them.
    #[arg(long, value_name = "ADDR/LEN", value_delimiter = ',', required = true)]
    vip: Vec<Vip>,
    /// Let every replica hear the clients, by a multicast MAC that switches flood: when the leader dies, nobody has to send again what it
    /// had not passed on. Hosts with Linux accept such a MAC; many routers need a static entry.
    #[arg(long)]
    mirror: bool,
    /// Run `COMMAND take|release ADDRESS INTERFACE` when an address moves here or away, besides announcing it: for clouds, where an API moves
    /// addresses, and for routing daemons. Words are separated by spaces.
    #[arg(long, value_name = "COMMAND", value_delimiter = ' ')]
    take: Vec<String>,
    /// A router for clients that are not on this Ethernet.
    #[arg(long, value_name = "ADDR")]
    gateway: Option<std::net::Ipv4Addr>,
    #[command(flatten)]
    keys: KeyFiles,
    /// A local socket to be made at this path, or in this folder, for `gcs-tcp status`, `gcs-tcp force-primary` and gcs-monitor.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Echo { port, replica } => start(replica, &[port.listen], Config::default(), || Echo),
        Command::Serve { root, port, replica } => {
            start(replica, &[port.listen], Config::default(), || Files::new(root.clone()))
        }
        Command::Proxy { route, replica } => start_proxy(route, replica),
        Command::Demo(demo) => demo::run(&demo),
        Command::Status { control } => say(cli::report(&control)),
        Command::ForcePrimary { control } => say(cli::force_primary(&control).map(str::to_owned)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gcs-tcp: {e}");
            ExitCode::FAILURE
        }
    }
}

fn say(answer: Result<String, String>) -> Outcome {
    print!("{}", answer?);
    Ok(())
}

fn start_proxy(route: Route, replica: Replica) -> Outcome {
    let config = match &route.config {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|e| format!("the file {} cannot be read: {e}; see --config", file.display()))?;
            proxy::Config::parse(&text)?
        }
        None => proxy::Config::simple(route.listen.unwrap_or_default(), &route.to, route.balance),
    };
    let ports: Vec<u16> = config.ports().collect();
    // Peers that have vanished are found out, or their sessions would stay for ever.
    let tcp = Config { keep_alive: Some(KeepAlive::default()), ..Config::default() };
    let tell = |Verdict { back_end, up }| println!("{} {back_end}", if up { "up" } else { "down" });
    let vips: Vec<_> = replica.vip.iter().map(|v| v.ip).collect();
    let make = || Proxy::new(config.clone(), vips.clone(), tell);
    make()?;
    start(replica, &ports, tcp, || make().expect("it was possible before"))
}

/// The same proportions as by default.
fn watch(silence_ms: u64) -> Watch {
    let by_default = Watch::default();
    let share = |ms: u64| (ms * silence_ms / by_default.silence_ms).max(1);
    Watch { heartbeat_ms: share(by_default.heartbeat_ms), silence_ms, lease_ms: share(by_default.lease_ms) }
}

fn start<S: Service>(replica: Replica, ports: &[u16], tcp: Config, service: impl Fn() -> S) -> Outcome {
    let listener = ReplicatedListener {
        interface: replica.interface,
        vips: replica.vip,
        ports: ports.to_vec(),
        mac: if replica.mirror { MacChoice::Mirror } else { MacChoice::Own },
        command: replica.take,
        gateway: replica.gateway,
        tcp,
    };
    let keys = replica.keys.read_or_warn("gcs-tcp", replica.bind)?;
    let stack = gcs_stacks::named(&replica.keys.stack("total+uniform"))?;
    let group = || {
        Group::builder(&replica.group)
            .bind(replica.bind)
            .contacts(replica.contact.iter().copied())
            .expect(replica.expect)
            .watch(watch(replica.silence))
            .keys(keys.clone())
            .stack(stack.clone())
            .control(replica.control.clone())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = listener.serve(group, service, |change| change.print("gcs-tcp")) => match ended? {},
            stop = tokio::signal::ctrl_c() => Ok(stop?),
        }
    })
}
