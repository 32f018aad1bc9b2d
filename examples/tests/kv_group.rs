//! Three replicas, each a process of its own, used by redis-cli and redis-benchmark while replicas die, stop and return.
//!
//! Without those programs the tests say so and pass; with CI=true they fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use gcs_examples::demo::cluster::{Cluster, Lines, wait_for};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};
use support::{DEADLINE, available};

/// Three replicas that are ready.
fn three() -> (Cluster, Lines) {
    let (mut cluster, lines) = Cluster::of(env!("CARGO_BIN_EXE_gcs-kv").into(), &[]).unwrap();
    (0..3).for_each(|i| cluster.start(i).unwrap());
    let mut ready = 0;
    wait(&cluster, &lines, |_, line| {
        ready += usize::from(line == "ready");
        ready == 3
    });
    (cluster, lines)
}

fn wait(cluster: &Cluster, lines: &Lines, wanted: impl FnMut(usize, &str) -> bool) {
    wait_for(lines, cluster, DEADLINE, wanted).unwrap();
}

fn redis_cli(at: SocketAddr, args: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &at.port().to_string()])
        .args(args)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn redis_benchmark(at: SocketAddr, args: &[&str]) -> Child {
    Command::new("redis-benchmark")
        .args(["-h", "127.0.0.1", "-p", &at.port().to_string(), "-q"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// It ended well, and no reply was an error.
fn went_well(benchmark: Child, result: &str) {
    let output = benchmark.wait_with_output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(!told.contains("Error") && !errors.contains("rror"), "{told}\n{errors}");
    assert!(told.contains(result) && told.contains("requests per second"), "{told}\n{errors}");
}

#[test]
fn clients_of_the_others_do_not_notice_that_a_replica_is_killed() {
    if !available("redis-cli") || !available("redis-benchmark") {
        return;
    }
    let (mut cluster, lines) = three();
    let at = cluster.redis().to_vec();
    assert_eq!(redis_cli(at[0], &["set", "k", "before"]), "OK");
    assert_eq!(redis_cli(at[1], &["get", "k"]), "before");
    let load: Vec<_> = at[1..]
        .iter()
        .map(|a| redis_benchmark(*a, &["-P", "64", "-c", "20", "-n", "320000", "-r", "1000", "-t", "incr"]))
        .collect();
    // In the middle of it: some are answered, not all.
    while redis_cli(at[1], &["dbsize"]).parse::<u64>().unwrap() < 100 {}
    cluster.kill(0);
    wait(&cluster, &lines, |i, line| i == 1 && line.ends_with(": bob carol"));
    assert_eq!(redis_cli(at[2], &["set", "k", "after"]), "OK");
    cluster.start(0).unwrap();
    wait(&cluster, &lines, |i, line| i == 0 && line == "ready");
    assert_eq!(redis_cli(at[0], &["get", "k"]), "after");
    load.into_iter().for_each(|b| went_well(b, "INCR"));
    // All was counted once, and the one that came back has all of it.
    let keys: Vec<_> = (0..1000).map(|i| format!("counter:{i:012}")).collect();
    let mut ask = vec!["mget"];
    ask.extend(keys.iter().map(String::as_str));
    for a in at {
        let total: u64 = redis_cli(a, &ask).lines().filter_map(|l| l.trim().parse::<u64>().ok()).sum();
        assert_eq!(total, 640_000);
    }
}

#[test]
fn a_replica_without_the_others_says_so_and_goes_on_when_they_are_back() {
    if !available("redis-cli") {
        return;
    }
    let (cluster, lines) = three();
    let at = cluster.redis().to_vec();
    assert_eq!(redis_cli(at[2], &["set", "k", "v"]), "OK");
    cluster.signal(0, "STOP").unwrap();
    cluster.signal(1, "STOP").unwrap();
    wait(&cluster, &lines, |i, line| i == 2 && line.starts_with("blocked"));
    for ask in [&["set", "k", "lost"][..], &["get", "k"]] {
        let told = redis_cli(at[2], ask);
        assert!(told.starts_with("CLUSTERDOWN"), "{told}");
    }
    cluster.signal(0, "CONT").unwrap();
    cluster.signal(1, "CONT").unwrap();
    for a in at {
        let mut told = String::new();
        for _ in 0..100 {
            told = redis_cli(a, &["get", "k"]);
            if !told.starts_with("CLUSTERDOWN") {
                break;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
        assert_eq!(told, "v");
    }
}
