//! `gcs-tcp`: connections that outlive the host that holds them.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use gcs::group::Group;
use gcs_tcp_endpoint::{
    http::Files,
    link::{Config as LinkConfig, Link, MacChoice, Vip},
    net::{AfPacket, Interface as _, Layer2, Options, mac_of},
    proxy::{self, Balance, Proxy, Verdict},
    replica::{Change, Endpoint, run},
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

Prints `leads`, `follows` and `joined` (it has the others' state), one a line, when that is so.

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

Prints `leads`, `follows`, `joined`, and `up ADDRESS` or `down ADDRESS` when checks change what is thought of a back end.";

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
    /// The Ethernet interface on which clients are.
    #[arg(long, value_name = "NAME")]
    interface: String,
    /// The virtual addresses, with the length of their networks' prefixes. No host may have them.
    #[arg(long, value_name = "ADDR/LEN", value_delimiter = ',', required = true)]
    vip: Vec<Vip>,
    /// A router for clients that are not on this Ethernet.
    #[arg(long, value_name = "ADDR")]
    gateway: Option<std::net::Ipv4Addr>,
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Echo { port, replica } => start(replica, &[port.listen], Config::default(), Echo),
        Command::Serve { root, port, replica } => {
            start(replica, &[port.listen], Config::default(), Files::new(root))
        }
        Command::Proxy { route, replica } => start_proxy(route, replica),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gcs-tcp: {e}");
            ExitCode::FAILURE
        }
    }
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
    let (idle, interval) = (Duration::from_secs(300), Duration::from_secs(30));
    let tcp = Config { keep_alive: Some(KeepAlive { idle, interval, probes: 5 }), ..Config::default() };
    let tell = |Verdict { back_end, up }| println!("{} {back_end}", if up { "up" } else { "down" });
    let service = Proxy::new(config, replica.vip.iter().map(|v| v.ip).collect(), tell)?;
    start(replica, &ports, tcp, service)
}

/// One line for each change, for operators and tests.
fn say(change: Change) {
    println!(
        "{}",
        match change {
            Change::Leads => "leads",
            Change::Follows => "follows",
            Change::Joined => "joined",
        }
    );
}

fn start(replica: Replica, ports: &[u16], tcp: Config, service: impl Service) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let at = |v: &Vip| ports.iter().map(|p| SocketAddr::new(v.ip, *p)).collect::<Vec<_>>();
        let listen = replica.vip.iter().flat_map(at).collect();
        let config = LinkConfig {
            gateway_v4: replica.gateway,
            ..LinkConfig::ethernet(mac_of(&replica.interface)?, MacChoice::Own, replica.vip)
        };
        let nic = AfPacket::open(&replica.interface, &config, Options::default())?;
        let mtu = u16::try_from(nic.mtu()).unwrap_or(u16::MAX);
        let link = Link::new(config)?;
        let group = Group::builder(&replica.group)
            .bind(replica.bind)
            .contacts(replica.contact)
            .expect(replica.expect)
            .state_transfer(true)
            .rejoin(true)
            .stack(gcs_stacks::named("total+uniform")?)
            .start()
            .await?;
        let endpoint = Endpoint::new(Config { mtu, ..tcp }, listen, service);
        tokio::select! {
            ended = run(group, endpoint, nic, link, Layer2, say) => Ok(ended?),
            stop = tokio::signal::ctrl_c() => Ok(stop?),
        }
    })
}
