//! What is said of a text that is no query: one sentence, at the place of the mistake.

use gcs_monitor::sql::{Limits, Query};

type Mistake = (&'static str, Option<(u64, u64)>, &'static str);

/// Text, place, and what the sentence has to contain.
const MISTAKES: [Mistake; 32] = [
    ("", None, "empty"),
    ("DELETE FROM t", Some((1, 1)), "only SELECT"),
    ("SELECT 1; DROP TABLE t", Some((1, 11)), "end before"),
    ("SELECT (SELECT 1)", Some((1, 9)), "inside of another"),
    ("SELECT 1 UNION SELECT 2", Some((1, 16)), "inside of another, or after it"),
    ("WITH x AS (SELECT 1) SELECT 1", Some((1, 1)), "WITH"),
    ("SELECT a FROM t JOIN u", Some((1, 17)), "one table"),
    ("SELECT a FROM t, u", Some((1, 16)), "one table"),
    ("SELECT a FROM (t)", Some((1, 15)), "one table"),
    ("SELECT\n  SUMM(a)", Some((2, 3)), "SUM was probably meant"),
    ("SELECT frobnicate(a)", Some((1, 8)), "docs/sql.md"),
    ("SELECT ROUND()", Some((1, 8)), "takes 1 or more"),
    ("SELECT FIRST(a, b)", Some((1, 8)), "from 1 to 256"),
    ("SELECT FIRST(0, b)", Some((1, 8)), "FIRST(3, contacts)"),
    ("SELECT TOP(200, a, b)", Some((1, 8)), "from 1 to 128"),
    ("SELECT a, SUM(b)", Some((1, 8)), "FIRST(1, a)"),
    ("SELECT SUM(MAX(a))", Some((1, 12)), "inside of another aggregate"),
    ("SELECT a WHERE SUM(a) > 1", Some((1, 16)), "HAVING"),
    ("SELECT a GROUP BY SUM(a)", Some((1, 19)), "GROUP BY"),
    ("SELECT a AS x, b AS x", Some((1, 21)), "two columns"),
    ("SELECT a FROM t HAVING a > 1", None, "WHERE"),
    ("SELECT a ORDER BY 3", Some((1, 19)), "column number 3"),
    ("SELECT a LIMIT b", Some((1, 16)), "number from 0"),
    ("SELECT ABS(DISTINCT a)", Some((1, 8)), "no aggregate"),
    ("SELECT SUM(a) OVER ()", Some((1, 8)), "OVER"),
    ("SELECT a COLLATE nocase", Some((1, 8)), "LOWER"),
    ("SELECT CAST(a AS DATE)", Some((1, 13)), "INTEGER, REAL, TEXT or BLOB"),
    ("SELECT u.a FROM t", Some((1, 8)), "the table of this query is t"),
    ("SELECT DISTINCT a ORDER BY b", None, "DISTINCT"),
    ("SELECT COUNT(*), *", None, "single rows"),
    ("SELECT a +", None, "expected here"),
    ("SELECT 'a", Some((1, 8)), "nterminated"),
];

#[test]
fn mistakes_are_said_in_one_sentence_and_at_their_place() {
    for (text, place, part) in MISTAKES {
        let error = Query::parse(text, &Limits::default()).expect_err(text);
        let at = error.position().map(|position| (position.line, position.column));
        assert!(error.message().contains(part), "{text}: {error}");
        assert!(place.is_none() || at == place, "{text}: {error}");
        assert!(!error.message().contains('\n') && error.message().len() < 300, "{text}: {error}");
    }
}

#[test]
fn words_that_are_functions_here_and_syntax_elsewhere() {
    for text in [
        "SELECT AND(a) AS x, OR(a) AS y, TOP(3, a, b) AS z, FIRST(3, a) AS w",
        "SELECT 1 AND (2) AS x, 1 OR (0) AS y, top FROM t",
        "SELECT MAX(a) FILTER (WHERE a > 1) + 1 AS x FROM children;",
        "SELECT \"&fn\" AS f, \"a.b\" FROM \"/eu/ams\" ORDER BY 1 LIMIT 3, 4",
        "SELECT t.a FROM t -- a comment",
        "SELECT date, timestamp, user, interval, first, left FROM t",
        "SELECT REPLACE(a, 'x', 'y') AS r, SUBSTRING(a, 1) AS s, TRIM(a, '/') AS t, CEIL(a) AS c, LEFT IS DISTINCT FROM 1 AS d",
    ] {
        Query::parse(text, &Limits::default()).expect(text);
    }
}
