//! What SQLite does not have: lists, sketches, bitmaps, weights, and what goes up level over level.

use gcs_monitor::row::Row;
use gcs_monitor::sql::{Context, Fault, Limits, Query, Summary};
use gcs_monitor::value::Value;

fn summary(text: &str, rows: &[Row]) -> Summary {
    let query = Query::parse(text, &Limits::default()).expect(text);
    query.summarise(rows, &Context { now_s: 1000.5, seed: 7 }).expect(text)
}

/// The value of one expression over rows.
fn value(expr: &str, rows: &[Row]) -> Value {
    summary(&format!("SELECT {expr} AS x"), rows).row.get("x").clone()
}

fn texts(list: &[&str]) -> Value {
    Value::list(list.iter().map(|text| Value::from(*text)))
}

fn hosts(range: std::ops::Range<i64>) -> Vec<Row> {
    let host = |n: i64| {
        let load = Value::float(((n * 7919) % 1000) as f64 / 10.0);
        Row::new([("id", Value::text(format!("h{n:04}"))), ("load", load), ("n", Value::Int(n % 5))])
    };
    range.map(host).collect()
}

#[test]
fn first_keeps_the_order_of_rows_flattens_and_keeps_each_once() {
    let rows = [
        Row::new([("id", 2.into()), ("c", texts(&["b", "c"])), ("load", 1.into())]),
        Row::new([("id", 1.into()), ("c", texts(&["a", "b"])), ("load", 9.into())]),
        Row::new([("id", 3.into()), ("c", Value::from("d")), ("load", 0.into())]),
        Row::new([("id", 4.into()), ("c", Value::Null), ("load", 0.into())]),
    ];
    assert_eq!(value("FIRST(3, c)", &rows), texts(&["a", "b", "c"]));
    assert_eq!(value("FIRST(9, c) FILTER (WHERE id > 1)", &rows), texts(&["b", "c", "d"]));
    assert_eq!(value("FIRST(2, nothing)", &rows), Value::Null);
    let ordered =
        summary("SELECT FIRST(2, c) AS x, COUNT(*) AS n FROM children ORDER BY load, id DESC", &rows);
    assert_eq!(ordered.row.get("x"), &texts(&["d", "b"]));
    assert_eq!(value("ELEMENT(FIRST(3, c), -1)", &rows), Value::from("c"));
    assert_eq!(value("LENGTH(FIRST(3, c))", &rows), Value::Int(3));
}

#[test]
fn what_is_kept_of_parts_is_what_is_kept_of_the_whole() {
    let all = hosts(0..300);
    let parts: Vec<Row> = all.chunks(37).map(|part| {
        summary("SELECT RANDOM(5, id) AS id, TOP(4, load, id) AS top, SKETCH(load) AS s, DISTINCT_SKETCH(id) AS d, SUM(n) AS n, \
            AVG(load) AS mean, VARIANCE(load) AS var, COUNT(*) AS nmembers", part).row
    }).collect();
    assert_eq!(value("RANDOM(5, id)", &parts), value("RANDOM(5, id)", &all));
    assert_eq!(value("TOP(4, load, top)", &parts), value("TOP(4, load, id)", &all));
    assert_eq!(value("SKETCH(s)", &parts), value("SKETCH(load)", &all));
    assert_eq!(value("DISTINCT_SKETCH(d)", &parts), value("DISTINCT_SKETCH(id)", &all));
    let near = |a: &str, b: &str| {
        let (a, b) =
            (value(a, &parts).as_f64().expect("a number"), value(b, &all).as_f64().expect("a number"));
        assert!((a / b - 1.0).abs() < 1e-12, "{a} {b}");
    };
    near("AVG(mean, nmembers)", "AVG(load)");
    near("VARIANCE(mean, var, nmembers)", "VARIANCE(load)");
    near("STDDEV(mean, var, nmembers)", "STDDEV(load)");
    let count = value("DISTINCT_COUNT(DISTINCT_SKETCH(d))", &parts).as_int().expect("a count");
    assert!((270..330).contains(&count), "{count}");
    let p90 = value("QUANTILE(SKETCH(s), 0.9)", &parts).as_f64().expect("a number");
    assert!((p90 / 89.9 - 1.0).abs() < 0.02, "{p90}");
}

#[test]
fn top_says_by_what_and_random_draws_by_the_seed() {
    let rows = hosts(0..10);
    let Value::List(top) = value("TOP(2, load, id)", &rows) else { panic!("a list") };
    assert_eq!(&top[..], &[Value::float(91.9), "h0001".into(), Value::float(83.8), "h0002".into()]);
    let query = Query::parse("SELECT RANDOM(3, id) AS x", &Limits::default()).expect("a query");
    let drawn = |seed| query.summarise(&rows, &Context { now_s: 0.0, seed }).expect("a row").row;
    assert_eq!(drawn(1), drawn(1));
    assert!((2..20).any(|seed| drawn(seed) != drawn(1)));
    assert_eq!(drawn(1).get("x").elements().len(), 3);
}

