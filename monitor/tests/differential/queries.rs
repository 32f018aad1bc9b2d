//! Generated queries, each with an order that leaves nothing open, or compared without order.

use crate::choices::Choices;
use crate::expressions::{any, condition, leaf, text};

/// A query, and how its answers compare.
pub(crate) struct Generated {
    pub(crate) text: String,
    /// Whether integers and floats of the same value differ. Not where a group or DISTINCT keeps one of several equal values.
    pub(crate) strict: bool,
}

const DEPTH: usize = 3;

fn filter(choices: &mut Choices<'_>) -> String {
    if choices.rarely(2) { format!(" WHERE {}", condition(choices, DEPTH)) } else { String::new() }
}

fn limit(choices: &mut Choices<'_>) -> String {
    match choices.pick(6) {
        4 => format!(" LIMIT {}", choices.pick(6)),
        5 => format!(" LIMIT {} OFFSET {}", choices.pick(6), choices.pick(4)),
        _ => String::new(),
    }
}

fn direction(choices: &mut Choices<'_>) -> &'static str {
    choices.one(&["", " ASC", " DESC", " NULLS LAST", " DESC NULLS FIRST"])
}

fn select(items: &[String]) -> String {
    let items: Vec<String> = items.iter().enumerate().map(|(n, item)| format!("{item} AS x{n}")).collect();
    items.join(", ")
}

pub(crate) fn generate(choices: &mut Choices<'_>) -> Generated {
    match choices.pick(8) {
        0..3 => rows(choices),
        3 => distinct(choices),
        4 | 5 => grouped(choices),
        _ => one_row(choices),
    }
}

/// One row for each row.
fn rows(choices: &mut Choices<'_>) -> Generated {
    let items: Vec<String> = (0..1 + choices.pick(3))
        .map(|_| if choices.rarely(3) { text(choices, DEPTH) } else { any(choices, DEPTH) })
        .collect();
    let (filter, mut order) = (filter(choices), String::new());
    for n in 0..choices.pick(3).min(items.len()) {
        let term = match choices.pick(3) {
            0 => (n + 1).to_string(),
            1 => format!("x{n}"),
            // With a column in it: SQLite takes what it can compute before it runs for the number of a column.
            _ => format!("({}) = n", any(choices, 1)),
        };
        order.push_str(&format!("{term}{}, ", direction(choices)));
    }
    let text = format!("SELECT {} FROM t{filter} ORDER BY {order}id{}", select(&items), limit(choices));
    Generated { text, strict: true }
}

fn distinct(choices: &mut Choices<'_>) -> Generated {
    let items: Vec<String> = (0..1 + choices.pick(2)).map(|_| any(choices, 1)).collect();
    let order: Vec<String> = (1..=items.len()).map(|n| format!("{n}{}", direction(choices))).collect();
    let filter = filter(choices);
    let text = format!(
        "SELECT DISTINCT {} FROM t{filter} ORDER BY {}{}",
        select(&items),
        order.join(", "),
        limit(choices)
    );
    Generated { text, strict: false }
}

/// An aggregate; its value is the same in whatever order the rows come.
fn aggregate(choices: &mut Choices<'_>) -> String {
    let call = match choices.pick(12) {
        0 => "COUNT(*)".to_owned(),
        1 => format!("COUNT({})", any(choices, 2)),
        2 => format!("COUNT(DISTINCT {})", any(choices, 2)),
        // No arithmetic: of 1 and 1.0, SQLite keeps the one that it saw first.
        3 | 4 => format!("{}({})", choices.one(&["MIN", "MAX"]), text(choices, 1)),
        5 => format!("{}(i)", choices.one(&["MIN", "MAX", "SUM", "COUNT"])),
        6 | 7 => format!(
            "SUM({})",
            choices.one(&["n", "a", "b", "id", "n * 2", "a + n", "DISTINCT n", "CASE WHEN n > 0 THEN n END"])
        ),
        8 => format!("AVG({})", choices.one(&["n", "a", "b", "id", "DISTINCT n", "n / 2"])),
        9 => format!("SUM({})", condition(choices, 2)),
        _ => format!("COUNT({})", leaf(choices)),
    };
    if choices.rarely(3) { format!("{call} FILTER (WHERE {})", condition(choices, 2)) } else { call }
}

/// An expression over aggregates.
fn aggregates(choices: &mut Choices<'_>) -> String {
    match choices.pick(8) {
        0..4 => aggregate(choices),
        4 => {
            format!("{} {} COUNT(*)", aggregate(choices), choices.one(&["+", "-", "/", "%", "<", "=", "IS"]))
        }
        5 => format!("COALESCE({}, {})", aggregate(choices), aggregate(choices)),
        6 => format!(
            "CASE WHEN {} > 1 THEN {} ELSE {} END",
            aggregate(choices),
            aggregate(choices),
            leaf_constant(choices)
        ),
        _ => format!("TYPEOF(SUM({}))", choices.one(&["n", "a", "id"])),
    }
}

fn leaf_constant(choices: &mut Choices<'_>) -> String {
    choices.one(&["0", "NULL", "'x'", "2.5"]).to_owned()
}

fn having(choices: &mut Choices<'_>) -> String {
    if choices.rarely(3) {
        format!(
            " HAVING {} {} {}",
            aggregates(choices),
            choices.one(&[">", "<", "=", "IS NOT"]),
            aggregates(choices)
        )
    } else {
        String::new()
    }
}

fn grouped(choices: &mut Choices<'_>) -> Generated {
    let keys: Vec<String> = (0..1 + choices.pick(2))
        .map(|_| {
            if choices.rarely(3) {
                text(choices, 2)
            } else {
                choices.one(&["a", "b", "c", "n", "id % 3", "n > 0"]).to_owned()
            }
        })
        .collect();
    let mut items = keys.clone();
    items.extend((0..1 + choices.pick(3)).map(|_| aggregates(choices)));
    let filter = filter(choices);
    // A constant is no column number, but would be read as one.
    let group: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| match choices.pick(3) {
            0 => format!("x{n}"),
            1 => (n + 1).to_string(),
            _ if key.starts_with(|c: char| c.is_ascii_digit() || c == '-') => format!("x{n}"),
            _ => key.clone(),
        })
        .collect();
    let order: Vec<String> = (1..=keys.len()).map(|n| format!("{n}{}", direction(choices))).collect();
    let text = format!(
        "SELECT {} FROM t{filter} GROUP BY {}{} ORDER BY {}{}",
        select(&items),
        group.join(", "),
        having(choices),
        order.join(", "),
        limit(choices)
    );
    Generated { text, strict: false }
}

fn one_row(choices: &mut Choices<'_>) -> Generated {
    let items: Vec<String> = (0..1 + choices.pick(4)).map(|_| aggregates(choices)).collect();
    // Without an aggregate it would be a row for each row.
    let text =
        format!("SELECT COUNT(*) AS rows, {} FROM t{}{}", select(&items), filter(choices), having(choices));
    Generated { text, strict: false }
}
