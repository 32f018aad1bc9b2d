//! Replicated servers side by side: `gcs-kv` and etcd with three nodes each, and one Redis for scale. The same client
//! writes to all of them, with one request under way on each of its connections.

use super::{Common, site};
use crate::{
    outcome::{Outcome, Short},
    parent::{Daemons, free_addrs},
    report::{Percentiles, histogram, usage, wall_ns},
};
use anyhow::{Context as _, bail, ensure};
use gcs_tcp_endpoint::playground;
use std::{fmt::Write as _, net::SocketAddr, path::PathBuf, process::Command, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};

/// Its arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// How often everything is measured, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections, spread over the nodes.
    #[arg(short = 'c', long, default_value_t = 50)]
    connections: usize,
    /// This is the process in the namespaces.
    #[arg(long, hide = true)]
    inside: bool,
}

const KEYS: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum System {
    GcsKv,
    Etcd,
    Redis,
}

impl System {
    fn name(self, nodes: usize) -> String {
        match self {
            Self::GcsKv => format!("gcs-kv, {nodes} replicas"),
            Self::Etcd => format!("etcd, {nodes} nodes"),
            Self::Redis => "redis-server, alone".to_owned(),
        }
    }

    fn program(self) -> anyhow::Result<PathBuf> {
        Ok(match self {
            Self::GcsKv => std::env::current_exe()?.with_file_name("gcs-kv"),
            Self::Etcd => "etcd".into(),
            Self::Redis => "redis-server".into(),
        })
    }

    /// What is missing, if anything is.
    fn missing(self) -> Option<&'static str> {
        let runs = self
            .program()
            .is_ok_and(|p| Command::new(p).arg("--version").output().is_ok_and(|out| out.status.success()));
        match self {
            _ if runs => None,
            Self::GcsKv => Some("gcs-kv is not built (cargo build --release -p gcs-examples)."),
            Self::Etcd => Some("etcd is not installed (package etcd-server)."),
            Self::Redis => Some("redis-server is not installed (package redis-server)."),
        }
    }

    /// Starts the nodes; where clients connect.
    fn start(self, nodes: usize) -> anyhow::Result<(Daemons, Vec<SocketAddr>)> {
        let nodes = if self == Self::Redis { 1 } else { nodes };
        let (clients, peers) = (free_addrs(nodes)?, free_addrs(nodes)?);
        let list = |each: &dyn Fn(usize) -> String| (0..nodes).map(each).collect::<Vec<_>>().join(",");
        let mut all = Daemons::default();
        for (i, (client, peer)) in clients.iter().zip(&peers).enumerate() {
            let line = match self {
                Self::GcsKv => {
                    let contacts = list(&|j| peers[j].to_string());
                    format!(
                        "--group perf --bind {peer} --contact {contacts} --expect {nodes} --redis {client}"
                    )
                }
                Self::Etcd => {
                    let cluster = list(&|j| format!("n{j}=http://{}", peers[j]));
                    format!(
                        "--name n{i} --data-dir {}/etcd-{} --initial-cluster {cluster} \
                         --initial-advertise-peer-urls http://{peer} --listen-peer-urls http://{peer} \
                         --advertise-client-urls http://{client} --listen-client-urls http://{client}",
                        playground::FILES,
                        peer.port()
                    )
                }
                Self::Redis => {
                    format!("--bind {} --port {} --save  --appendonly no", client.ip(), client.port())
                }
            };
            // Split at single spaces: Redis is given an empty argument.
            all.start(Command::new(self.program()?).args(line.split(' ')))?;
        }
        Ok((all, clients))
    }

    fn request(self, key: u64, value: &[u8]) -> Vec<u8> {
        let key = format!("key{key}");
        if self == Self::Etcd {
            let body = format!("{{\"key\":\"{}\",\"value\":\"{}\"}}", base64(key.as_bytes()), base64(value));
            let head =
                format!("POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n", body.len());
            return (head + &body).into_bytes();
        }
        let mut r =
            format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len()).into_bytes();
        r.extend_from_slice(value);
        r.extend_from_slice(b"\r\n");
        r
    }

    /// Whether an answer is complete, and a good one.
    fn answered(self, answer: &[u8]) -> anyhow::Result<bool> {
        let text = String::from_utf8_lossy(answer);
        if self != Self::Etcd {
            ensure!(!text.starts_with('-'), "{text}");
            return Ok(text.ends_with("\r\n"));
        }
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
        ensure!(head.starts_with("HTTP/1.1 200"), "{text}");
        let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: "));
        let length: usize = length.and_then(|l| l.parse().ok()).context("an answer without a length")?;
        Ok(body.len() >= length)
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0_usize, |n, i| n << 8 | usize::from(three.get(i).copied().unwrap_or(0)));
        let digit = |i: usize| if i <= three.len() { DIGITS[bits >> (18 - 6 * i) & 63].into() } else { '=' };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// Runs it; none: the process in the namespaces has printed the outcome.
