//! Values from text and JSON, and back.

use serde_json::Value as Json;

use super::limits;
use crate::value::Value;

/// Why JSON is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonError {
    #[error("an attribute holds a number, a text, true, false, null, or a list of them, and no object")]
    Object,
    #[error("a list of an attribute holds no lists and no objects")]
    Nested,
    #[error("a list has {0} elements; use at most {max}", max = limits::ELEMENTS)]
    TooLong(usize),
}

/// What `text` says: an integer, a number, or else itself, without space around it. Nothing if it is empty.
pub(super) fn from_text(text: &str) -> Value {
    let text = text.trim();
    if text.is_empty() {
        return Value::Null;
    }
    if let Ok(int) = text.parse() {
        return Value::Int(int);
    }
    // Numbers begin with one of these; `inf`, `nan` and `infinity` are words.
    let numeric = text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => Value::float(number),
        _ => Value::text(text),
    }
}

/// What JSON says. Conditions become 1 and 0.
pub(super) fn from_json(json: &Json) -> Result<Value, JsonError> {
    Ok(match json {
        Json::Object(_) => return Err(JsonError::Object),
        Json::Array(items) if items.len() > limits::ELEMENTS => return Err(JsonError::TooLong(items.len())),
        Json::Array(items) => {
            let scalars: Option<Vec<Value>> = items.iter().map(scalar).collect();
            Value::list(scalars.ok_or(JsonError::Nested)?)
        }
        other => scalar(other).unwrap_or_default(),
    })
}

fn scalar(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(holds) => Value::truth(*holds),
        Json::Number(number) => match number.as_i64() {
            Some(int) => Value::Int(int),
            None => number.as_f64().map_or(Value::Null, Value::float),
        },
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(_) | Json::Object(_) => return None,
    })
}

/// A value as JSON; bytes and infinite numbers as text.
pub(super) fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(int) => (*int).into(),
        Value::Float(float) if float.is_finite() => (*float).into(),
        Value::Text(text) => (**text).into(),
        Value::List(values) => values.iter().map(to_json).collect(),
        other => other.to_string().into(),
    }
}

/// The beginning of a text that is shown to people, of bounded length.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > limits::ERROR_BYTES {
        let end = (0..=limits::ERROR_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_says_numbers_or_itself() {
        assert_eq!(from_text(" 42\n"), Value::Int(42));
        assert_eq!(from_text("-4.5e1"), Value::float(-45.0));
        assert_eq!(from_text(".5"), Value::float(0.5));
        assert_eq!(from_text("9223372036854775808"), Value::float(9_223_372_036_854_775_808.0));
        assert_eq!(from_text(" \n"), Value::Null);
        for word in ["inf", "nan", "-infinity", "1.2.3", "up", "1e999", "5 %"] {
            assert_eq!(from_text(word), Value::text(word));
        }
    }

    #[test]
    fn json_says_scalars_and_lists() {
        let of = |text: &str| from_json(&serde_json::from_str(text).unwrap());
        assert_eq!(of("true"), Ok(Value::Int(1)));
        assert_eq!(of("1.5"), Ok(Value::float(1.5)));
        assert_eq!(of("18446744073709551615"), Ok(Value::float(18_446_744_073_709_551_615.0)));
        assert_eq!(of("[1, \"a\", null]"), Ok(Value::list([Value::Int(1), "a".into(), Value::Null])));
        assert_eq!(of("{}"), Err(JsonError::Object));
        assert_eq!(of("[[1]]"), Err(JsonError::Nested));
        assert_eq!(of(&format!("[{}0]", "0,".repeat(32))), Err(JsonError::TooLong(33)));
    }

    proptest! {
        #[test]
        fn any_text_is_some_value(text in any::<String>()) {
            from_text(&text);
            prop_assert!(shortened(text).len() <= limits::ERROR_BYTES + 3);
        }

        #[test]
        fn any_bytes_are_json_or_not(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(json) = serde_json::from_slice(&bytes) {
                let _ = from_json(&json);
            }
        }

        #[test]
        fn json_of_a_value_says_the_value(ints in prop::collection::vec(any::<i64>(), 0..20), number in any::<f64>(), text in any::<String>()) {
            let values = [Value::list(ints.into_iter().map(Value::Int)), Value::from(text)];
            for value in values.into_iter().chain(number.is_finite().then(|| Value::float(number))) {
                prop_assert_eq!(from_json(&to_json(&value)), Ok(value));
            }
        }
    }
}
