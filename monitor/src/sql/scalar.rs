//! Functions of values. Arguments that a function does not need are not evaluated.

use std::borrow::Cow;

use super::coerce::{self, Number};
use super::eval::{Computed, Eval, Frame};
use super::expr::{Binary, Expr};
use super::fault::Fault;
use super::functions::Scalar;
use super::{arith, clock, pattern, text};
use crate::order::by_value;
use crate::sketch::{DistinctSketch, QuantileSketch};
use crate::value::Value;

/// Calls a function.
pub(super) fn call<'a>(
    eval: &Eval<'_>,
    function: Scalar,
    args: &'a [Expr],
    frame: &'a Frame<'a>,
) -> Computed<'a> {
    match function {
        Scalar::Coalesce => coalesce(eval, args, frame),
        Scalar::If => eval.eval(if eval.holds(&args[0], frame) { &args[1] } else { &args[2] }, frame),
        Scalar::Min => extreme(eval, args, frame, false),
        Scalar::Max => extreme(eval, args, frame, true),
        Scalar::Now => Cow::Owned(Value::float(eval.context.now_s)),
        Scalar::Nullif => {
            let first = eval.eval(&args[0], frame);
            let second = eval.eval(&args[1], frame);
            let same = !second.is_null() && by_value(&first, &second).is_eq();
            if same { Cow::Owned(Value::Null) } else { first }
        }
        _ => {
            let first = eval.eval(&args[0], frame);
            let second = args.get(1).map(|arg| eval.eval(arg, frame));
            let third = args.get(2).map(|arg| eval.eval(arg, frame));
            Cow::Owned(of_values(eval, function, &first, second.as_deref(), third.as_deref()))
        }
    }
}

/// Functions of one to three values.
fn of_values(
    eval: &Eval<'_>,
    function: Scalar,
    first: &Value,
    second: Option<&Value>,
    third: Option<&Value>,
) -> Value {
    match function {
        Scalar::Abs => abs(eval, first),
        Scalar::Age => arith::binary(Binary::Subtract, &Value::float(eval.context.now_s), first),
        Scalar::Ceil => whole(first, f64::ceil),
        Scalar::Floor => whole(first, f64::floor),
        Scalar::Round => round(first, second),
        Scalar::Sign => sign(first),
        Scalar::Typeof => Value::text(type_name(first)),
        Scalar::Glob => second.map_or(Value::Null, |text| pattern::glob(eval, text, first)),
        Scalar::Strftime => clock::strftime(eval, first, second.unwrap_or(&Value::Null)),
        Scalar::Element => element(first, second.unwrap_or(&Value::Null)),
        Scalar::Quantile => quantile(eval, first, second.unwrap_or(&Value::Null)),
        Scalar::DistinctCount => distinct_count(eval, first),
        _ => text::call(eval, function, first, second, third),
    }
}

fn coalesce<'a>(eval: &Eval<'_>, args: &'a [Expr], frame: &'a Frame<'a>) -> Computed<'a> {
    args.iter()
        .map(|arg| eval.eval(arg, frame))
        .find(|value| !value.is_null())
        .unwrap_or(Cow::Owned(Value::Null))
}

/// The largest or smallest of several; NULL if one of them is. Of equal ones, such as 1 and 1.0, the last for the smallest and the
/// first for the largest, as in SQLite.
fn extreme<'a>(eval: &Eval<'_>, args: &'a [Expr], frame: &'a Frame<'a>, largest: bool) -> Computed<'a> {
    let mut best: Option<Computed<'a>> = None;
    for arg in args {
        let value = eval.eval(arg, frame);
        if value.is_null() {
            return value;
        }
        let better = match &best {
            Some(best) if largest => by_value(best, &value).is_lt(),
            Some(best) => by_value(best, &value).is_ge(),
            None => true,
        };
        if better {
            best = Some(value);
        }
    }
    best.unwrap_or(Cow::Owned(Value::Null))
}

fn abs(eval: &Eval<'_>, value: &Value) -> Value {
    match value {
        Value::Int(int) => int.checked_abs().map_or_else(|| eval.fault(Fault::IntegerOverflow), Value::Int),
        other => coerce::number(other).map_or(Value::Null, |number| Value::float(number.float().abs())),
    }
}

