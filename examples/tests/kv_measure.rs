//! What the store costs: `cargo test --release -p gcs-examples --test kv_measure -- --ignored --nocapture`.
//! `KEYS=10000000` sets the number of keys; a million takes about half a gigabyte.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use bytes::Bytes;
use gcs::blocks::{AgreedTime, StateMachine};
use gcs_examples::kv::argv::encode;
use gcs_examples::kv::store::Store;
use std::hint::black_box;
use std::time::{Duration, Instant};

const AT: AgreedTime = AgreedTime(1);

fn key(number: u64) -> Vec<u8> {
    format!("{number:064}").into_bytes()
}

/// Applies all, and tells the rate and the worst, having measured each if asked to.
fn apply_all(store: &mut Store, what: &str, commands: &[Bytes]) {
    let start = Instant::now();
    for command in commands {
        black_box(store.apply(command, AT));
    }
    let rate = commands.len() as f64 / start.elapsed().as_secs_f64();
    println!("{what}: {:.2} M/s", rate / 1e6);
}

fn latencies(store: &mut Store, what: &str, commands: &[Bytes]) {
    let mut all: Vec<Duration> = commands
        .iter()
        .map(|command| {
            let start = Instant::now();
            black_box(store.apply(command, AT));
            start.elapsed()
        })
        .collect();
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    println!("{what}: p50 {:?}, p99 {:?}, p99.9 {:?}, worst {:?}", at(0.5), at(0.99), at(0.999), at(1.0));
}

#[test]
#[ignore = "measures; needs --release and a quiet machine"]
fn store() {
    let keys: u64 = std::env::var("KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(1_000_000);
    let value = [b'v'; 64];
    let set = |number: u64| encode(&[b"SET", &key(number), &value]);
    let mut store = Store::new();
    for part in 0..10 {
        let commands: Vec<_> = (0..keys / 10).map(|number| set(part * (keys / 10) + number)).collect();
        apply_all(&mut store, "SET, new key", &commands);
    }
    // Large steps, so that consecutive commands are far apart in memory.
    let some: Vec<_> = (0..500_000.min(keys)).map(|number| set(number * 7919 % keys)).collect();
    apply_all(&mut store, "SET, overwrite", &some);
    let gets: Vec<_> = (0..500_000.min(keys)).map(|n| encode(&[b"GET", &key(n * 7919 % keys)])).collect();
    apply_all(&mut store, "GET", &gets);
    apply_all(&mut store, "INCR, one key", &vec![encode(&[b"INCR", b"counter"]); 500_000]);
    apply_all(&mut store, "LPUSH, one list", &vec![encode(&[b"LPUSH", b"list", &value]); 1_000_000]);
    let fields: Vec<_> = (0..500_000).map(|n| encode(&[b"HSET", b"hash", &key(n), &value])).collect();
    apply_all(&mut store, "HSET, one hash of 500,000 fields", &fields);

    latencies(&mut store, "SET without a snapshot", &some);
    let start = Instant::now();
    let snapshot = store.snapshot();
    println!("snapshot(): {:?}", start.elapsed());
    apply_all(&mut store, "SET, the first 20,000 after it", &some[..20_000]);
    latencies(&mut store, "SET, the next ones", &some[20_000..]);
    latencies(&mut store, "LPUSH to 1,000,000 after it", &vec![encode(&[b"LPUSH", b"list", b"x"]); 1000]);
    latencies(&mut store, "HSET to 500,000 after it", &fields[..100_000]);

    let start = Instant::now();
    let count = snapshot.chunks();
    println!("chunks(): {count} in {:?}", start.elapsed());
    let start = Instant::now();
    let chunks: Vec<_> = (0..count).map(|index| snapshot.chunk(index)).collect();
    let bytes: usize = chunks.iter().map(Bytes::len).sum();
    let rate = |start: Instant| bytes as f64 / start.elapsed().as_secs_f64() / 1e6;
    println!("chunk(): {} MB at {:.0} MB/s", bytes / 1_000_000, rate(start));
    let start = Instant::now();
    let mut joiner = Store::new();
    chunks.iter().for_each(|chunk| joiner.restore(chunk).expect("our own chunk"));
    println!("restore(): {:.0} MB/s", rate(start));
    let start = Instant::now();
    store.reset();
    println!("reset(): {:?}", start.elapsed());
}
