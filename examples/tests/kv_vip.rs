//! Redis at a virtual address: the replicas that hold its clients' connections die one after the other. Needs root, `ip`, and redis-tools.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    io::{Read as _, Write as _},
    process::{Child, Stdio},
    time::Duration,
};

use cluster::Cluster;
use programs::{Talk, is_there};

#[path = "../../tcp-endpoint/tests/cluster/mod.rs"]
mod cluster;
#[path = "../../tcp-endpoint/tests/programs/mod.rs"]
mod programs;

/// What the replicas run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_gcs-kv");
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
const VIP: &str = "10.9.0.100";

fn benchmark(cluster: &Cluster, words: &[&str]) -> Child {
    let mut command = cluster.on("client", "redis-benchmark");
    command.args(["-h", VIP, "-p", "80", "-q"]).args(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Every INCR of a client is done once, though the replicas die while it sends: the sum says so.
#[test]
fn nothing_is_lost_and_nothing_done_twice_while_every_replica_dies() {
    if !is_there("redis-benchmark") || !is_there("redis-cli") {
        return;
    }
    let Some(mut cluster) = Cluster::start(&["--port", "80"]) else { return };
    cluster.leader();
    let capture = cluster.watch(None);
    let mut talk = Talk::start("redis", cluster.on("client", "redis-cli"), &["-h", VIP, "-p", "80"]);
    assert_eq!(talk.ask("SET kept value"), "OK");
    assert_eq!(talk.ask("EXPIREAT kept 4102444800"), "1");
    let number = talk.ask("CLIENT ID");
    let load = benchmark(&cluster, &["-P", "32", "-c", "20", "-n", "600000", "-r", "1000", "-t", "incr"]);
    let once: i64 = 600_000;
    let sum = |talk: &mut Talk| {
        let keys: Vec<String> = (0..1000).map(|i| format!("counter:{i:012}")).collect();
        talk.say(&format!("MGET {}", keys.join(" ")));
        keys.iter().map(|_| talk.hear().parse::<i64>().unwrap_or(0)).sum::<i64>()
    };
    // In the middle of it.
    while sum(&mut talk) < once / 50 {}
    (0..3).for_each(|_| cluster.kill_the_leader());
    let before = sum(&mut talk);
    let output = load.wait_with_output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !told.contains("rror") && errors.is_empty(), "{told}\n{errors}");
    assert_eq!(sum(&mut talk), once);
    eprintln!("{before} of {once} were done when the third had died");
    assert_eq!(talk.ask("CLIENT ID"), number, "the same connection");
    assert_eq!(talk.ask("GET kept"), "value");
    let ttl: i64 = talk.ask("TTL kept").parse().unwrap();
    assert!(ttl > 0 && ttl < 4_102_444_800 - 1_790_000_000, "the replicas know the time of day: {ttl}");
    drop(talk);
    cluster.check(capture);
}

/// What a client has sent of a request, and what it has not read of a reply, is with the replicas that join.
#[test]
fn half_a_request_and_an_unread_reply_outlive_every_replica() {
    let Some(mut cluster) = Cluster::start(&["--port", "80"]) else { return };
    cluster.leader();
    let mut half = cluster.connect("10.9.0.100:80");
    let mut slow = cluster::connect(&cluster.hosts, "10.9.0.100:80", Some(4096)).unwrap();
    let large = "x".repeat(20_000_000 / 4);
    for key in 0..4 {
        write!(half, "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n${}\r\n{large}\r\n", large.len()).unwrap();
        let mut ok = [0; 5];
        half.read_exact(&mut ok).unwrap();
        assert_eq!(&ok, b"+OK\r\n", "{key}");
    }
    slow.write_all(b"GET large\r\nGET large\r\nPING\r\n").unwrap();
    half.write_all(b"*2\r\n$4\r\nECHO\r\n$10\r\n01234").unwrap();
    (0..3).for_each(|_| cluster.kill_the_leader());
    half.write_all(b"56789\r\nQUIT\r\n").unwrap();
    let mut rest = String::new();
    half.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "$10\r\n0123456789\r\n+OK\r\n");
    slow.write_all(b"QUIT\r\n").unwrap();
    rest.clear();
    slow.read_to_string(&mut rest).unwrap();
    assert!(rest == format!("${0}\r\n{large}\r\n${0}\r\n{large}\r\n+PONG\r\n+OK\r\n", large.len()));
    // What is not RESP is told, and the stream ends.
    let mut wrong = cluster.connect("10.9.0.100:80");
    wrong.write_all(b"*1\r\n:1\r\n").unwrap();
    rest.clear();
    wrong.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "-ERR Protocol error: expected '$', got ':'\r\n");
}
