//! `gcs-tcp`: connections that outlive the host that holds them.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use gcs::group::Group;
use gcs_tcp_endpoint::{
    http::Files,
    link::{Config as LinkConfig, Link, MacChoice, Vip},
    net::{AfPacket, Interface as _, Layer2, Options, mac_of},
    replica::{Change, Endpoint, run},
    service::{Echo, Service},
    tcp::Config,
};

const EXAMPLES: &str = "\
Example: three hosts on one Ethernet serve the files in /srv at 10.0.0.100, an address that none of them has:
  gcs-tcp serve --root /srv --group web --bind 10.0.0.1:4803 --contact 10.0.0.2:4803,10.0.0.3:4803 --expect 3 \\
    --interface eth0 --vip 10.0.0.100/24 --listen 80
on each, with its own --bind. Kill any of them during a download: it goes on.

Prints `leads`, `follows` and `joined` (it has the others' state), one a line, when that is so.

Needs CAP_NET_RAW (or root), to receive frames for the virtual address.";

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
    Echo(Replica),
    /// Serve the files of a folder over HTTP/1.1; the folder has to be the same on all hosts.
    Serve {
        /// The folder.
        #[arg(long, value_name = "PATH")]
        root: PathBuf,
        #[command(flatten)]
        replica: Replica,
    },
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
    /// The port that clients connect to, at every virtual address.
    #[arg(long, value_name = "PORT")]
    listen: u16,
    /// A router for clients that are not on this Ethernet.
    #[arg(long, value_name = "ADDR")]
    gateway: Option<std::net::Ipv4Addr>,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Echo(replica) => start(replica, Echo),
        Command::Serve { root, replica } => start(replica, Files::new(root)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gcs-tcp: {e}");
            ExitCode::FAILURE
        }
    }
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

fn start(replica: Replica, service: impl Service) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listen = replica.vip.iter().map(|v| SocketAddr::new(v.ip, replica.listen)).collect();
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
        let endpoint = Endpoint::new(Config { mtu, ..Config::default() }, listen, service);
        tokio::select! {
            ended = run(group, endpoint, nic, link, Layer2, say) => Ok(ended?),
            stop = tokio::signal::ctrl_c() => Ok(stop?),
        }
    })
}
