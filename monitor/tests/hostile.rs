//! Text and bytes from somebody who means harm: every one is answered or refused, soon, in little memory, without a panic.

use std::time::Duration;

use gcs_monitor::codec::{RowError, RowLimits};
use gcs_monitor::row::Row;
use gcs_monitor::schema::Schemas;
use gcs_monitor::sql::{Context, EvalError, Limits, Query};
use gcs_monitor::value::Value;
use proptest::prelude::*;

/// Runs on a small stack; fails when it takes longer than anything here should.
fn bounded<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let thread = thread.spawn(move || done.send(what())).expect("a thread");
    let result = result.recv_timeout(Duration::from_secs(60)).expect("it ends");
    thread.join().expect("it does not panic").expect("somebody waits");
    result
}

/// What the parser says of a text.
fn refusal(text: String) -> String {
    bounded(move || match Query::parse(&text, &Limits::default()) {
        Ok(query) => {
            let row = Row::new([("a", Value::Int(1)), ("t", Value::text("aaaaaaaa"))]);
            let answer = query.evaluate([&row], &Context::default());
            format!("accepted: {}", answer.is_ok())
        }
        Err(e) => e.to_string(),
    })
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let deep = |open: &str, inner: &str, close: &str, n: usize| {
        format!("SELECT {}{inner}{}", open.repeat(n), close.repeat(n))
    };
    for n in [40, 60, 400, 3_000] {
        let limit = n > 48;
        for (open, inner, close) in [
            ("(", "1", ")"),
            ("ABS(", "1", ")"),
            ("NOT ", "1", ""),
            ("- ", "1", ""),
            ("~", "1", ""),
            ("CASE WHEN 1 THEN ", "1", " END"),
            ("CASE ", "1", " WHEN 1 THEN 1 END"),
            ("CAST(", "1", " AS TEXT)"),
            ("1 IN (", "1", ")"),
            ("1 + (", "1", ")"),
            ("1 BETWEEN 0 AND (", "1", ")"),
            ("COUNT(", "1", ")"),
            ("a[", "1", "]"),
            ("{fn ", "1", "}"),
            ("INTERVAL ", "1", ""),
            ("1 + ", "1", ""),
            ("1 || ", "1", ""),
            ("1 = ", "1", ""),
            ("1 IS ", "1", ""),
            ("a LIKE ", "a", ""),
            ("IF(current_time(", "x", "))"),
            ("a.", "a", ""),
            ("(a) -> (", "a", ")"),
            ("STRUCT<", "a", ">"),
            ("ARRAY[", "1", "]"),
        ] {
            let said = refusal(deep(open, inner, close, n));
            assert!(!limit || !said.starts_with("accepted: "), "{n} × {open}: {said}");
        }
        // Chains of AND are flat, but not endless.
        assert_eq!(refusal(deep("1 AND ", "1 AS x", "", n)).starts_with("accepted"), n < 256);
    }
}

#[test]
fn speculation_of_the_grammar_is_not_exponential() {
    for text in [
        "SELECT case-".to_owned() + &"case-".repeat(40) + "c",
        "SELECT ".to_owned() + &"IF(current_time(".repeat(20) + "x",
        "SELECT ".to_owned() + &"CAST(CASE (".repeat(20) + "x",
        "SELECT a".to_owned() + &".not-b".repeat(40) + ".#",
        "SELECT ".to_owned() + &"interval ".repeat(45),
        "SELECT ".to_owned() + &"a IN ((".repeat(22),
        "SELECT x FROM ".to_owned() + &"(".repeat(45) + "t",
        "SELECT x FROM ".to_owned() + &"t JOIN (".repeat(45),
        "SELECT ".to_owned() + &"substring(trim(".repeat(22),
        "SELECT ".to_owned() + &"f(a => f(".repeat(22),
        "SELECT ".to_owned() + &"position(position(".repeat(22),
    ] {
        let said = refusal(text);
        assert!(!said.starts_with("accepted"), "{said}");
    }
}

#[test]
fn huge_and_endless_texts_are_refused() {
    assert!(refusal("a".repeat(1 << 20)).contains("shorten"));
    assert!(refusal("SELECT ".to_owned() + &"1,".repeat(8_000)).contains("shorten"));
    assert!(refusal("SELECT 'endless".to_owned()).contains("terminated"));
    assert!(refusal("SELECT /* endless".to_owned()).starts_with("line 1"));
    assert!(refusal("SELECT ".to_owned() + &["1 AS a", "2 AS b"].join(", ").repeat(90)).contains("line"));
    assert!(refusal(format!("SELECT '{}' AS x", "x".repeat(5_000))).contains("limit"));
    assert!(refusal("SELECT FIRST(1000000000, a)".to_owned()).contains("from 1 to 256"));
}

#[test]
fn text_does_not_grow_without_bound() {
    let mut doubled = "t".to_owned();
    for _ in 0..14 {
        doubled = format!("REPLACE({doubled}, 'a', 'aa')");
    }
    let limits = Limits::default();
    let query = Query::parse(&format!("SELECT {doubled} AS x"), &limits).expect("it looks harmless");
    let row = Row::new([("t", Value::text("aaaaaaaa"))]);
    let answer = query.evaluate([&row], &Context::default()).expect("an answer");
    assert_eq!(answer.rows[0][0], Value::Null);
    assert!(!answer.faults.is_empty());
}

