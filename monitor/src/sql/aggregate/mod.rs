//! Aggregates: one value of many rows.
//!
//! Each is one pass over the rows of a group, in their order, which comes from the rows themselves; so a sum of floats,
//! whose last bits depend on the order of the addends, is the same on every machine.

mod bitmap;
mod pick;
mod sketches;
mod sum;
mod variance;

use std::collections::BTreeSet;

use super::error::EvalError;
use super::eval::{Eval, Frame};
use super::expr::{AggregateCall, Expr};
use super::functions::Aggregate;
use crate::order::{Key, by_value};
use crate::value::Value;

/// The rows of a group: frames, of which some are picked, in order.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// All frames, one after the other.
    pub cells: &'a [&'a Value],
    /// How many cells a frame has.
    pub width: usize,
    /// Which frames belong to the group.
    pub picked: &'a [u32],
}

impl<'a> Rows<'a> {
    /// The frame of a row.
    #[inline]
    pub(super) fn frame(&self, row: u32) -> &'a Frame<'a> {
        let start = row as usize * self.width;
        self.cells.get(start..start + self.width).unwrap_or_default()
    }
}

/// An aggregate that runs over a group.
struct Run<'r, 'q> {
    eval: &'r Eval<'q>,
    call: &'r AggregateCall,
    rows: Rows<'r>,
}

impl<'r> Run<'r, '_> {
    /// Hands over each frame that the filter lets through.
    #[inline]
    fn each_frame(&self, mut then: impl FnMut(&'r Frame<'r>)) -> Result<(), EvalError> {
        for &row in self.rows.picked {
            let frame = self.rows.frame(row);
            self.eval.charge(1);
            self.eval.within_work()?;
            if self.call.filter.as_ref().is_none_or(|filter| self.eval.holds(filter, frame)) {
                then(frame);
            }
        }
        Ok(())
    }

    /// Hands over each value of the first argument that is not NULL: each once, if the call says DISTINCT.
    #[inline]
    fn each(&self, mut then: impl FnMut(&Value)) -> Result<(), EvalError> {
        match (self.call.args.first(), &self.call.filter) {
            (None, _) => Ok(()),
            (Some(arg), _) if self.call.distinct => self.each_distinct(arg, then),
            // Most aggregates are of a column, and need no evaluation.
            (Some(Expr::Slot(slot)), None) => {
                self.eval.charge(2 * self.rows.picked.len() as u64);
                self.eval.within_work()?;
                for &row in self.rows.picked {
                    let value = self.rows.cells[row as usize * self.rows.width + usize::from(*slot)];
                    if !value.is_null() {
                        then(value);
                    }
                }
                Ok(())
            }
            (Some(arg), _) => self.each_frame(|frame| {
                let value = self.eval.eval(arg, frame);
                if !value.is_null() {
                    then(&value);
                }
            }),
        }
    }

    /// Of equal ones, such as 1 and 1.0, the first in the order of rows stays.
    fn each_distinct(&self, arg: &'r Expr, mut then: impl FnMut(&Value)) -> Result<(), EvalError> {
        let mut seen = BTreeSet::new();
        self.each_frame(|frame| {
            let value = self.eval.eval(arg, frame);
            if !value.is_null() {
                seen.insert(Key([value.into_owned()].into()));
            }
        })?;
        seen.iter().for_each(|key| then(&key.0[0]));
        Ok(())
    }

    /// Hands over each value that is not NULL; of a list, its elements.
    fn each_scalar(&self, mut then: impl FnMut(&Value)) -> Result<(), EvalError> {
        self.each(|value| match value {
            Value::List(values) => {
                self.eval.charge(values.len() as u64);
                values.iter().filter(|value| !value.is_null()).for_each(&mut then);
            }
            scalar => then(scalar),
        })
    }
}

/// Computes an aggregate over a group.
pub(super) fn aggregate(eval: &Eval<'_>, call: &AggregateCall, rows: Rows<'_>) -> Result<Value, EvalError> {
    let run = Run { eval, call, rows };
    match call.kind {
        Aggregate::CountRows => {
            let mut count = 0i64;
            run.each_frame(|_| count += 1)?;
            Ok(Value::Int(count))
        }
        Aggregate::Count => {
            let mut count = 0i64;
            run.each(|_| count += 1)?;
            Ok(Value::Int(count))
        }
        Aggregate::Min => extreme(&run, false),
        Aggregate::Max => extreme(&run, true),
        Aggregate::Sum => sum::sum(&run),
        Aggregate::Avg if call.args.len() == 2 => sum::weighted_average(&run),
        Aggregate::Avg => sum::average(&run),
        Aggregate::Variance => variance::variance(&run),
        Aggregate::Stddev => Ok(match variance::variance(&run)? {
            Value::Float(variance) => Value::float(variance.sqrt()),
            other => other,
        }),
        Aggregate::BitAnd => bitmap::combine(&run, true),
        Aggregate::BitOr => bitmap::combine(&run, false),
        Aggregate::First => pick::first(&run),
        Aggregate::Random => pick::random(&run),
        Aggregate::Top => pick::top(&run),
        Aggregate::Sketch => sketches::quantile(&run),
        Aggregate::DistinctSketch => sketches::distinct(&run),
    }
}

/// The smallest or the largest; of equal ones, such as 1 and 1.0, the integer.
fn extreme(run: &Run<'_, '_>, largest: bool) -> Result<Value, EvalError> {
    let mut best = Value::Null;
    run.each(|value| {
        let order = by_value(value, &best);
        let better = best.is_null() || if largest { order.is_gt() } else { order.is_lt() };
        if better || order.is_eq() && *value < best {
            best = value.clone();
        }
    })?;
    Ok(best)
}
