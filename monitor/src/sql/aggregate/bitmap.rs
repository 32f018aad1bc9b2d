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
                    bits.resize(bits.len().max(more.len()), 0);
                    let more = more.iter().copied().chain(std::iter::repeat(0));
                    bits.iter_mut().zip(more).for_each(|(bits, more)| if all { *bits &= more } else { *bits |= more });
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