/// CEIL and FLOOR: of integers and of numbers as text; of other text NULL.
fn whole(value: &Value, to: impl Fn(f64) -> f64) -> Value {
    match coerce::strict_number(value) {
        Some(Number::Int(int)) => Value::Int(int),
        Some(Number::Float(float)) => Value::float(to(float)),
        None => Value::Null,
    }
}

fn sign(value: &Value) -> Value {
    match coerce::strict_number(value).map(Number::float) {
        Some(number) if number > 0.0 => Value::Int(1),
        Some(number) if number < 0.0 => Value::Int(-1),
        Some(_) => Value::Int(0),
        None => Value::Null,
    }
}

/// Beyond this a float has no fraction.
const WHOLE: f64 = 4_503_599_627_370_496.0;

/// ROUND: of the exact value of the float; halves away from zero.
fn round(value: &Value, places: Option<&Value>) -> Value {
    let places = match places.map(coerce::integer) {
        Some(None) => return Value::Null,
        Some(Some(places)) => places.clamp(0, 30) as usize,
        None => 0,
    };
    let Some(number) = coerce::number(value).map(Number::float) else { return Value::Null };
    if number.abs() >= WHOLE {
        return Value::float(number);
    }
    if places == 0 {
        return Value::float(number.round());
    }
    // Printing rounds exactly, but exact halves to even. A half is one only where all digits of the fraction are before or at the
    // next place, and then one more bit is enough for it.
    let scale = (1u64 << (places + 1)) as f64;
    let exact = (number * scale).fract() == 0.0;
    let text = format!("{number:.places$}");
    let mut rounded: f64 = text.parse().unwrap_or(number);
    if exact && rounded.abs() < number.abs() {
        let half = format!("{:.*}", places + 1, number.abs());
        if half.ends_with('5') {
            let step: f64 = format!("1e-{places}").parse().unwrap_or(0.0);
            rounded = format!("{:.places$}", rounded + step.copysign(number)).parse().unwrap_or(rounded);
        }
    }
    Value::float(rounded)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Int(_) => "integer",
        Value::Float(_) => "real",
        Value::Text(_) => "text",
        Value::Bytes(_) => "blob",
        Value::List(_) => "list",
    }
}

/// An element of a list, from 1, or from the end if negative; of a scalar, the scalar is its first.
fn element(list: &Value, at: &Value) -> Value {
    let elements = if list.is_list() { list.elements() } else { std::slice::from_ref(list) };
    let at = match coerce::integer(at) {
        Some(at) if at > 0 => usize::try_from(at - 1).ok(),
        Some(at) if at < 0 => {
            usize::try_from(at.unsigned_abs()).ok().and_then(|back| elements.len().checked_sub(back))
        }
        _ => None,
    };
    at.and_then(|at| elements.get(at)).cloned().unwrap_or_default()
}

fn quantile(eval: &Eval<'_>, sketch: &Value, share: &Value) -> Value {
    let Value::Bytes(bytes) = sketch else {
        return if sketch.is_null() { Value::Null } else { eval.fault(Fault::NotASketch) };
    };
    if !eval.charge_bytes(16 * bytes.len()) {
        return Value::Null;
    }
    let Some(sketch) = QuantileSketch::decode(bytes) else { return eval.fault(Fault::NotASketch) };
    match coerce::number(share).map(Number::float) {
        Some(share) if (0.0..=1.0).contains(&share) => {
            sketch.quantile(share).map_or(Value::Null, Value::float)
        }
        Some(_) => eval.fault(Fault::BadArgument),
        None => Value::Null,
    }
}

fn distinct_count(eval: &Eval<'_>, sketch: &Value) -> Value {
    let Value::Bytes(bytes) = sketch else {
        return if sketch.is_null() { Value::Null } else { eval.fault(Fault::NotASketch) };
    };
    if !eval.charge_bytes(16 * bytes.len()) {
        return Value::Null;
    }
    match DistinctSketch::decode(bytes) {
        Some(sketch) => Value::Int(i64::try_from(sketch.count()).unwrap_or(i64::MAX)),
        None => eval.fault(Fault::NotASketch),
    }
}
