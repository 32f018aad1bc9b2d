//! Answers for people and for programs.

use std::io::{self, Write as _};

use clap::ValueEnum;
use gcs_monitor::{display, value::Value};
use serde_json::Value as Json;

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One object a line.
    Json,
    /// With a line of names (RFC 4180); completeness goes to standard error.
    Csv,
}

/// Shows an answer of the agent.
pub(crate) fn show(answer: &Json, format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if format == Format::Json {
        return writeln!(out, "{answer}");
    }
    if format == Format::Csv {
        let (names, rows) = cells(answer);
        write!(out, "{}", display::csv(&names, rows.iter().map(Vec::as_slice)))?;
        return writeln!(io::stderr(), "{}", completeness(answer));
    }
    write!(out, "{}", text(answer))
}

/// An answer for people: the table, and a line of how complete it is.
pub(crate) fn text(answer: &Json) -> String {
    let (names, rows) = cells(answer);
    format!("{}{}\n", display::table(&names, rows.iter().map(Vec::as_slice)), completeness(answer))
}

/// The names of the columns, and the values of each row.
pub(crate) fn cells(answer: &Json) -> (Vec<&str>, Vec<Vec<Value>>) {
    let none = Vec::new();
    let rows = answer["rows"].as_array().unwrap_or(&none).iter();
    let rows = rows.map(|row| row.as_array().unwrap_or(&none).iter().map(display::from_json).collect());
    (texts(&answer["columns"]).collect(), rows.collect())
}

fn texts(of: &Json) -> impl Iterator<Item = &str> {
    of.as_array().into_iter().flatten().filter_map(Json::as_str)
}

/// One line: of how many agents it is, how old, and who is missing.
pub(crate) fn completeness(answer: &Json) -> String {
    let c = &answer["completeness"];
    let number = |name: &str| c[name].as_i64().unwrap_or(0);
    let (reported, members, expected) = (number("reported"), number("members"), number("expected"));
    let mut line =
        format!("{reported} of {expected} agents in {}", answer["zone"].as_str().unwrap_or_default());
    if expected > members {
        line += &format!(", {} gone", expected - members);
    }
    if members > reported {
        line += &format!(", {} without a word on this", members - reported);
    }
    if let Some(age) = c["oldest_s"].as_i64() {
        line += &format!("; the oldest row is {age} s old");
    }
    let gone: Vec<&str> = texts(&c["gone"]).collect();
    if !gone.is_empty() {
        line += &format!("; gone: {}", gone.join(", "));
    }
    let faults: Vec<&str> = texts(&answer["faults"]).collect();
    if !faults.is_empty() {
        line += &format!("; NULL because {}", faults.join(", "));
    }
    line
}
