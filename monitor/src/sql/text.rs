//! Functions of text. Characters are Unicode scalar values; case is that of ASCII letters, which is the same everywhere.

use super::coerce;
use super::eval::Eval;
use super::fault::Fault;
use super::functions::Scalar;
use crate::value::Value;

/// Calls a function of text.
pub(super) fn call(
    eval: &Eval<'_>,
    function: Scalar,
    first: &Value,
    second: Option<&Value>,
    third: Option<&Value>,
) -> Value {
    match (function, first) {
        (Scalar::Length, Value::Bytes(bytes)) => return Value::Int(bytes.len() as i64),
        (Scalar::Length, Value::List(values)) => return Value::Int(values.len() as i64),
        (Scalar::Hex, Value::Null) => return Value::text(""),
        (Scalar::Hex, Value::Bytes(bytes)) => return hex(eval, bytes),
        // SQLite makes no difference between no bytes and none known here, so neither do we.
        (Scalar::Substr, Value::Bytes(bytes)) if bytes.is_empty() => return Value::Null,
        (Scalar::Substr, Value::Bytes(bytes)) => {
            return range(bytes.len(), second, third)
                .map_or(Value::Null, |(from, to)| Value::bytes(&bytes[from..to]));
        }
        (Scalar::Instr, Value::Bytes(hay)) => {
            if let Some(Value::Bytes(needle)) = second {
                return bytes_instr(eval, hay, needle);
            }
        }
        _ => {}
    }
    let Some(text) = coerce::text(first) else { return Value::Null };
    if !eval.charge_bytes(text.len()) {
        return Value::Null;
    }
    let text = &*text;
    match function {
        Scalar::Length => Value::Int(text.chars().count() as i64),
        Scalar::Hex => hex(eval, text.as_bytes()),
        Scalar::Lower => eval.text(text.to_ascii_lowercase()),
        Scalar::Upper => eval.text(text.to_ascii_uppercase()),
        Scalar::Substr => substr(eval, text, second, third),
        Scalar::Instr => match second.and_then(coerce::text) {
            Some(needle) if eval.charge_bytes(needle.len()) => instr(text, &needle),
            _ => Value::Null,
        },
        Scalar::Replace => match (second.and_then(coerce::text), third.and_then(coerce::text)) {
            // Nothing is looked for, so what would be put there does not matter.
            (Some(from), _) if from.is_empty() => Value::text(text),
            (Some(from), Some(to)) => replace(eval, text, &from, &to),
            _ => Value::Null,
        },
        _ => trim(eval, function, text, second),
    }
}

fn hex(eval: &Eval<'_>, bytes: &[u8]) -> Value {
    if 2 * bytes.len() > eval.limits.string_bytes {
        return eval.fault(Fault::TextTooLong);
    }
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 });
    eval.charge_bytes(bytes.len());
    eval.text(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>())
}

/// Which of `length` places SUBSTR takes; `None` when an argument is NULL.
fn range(length: usize, from: Option<&Value>, count: Option<&Value>) -> Option<(usize, usize)> {
    let length = length as i128;
    let mut start = i128::from(coerce::integer(from?)?);
    let mut count = match count {
        Some(count) => i128::from(coerce::integer(count)?),
        None => i128::from(i64::MAX),
    };
    // Places are counted from 1. There is a place 0 before the first, which counts but holds nothing; negative ones
    // count from the end, and those before the first hold nothing, either.
    match start {
        1.. => start -= 1,
        0 => count -= i128::from(count > 0),
        _ => {
            start += length;
            if start < 0 {
                count = if count < 0 { 0 } else { (count + start).max(0) };
                start = 0;
            }
        }
    }
    // A negative count takes what is before.
    if count < 0 {
        count = (-count).min(start);
        start -= count;
    }
    let start = start.min(length);
    Some((start as usize, (start + count).min(length) as usize))
}

fn substr(eval: &Eval<'_>, text: &str, from: Option<&Value>, count: Option<&Value>) -> Value {
    let Some((from, to)) = range(text.chars().count(), from, count) else { return Value::Null };
    let place = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    eval.text(&text[place(from)..place(to)])
}

fn instr(text: &str, needle: &str) -> Value {
    Value::Int(text.find(needle).map_or(0, |at| text[..at].chars().count() as i64 + 1))
}

fn bytes_instr(eval: &Eval<'_>, hay: &[u8], needle: &[u8]) -> Value {
    if needle.is_empty() {
        return Value::Int(1);
    }
    if !eval.charge_bytes(hay.len().saturating_mul(needle.len())) {
        return Value::Null;
    }
    Value::Int(hay.windows(needle.len()).position(|window| window == needle).map_or(0, |at| at as i64 + 1))
}

fn replace(eval: &Eval<'_>, text: &str, from: &str, to: &str) -> Value {
    // How long it becomes is known before it is made.
    let found = text.matches(from).count();
    let length = text.len() - found * from.len() + found.saturating_mul(to.len());
    if length > eval.limits.string_bytes {
        return eval.fault(Fault::TextTooLong);
    }
    eval.charge_bytes(length);
    eval.text(text.replace(from, to))
}

fn trim(eval: &Eval<'_>, function: Scalar, text: &str, chars: Option<&Value>) -> Value {
    let chars = match chars {
        None => " ".into(),
        Some(chars) => match coerce::text(chars) {
            Some(chars) => chars,
            None => return Value::Null,
        },
    };
    if !eval.charge_bytes(text.len().saturating_mul(chars.len())) {
        return Value::Null;
    }
    let gone = |c: char| chars.contains(c);
    eval.text(match function {
        Scalar::Ltrim => text.trim_start_matches(gone),
        Scalar::Rtrim => text.trim_end_matches(gone),
        _ => text.trim_matches(gone),
    })
}
