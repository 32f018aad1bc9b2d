//! Bitmaps: the bits that all have, or that any has, of integers or of bytes.

use super::super::error::EvalError;
use super::super::fault::Fault;
use super::Run;
use crate::value::Value;

/// BIT_AND and BIT_OR. Bytes of different lengths are as long as the longest, the missing ones zero. Numbers as text and floats
/// are no bitmaps; they do not count.
pub(super) fn combine(run: &Run<'_, '_>, all: bool) -> Result<Value, EvalError> {
    let mut ints: Option<i64> = None;
    let mut bytes: Option<Vec<u8>> = None;
    run.each(|value| match value {
        Value::Int(int) => ints = Some(ints.map_or(*int, |bits| if all { bits & int } else { bits | int })),
        Value::Bytes(more) => {
            run.eval.charge_bytes(more.len());
            match &mut bytes {
                None => bytes = Some(more.to_vec()),
                Some(bits) => {
                    if bits.len() < more.len() {
                        bits.resize(more.len(), 0);
                    }
                    let (common, rest) = bits.split_at_mut(more.len());
                    if all {
                        common.iter_mut().zip(more.iter()).for_each(|(bits, more)| *bits &= more);
                        rest.fill(0);
                    } else {
                        common.iter_mut().zip(more.iter()).for_each(|(bits, more)| *bits |= more);
                    }
                }
            }
        }
        _ => {}
    })?;
    Ok(match (ints, bytes) {
        (Some(_), Some(_)) => run.eval.fault(Fault::MixedBitmaps),
        (Some(int), None) => Value::Int(int),
        (None, Some(bytes)) => Value::bytes(bytes),
        (None, None) => Value::Null,
    })
}
