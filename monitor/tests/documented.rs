//! `docs/sql.md` lists the functions that there are; `WRITE=1` writes the lists.

use gcs_monitor::sql::{Described, Limits, Query, functions};

fn line(function: &Described) -> String {
    format!("| `{}` | {} | `{}` |", function.name, function.does, function.example)
}

#[test]
fn every_function_is_in_the_documentation_with_an_example_that_works() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sql.md");
    let mut text = std::fs::read_to_string(path).expect("the documentation");
    if std::env::var_os("WRITE").is_some() {
        for (mark, aggregate) in [("AGGREGATES", true), ("FUNCTIONS", false)] {
            let lines: Vec<String> =
                functions().iter().filter(|f| f.aggregate == aggregate).map(line).collect();
            text = text.replace(&format!("\n{mark}\n"), &format!("\n{}\n", lines.join("\n")));
        }
        std::fs::write(path, &text).expect("written");
    }
    for function in functions() {
        assert!(text.contains(&line(function)), "{} is missing, or described otherwise", function.name);
        let query = format!("SELECT {} AS x", function.example);
        let query = Query::parse(&query, &Limits::default()).expect(function.example);
        assert_eq!(query.is_aggregation(), function.aggregate, "{}", function.example);
        assert!(query.cost().nodes > 0, "{}", function.example);
    }
    assert!(functions().is_sorted_by_key(|f| (!f.aggregate, f.name)), "in alphabetical order");
}