#[test]
fn bitmaps_of_integers_and_of_bytes() {
    let of = |values: &[Value]| -> Vec<Row> {
        values.iter().map(|value| Row::new([("m", value.clone())])).collect()
    };
    let ints = of(&[6.into(), 3.into(), Value::Null]);
    assert_eq!((value("OR(m)", &ints), value("AND(m)", &ints)), (Value::Int(7), Value::Int(2)));
    let bytes = of(&[Value::bytes([1u8, 2]), Value::bytes([3u8])]);
    assert_eq!(value("BIT_OR(m)", &bytes), Value::bytes([3u8, 2]));
    assert_eq!(value("BIT_AND(m)", &bytes), Value::bytes([1u8, 0]));
    let mixed = summary("SELECT OR(m) AS x", &of(&[1.into(), Value::bytes([1u8])]));
    assert!(mixed.row.get("x").is_null() && mixed.faults.contains(Fault::MixedBitmaps));
}

#[test]
fn a_fault_is_one_null_and_said() {
    let rows =
        [Row::new([("a", i64::MAX.into()), ("b", Value::bytes(*b"no sketch"))]), Row::new([("a", 1.into())])];
    let faulty = summary(
        "SELECT SUM(a) AS s, SKETCH(b) AS k, COUNT(*) AS n, QUANTILE(FIRST(1, b), 2) AS q, MIN(ABS(-a - 1)) AS m",
        &rows,
    );
    assert_eq!(faulty.row.get("n"), &Value::Int(2));
    assert!(["s", "k", "q"].iter().all(|name| faulty.row.get(name).is_null()));
    let kinds: Vec<Fault> = faulty.faults.iter().collect();
    assert_eq!(kinds, [Fault::IntegerOverflow, Fault::NotASketch]);
    assert_eq!(summary("SELECT SUM(a - 1) AS s", &rows).row.get("s"), &Value::Int(i64::MAX - 1));
}

#[test]
fn nothing_makes_a_row_of_nothing() {
    let empty = summary(
        "SELECT COUNT(*) AS n, SUM(a) AS s, AVG(a, b) AS w, FIRST(1, a) AS f, SKETCH(a) AS k, OR(a) AS o, VARIANCE(a) AS v",
        &[],
    );
    assert_eq!(empty.row.get("n"), &Value::Int(0));
    assert!(["s", "w", "f", "k", "o", "v"].iter().all(|name| empty.row.get(name).is_null()));
}

#[test]
fn time_comes_from_outside() {
    let rows = [Row::new([("issued", 990.into())])];
    assert_eq!(value("MAX(AGE(issued))", &rows), Value::float(10.5));
    assert_eq!(value("STRFTIME('%F %T', MAX(NOW()))", &rows), Value::from("1970-01-01 00:16:40"));
}

#[test]
fn numbers_that_sqlite_was_not_built_to_round() {
    let row = Row::new([("id", 1.into())]);
    let of = |expr: &str| value(&format!("MAX({expr})"), std::slice::from_ref(&row));
    assert_eq!(
        (of("CEIL(1.25)"), of("CEILING('-1.5')"), of("FLOOR(-1.25)")),
        (Value::float(2.0), Value::float(-1.0), Value::float(-2.0))
    );
    assert_eq!((of("FLOOR(7)"), of("CEIL('x')")), (Value::Int(7), Value::Null));
    assert_eq!(
        (of("ROUND(0.125, 2)"), of("ROUND(-2.5)"), of("ROUND(2.675, 2)")),
        (Value::float(0.13), Value::float(-3.0), Value::float(2.67))
    );
}

#[test]
fn what_a_query_is_can_be_asked() {
    let query = Query::parse("SELECT *, a + b AS c FROM \"/eu/ams\" WHERE a > 1", &Limits::default())
        .expect("a query");
    assert_eq!((query.table(), query.reads_all(), query.is_aggregation()), (Some("/eu/ams"), true, false));
    assert_eq!(query.inputs().iter().map(|n| &**n).collect::<Vec<_>>(), ["a", "b"]);
    let rows = [Row::new([("a", 2.into()), ("z", 1.into())])];
    let answer = query.evaluate(&rows, &Context::default()).expect("an answer");
    assert_eq!(answer.names.iter().map(|n| &**n).collect::<Vec<_>>(), ["a", "z", "c"]);
    assert!(query.summarise(&rows, &Context::default()).is_err());
    let cost =
        Query::parse("SELECT SUM(a) AS s, SKETCH(b) AS k", &Limits::default()).expect("a query").cost();
    assert!(cost.nodes == 4 && cost.operations_per_row == 4 && cost.max_output_bytes < 750, "{cost:?}");
}
