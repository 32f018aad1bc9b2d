//! What it costs to compute a parent's row, without parsing: 64 children with 16 attributes each.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gcs_monitor::row::Row;
use gcs_monitor::schema::Schema;
use gcs_monitor::sql::{Context, Limits, Query};
use gcs_monitor::value::Value;

/// Rows of hosts, in the order in which they came, sharing a schema.
fn rows(count: usize) -> Vec<Row> {
    let numbers = (0..10).map(|n| format!("load{n}"));
    let schema = Schema::new(
        ["id", "nmembers", "depth", "contacts", "name", "topics"]
            .map(String::from)
            .into_iter()
            .chain(numbers),
    );
    assert_eq!(schema.names().len(), 16);
    let row = |n: usize| {
        let value = |name: &str| match name {
            "id" => Value::text(format!("host{:02}", n * 37 % 64)),
            "nmembers" => Value::Int(n as i64 % 7 + 1),
            "depth" => Value::Int(2),
            "contacts" => Value::list((0..3).map(|k| Value::text(format!("10.0.{n}.{k}:7000")))),
            "name" => Value::text(format!("rack{}-host{n}", n % 4)),
            "topics" => Value::bytes(vec![1u8 << (n % 8); 32]),
            _ => Value::float(n as f64 * 0.25 + 1.0),
        };
        let values: Vec<Value> = schema.names().iter().map(|name| value(name)).collect();
        Row::with_schema(schema.clone(), values).expect("a value for each name")
    };
    (0..count).map(row).collect()
}

const STANDARD: &str =
    "SELECT SUM(nmembers) AS nmembers, MAX(depth) + 1 AS depth, FIRST(3, contacts) AS contacts";
/// A column of the answer for each attribute.
const SIXTEEN: &str = "SELECT SUM(nmembers) AS nmembers, MAX(depth) + 1 AS depth, FIRST(3, contacts) AS contacts, COUNT(*) AS n, \
    MIN(name) AS name, BIT_OR(topics) AS topics, AVG(load0, nmembers) AS load0, MAX(load1) AS load1, MIN(load2) AS load2, \
    SUM(load3) AS load3, AVG(load4) AS load4, COUNT(load5) FILTER (WHERE load5 > 8) AS load5, STDDEV(load6) AS load6, \
    SUM(load7 * 2) AS load7, MAX(load8 + load9) AS load8, MAX(load9) AS load9";
const SKETCHES: &str =
    "SELECT SKETCH(load0) AS latencies, DISTINCT_SKETCH(name) AS names, TOP(3, load1, name) AS worst";

fn evaluation(c: &mut Criterion) {
    let rows = rows(64);
    let context = Context::default();
    for (name, text) in [("standard", STANDARD), ("sixteen columns", SIXTEEN), ("sketches", SKETCHES)] {
        let query = Query::parse(text, &Limits::default()).expect(text);
        c.bench_function(&format!("64 rows, {name}"), |b| {
            b.iter(|| query.summarise(black_box(&rows), &context).expect("a row"));
        });
    }
    c.bench_function("parse, sixteen columns", |b| {
        b.iter(|| Query::parse(black_box(SIXTEEN), &Limits::default()).expect("a query"));
    });
}

criterion_group!(benches, evaluation);
criterion_main!(benches);
