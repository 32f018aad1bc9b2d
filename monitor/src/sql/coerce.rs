//! What a value is when a number, an integer, or text is needed, as in SQLite: the number that a text begins with, otherwise 0.

use std::borrow::Cow;

use crate::value::Value;

/// A number, as arithmetic takes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// The nearest float.
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The number at the start of a text: how long it is without leading spaces, and whether it is an integer.
fn prefix(bytes: &[u8]) -> (usize, bool) {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut integer = true;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
            integer = false;
        }
    }
    if whole + fraction == 0 {
        return (0, true);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
            integer = false;
        }
    }
    (end, integer)
}

/// The number that bytes begin with, and whether they are nothing else (but spaces).
fn parse(bytes: &[u8]) -> (Number, bool) {
    let start = bytes.iter().take_while(|b| is_space(b)).count();
    let bytes = &bytes[start..];
    let (end, integer) = prefix(bytes);
    let text = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    let rest = bytes[end..].iter().all(is_space);
    if end == 0 {
        return (Number::Int(0), false);
    }
    let int = if integer { text.parse().ok() } else { None };
    let number = int.map_or_else(|| Number::Float(text.parse().unwrap_or(0.0)), Number::Int);
    (number, rest)
}

/// As arithmetic takes it. `None` for NULL, and for a list, which is no number.
#[inline]
pub(super) fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Int(int) => Some(Number::Int(*int)),
        Value::Float(float) => Some(Number::Float(*float)),
        Value::Null | Value::List(_) => None,
        Value::Text(text) => Some(parse(text.as_bytes()).0),
        Value::Bytes(bytes) => Some(parse(bytes).0),
    }
}

/// A number, or a text that is a whole number and nothing else.
pub(super) fn strict_number(value: &Value) -> Option<Number> {
    match value {
        Value::Text(text) => {
            Some(parse(text.as_bytes())).filter(|(_, whole)| *whole).map(|(number, _)| number)
        }
        Value::Int(_) | Value::Float(_) => number(value),
        _ => None,
    }
}

/// A float as the integer that is left when its fraction is cut off, kept within 64 bits.
pub(super) fn truncate(float: f64) -> i64 {
    float as i64
}

/// As an integer: of text the digits that it begins with, kept within 64 bits.
pub(super) fn integer(value: &Value) -> Option<i64> {
    let digits = |bytes: &[u8]| {
        let start = bytes.iter().take_while(|b| is_space(b)).count();
        let bytes = &bytes[start..];
        let negative = bytes.first() == Some(&b'-');
        let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
        let digits = bytes[sign..].iter().take_while(|b| b.is_ascii_digit());
        digits.fold(0i64, |number, digit| {
            let digit = i64::from(digit - b'0');
            let number = number.saturating_mul(10);
            if negative { number.saturating_sub(digit) } else { number.saturating_add(digit) }
        })
    };
    match value {
        Value::Int(int) => Some(*int),
        Value::Float(float) => Some(truncate(*float)),
        Value::Null | Value::List(_) => None,
        Value::Text(text) => Some(digits(text.as_bytes())),
        Value::Bytes(bytes) => Some(digits(bytes)),
    }
}

/// Whether a condition holds; `None` when it is unknown. A list holds when it has elements.
#[inline]
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Int(int) => Some(*int != 0),
        Value::List(values) => Some(!values.is_empty()),
        other => number(other).map(|number| number.float() != 0.0),
    }
}

/// As text. `None` for NULL and for a list. Bytes that are no UTF-8 show the replacement character.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null | Value::List(_) => None,
        Value::Int(int) => Some(int.to_string().into()),
        Value::Float(float) => Some(float_text(*float).into()),
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes)),
    }
}

/// The shortest digits that stand for this float and no other, with a point in them.
fn float_text(float: f64) -> String {
    if float.is_infinite() {
        return if float > 0.0 { "Inf".to_owned() } else { "-Inf".to_owned() };
    }
    format!("{float:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_begin_with_numbers_or_are_nothing() {
        let of = |text: &str| number(&Value::text(text)).expect("text is a number");
        assert_eq!(of(" 12abc"), Number::Int(12));
        assert_eq!(of("-1.5e3x"), Number::Float(-1500.0));
        assert_eq!(of("1e"), Number::Int(1));
        assert_eq!(of(".5"), Number::Float(0.5));
        assert_eq!(of("5."), Number::Float(5.0));
        assert_eq!(of("."), Number::Int(0));
        assert_eq!(of("nan"), Number::Int(0));
        assert_eq!(of("99999999999999999999"), Number::Float(1e20));
        assert_eq!(integer(&Value::text("-99999999999999999999")), Some(i64::MIN));
        assert_eq!(integer(&Value::text("1e3")), Some(1));
    }

    #[test]
    fn floats_are_written_so_that_they_can_be_read() {
        assert_eq!(text(&Value::float(1.0)).as_deref(), Some("1.0"));
        assert_eq!(text(&Value::float(0.1)).as_deref(), Some("0.1"));
        assert_eq!(text(&Value::float(f64::INFINITY)).as_deref(), Some("Inf"));
    }
}
