//! `gcs-tcp`: connections that outlive the host that holds them.

mod demo;

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use gcs_stacks::cli::KeyFiles;
use gcs_tcp_endpoint::{
    ReplicatedListener,
    http::Files,
    link::{MacChoice, Vip},
    replica::{ApplyError, Change},
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

    /// Show it on this machine, in namespaces of its own: three replicas, a download, and every host that served it dies.
    Demo(demo::Demo),
    /// What a replica knows of itself: who leads, connections, how far behind, how long until stable.
    Status {
        /// The replica's `--control`.
        #[arg(value_name = "PATH")]
        control: PathBuf,
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
    /// Let every replica hear the clients, by a multicast MAC that switches flood: when the leader dies, nobody has to send again what it
    /// had not passed on. Hosts with Linux accept such a MAC; many routers need a static entry.
    #[arg(long)]
    mirror: bool,
    /// A router for clients that are not on this Ethernet.
    #[arg(long, value_name = "ADDR")]
    gateway: Option<std::net::Ipv4Addr>,
    #[command(flatten)]
    keys: KeyFiles,
    /// A local socket to be made at this path, for `gcs-tcp status`.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Echo(replica) => start(replica, || Echo),
        Command::Serve { root, replica } => start(replica, || Files::new(root.clone())),
        Command::Demo(demo) => demo::run(&demo),
        Command::Status { control } => status(&control),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gcs-tcp: {e}");
            ExitCode::FAILURE
        }
    }
}

fn status(control: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut said = String::new();
    UnixStream::connect(control)
        .and_then(|mut replica| {
            replica.write_all(b"report\n")?;
            replica.read_to_string(&mut said)
        })
        .map_err(|e| {
            format!("no replica answers at {}: {e}; is it running with --control?", control.display())
        })?;
    print!("{said}");
    Ok(())
}

/// One line for each change, for operators and tests.
fn say(change: Change) {
    match change {
        Change::Leads => println!("leads"),
        Change::Follows => println!("follows"),
        Change::Joined => println!("joined"),
        Change::Diverged { batches } => eprintln!("gcs-tcp: {}", ApplyError::Diverged { batches }),
    }
}

fn start<S: Service>(replica: Replica, service: impl Fn() -> S) -> Result<(), Box<dyn std::error::Error>> {
    let listener = ReplicatedListener {
        group: replica.group,
        bind: replica.bind,
        contacts: replica.contact,
        expect: replica.expect,
        interface: replica.interface,
        vips: replica.vip,
        ports: vec![replica.listen],
        mac: if replica.mirror { MacChoice::Mirror } else { MacChoice::Own },
        gateway: replica.gateway,
        keys: replica.keys.read()?,
        stack: gcs_stacks::named(&replica.keys.stack("total+uniform"))?,
        control: replica.control,
        tcp: Config::default(),
    };
    if listener.keys.is_none() {
        eprintln!(
            "gcs-tcp: the group is open: whoever reaches {} can join it and read along; give --key-file to close it",
            listener.bind
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = listener.serve(service, say) => match ended? {},
            stop = tokio::signal::ctrl_c() => Ok(stop?),
        }
    })
}
