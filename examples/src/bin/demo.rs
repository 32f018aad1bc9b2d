//! Three replicas of `gcs-kv` under load from real Redis connections, killed with SIGKILL and restarted, and a count of
//! the acknowledged writes that were lost. No privilege needed; about fifteen seconds.

use clap::Parser as _;
use gcs_examples::{
    demo::{
        cluster::{Cluster, Lines, wait_for},
        load::Load,
        verify,
    },
    kv::program,
};
use std::{process::ExitCode, thread, time::Duration};

const CLIENTS: usize = 12;

fn main() -> ExitCode {
    // The replicas are this program again: `demo gcs-kv …`.
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|a| a == "gcs-kv") {
        return program::main(program::Args::parse_from(args));
    }
    if !args.is_empty() {
        println!(
            "demo takes no arguments: it starts three gcs-kv replicas, loads, kills and restarts them, and counts"
        );
        return ExitCode::from(if args[0] == "--help" { 0 } else { 2 });
    }
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("demo: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<u64> {
    let (mut cluster, lines) = Cluster::new()?;
    println!("starting three replicas");
    for i in 0..cluster.len() {
        cluster.start(i)?;
    }
    let mut ready = 0;
    wait_for(&lines, &cluster, Duration::from_secs(20), |_, line| {
        ready += usize::from(line == "ready");
        ready == 3
    })?;
    println!("{CLIENTS} clients write, each waits for every reply");
    let load = Load::start(CLIENTS, cluster.redis());
    pause(2000);
    println!(
        "  {} writes acknowledged, longest wait of a client {:?}",
        load.acknowledged(),
        load.take_longest_pause()
    );

    let mut pauses = Vec::new();
    let coordinator =
        verify::members(cluster.redis()[0])?.first().and_then(|n| cluster.by_name(n)).unwrap_or(0);
    pauses.push(kill_and_restart(&mut cluster, &lines, &load, coordinator, "the coordinator")?);
    let second = (coordinator + 2) % cluster.len();
    pauses.push(kill_and_restart(&mut cluster, &lines, &load, second, "another one")?);

    let outcomes = load.stop();
    let acknowledged: usize = outcomes.iter().map(|o| o.acknowledged.len()).sum();
    let failed: u64 = outcomes.iter().map(|o| o.failed).sum();
    println!("reading everything back from every replica");
    let mut lost = 0;
    for (i, addr) in cluster.redis().iter().enumerate() {
        let here = verify::lost(*addr, &outcomes)?;
        println!("  {:>5}: {} of {acknowledged} acknowledged writes missing", cluster.name(i), here);
        lost += here;
    }
    println!();
    println!("kills                    2, each followed by a restart");
    println!("writes acknowledged      {acknowledged}");
    println!("requests to try again    {failed} (their replica died; the client went to the next one)");
    println!(
        "longest wait of a client {:?} and {:?}, around the first and the second kill",
        pauses[0], pauses[1]
    );
    println!("acknowledged writes lost {lost}");
    Ok(lost)
}

/// Kills a replica under load, restarts it, waits until it is back; returns the longest wait that a client saw.
fn kill_and_restart(
    cluster: &mut Cluster,
    lines: &Lines,
    load: &Load,
    victim: usize,
    who: &str,
) -> anyhow::Result<Duration> {
    let before = load.acknowledged();
    let _ = load.take_longest_pause();
    println!("kill -9 {} ({who})", cluster.name(victim));
    cluster.kill(victim);
    let mut views = 0;
    wait_for(lines, cluster, Duration::from_secs(20), |i, line| {
        views += usize::from(i != victim && line.starts_with("view "));
        views == 2
    })?;
    pause(1500);
    let longest = load.take_longest_pause();
    println!(
        "  {} more writes acknowledged, longest wait of a client {longest:?}",
        load.acknowledged() - before
    );
    println!("restart {}", cluster.name(victim));
    cluster.start(victim)?;
    wait_for(lines, cluster, Duration::from_secs(20), |i, line| i == victim && line == "ready")?;
    pause(1000);
    Ok(longest)
}

/// Lets the load go on for a while.
fn pause(ms: u64) {
    thread::park_timeout(Duration::from_millis(ms));
}
