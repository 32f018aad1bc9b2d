//! The program `gcs-kv`: arguments, group, server, and what it prints.

use super::{
    replica::Replica,
    server::{Limits, Server},
    store::Store,
    vip::Served,
};
use crate::contacts::Contacts;
use clap::Parser;
use gcs::{
    blocks::Replicated,
    endpoint::LeaveReason,
    group::{Builder, Group},
};
use gcs_stacks::cli::KeyFiles;
use gcs_tcp_endpoint::{
    ReplicatedListener,
    link::{MacChoice, Vip},
};
use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

/// A replicated in-memory server that speaks the Redis protocol.
///
/// Start three, wait for "ready", and use any of them with any Redis client:
///
///   gcs-kv --group shop --bind 127.0.0.1:7001 --contact 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 --expect 3 --redis 127.0.0.1:6001
///
///   gcs-kv --group shop --bind 127.0.0.1:7002 --contact 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 --expect 3 --redis 127.0.0.1:6002
///
///   gcs-kv --group shop --bind 127.0.0.1:7003 --contact 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 --expect 3 --redis 127.0.0.1:6003
///
/// A reply to a write means that a majority of the replicas has it. Kill a replica, start it again with the same line:
/// it comes back with the state. A replica that cannot reach a majority answers `-CLUSTERDOWN`. Nothing is written to
/// disk: when all replicas are down at once, the data is gone.
///
/// On an Ethernet, clients need not know the replicas: with --vip 10.0.0.100/24 --interface eth0 instead of --redis they connect to an
/// address that belongs to no host, and their connections outlive the replica that holds them. Prints views, `leads`, `follows` and `joined` then.
/// Needs CAP_NET_RAW (or root).
#[derive(Parser)]
#[command(name = "gcs-kv", version, verbatim_doc_comment)]
pub struct Args {
    /// The group's name; the same at all replicas.
    #[arg(long)]
    group: String,
    /// The address at which the other replicas reach this one (UDP and TCP).
    #[arg(long)]
    bind: SocketAddr,
    /// An IPv4 multicast address for what goes to all replicas; those that it does not reach are sent to one by one.
    #[arg(long)]
    multicast: Option<SocketAddrV4>,
    /// The MTU of the network between the replicas, for jumbo frames. Default: 1500, and more on loopback.
    #[arg(long)]
    mtu: Option<usize>,
    #[command(flatten)]
    contacts: Contacts,
    /// Found the group, unless a contact knows of it.
    #[arg(long, conflicts_with = "expect")]
    found: bool,
    /// Found the group as soon as this many replicas have met (more than two thirds of all that will ever be started).
    #[arg(long)]
    expect: Option<usize>,
    /// Make a local socket at this path, at which this replica says what it knows of itself (`gcs-cat --probe PATH` asks). In a folder
    /// such as /run/gcs, which it has to be for gcs-monitor, it gets a name of its own.
    #[arg(long)]
    control: Option<PathBuf>,
    /// Where Redis clients connect.
    #[arg(long, required_unless_present = "vip", conflicts_with = "vip")]
    redis: Option<SocketAddr>,
    #[command(flatten)]
    place: Place,
    /// What keeps strangers out of the group. Redis clients are not asked for keys.
    #[command(flatten)]
    keys: KeyFiles,
    /// This replica's name. Default: its address.
    #[arg(long)]
    name: Option<String>,
}

/// Virtual addresses, and where they are.
#[derive(clap::Args)]
struct Place {
    /// Serve Redis clients at these virtual addresses, with the length of their networks' prefixes. No host may have them.
    #[arg(long, value_name = "ADDR/LEN", value_delimiter = ',', requires = "interface")]
    vip: Vec<Vip>,
    /// The port at the virtual addresses.
    #[arg(long, value_name = "PORT", default_value_t = 6379, requires = "vip")]
    port: u16,
    /// The Ethernet interface on which clients are.
    #[arg(long, value_name = "NAME", requires = "vip")]
    interface: Option<String>,
    /// Let every replica hear the clients, by a multicast MAC that switches flood: when a replica dies, no client has to send again.
    #[arg(long, requires = "vip")]
    mirror: bool,
    /// A router for clients that are not on this Ethernet.
    #[arg(long, value_name = "ADDR", requires = "vip")]
    gateway: Option<Ipv4Addr>,
}

