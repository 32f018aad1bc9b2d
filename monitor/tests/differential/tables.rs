//! Generated rows: few values, so that they meet, and those at which something changes.
//!
//! Columns: `id` unique; `a`, `b`, `c` anything but big numbers; `n` small numbers, `i` integers up to the largest; each may be NULL, or absent.

use gcs_monitor::row::Row;
use gcs_monitor::value::Value;

use crate::choices::Choices;

pub(crate) const COLUMNS: [&str; 6] = ["id", "a", "b", "c", "n", "i"];

const TEXTS: [&str; 16] =
    ["", "a", "A", "ab", "b", "Ab%", "a_b", "12", "5x", " 7 ", "-1.5", "1e2", "0", "é", "zz zz", "x'"];
const BIG: [i64; 8] =
    [i64::MAX, i64::MIN, i64::MAX - 1, (1 << 53) + 1, -(1 << 53) - 1, 4_611_686_018_427_387_904, 1 << 31, -1];

fn small(choices: &mut Choices<'_>) -> Value {
    match choices.pick(5) {
        // Floats that are whole numbers do not come up: of 1 and 1.0, which are equal, SQLite keeps the one that it saw first.
        4 => Value::float(choices.pick(40) as f64 - 20.0 + 0.25 * (1.0 + choices.pick(3) as f64)),
        _ => Value::Int(choices.pick(9) as i64 - 3),
    }
}

fn anything(choices: &mut Choices<'_>) -> Value {
    match choices.pick(7) {
        0 => Value::Null,
        1..4 => small(choices),
        4 | 5 => Value::text(TEXTS[choices.pick(TEXTS.len())]),
        _ => Value::bytes(TEXTS[choices.pick(9)].as_bytes()),
    }
}

pub(crate) fn generate(choices: &mut Choices<'_>) -> Vec<Row> {
    let count = choices.pick(12);
    let mut rows = Vec::with_capacity(count);
    for id in 0..count {
        let mut attributes = vec![("id", Value::Int(id as i64))];
        for name in ["a", "b", "c"] {
            attributes.push((name, anything(choices)));
        }
        attributes.push(("n", if choices.rarely(5) { Value::Null } else { small(choices) }));
        attributes.push((
            "i",
            if choices.rarely(5) { Value::Null } else { Value::Int(BIG[choices.pick(BIG.len())]) },
        ));
        if choices.rarely(6) {
            attributes.remove(1 + choices.pick(5));
        }
        rows.push(Row::new(attributes));
    }
    // The oracle sees them in another order.
    if choices.rarely(2) {
        rows.reverse();
    }
    rows
}

pub(crate) fn describe(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{:?}\n", row.iter().collect::<Vec<_>>())).collect()
}
