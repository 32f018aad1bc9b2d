//! The program `gcs-kv`: arguments, group, server, and what it prints.

use super::{
    replica::Replica,
    server::{Limits, Server},
    store::Store,
};
use crate::contacts::Contacts;
use clap::Parser;
use gcs::{blocks::Replicated, endpoint::LeaveReason, group::Group};
use gcs_stacks::cli::KeyFiles;
use std::{
    net::{SocketAddr, SocketAddrV4},
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
    /// Make a local socket at this path, at which this replica says what it knows of itself (`gcs-cat --probe PATH` asks).
    #[arg(long)]
    control: Option<PathBuf>,
    /// Where Redis clients connect.
    #[arg(long)]
    redis: SocketAddr,
    /// What keeps strangers out of the group. Redis clients are not asked for keys.
    #[command(flatten)]
    keys: KeyFiles,
    /// This replica's name. Default: its address.
    #[arg(long)]
    name: Option<String>,
}

/// Runs the program to its end.
#[must_use]
pub fn main(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("gcs-kv: the runtime cannot start: {e}")),
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&format!("gcs-kv: {e:#}")),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(2)
}

async fn run(args: Args) -> anyhow::Result<()> {
    let mut builder = Group::builder(&args.group)
        .member_name(&args.name.unwrap_or_else(|| args.bind.to_string()))
        .bind(args.bind)
        .multicast(args.multicast)
        .mtu(args.mtu)
        .control(args.control)
        .keys(args.keys.read().map_err(anyhow::Error::msg)?)
        .stack(gcs_stacks::named(&args.keys.stack("total+uniform"))?);
    builder = args.contacts.tell(builder);
    builder = match args.expect {
        Some(n) => builder.expect(n),
        None if args.found => builder.found(),
        None => builder.join(),
    };
    let replica = Replicated::start(builder, Store::new()).await?;
    let server = Server::bind(args.redis, Replica(replica.clone()), Limits::default())
        .await
        .map_err(|e| anyhow::anyhow!("Redis clients cannot be served at {}: {e}", args.redis))?;
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
