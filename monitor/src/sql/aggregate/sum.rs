//! Sums and means.
//!
//! Integers are added in 128 bits, so that only the result can be too large, not what comes up on the way. Floats are added
//! in the order of the rows with a second float for what each addition loses (Neumaier, "Rundungsfehleranalyse einiger
//! Verfahren zur Summation endlicher Summen", 1974).

use super::super::coerce::{self, Number};
use super::super::error::EvalError;
use super::super::fault::Fault;
use super::Run;
use crate::value::Value;

/// A sum of floats, and what was lost of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floats {
    sum: f64,
    lost: f64,
}

impl Floats {
    pub(super) fn add(&mut self, addend: f64) {
        let sum = self.sum + addend;
        // Of the two, the smaller one loses its last bits.
        self.lost += if self.sum.abs() >= addend.abs() {
            (self.sum - sum) + addend
        } else {
            (addend - sum) + self.sum
        };
        self.sum = sum;
    }

    pub(super) fn total(self) -> f64 {
        let total = self.sum + self.lost;
        // What is lost of infinity is not a number.
        if total.is_nan() { self.sum } else { total }
    }
}

/// A sum of numbers of both kinds.
#[derive(Debug, Default)]
struct Sum {
    ints: i128,
    floats: Floats,
    has_floats: bool,
    count: u64,
}

impl Sum {
    fn add(&mut self, value: &Value) {
        let number = match value {
            Value::Int(int) => Number::Int(*int),
            Value::Float(float) => Number::Float(*float),
            // A text that is not a number counts as the number that it begins with, and as a float.
            other => match coerce::strict_number(other)
                .or_else(|| coerce::number(other).map(|n| Number::Float(n.float())))
            {
                Some(number) => number,
                None => return,
            },
        };
        self.count += 1;
        match number {
            // Rows are at most 2^32, so 128 bits are enough.
            Number::Int(int) => self.ints += i128::from(int),
            Number::Float(float) => {
                self.has_floats = true;
                self.floats.add(float);
            }
        }
    }

    fn float(&self) -> f64 {
        let mut total = self.floats;
        // The upper and the lower half, each exact, so that big sums of integers are rounded once.
        let high = (self.ints >> 32 << 32) as f64;
        total.add(high);
        total.add((self.ints & 0xffff_ffff) as f64);
        total.total()
    }
}

fn total(run: &Run<'_, '_>) -> Result<Sum, EvalError> {
    let mut sum = Sum::default();
    run.each(|value| sum.add(value))?;
    Ok(sum)
}

/// SUM: an integer if all are, and NULL of nothing.
pub(super) fn sum(run: &Run<'_, '_>) -> Result<Value, EvalError> {
    let sum = total(run)?;
    Ok(match i64::try_from(sum.ints) {
        _ if sum.count == 0 => Value::Null,
        _ if sum.has_floats => Value::float(sum.float()),
        Ok(int) => Value::Int(int),
        Err(_) => run.eval.fault(Fault::IntegerOverflow),
    })
}

/// AVG(x).
pub(super) fn average(run: &Run<'_, '_>) -> Result<Value, EvalError> {
    let sum = total(run)?;
    Ok(if sum.count == 0 { Value::Null } else { Value::float(sum.float() / sum.count as f64) })
}

/// AVG(x, weight): rows whose value is NULL, or whose weight is NULL or not above 0, do not count.
pub(super) fn weighted_average(run: &Run<'_, '_>) -> Result<Value, EvalError> {
    let (mut weighted, mut weights) = (Floats::default(), Floats::default());
    run.each_frame(|frame| {
        let value = coerce::number(&run.eval.eval(&run.call.args[0], frame));
        let weight = coerce::number(&run.eval.eval(&run.call.args[1], frame)).map(Number::float);
        if let (Some(value), Some(weight)) = (value, weight.filter(|weight| *weight > 0.0)) {
            weighted.add(value.float() * weight);
            weights.add(weight);
        }
    })?;
    let weights = weights.total();
    Ok(if weights > 0.0 { Value::float(weighted.total() / weights) } else { Value::Null })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_addition_loses_is_not_lost() {
        let mut sum = Floats::default();
        [1.0, 1e100, 1.0, -1e100].into_iter().for_each(|n| sum.add(n));
        assert_eq!(sum.total(), 2.0);
        let mut sum = Floats::default();
        [f64::INFINITY, 1.0].into_iter().for_each(|n| sum.add(n));
        assert_eq!(sum.total(), f64::INFINITY);
    }

    #[test]
    fn big_integers_are_rounded_once() {
        let mut sum = Sum::default();
        (0..3).for_each(|_| sum.add(&Value::Int(i64::MAX)));
        assert_eq!(sum.float(), 3.0 * 9_223_372_036_854_775_807.0f64);
    }
}
