//! The protocol alone, per message and member, and a frame's signature: `cargo bench -p gcs-benches`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gcs::sim::certified;
use gcs_benches::engine::{Engine, Shape};
use std::hint::black_box;

const MESSAGES: u64 = 30_000;

fn stacks(c: &mut Criterion) {
    let mut group = c.benchmark_group("three members, 64 bytes");
    group.sample_size(20).throughput(Throughput::Elements(3 * MESSAGES));
    for stack in gcs_stacks::names().filter(|s| !s.contains("check")) {
        let shape = Shape { stack: stack.to_owned(), ..Shape::default() };
        let engine = || Engine::new(&shape).expect("a stack of the catalogue");
        group.bench_function(stack, |b| {
            b.iter_batched(engine, |mut e| e.run(MESSAGES), BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// Of the digest of a frame, by one member and at another one.
fn signature(c: &mut Criterion) {
    let signer = certified(["p0".to_owned()])[0].signer().expect("certificates sign");
    let (key, digest) = (signer.public_key(), [7; 32]);
    let signature = signer.sign(&digest);
    let mut group = c.benchmark_group("signature");
    group.bench_function("sign", |b| b.iter(|| signer.sign(black_box(&digest))));
    group.bench_function("check", |b| b.iter(|| signer.is_signed(&key, black_box(&digest), &signature)));
    group.finish();
}

criterion_group!(benches, stacks, signature);
criterion_main!(benches);
