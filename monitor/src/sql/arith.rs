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
        _ => value(numbers(op, number(left), number(right))),
    }
}

/// Whether [`numbers`] does it.
#[inline]
pub(super) fn is_of_numbers(op: Binary) -> bool {
    matches!(op, Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide)
}

/// The sum, difference, product or quotient; None where there is none.
#[inline]
pub(super) fn numbers(op: Binary, left: Option<Number>, right: Option<Number>) -> Option<Number> {
    let (left, right) = (left?, right?);
    if let (Number::Int(left), Number::Int(right)) = (left, right)
        && let Some(exact) = match op {
            Binary::Add => left.checked_add(right),
            Binary::Subtract => left.checked_sub(right),
            Binary::Multiply => left.checked_mul(right),
            // Of the smallest integer by -1 it is a float.
            _ if right != 0 => left.checked_div(right),
            _ => return None,
        }
    {
        return Some(Number::Int(exact));
    }
    let (left, right) = (left.float(), right.float());
    let float = match op {
        Binary::Add => left + right,
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        _ if right != 0.0 => left / right,
        _ => return None,
    };
    (!float.is_nan()).then_some(Number::Float(float))
}

/// A number as a value.
#[inline]
pub(super) fn value(number: Option<Number>) -> Value {
    match number {
        Some(Number::Int(int)) => Value::Int(int),
        Some(Number::Float(float)) => Value::float(float),
        None => Value::Null,
    }
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
