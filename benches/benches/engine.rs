//! The protocol alone, per message and member: `cargo bench -p gcs-benches`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gcs_benches::engine::{Engine, Shape};

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

criterion_group!(benches, stacks);
criterion_main!(benches);