#[test]
fn work_is_bounded() {
    let limits = Limits { work: 1_000_000, ..Limits::default() };
    let like = vec!["t LIKE '%a%a%a%a%a%b'"; 100].join(" OR ");
    let query = Query::parse(&format!("SELECT COUNT(*) AS n WHERE {like}"), &limits).expect("a query");
    let row = Row::new([("t", Value::text("a".repeat(4_000)))]);
    let rows = vec![row; 1_000];
    let answer = bounded(move || query.evaluate(&rows, &Context::default()));
    assert_eq!(answer, Err(EvalError::TooMuchWork { limit: 1_000_000 }));
}

#[test]
fn answers_are_bounded() {
    let limits = Limits { groups: 10, output_rows: 10, rows: 100, output_bytes: 200, ..Limits::default() };
    let rows: Vec<Row> =
        (0..50).map(|id| Row::new([("id", Value::Int(id)), ("t", Value::text("x".repeat(100)))])).collect();
    let ask =
        |text: &str| Query::parse(text, &limits).expect(text).evaluate(&rows, &Context::default()).err();
    assert_eq!(ask("SELECT id, COUNT(*) AS n GROUP BY id"), Some(EvalError::TooManyGroups { limit: 10 }));
    assert!(matches!(ask("SELECT id"), Some(EvalError::TooLarge { what: "the rows", .. })));
    assert!(matches!(
        ask("SELECT t, t || t AS u LIMIT 1"),
        Some(EvalError::TooLarge { what: "the bytes of a row", .. })
    ));
    let many = [rows.clone(), rows.clone(), rows.clone()].concat();
    let query = Query::parse("SELECT COUNT(*) AS n", &limits).expect("a query");
    assert_eq!(
        query.evaluate(&many, &Context::default()).err(),
        Some(EvalError::TooManyRows { found: 150, limit: 100 })
    );
}

#[test]
fn lengths_in_bytes_of_rows_are_not_believed() {
    let decode = |bytes: &[u8]| Row::decode(bytes, &RowLimits::default(), &mut Schemas::default());
    // Two billion attributes; one whose text, bytes or list has four billion.
    for bytes in [
        &[0xff, 0xff, 0xff, 0xff, 0x07][..],
        &[1, 1, b'a', 3, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[1, 1, b'a', 4, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[1, 1, b'a', 5, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[1, 1, b'a', 5, 1, 5, 1, 5, 1, 5], // lists in lists
        &[2, 1, b'b', 0, 1, b'a', 0],       // names out of order
        &[2, 1, b'a', 0, 1, b'a', 0],       // the same name twice
        &[1, 1, 0xff, 0],                   // not UTF-8
        &[0, 0],                            // more than a row
    ] {
        assert_eq!(decode(bytes), Err(RowError::Malformed), "{bytes:?}");
    }
    assert!(matches!(decode(&[0; 10_000]), Err(RowError::TooLarge { what: "bytes", .. })));
    let nan = [&[1, 1, b'a', 2][..], &f64::NAN.to_le_bytes()].concat();
    assert_eq!(decode(&nan).expect("a row").get("a"), &Value::Null);
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::float),
        ".{0,8}".prop_map(Value::text),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(Value::bytes),
    ];
    prop_oneof![scalar.clone(), prop::collection::vec(scalar, 0..5).prop_map(Value::list)]
}

/// Words that take the generator past the first mistake.
const WORDS: [&str; 40] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "(",
    ")",
    ",",
    "a",
    "t",
    "1",
    "'x'",
    "+",
    "-",
    "*",
    "||",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "AS",
    "SUM(",
    "FIRST(3,",
    "COUNT(*)",
    "FILTER (WHERE",
    "DISTINCT",
    "BETWEEN",
    "IS NULL",
    "CAST(",
    "\"",
    ";",
    "x'0",
    "\u{1f600}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_come_back_as_they_were(attributes in prop::collection::btree_map("[a-z]{1,4}", value(), 0..8)) {
        let row = Row::new(attributes);
        let bytes = row.encode();
        prop_assert_eq!(bytes.len(), row.encoded_len());
        prop_assert_eq!(Row::decode(&bytes, &RowLimits::default(), &mut Schemas::default()), Ok(row));
    }

    #[test]
    fn damaged_rows_are_refused_or_are_rows(
        attributes in prop::collection::btree_map("[a-z]{1,4}", value(), 0..8),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Row::new(attributes).encode();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(row) = Row::decode(&bytes, &RowLimits::default(), &mut Schemas::default()) {
            let again = Row::decode(&row.encode(), &RowLimits::HARD, &mut Schemas::default());
            prop_assert_eq!(again, Ok(row));
        }
    }

    #[test]
    fn garbage_is_refused(text in prop_oneof![
        ".{0,200}",
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40).prop_map(|words| format!("SELECT {}", words.join(" "))),
    ]) {
        let row = Row::new([("a", Value::Int(1)), ("t", Value::text("x"))]);
        match Query::parse(&text, &Limits::default()) {
            Ok(query) => {
                let _ = query.evaluate([&row], &Context::default());
                prop_assert!(query.cost().nodes <= Limits::default().nodes);
            }
            Err(e) => prop_assert!(e.message().len() < 400, "{e}"),
        }
    }
}
