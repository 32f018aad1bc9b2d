//! Values and rows for people and for other programs: plain text tables, JSON, CSV.
//!
//! What is shown came from the network: characters that would steer a terminal are shown as what they are.

use std::fmt::{self, Write};

use crate::row::Row;
use crate::value::Value;
use crate::zones::event::Event;

/// Bytes of a value that are shown in a table; the rest is an ellipsis.
const SHOWN_CHARS: usize = 60;

/// Two hexadecimal digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // A String takes everything.
        text
    })
}

/// As SQL writes it: `NULL`, `1`, `0.5`, `text` (control characters escaped), `x'0aff'`, `[1, 2]`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Int(int) => write!(f, "{int}"),
            Value::Float(float) => write!(f, "{float:?}"),
            Value::Text(text) => text.chars().try_for_each(|c| {
                // Besides controls: the marks that turn the direction of writing.
                let steers = c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                if steers { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
            }),
            Value::Bytes(bytes) => write!(f, "x'{}'", hex(bytes)),
            Value::List(values) => {
                f.write_char('[')?;
                for (n, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if n == 0 { "" } else { ", " })?;
                }
                f.write_char(']')
            }
        }
    }
}

/// A value as JSON: bytes are `{"hex": "0aff"}`, and numbers beyond JSON's are the text `"inf"` or `"-inf"`.
pub fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(int) => (*int).into(),
        Value::Float(float) => serde_json::Number::from_f64(*float)
            .map_or_else(|| format!("{float}").into(), serde_json::Value::Number),
        Value::Text(text) => (**text).into(),
        Value::Bytes(bytes) => serde_json::json!({ "hex": hex(bytes) }),
        Value::List(values) => values.iter().map(json).collect(),
    }
}

/// The value that JSON of [`json`] is of: text that looks like a number is text all the same.
pub fn from_json(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Null,
        Json::Bool(holds) => Value::truth(*holds),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::float(number.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(values) => Value::list(values.iter().map(from_json)),
        Json::Object(of) => match of.get("hex").and_then(Json::as_str).and_then(unhex) {
            Some(bytes) => Value::bytes(bytes),
            None => Value::text(value.to_string()),
        },
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| u8::try_from(pair.iter().fold(0, |n, d| 16 * n + d)).ok()).collect()
}

/// A row as a JSON object.
pub fn row_json(row: &Row) -> serde_json::Value {
    row.iter().map(|(name, value)| (name.to_owned(), json(value))).collect::<serde_json::Map<_, _>>().into()
}

/// What an event is called, `fired` or `counted`, and what it says.
pub fn event_json(event: &Event) -> (&'static str, serde_json::Value) {
    let Event { told, times, rows, lost } = event;
    let Some(told) = told else {
        return ("counted", serde_json::json!({ "times": times, "rows": rows, "lost": lost }));
    };
    let said = serde_json::json!({
        "agent": told.agent,
        "at_ms": told.at_ms,
        "rows": told.rows.iter().map(row_json).collect::<Vec<_>>(),
        "more_rows": rows.saturating_sub(told.rows.len() as u64),
        "lost": lost,
    });
    ("fired", said)
}

/// Writes one field of CSV (RFC 4180): quoted where it has to be, so that no content can begin a new field or line.
fn csv_field(out: &mut String, text: &str) {
    let plain = !text.is_empty() && !text.contains(['"', ',', '\n', '\r']) && text.trim().len() == text.len();
    if plain {
        out.push_str(text);
    } else {
        let _ = write!(out, "\"{}\"", text.replace('"', "\"\""));
    }
}

/// A table as CSV with a line of names. `NULL` is an empty field, empty text is `""`, and text is as it is, not escaped.
pub fn csv<'a>(names: &[impl AsRef<str>], rows: impl IntoIterator<Item = &'a [Value]>) -> String {
    let mut out = String::new();
    for (n, name) in names.iter().enumerate() {
        out.push_str(if n == 0 { "" } else { "," });
        csv_field(&mut out, name.as_ref());
    }
    out.push_str("\r\n");
    for row in rows {
        for (n, value) in row.iter().enumerate() {
            out.push_str(if n == 0 { "" } else { "," });
            match value {
                Value::Null => {}
                Value::Text(text) => csv_field(&mut out, text),
                other => csv_field(&mut out, &other.to_string()),
            }
        }
        out.push_str("\r\n");
    }
    out
}

/// A value cut to what fits into a table.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// A table as text: aligned columns under their names, numbers to the right.
pub fn table<'a>(names: &[impl AsRef<str>], rows: impl IntoIterator<Item = &'a [Value]>) -> String {
    let rows: Vec<(Vec<String>, &[Value])> =
        rows.into_iter().map(|row| (row.iter().map(shown).collect(), row)).collect();
    let names: Vec<String> = names.iter().map(|name| shown(&Value::text(name.as_ref()))).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|(cells, _)| cells.get(column));
        cells.chain(names.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &[String], right: &dyn Fn(usize) -> bool| {
        let mut text = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let width = widths.get(column).copied().unwrap_or(0);
            let _ = if right(column) {
                write!(text, "{cell:>width$}  ")
            } else {
                write!(text, "{cell:<width$}  ")
            };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&names, &|_| false);
    for (cells, row) in &rows {
        line(cells, &|column| matches!(row.get(column), Some(Value::Int(_) | Value::Float(_))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_quoted_where_it_has_to_be() {
        let row = [
            Value::Null,
            Value::text(""),
            Value::text("a,\"b\"\n"),
            Value::float(1.0),
            Value::bytes([10u8, 255]),
        ];
        let text = csv(&["n", "e", "t", "f", "b,c"], [&row[..]]);
        assert_eq!(text, "n,e,t,f,\"b,c\"\r\n,\"\",\"a,\"\"b\"\"\n\",1.0,x'0aff'\r\n");
    }

    #[test]
    fn json_says_what_it_cannot_say_as_text() {
        let row =
            Row::new([("i", Value::float(f64::INFINITY)), ("l", Value::list([Value::Null, Value::Int(1)]))]);
        assert_eq!(row_json(&row).to_string(), r#"{"i":"inf","l":[null,1]}"#);
        assert_eq!(json(&Value::bytes([1u8])).to_string(), r#"{"hex":"01"}"#);
    }

    #[test]
    fn what_json_says_is_read_again() {
        let values =
            [Value::Null, Value::Int(-1), Value::float(0.5), Value::text("1"), Value::bytes([0u8, 171])];
        let list = Value::list(values.iter().filter(|v| !v.is_null()).cloned());
        for value in values.into_iter().chain([list]) {
            assert_eq!(from_json(&json(&value)), value);
        }
        assert_eq!(from_json(&serde_json::json!({ "a": 1 })), Value::text(r#"{"a":1}"#));
    }

    #[test]
    fn tables_are_aligned_and_do_not_steer_the_terminal() {
        let rows = [[Value::text("a\u{1b}[31m"), Value::Int(5)], [Value::text("b"), Value::Int(50)]];
        let text = table(&["name", "load"], rows.iter().map(|row| &row[..]));
        assert_eq!(text, "name         load\na\\u{1b}[31m     5\nb              50\n");
    }
}
