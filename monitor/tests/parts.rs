//! An aggregation in parts, over zones in zones of any shape, says what it says of one table of all rows.

use gcs_monitor::{
    row::Row,
    sql::{Context, Limits, Parts, Query},
    value::Value,
};
use proptest::{collection::vec, option, prelude::*};

/// Columns, some of several aggregates.
const COLUMNS: &[&str] = &[
    "COUNT(*)",
    "COUNT(a)",
    "SUM(a)",
    "SUM(b) + COUNT(*)",
    "MIN(a)",
    "MAX(b)",
    "MAX(t)",
    "MAX(DISTINCT a)",
    "AVG(a)",
    "AVG(b)",
    "AVG(b, a)",
    "VARIANCE(a)",
    "VARIANCE(b, c, a)",
    "STDDEV(b)",
    "STDDEV(b) FILTER (WHERE a > 2)",
    "MAX(a) - MIN(a)",
    "COUNT(*) FILTER (WHERE t = 'x')",
    "SUM(CASE WHEN b > 1 THEN 1 ELSE 0 END)",
    "BIT_OR(a)",
    "BIT_AND(a)",
    "FIRST(3, t)",
    "RANDOM(2, id)",
    "TOP(3, a, id)",
    "QUANTILE(SKETCH(b), 0.5)",
    "DISTINCT_COUNT(DISTINCT_SKETCH(a))",
    "ROUND(AVG(a), 1) || '/' || COUNT(t)",
    "COALESCE(MAX(a), 0) + 1",
    "SUM(a) IS NULL",
    "7",
];
const FILTERS: &[&str] = &["", " WHERE a > 3", " WHERE t = 'x' OR b IS NULL", " WHERE 0"];

type Agent = (Option<i64>, Option<i8>, Option<u8>, Option<bool>);

fn row(nth: usize, (a, b, c, t): &Agent) -> Row {
    let int = |of: Option<i64>| of.map_or(Value::Null, Value::Int);
    let t = t.map_or(Value::Null, |t| Value::text(if t { "x" } else { "y" }));
    let b = b.map_or(Value::Null, |b| Value::float(f64::from(b) / 4.0));
    let id = Value::text(format!("agent{nth:03}"));
    Row::new([("id", id), ("a", int(*a)), ("b", b), ("c", int(c.map(i64::from))), ("t", t)])
}

/// Zones of so many children, level over level, until there is one; children of zones may be agents, too.
fn level_over_level(parts: &Parts, rows: &[Row], sizes: &[usize], context: &Context) -> Row {
    let mut children: Vec<(Row, bool)> = rows.iter().map(|row| (row.clone(), true)).collect();
    let mut sizes = sizes.iter().cycle();
    for level in 0.. {
        let mut zones = Vec::new();
        let mut left = children.as_slice();
        // The last level takes all.
        let last = level > 4 || left.len() <= 2;
        while !left.is_empty() || zones.is_empty() {
            let size = if last { left.len() } else { (*sizes.next().expect("a cycle")).min(left.len()) };
            let (own, others) = left.split_at(size);
            left = others;
            // A zone of one agent stays an agent now and then: trees are not even.
            if let ([(agent, true)], false) = (own, last) {
                zones.push((agent.clone(), true));
                continue;
            }
            let agents = own.iter().filter(|(_, agent)| *agent).map(|(row, _)| row);
            let inner = own.iter().filter(|(_, agent)| !*agent).map(|(row, _)| row);
            let zone = parts.summarise(agents, inner, context).expect("it is small").row;
            zones.push((zone.set("id", Value::text(format!("zone{:03}", zones.len()))), false));
        }
        if last {
            return zones.remove(0).0;
        }
        children = zones;
    }
    unreachable!("it ends")
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => (a - b).abs() <= 1e-9 * (1.0 + a.abs()),
        _ => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn parts_say_what_the_whole_says(
        agents in vec((option::of(0..9_i64), option::of(any::<i8>()), option::of(0..9_u8), option::of(any::<bool>())), 0..40),
        sizes in vec(1..7_usize, 1..6),
        columns in prop::sample::subsequence(COLUMNS, 1..6),
        filter in prop::sample::select(FILTERS),
    ) {
        let columns: Vec<String> = columns.iter().enumerate().map(|(nth, c)| format!("{c} AS c{nth}")).collect();
        let query = format!("SELECT {}{filter}", columns.join(", "));
        let query = Query::parse(&query, &Limits::default()).expect("it is right");
        // Of constants alone nothing has to be asked.
        prop_assume!(query.is_aggregation());
        let rows: Vec<Row> = agents.iter().enumerate().map(|(nth, agent)| row(nth, agent)).collect();
        let context = Context { now_s: 0.0, seed: 7 };
        let whole = query.summarise(&rows, &context).expect("it is small").row;
        let parts = Parts::new(&query, "&q").expect("it can be");
        let top = level_over_level(&parts, &rows, &sizes, &context);
        // FIRST is in the order of zones, which here is that of agents only while all are at one level.
        for (name, value) in whole.iter() {
            let first = query.text().contains(&format!("FIRST(3, t) AS {name}"));
            let equal = if first { top.get(name).elements().len() == value.elements().len() } else { same(top.get(name), value) };
            prop_assert!(equal, "{}: {name} is {} of all and {} level over level", query.text(), value, top.get(name));
        }
    }
}

#[test]
fn what_has_no_bounded_parts_is_refused() {
    for (query, says) in [
        ("SELECT COUNT(DISTINCT a) AS n", "DISTINCT over all agents"),
        ("SELECT FIRST(3, t) AS t ORDER BY a", "ORDER BY is about one table"),
        ("SELECT a, b", "does not make one row of many"),
        ("SELECT COUNT(*) AS n GROUP BY a", "does not make one row of many"),
    ] {
        let query = Query::parse(query, &Limits::default()).expect("it is right");
        let error = Parts::new(&query, "&q").expect_err("it cannot be").to_string();
        assert!(error.contains(says), "{error}");
    }
}
