//! What a query costs, told before it is installed.

use super::expr::{Expr, Type};
use super::functions::{Aggregate, Scalar};
use super::limits::Limits;
use super::plan::{Output, Plan};
use crate::sketch::{DistinctSketch, QuantileSketch};
use crate::value::Value;

/// An estimate of what a query costs, from its text alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Parts of its expressions.
    pub nodes: usize,
    /// Steps for each row of the table; functions of text count more.
    pub operations_per_row: usize,
    /// Bytes that one row of the answer cannot exceed, as far as the text tells; of what attributes hold, only the limit on an
    /// answer is known.
    pub max_output_bytes: usize,
}

/// Estimates a plan.
pub(super) fn cost(plan: &Plan, limits: &Limits) -> Cost {
    let groups = plan.groups.as_ref();
    let aggregates = groups.map_or(&[][..], |groups| &groups.aggregates);
    let keys = groups.map_or(&[][..], |groups| &groups.keys);
    let per_row = keys.iter().chain(&plan.filter);
    let inside = aggregates.iter().flat_map(|call| call.args.iter().chain(&call.filter));
    let outputs = plan.outputs.iter().filter_map(|output| match output {
        Output::Column { expr, .. } => Some(expr),
        Output::Star => None,
    });
    let mut operations: usize = per_row.chain(inside).map(steps).sum::<usize>() + aggregates.len();
    if groups.is_none() {
        operations += outputs.map(steps).sum::<usize>()
            + plan.order.iter().map(|term| steps(&term.expr)).sum::<usize>();
    }
    let sizes = plan.outputs.iter().map(|output| match output {
        Output::Star => limits.output_bytes,
        Output::Column { name, expr } => name.len() + 1 + size(expr, keys, aggregates, limits),
    });
    let max_output_bytes = sizes.fold(2, usize::saturating_add).min(limits.output_bytes);
    Cost { nodes: plan.nodes, operations_per_row: operations, max_output_bytes }
}

/// Steps of an expression.
fn steps(expr: &Expr) -> usize {
    let own = match expr {
        Expr::Like(..) | Expr::Call(Scalar::Glob, _) => 16,
        Expr::Call(Scalar::Replace | Scalar::Instr | Scalar::Strftime, _) => 8,
        Expr::Call(Scalar::Quantile | Scalar::DistinctCount, _) => 128,
        _ => 1,
    };
    own + expr.children().into_iter().map(steps).sum::<usize>()
}

/// Bytes of a number, encoded.
const NUMBER: usize = 11;

/// Bytes that the value of an expression cannot exceed, encoded.
fn size(expr: &Expr, keys: &[Expr], aggregates: &[super::expr::AggregateCall], limits: &Limits) -> usize {
    let unknown = limits.output_bytes;
    let of = |expr: &Expr| size(expr, keys, aggregates, limits);
    let largest = |exprs: &mut dyn Iterator<Item = &Expr>| exprs.map(of).max().unwrap_or(1);
    match expr {
        Expr::Const(Value::Text(text)) => text.len() + 4,
        Expr::Const(Value::Bytes(bytes)) => bytes.len() + 4,
        Expr::Const(_) => NUMBER,
        Expr::Aggregate(_) => unknown,
        Expr::Slot(slot) => {
            match usize::from(*slot).checked_sub(keys.len()).and_then(|n| aggregates.get(n)) {
                Some(call) => match call.kind {
                    Aggregate::Sketch => QuantileSketch::MAX_BYTES + 3,
                    Aggregate::DistinctSketch => DistinctSketch::MAX_BYTES + 3,
                    // What attributes hold is not known; and their slots are not those of this frame.
                    Aggregate::Min | Aggregate::Max if call.args.iter().any(Expr::has_column) => unknown,
                    Aggregate::Min | Aggregate::Max => largest(&mut call.args.iter()),
                    Aggregate::First
                    | Aggregate::Random
                    | Aggregate::Top
                    | Aggregate::BitAnd
                    | Aggregate::BitOr => unknown,
                    _ => NUMBER,
                },
                None => unknown,
            }
        }
        Expr::Unary(..) | Expr::And(_) | Expr::Or(_) | Expr::Between(_) | Expr::In(..) | Expr::Like(..) => {
            NUMBER
        }
        Expr::Binary(super::expr::Binary::Concat, _) => limits.string_bytes + 4,
        Expr::Binary(..) => NUMBER,
        Expr::Case(case) => largest(&mut case.arms.iter().map(|(_, then)| then).chain(&case.otherwise)),
        Expr::Cast(_, Type::Integer | Type::Real) => NUMBER,
        Expr::Cast(..) => limits.string_bytes + 4,
        Expr::Call(function, args) => match function {
            Scalar::Coalesce | Scalar::Nullif | Scalar::Min | Scalar::Max => largest(&mut args.iter()),
            Scalar::If => largest(&mut args[1..].iter()),
            Scalar::Element => unknown,
            Scalar::Hex | Scalar::Lower | Scalar::Upper | Scalar::Ltrim | Scalar::Rtrim | Scalar::Trim => {
                limits.string_bytes + 4
            }
            Scalar::Replace | Scalar::Strftime | Scalar::Substr => limits.string_bytes + 4,
            _ => NUMBER,
        },
    }
}
