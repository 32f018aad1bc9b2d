//! `gcs-monitor health serve`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use gcs::{
    endpoint::LeaveReason,
    group::{Builder, Group},
};
#[cfg(feature = "dns")]
use gcs_monitor::health::dns;
use gcs_monitor::health::representative::Representative;
use gcs_stacks::cli::KeyFiles;
use tokio::net::TcpListener;

use super::{Failed, print};

#[derive(Args)]
pub(super) struct Serve {
    /// The group's name; the same at all representatives.
    #[arg(long, default_value = "health")]
    group: String,
    /// This representative's name. Default: its address.
    #[arg(long)]
    name: Option<String>,
    /// The address at which the other representatives reach this one (UDP and TCP).
    #[arg(long, value_name = "ADDR:PORT")]
    bind: SocketAddr,
    /// Addresses of representatives; one's own does no harm. A host's name stands for all its addresses.
    #[arg(long, value_name = "ADDR:PORT|NAME:PORT", value_delimiter = ',')]
    contact: Vec<String>,
    /// A file with more of them, one a line.
    #[arg(long, value_name = "PATH")]
    contact_file: Option<PathBuf>,
    /// Found the group, unless a contact knows of it.
    #[arg(long, conflicts_with = "expect")]
    found: bool,
    /// Found the group as soon as this many have met (more than two thirds of all that will ever be started).
    #[arg(long)]
    expect: Option<usize>,
    /// Where clients connect. They are not asked for keys: whoever reaches it can report.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Answer the Domain Name System there, over UDP and TCP.
    #[cfg(feature = "dns")]
    #[arg(long, value_name = "ADDR:PORT", requires = "zone")]
    dns: Option<SocketAddr>,
    /// Names are NAME.health.ZONE.
    #[cfg(feature = "dns")]
    #[arg(long, value_name = "DOMAIN", requires = "dns")]
    zone: Option<String>,
    /// Make a local socket at this path, or in this folder, at which this process says what it knows of its group.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyFiles,
}

fn group(serve: &Serve) -> Result<Builder, Failed> {
    let keys = serve.keys.read_or_warn("gcs-monitor", serve.bind)?;
    let mut builder = Group::builder(&serve.group)
        .member_name(&serve.name.clone().unwrap_or_else(|| serve.bind.to_string()))
        .bind(serve.bind)
        .control(serve.control.clone())
        .keys(keys)
        .stack(gcs_stacks::named(&serve.keys.stack("total+uniform"))?);
    for contact in &serve.contact {
        builder = match contact.parse::<SocketAddr>() {
            Ok(addr) => builder.contact(addr),
            Err(_) => builder.contact_name(contact),
        };
    }
    if let Some(path) = &serve.contact_file {
        builder = builder.contact_file(path);
    }
    Ok(match serve.expect {
        Some(n) => builder.expect(n),
        None if serve.found => builder.found(),
        None => builder.join(),
    })
}

/// Answers the Domain Name System in the background, if that is wanted.
#[cfg(feature = "dns")]
async fn serve_dns(serve: &Serve, representative: &Representative) -> Result<(), Failed> {
    let (Some(address), Some(zone)) = (serve.dns, &serve.zone) else { return Ok(()) };
    let zone = dns::Zone::new(zone)?;
    let bound = dns::bind(address).await.map_err(|e| format!("DNS cannot be served at {address}: {e}"))?;
    print(&format!("serving DNS at {}", bound.local_addr()?));
    tokio::spawn(bound.serve(zone, representative.clone()));
    Ok(())
}

pub(super) async fn run(serve: Serve) -> Result<(), Failed> {
    let listener = TcpListener::bind(serve.listen)
        .await
        .map_err(|e| format!("clients cannot be served at {}: {e}", serve.listen))?;
    let representative = Representative::start(group(&serve)?).await?;
    #[cfg(feature = "dns")]
    serve_dns(&serve, &representative).await?;
    print(&format!("serving clients at {}; waiting for the group", listener.local_addr()?));
    let ready = representative.group().clone();
    tokio::spawn(async move {
        if ready.wait_ready().await.is_ok() {
            print("ready");
        }
    });
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut status = representative.group().group().status();
    tokio::select! {
        () = representative.serve(listener) => {}
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
        _ = status.wait_for(|s| s.left.is_some() || s.stopped) => {}
    }
    let left = representative.group().group().status().borrow().left.clone();
    match left {
        None => {
            let _ = tokio::time::timeout(Duration::from_secs(5), representative.group().leave()).await;
            Ok(())
        }
        Some(LeaveReason::Asked) => Ok(()),
        Some(reason) => Err(reason.into()),
    }
}
