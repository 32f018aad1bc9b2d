//! SQLite as the oracle: generated tables and generated queries over everything that both can say.
//!
//! What they say differently on purpose is not generated, or allowed for in `compare.rs`; `docs/sql.md` lists it with the reasons.
//! `CASES=100000 cargo test -p gcs-monitor --test differential` looks for longer.

mod choices;
mod compare;
mod expressions;
mod oracle;
mod queries;
mod tables;

use choices::Choices;
use gcs_monitor::sql::{Context, Fault, Limits, Query};
use oracle::{Oracle, Said};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

/// How many cases to try.
fn cases(default: u32) -> Config {
    let cases = std::env::var("CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() }
}

/// Fails with what they disagree about; the numbers that it was generated from say nothing to anybody.
fn report<T: std::fmt::Debug>(result: Result<(), TestError<T>>) {
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(other) => panic!("{other}"),
    }
}

/// Asks both about the same rows.
fn agree(oracle: &Oracle, choices: &mut Choices<'_>) -> Result<(), TestCaseError> {
    let table = tables::generate(choices);
    let query = queries::generate(choices);
    let context = || format!("{}\n{}", query.text, tables::describe(&table));
    let parsed = Query::parse(&query.text, &Limits::default());
    let parsed = parsed.map_err(|e| TestCaseError::fail(format!("refused: {e}\n{}", context())))?;
    let ours = parsed.evaluate(&table, &Context::default());
    let ours = ours.map_err(|e| TestCaseError::fail(format!("no answer: {e}\n{}", context())))?;
    match oracle.ask(&query.text, &table) {
        Said::Rows(theirs) => {
            // What SQLite does not need, it may not even compute: after LIMIT, and in conditions that are decided already.
            let all = !query.text.contains(" LIMIT ") && !query.text.contains("ABS(");
            prop_assert!(
                !(all && ours.faults.contains(Fault::IntegerOverflow)),
                "only ours overflows\n{}",
                context()
            );
            compare::rows(&ours.rows, &theirs, &query)
                .map_err(|e| TestCaseError::fail(format!("{e}\n{}", context())))
        }
        // SQLite gives up as a whole, also when a sum overflows only on the way, and when what overflows is not needed.
        Said::Overflow => {
            let may = query.text.contains("SUM(") || query.text.contains("ABS(");
            prop_assert!(may, "only theirs overflows\n{}", context());
            Ok(())
        }
        Said::Error(e) => Err(TestCaseError::fail(format!("the oracle refuses: {e}\n{}", context()))),
    }
}

#[test]
fn sqlite_says_the_same() {
    let oracle = Oracle::new();
    let mut runner = TestRunner::new(cases(4_000));
    let strategy = prop::collection::vec(any::<u16>(), 20..260);
    let result = runner.run(&strategy, |data| agree(&oracle, &mut Choices::new(&data)));
    report(result);
}

/// Signs without parentheses: who binds more tightly is the same.
#[test]
fn precedence_is_sqlites() {
    let oracle = Oracle::new();
    let mut runner = TestRunner::new(cases(3_000));
    let strategy = prop::collection::vec(any::<u16>(), 10..80);
    let result = runner.run(&strategy, |data| {
        let mut choices = Choices::new(&data);
        let table = tables::generate(&mut choices);
        let text = format!("SELECT {} AS x FROM t ORDER BY id", expressions::chain(&mut choices));
        let query = queries::Generated { text, strict: true };
        let parsed = Query::parse(&query.text, &Limits::default());
        let parsed = parsed.map_err(|e| TestCaseError::fail(format!("{e}\n{}", query.text)))?;
        let ours =
            parsed.evaluate(&table, &Context::default()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        match oracle.ask(&query.text, &table) {
            Said::Rows(theirs) => compare::rows(&ours.rows, &theirs, &query).map_err(|e| {
                TestCaseError::fail(format!("{e}\n{}\n{}", query.text, tables::describe(&table)))
            }),
            Said::Overflow => Ok(()),
            Said::Error(e) => Err(TestCaseError::fail(format!("the oracle refuses: {e}\n{}", query.text))),
        }
    });
    report(result);
}

#[test]
fn times_are_written_as_sqlite_writes_them() {
    let oracle = Oracle::new();
    let mut runner = TestRunner::new(cases(1_000));
    let seconds = prop_oneof![-62_167_219_200i64..253_402_300_800, 0i64..4_000_000_000];
    let result = runner.run(&seconds, |seconds| {
        let format = "%Y-%m-%d %H:%M:%S %j %w %u %s %F %T %%";
        let ours = Query::parse(&format!("SELECT STRFTIME('{format}', {seconds}) AS x"), &Limits::default());
        let row = gcs_monitor::row::Row::new([("id", 1.into())]);
        let ours = ours.expect("a query").evaluate([&row], &Context::default()).expect("an answer");
        let theirs = oracle.text(&format!("SELECT strftime('{format}', {seconds}, 'unixepoch')"));
        prop_assert_eq!(ours.rows[0][0].as_text(), Some(&*theirs));
        Ok(())
    });
    report(result);
}