///
/// # Errors
/// A server did not start, or a request failed.
pub fn run(args: &Args) -> anyhow::Result<Option<Outcome>> {
    if !args.inside {
        playground::again_inside("--inside")?;
        return Ok(None);
    }
    playground::end_with_parent();
    site::build(0, site::MTU)?;
    let c = &args.common;
    let systems = [System::GcsKv, System::Etcd, System::Redis];
    let mut notes: Vec<_> = systems.iter().filter_map(|s| s.missing()).map(str::to_owned).collect();
    let systems: Vec<_> = systems.into_iter().filter(|s| s.missing().is_none()).collect();
    let mut all = Outcome::new("stores", c).with("rounds", args.rounds as f64);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for round in 1..=args.rounds {
        for system in &systems {
            let name = system.name(c.members);
            eprintln!("round {round}: {name}");
            match runtime.block_on(measure(*system, args)) {
                Ok(o) => all.parts.push(Outcome { label: name, ..o }),
                Err(e) => notes.push(format!("{name} failed in round {round}: {e:#}.")),
            }
        }
    }
    all.text = Some(table(args, &systems, &all.parts, &notes));
    Ok(Some(all))
}

async fn measure(system: System, args: &Args) -> anyhow::Result<Outcome> {
    let c = &args.common;
    let (daemons, addrs) = system.start(c.members)?;
    let mut streams = Vec::new();
    for addr in addrs.iter().cycle().take(args.connections) {
        streams.push(ready(system, *addr).await?);
    }
    let cpu = || daemons.ids().map(|p| usage(&p.to_string()).0).sum::<f64>();
    let (tx, mut took) = mpsc::unbounded_channel();
    let start = wall_ns();
    let end = start + (c.seconds * 1e9) as u64;
    let before = cpu();
    for (i, mut stream) in streams.into_iter().enumerate() {
        let (tx, value) = (tx.clone(), vec![b'v'; c.payload]);
        tokio::spawn(async move {
            let mut key = i as u64;
            while wall_ns() < end {
                // Steps through the keys far apart.
                key = (key + 61_803) % KEYS;
                let sent = wall_ns();
                let done = write(system, &mut stream, key, &value).await.map(|()| wall_ns() - sent);
                let failed = done.is_err();
                let _ = tx.send(done);
                if failed {
                    return;
                }
            }
        });
    }
    drop(tx);
    let mut latency = histogram()?;
    while let Some(one) = took.recv().await {
        latency.saturating_record(one?);
    }
    let seconds = (wall_ns() - start) as f64 / 1e9;
    let writes = latency.len() as f64;
    let mut outcome = Outcome::new("stores", c).with("writes_per_s", writes / seconds);
    outcome.times.insert("write_us", Percentiles::of(&latency));
    let outcome = outcome.with("cpu_s_per_million", (cpu() - before) / writes * 1e6);
    Ok(outcome.with("connections", args.connections as f64))
}

/// A connection on which a write has succeeded.
async fn ready(system: System, addr: SocketAddr) -> anyhow::Result<TcpStream> {
    let deadline = wall_ns() + PATIENCE.as_nanos() as u64;
    loop {
        let tried = async {
            let mut stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            write(system, &mut stream, 0, b"first").await?;
            anyhow::Ok(stream)
        };
        match tokio::time::timeout(PATIENCE, tried).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) if wall_ns() > deadline => return Err(e.context("it does not get ready")),
            Err(_) => bail!("it does not answer"),
            Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn write(system: System, stream: &mut TcpStream, key: u64, value: &[u8]) -> anyhow::Result<()> {
    stream.write_all(&system.request(key, value)).await?;
    let mut answer = Vec::with_capacity(512);
    while !system.answered(&answer)? {
        ensure!(stream.read_buf(&mut answer).await? > 0, "the server has closed the connection");
    }
    Ok(())
}

/// A table in Markdown, of the rounds' medians.
fn table(args: &Args, systems: &[System], parts: &[Outcome], notes: &[String]) -> String {
    let c = &args.common;
    let mut text = format!(
        "Writes of {} B to {KEYS} keys over {} connections, one under way on each; medians of {} rounds of {} s. etcd's \
         files are in memory.\n\n| | writes/s | p50 µs | p99 µs | CPU s of all nodes per million writes |\n|{}\n",
        c.payload,
        args.connections,
        args.rounds,
        c.seconds,
        "---|".repeat(5)
    );
    for system in systems {
        let name = system.name(c.members);
        let mine = || parts.iter().filter(|o| o.label == name);
        let value = |of: &str| super::median(mine().filter_map(|o| o.value(of)).collect());
        let time = |of: fn(&Percentiles) -> f64| {
            super::median(mine().filter_map(|o| o.times.get("write_us").map(of)).collect())
        };
        let cells = [value("writes_per_s"), time(|p| p.p50), time(|p| p.p99), value("cpu_s_per_million")];
        let cells = cells.map(|v| v.map_or("–".to_owned(), |v| Short(v).to_string()));
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    for note in notes {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads() {
        let all = ["", "f", "fo", "foo", "foob"].map(|s| base64(s.as_bytes()));
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }

    #[test]
    fn answers_end_where_they_say() {
        let http = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert!(System::Etcd.answered(http).unwrap());
        assert!(!System::Etcd.answered(&http[..http.len() - 1]).unwrap());
        assert!(!System::Etcd.answered(b"HTTP/1.1 2").unwrap());
        assert!(System::Etcd.answered(b"HTTP/1.1 503 No\r\n\r\n").is_err());
        assert!(System::Redis.answered(b"+OK\r\n").unwrap());
        assert!(!System::Redis.answered(b"+OK").unwrap());
        assert!(System::GcsKv.answered(b"-CLUSTERDOWN\r\n").is_err());
    }
}
