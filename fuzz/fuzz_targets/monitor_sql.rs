//! Aggregation queries of gcs-monitor from arbitrary text, evaluated over a few rows, as a whole and in parts.
#![no_main]

use gcs_monitor::{
    row::Row,
    sql::{Context, Limits, Query},
    value::Value,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(query) = Query::parse(text, &Limits::default()) else { return };
    let rows = [
        Row::new([("a", Value::Int(i64::MAX)), ("b", Value::text("é%_")), ("c", Value::Null)]),
        Row::new([("a", Value::float(-0.5)), ("b", Value::list([Value::Int(1), Value::text("x")]))]),
        Row::new([("a", Value::Null), ("c", Value::bytes(&b"\xff"[..]))]),
    ];
    let forward = query.evaluate(&rows, &Context::default());
    let backward = query.evaluate(rows.iter().rev(), &Context::default());
    assert_eq!(format!("{forward:?}"), format!("{backward:?}"), "whatever the order in which rows arrive");
});
