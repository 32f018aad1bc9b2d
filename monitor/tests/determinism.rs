//! The order in which rows arrive, and who shares their schemas, changes nothing, to the bit.

use gcs_monitor::row::Row;
use gcs_monitor::sql::{Context, Limits, Query};
use gcs_monitor::value::Value;
use proptest::prelude::*;

const QUERIES: [&str; 10] = [
    "SELECT SUM(x) AS s, AVG(x) AS a, AVG(x, w) AS aw, VARIANCE(x) AS v, STDDEV(x) AS d, VARIANCE(x, w, w) AS vw",
    "SELECT MIN(x) AS lo, MAX(x) AS hi, COUNT(*) AS n, COUNT(DISTINCT x) AS d, SUM(DISTINCT x) AS sd",
    "SELECT FIRST(3, t) AS f, FIRST(20, list) AS fl, RANDOM(3, t) AS r, RANDOM(9, list) AS rl",
    "SELECT TOP(3, x, t) AS top, TOP(2, w, x) AS other",
    "SELECT SKETCH(x) AS s, DISTINCT_SKETCH(t) AS d, QUANTILE(SKETCH(x), 0.9) AS q, DISTINCT_COUNT(DISTINCT_SKETCH(x)) AS n",
    "SELECT BIT_OR(w) AS o, BIT_AND(w) AS a, OR(b) AS bo, AND(b) AS ba",
    "SELECT FIRST(2, t) AS f, SUM(x) AS s ORDER BY w DESC",
    "SELECT * FROM t ORDER BY w",
    "SELECT DISTINCT w FROM t",
    "SELECT w, SUM(x) AS s, FIRST(2, t) AS f, MIN(x) AS m FROM t GROUP BY w HAVING COUNT(*) > 1 ORDER BY s DESC LIMIT 3",
];

fn number() -> impl Strategy<Value = Value> {
    // Floats whose sum depends on the order of the addends, and integers that equal floats.
    prop_oneof![
        (-1e18..1e18f64).prop_map(Value::float),
        (-1.0..1.0f64).prop_map(Value::float),
        (0..4i64).prop_map(Value::Int),
        (0..4i64).prop_map(|n| Value::float(n as f64)),
        Just(Value::Null),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let text = "[ab]{0,2}".prop_map(Value::text);
    let list = prop::collection::vec(number(), 0..4).prop_map(Value::list);
    let bytes = prop::collection::vec(any::<u8>(), 0..4).prop_map(Value::bytes);
    (number(), 0..4i64, text, list, bytes, any::<bool>(), 0..6i64).prop_map(
        |(x, w, t, list, b, whole, id)| {
            let attributes =
                [("x", x), ("w", Value::Int(w)), ("t", t), ("list", list), ("b", b), ("id", Value::Int(id))];
            Row::new(attributes.into_iter().filter(|(name, _)| whole || *name != "w"))
        },
    )
}

/// Bits, not values: 1 and 1.0 are equal to SQL.
fn bits(query: &Query, rows: &[Row]) -> String {
    let context = Context { now_s: 1e9, seed: 7 };
    format!("{:?}", query.evaluate(rows, &context).expect("within limits"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_order_of_arrival_does_not_matter(
        (rows, shuffled) in prop::collection::vec(row(), 0..20)
            .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))
    ) {
        for text in QUERIES {
            let query = Query::parse(text, &Limits::default()).expect(text);
            prop_assert_eq!(bits(&query, &rows), bits(&query, &shuffled), "{}", text);
        }
    }
}
