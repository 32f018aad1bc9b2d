//! Aggregates that are sketches: of values where there are values, merged where there are sketches already.

use super::super::coerce;
use super::super::error::EvalError;
use super::super::fault::Fault;
use super::Run;
use crate::sketch::{DistinctSketch, QuantileSketch};
use crate::value::Value;

/// Steps that it takes to read a sketch.
const READ: u64 = 256;

/// SKETCH(x): numbers are added, sketches merged; other text and bytes do not count. NULL of nothing.
pub(super) fn quantile(run: &Run<'_, '_>) -> Result<Value, EvalError> {
    let mut sketch = QuantileSketch::default();
    run.each_scalar(|value| match value {
        Value::Bytes(bytes) => {
            run.eval.charge(READ);
            match QuantileSketch::decode(bytes) {
                Some(part) => sketch.merge(&part),
                None => {
                    run.eval.fault(Fault::NotASketch);
                }
            }
        }
        other => {
            run.eval.charge(4);
            if let Some(number) = coerce::strict_number(other) {
                sketch.add(number.float());
            }
        }
    })?;
    Ok(if sketch.count() == 0 { Value::Null } else { Value::bytes(sketch.encode()) })
}

/// DISTINCT_SKETCH(x): values are added, and bytes that are such a sketch are merged. NULL of nothing.
pub(super) fn distinct(run: &Run<'_, '_>) -> Result<Value, EvalError> {
    let mut sketch = DistinctSketch::default();
    let mut any = false;
    run.each_scalar(|value| {
        any = true;
        let part = match value {
            Value::Bytes(bytes) => {
                run.eval.charge(READ);
                DistinctSketch::decode(bytes)
            }
            _ => None,
        };
        match part {
            Some(part) => sketch.merge(&part),
            None => sketch.add(value),
        }
    })?;
    Ok(if any { Value::bytes(sketch.encode()) } else { Value::Null })
}
