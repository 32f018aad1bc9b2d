//! Many connections at once, while every replica dies: those of a benchmark, and idle ones. Needs root, `ip`, `tcpdump` and `wrk`.
#![cfg(target_os = "linux")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    time::Duration,
};

use cluster::{Cluster, VIPS, write_file};
use programs::is_there;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod cluster;
mod programs;

/// What the replicas run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_gcs-tcp");
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections that do nothing.
const IDLE: usize = 10_000;

fn wrk(cluster: &Cluster, connections: usize, keep: bool) -> (String, Child) {
    let mut wrk = cluster.on("client", "wrk");
    wrk.args(["--threads", "1", "--duration", "6s", "--timeout", "20s"]);
    wrk.args(["--connections", &connections.to_string()]);
    if !keep {
        wrk.args(["--header", "Connection: close"]);
    }
    let child = wrk.arg(format!("http://{}/file", VIPS[0])).stdout(Stdio::piped()).spawn().expect("wrk");
    (format!("{connections} connections, {}", if keep { "kept" } else { "one for each request" }), child)
}

#[test]
fn a_benchmark_sees_no_error_while_every_replica_dies() {
    if !is_there("wrk") {
        return;
    }
    let root = std::env::temp_dir().join(format!("gcs-crowds-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("a folder");
    write_file(&root.join("file"), 1000);
    let Some(mut cluster) = Cluster::start(&["serve", "--root", root.to_str().expect("a path")]) else {
        return;
    };
    cluster.leader();
    let crowds: Vec<_> = [(50, true), (50, false), (500, true), (500, false)]
        .map(|(connections, keep)| wrk(&cluster, connections, keep))
        .into();
    (0..3).for_each(|_| cluster.kill_the_leader());
    for (what, crowd) in crowds {
        let output = crowd.wait_with_output().expect("wrk");
        let said = String::from_utf8_lossy(&output.stdout);
        eprintln!("{what}: {said}");
        assert!(output.status.success(), "{what}: {said}");
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{what}: {said}");
        assert!(said.contains("requests in") && !said.contains(" 0 requests in"), "{what}: {said}");
    }
    std::fs::remove_dir_all(root).expect("it is ours");
}

/// All of them are with whoever joins, and answer when nobody of the beginning is left.
#[test]
fn ten_thousand_idle_connections_outlive_every_replica() {
    let Some(mut cluster) = Cluster::start(&["echo"]) else { return };
    cluster.leader();
    let limit = getrlimit(Resource::Nofile);
    let enough = Some(2 * IDLE as u64);
    let maximum = if limit.maximum.is_none_or(|m| Some(m) >= enough) { limit.maximum } else { enough };
    setrlimit(Resource::Nofile, Rlimit { current: enough, maximum }).expect("root may");
    let capture = cluster.watch(None);
    let open = || TcpStream::connect(VIPS[0]).expect("it connects");
    let mut all: Vec<_> = cluster.hosts.enter("client", || (0..IDLE).map(|_| open()).collect());
    let mut ask = |word: [u8; 2]| {
        all.iter_mut().for_each(|stream| stream.write_all(&word).expect("it is open"));
        for stream in &mut all {
            let mut back = [0; 2];
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
            stream.read_exact(&mut back).expect("it is open");
            assert_eq!(back, word);
        }
    };
    ask(*b"01");
    (0..3).for_each(|_| cluster.kill_the_leader());
    ask(*b"23");
    let seen = cluster.check(capture);
    assert_eq!(seen.unkicked, 0, "connections that the last leader has said nothing on: {seen:?}");
}
