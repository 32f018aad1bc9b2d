//! Answers for people and for programs.

use std::io::{self, Write as _};

use clap::ValueEnum;
use gcs_monitor::display;
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
    let names: Vec<&str> = texts(&answer["columns"]).collect();
    let none = Vec::new();
    let rows: Vec<Vec<gcs_monitor::value::Value>> = answer["rows"]
        .as_array()
        .unwrap_or(&none)
        .iter()
        .map(|row| row.as_array().unwrap_or(&none).iter().map(display::from_json).collect())
        .collect();
    let rows = rows.iter().map(Vec::as_slice);
    match format {
        Format::Csv => {
            write!(out, "{}", display::csv(&names, rows))?;
            writeln!(io::stderr(), "{}", completeness(answer))
        }
        _ => {
            write!(out, "{}", display::table(&names, rows))?;
            writeln!(out, "{}", completeness(answer))
        }
    }
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
