//! What idle connections of the TCP endpoint cost: memory, and time to hand them over to a replica that joins.

#![expect(clippy::disallowed_methods, reason = "real time is what is measured")]

use super::median;
use crate::outcome::Outcome;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use gcs::time::Time;
use gcs_tcp_endpoint::tcp::{Config, Event, Host, Segment, Seq, Thaw};
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    /// Connections. Each has been used for one request.
    #[arg(long, default_value_t = 100_000)]
    connections: u32,
    /// How often the state is handed over.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Bytes of a request and of its answer.
const REQUEST: usize = 64;

/// Prints what it has found.
///
/// # Errors
/// The system does not say how much memory is used.
pub fn run(args: &Args) -> anyhow::Result<Option<Outcome>> {
    let before = resident()?;
    let config = Config { connections: args.connections, opening: args.connections, ..Config::default() };
    let mut host = Host::new(config.clone(), [7; 32]);
    let server = SocketAddr::new(IpAddr::from([10, 0, 0, 100]), 80);
    host.listen(server);
    for i in 0..args.connections {
        use_once(&mut host, server, i)?;
    }
    ensure!(host.connections() == args.connections as usize, "{} are open", host.connections());
    let used = resident()? - before;
    let each = used as f64 / f64::from(args.connections);
    println!("{} connections: {:.0} MB resident, {each:.0} bytes each", args.connections, used as f64 / 1e6);
    let (mut freezing, mut thawing, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..args.rounds {
        let began = Instant::now();
        let frozen = host.freeze();
        freezing.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        let mut thaw = Thaw::new(config.clone());
        bytes = 0;
        for at in 0..frozen.chunks() {
            let chunk = frozen.chunk(at);
            bytes += chunk.len();
            thaw.chunk(&chunk)?;
        }
        ensure!(thaw.finish()?.connections() == host.connections(), "not all are there");
        thawing.push(began.elapsed().as_secs_f64());
    }
    let ms = |times| median(times).unwrap_or_default() * 1e3;
    println!("frozen in {:.1} ms; {bytes} bytes, written and read in {:.1} ms", ms(freezing), ms(thawing));
    Ok(None)
}

/// A client connects, asks, and is answered.
fn use_once(host: &mut Host, server: SocketAddr, i: u32) -> anyhow::Result<()> {
    let now = Time(u64::from(i + 1) * 10_000);
    let [_, a, b, c] = i.to_be_bytes();
    let client = SocketAddr::new(IpAddr::from([172, 16 + a, b, c]), 4000);
    let mut syn = Segment::new(client, server, Seq(1), None);
    (syn.syn, syn.window) = (true, 64_000);
    syn.options.mss = Some(1460);
    syn.options.sack_permitted = true;
    syn.options.window_scale = Some(7);
    let isn = batch(host, now, &syn)?.first().context("no answer to a SYN")?.seq.of(1);
    let mut request = Segment::new(client, server, Seq(2), Some(isn));
    request.window = 500;
    request.payload.push(Bytes::from_static(&[b'x'; REQUEST]));
    batch(host, now, &request)?;
    let mut ack = Segment::new(client, server, Seq(2 + REQUEST as u32), Some(isn.of(REQUEST as u64)));
    ack.window = 500;
    batch(host, now, &ack)?;
    Ok(())
}

/// One batch; the application answers.
fn batch(host: &mut Host, now: Time, segment: &Segment) -> anyhow::Result<Vec<Segment>> {
    let mut out = Vec::new();
    host.begin(now);
    host.segment(segment);
    while let Some(event) = host.event() {
        if let Event::Readable(id) = event {
            for mut bytes in host.read(id, u64::MAX) {
                host.write(id, &mut bytes);
            }
        }
    }
    host.finish(&mut out);
    Ok(out)
}

/// Resident memory of this process, in bytes.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
