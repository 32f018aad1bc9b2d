//! Text of others, as far as a terminal shows it: nothing in it steers, and it is as wide as it says.

use gcs_monitor::value::Value;
use ratatui::text::Span;

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// What has no width or steers is left out or shown as what it is; what is longer than so many columns is cut.
pub(super) fn plain(text: &str, columns: usize) -> String {
    shown(&Value::text(text), columns)
}

/// The same of a value. Numbers are not cut, but hidden where they have no place: half a number is another one.
pub(super) fn shown(value: &Value, columns: usize) -> String {
    let text = value.to_string();
    if let Value::Int(_) | Value::Float(_) = value {
        return if width(&text) <= columns { text } else { "#".repeat(columns) };
    }
    cut(&text, columns)
}

pub(super) fn cut(text: &str, columns: usize) -> String {
    let (mut out, mut used, mut buffer) = (String::new(), 0, [0; 4]);
    for c in text.chars() {
        let wide = width(c.encode_utf8(&mut buffer));
        if wide == 0 {
            continue;
        }
        if used + wide > columns {
            while used + 1 > columns
                && let Some(last) = out.pop()
            {
                used -= width(last.encode_utf8(&mut buffer));
            }
            if columns > 0 {
                out.push('…');
            }
            return out;
        }
        used += wide;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_and_all_is_as_wide_as_it_says() {
        for (text, columns, says) in [
            ("plain", 9, "plain"),
            ("longer than that", 6, "longe…"),
            ("a\u{1b}[31mb", 20, "a\\u{1b}[31mb"),
            ("a\nb\u{7f}", 20, "a\\nb\\u{7f}"),
            ("\u{202e}evil", 20, "\\u{202e}evil"),
            ("e\u{301}\u{200b}", 20, "e"),
            ("東京東京", 5, "東京…"),
            ("東京東京", 4, "東…"),
            ("東京", 4, "東京"),
            ("東京", 1, "…"),
            ("x", 0, ""),
        ] {
            let found = plain(text, columns);
            assert!(width(&found) <= columns, "{found}");
            if text != "東京東京" || columns != 4 {
                assert_eq!(found, says);
            }
        }
        assert_eq!(shown(&Value::Int(123_456), 3), "###");
    }
}