/// Runs the program to its end.
#[must_use]
pub fn main(args: Args) -> ExitCode {
    // Virtual addresses are served in one thread.
    let runtime = match args.redis {
        Some(_) => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        None => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("gcs-kv: the runtime cannot start: {e}")),
    };
    let outcome = runtime.block_on(async {
        match args.redis {
            Some(redis) => run(&args, redis).await,
            None => run_at_vip(&args).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&format!("gcs-kv: {e:#}")),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(2)
}

/// Who the replicas are.
fn group(args: &Args) -> anyhow::Result<impl Fn() -> Builder> {
    let keys = args.keys.read_or_warn("gcs-kv", args.bind).map_err(anyhow::Error::msg)?;
    let stack = gcs_stacks::named(&args.keys.stack("total+uniform"))?;
    Ok(move || {
        let builder = Group::builder(&args.group)
            .member_name(&args.name.clone().unwrap_or_else(|| args.bind.to_string()))
            .bind(args.bind)
            .multicast(args.multicast)
            .mtu(args.mtu)
            .control(args.control.clone())
            .keys(keys.clone())
            .stack(stack.clone());
        let builder = args.contacts.clone().tell(builder);
        match args.expect {
            Some(n) => builder.expect(n),
            None if args.found => builder.found(),
            None => builder.join(),
        }
    })
}

/// Serves clients at virtual addresses until a signal.
async fn run_at_vip(args: &Args) -> anyhow::Result<()> {
    let place = &args.place;
    let listener = ReplicatedListener {
        interface: place.interface.clone().unwrap_or_default(),
        vips: place.vip.clone(),
        ports: vec![place.port],
        mac: if place.mirror { MacChoice::Mirror } else { MacChoice::Own },
        command: Vec::new(),
        gateway: place.gateway,
        tcp: Served::tcp(),
    };
    let service = || Served::new(Limits::default());
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        ended = listener.serve(group(args)?, service, |change| change.print("gcs-kv")) => match ended? {},
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = term.recv() => Ok(()),
    }
}

async fn run(args: &Args, redis: SocketAddr) -> anyhow::Result<()> {
    let replica = Replicated::start(group(args)?(), Store::new()).await?;
    let server = Server::bind(redis, Replica(replica.clone()), Limits::default())
        .await
        .map_err(|e| anyhow::anyhow!("Redis clients cannot be served at {redis}: {e}"))?;
    println!("serving Redis clients at {}; waiting for the group", server.local_addr()?);
    tokio::spawn(announce(replica.clone()));
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut status = replica.group().status();
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
            _ = status.wait_for(|s| s.left.is_some() || s.stopped) => {}
        }
    };
    server.run(stop).await;
    let left = replica.group().status().borrow().left.clone();
    match left {
        None => {
            let _ = tokio::time::timeout(Duration::from_secs(5), replica.leave()).await;
            Ok(())
        }
        Some(LeaveReason::Asked) => Ok(()),
        Some(reason) => Err(reason.into()),
    }
}

/// Prints what happens to the group, a line each.
async fn announce(replica: Replicated<Store>) {
    let mut status = replica.group().status();
    let ready = replica.clone();
    tokio::spawn(async move {
        if ready.wait_ready().await.is_ok() {
            println!("ready");
        }
    });
    let (mut view, mut blocked) = (None, false);
    loop {
        let s = status.borrow_and_update().clone();
        if let Some(v) = &s.view
            && view != Some(v.view.id)
        {
            view = Some(v.view.id);
            let names: Vec<_> = v.view.members.iter().map(|m| &*m.name).collect();
            println!("view {}: {}", v.view.id, names.join(" "));
        }
        if blocked != s.blocked {
            blocked = s.blocked;
            println!(
                "{}",
                if blocked { "blocked: no contact with a majority" } else { "in contact with a majority" }
            );
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
