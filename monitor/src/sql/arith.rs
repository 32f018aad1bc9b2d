//! Arithmetic as SQLite does it: integers of 64 bits, which become floats where they overflow.

use super::coerce::{self, Number, number};
use super::expr::Binary;
use crate::value::Value;

/// The value of `left op right`; NULL when one is NULL, when it divides by zero, and when the result is not a number.
#[inline]
pub(super) fn binary(op: Binary, left: &Value, right: &Value) -> Value {
    match op {
        Binary::BitAnd | Binary::BitOr | Binary::ShiftLeft | Binary::ShiftRight => {
            let (Some(left), Some(right)) = (coerce::integer(left), coerce::integer(right)) else {
                return Value::Null;
            };
            Value::Int(bits(op, left, right))
        }
        Binary::Remainder => remainder(left, right),
        _ => {
            let (Some(left), Some(right)) = (number(left), number(right)) else { return Value::Null };
            if let (Number::Int(left), Number::Int(right)) = (left, right)
                && let Some(exact) = integers(op, left, right)
            {
                return exact;
            }
            floats(op, left.float(), right.float())
        }
    }
}

/// Integers, unless the result is beyond them.
fn integers(op: Binary, left: i64, right: i64) -> Option<Value> {
    match op {
        Binary::Add => left.checked_add(right).map(Value::Int),
        Binary::Subtract => left.checked_sub(right).map(Value::Int),
        Binary::Multiply => left.checked_mul(right).map(Value::Int),
        _ if right == 0 => Some(Value::Null),
        _ => left.checked_div(right).map(Value::Int),
    }
}

fn floats(op: Binary, left: f64, right: f64) -> Value {
    Value::float(match op {
        Binary::Add => left + right,
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        _ if right == 0.0 => return Value::Null,
        _ => left / right,
    })
}

/// The remainder of integers; of floats, and of text that is one, that of the integers that CAST makes of them, as a float.
fn remainder(left: &Value, right: &Value) -> Value {
    let (Some(whole), Some(by)) = (coerce::integer(left), coerce::integer(right)) else { return Value::Null };
    if by == 0 {
        return Value::Null;
    }
    // Of the smallest integer by -1 it is 0, though the quotient overflows.
    let rest = whole.wrapping_rem(by);
    match (number(left), number(right)) {
        (Some(Number::Int(_)), Some(Number::Int(_))) => Value::Int(rest),
        _ => Value::float(rest as f64),
    }
}

/// Bits: a shift by a negative number goes the other way, and one by 64 or more leaves nothing but the sign.
fn bits(op: Binary, left: i64, right: i64) -> i64 {
    match op {
        Binary::BitAnd => left & right,
        Binary::BitOr => left | right,
        _ => {
            let to_left = (op == Binary::ShiftLeft) == (right >= 0);
            let by = u32::try_from(right.unsigned_abs()).unwrap_or(u32::MAX);
            if to_left { left.checked_shl(by).unwrap_or(0) } else { left >> by.min(63) }
        }
    }
}
