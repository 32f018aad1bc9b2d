//! The value of an expression for one frame.
//!
//! Columns and literals are borrowed, numbers are computed in place: nothing is allocated for a row unless a function makes text.
//! Recursion is as deep as the expression, which [`super::bind`] has bounded.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use super::error::EvalError;
use super::expr::{Binary, Case, Expr, Type, Unary};
use super::fault::{Fault, Faults};
use super::limits::Limits;
use super::query::Context;
use super::{arith, coerce, pattern, scalar};
use crate::order::by_value;
use crate::value::Value;

/// A value that is borrowed where it stands, or computed.
pub(super) type Computed<'a> = Cow<'a, Value>;

/// Values by slot: of a row, or of a group.
pub(super) type Frame<'a> = [&'a Value];

/// What evaluation needs besides expression and frame, and what it has used up.
pub(super) struct Eval<'q> {
    pub context: &'q Context,
    pub limits: &'q Limits,
    work: Cell<u64>,
    faults: Cell<Faults>,
}

impl<'q> Eval<'q> {
    pub(super) fn new(context: &'q Context, limits: &'q Limits) -> Self {
        Self { context, limits, work: Cell::new(0), faults: Cell::new(Faults::default()) }
    }

    /// Counts steps.
    #[inline]
    pub(super) fn charge(&self, steps: u64) {
        self.work.set(self.work.get().saturating_add(steps));
    }

    /// Counts what it takes to look at so many bytes; false when there is no more work to be had, and the caller should not begin.
    pub(super) fn charge_bytes(&self, bytes: usize) -> bool {
        self.charge(1 + bytes as u64 / 16);
        self.work.get() <= self.limits.work
    }

    /// An error when more steps were taken than allowed. Asked once for each row; in between, one row's work is bounded by the
    /// size of the query, and functions of text stop by themselves.
    #[inline]
    pub(super) fn within_work(&self) -> Result<(), EvalError> {
        if self.work.get() > self.limits.work {
            return Err(EvalError::TooMuchWork { limit: self.limits.work });
        }
        Ok(())
    }

    /// Notes a fault; the value is NULL.
    pub(super) fn fault(&self, fault: Fault) -> Value {
        self.faults.set(self.faults.get().with(fault));
        Value::Null
    }

    /// The faults so far.
    pub(super) fn faults(&self) -> Faults {
        self.faults.get()
    }

    /// A text, unless it is too long.
    pub(super) fn text(&self, text: impl AsRef<str>) -> Value {
        let text = text.as_ref();
        if text.len() > self.limits.string_bytes { self.fault(Fault::TextTooLong) } else { Value::text(text) }
    }

    /// Whether a condition holds; unknown is no.
    #[inline]
    pub(super) fn holds(&self, expr: &Expr, frame: &Frame<'_>) -> bool {
        coerce::truth(&self.eval(expr, frame)) == Some(true)
    }

    /// The value of an expression. Columns, which most expressions are, are looked up where they are needed, without a call.
    #[inline(always)]
    pub(super) fn eval<'a>(&self, expr: &'a Expr, frame: &'a Frame<'a>) -> Computed<'a> {
        match expr {
            Expr::Slot(slot) => {
                self.charge(1);
                Cow::Borrowed(frame.get(usize::from(*slot)).copied().unwrap_or(&Value::Null))
            }
            Expr::Binary(op, both) => Cow::Owned(self.two(*op, both, frame)),
            other => self.compute(other, frame),
        }
    }

    /// An operator between two values.
    #[inline(never)]
    fn two(&self, op: Binary, both: &[Expr; 2], frame: &Frame<'_>) -> Value {
        self.charge(1);
        let (left, right) = (self.eval(&both[0], frame), self.eval(&both[1], frame));
        self.binary(op, &left, &right)
    }

    #[inline(never)]
    fn compute<'a>(&self, expr: &'a Expr, frame: &'a Frame<'a>) -> Computed<'a> {
        self.charge(1);
        match expr {
            Expr::Slot(slot) => Cow::Borrowed(frame.get(usize::from(*slot)).copied().unwrap_or(&Value::Null)),
            Expr::Const(value) => Cow::Borrowed(value),
            // Bound away by the plan.
            Expr::Aggregate(_) => Cow::Owned(Value::Null),
            Expr::Unary(op, inner) => Cow::Owned(self.unary(*op, &self.eval(inner, frame))),
            Expr::Binary(op, both) => Cow::Owned(self.two(*op, both, frame)),
            Expr::And(terms) => Cow::Owned(self.all(terms, frame, false)),
            Expr::Or(terms) => Cow::Owned(self.all(terms, frame, true)),
            Expr::Between(three) => {
                let [value, low, high] = &**three;
                let value = self.eval(value, frame);
                let from = compare(Binary::GreaterEqual, &value, &self.eval(low, frame));
                let to = compare(Binary::LessEqual, &value, &self.eval(high, frame));
                Cow::Owned(known(match (from, to) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                }))
            }
            // As in SQLite, nobody looks at what would be looked for in nothing.
            Expr::In(_, hay) if hay.is_empty() => Cow::Owned(Value::truth(false)),
            Expr::In(needle, hay) => Cow::Owned(self.is_in(&self.eval(needle, frame), hay, frame)),
            Expr::Like(both, escape) => {
                let (text, like) = (self.eval(&both[0], frame), self.eval(&both[1], frame));
                Cow::Owned(pattern::like(self, &text, &like, *escape))
            }
            Expr::Case(case) => self.case(case, frame),
            Expr::Cast(inner, to) => self.cast(self.eval(inner, frame), *to),
            Expr::Call(function, args) => scalar::call(self, *function, args, frame),
        }
    }

    fn unary(&self, op: Unary, value: &Value) -> Value {
        match op {
            Unary::Minus => arith::binary(Binary::Subtract, &Value::Int(0), value),
            Unary::BitNot => coerce::integer(value).map_or(Value::Null, |int| Value::Int(!int)),
            Unary::Not => known(coerce::truth(value).map(|holds| !holds)),
            Unary::IsNull => Value::truth(value.is_null()),
            Unary::IsTrue => Value::truth(coerce::truth(value) == Some(true)),
            Unary::IsFalse => Value::truth(coerce::truth(value) == Some(false)),
        }
    }

    fn binary(&self, op: Binary, left: &Value, right: &Value) -> Value {
        match op {
            Binary::Equal
            | Binary::NotEqual
            | Binary::Less
            | Binary::LessEqual
            | Binary::Greater
            | Binary::GreaterEqual => known(compare(op, left, right)),
            Binary::Same => Value::truth(by_value(left, right).is_eq()),
            Binary::Concat => self.concat(left, right),
            Binary::Glob => pattern::glob(self, left, right),
            _ => arith::binary(op, left, right),
        }
    }

    fn concat(&self, left: &Value, right: &Value) -> Value {
        let (Some(left), Some(right)) = (coerce::text(left), coerce::text(right)) else { return Value::Null };
        if left.len() + right.len() > self.limits.string_bytes {
            return self.fault(Fault::TextTooLong);
        }
        self.charge_bytes(left.len() + right.len());
        Value::text([left, right].concat())
    }

    /// `AND`, where false decides, or `OR`, where true does.
    fn all(&self, terms: &[Expr], frame: &Frame<'_>, decides: bool) -> Value {
        let mut unknown = false;
        for term in terms {
            match coerce::truth(&self.eval(term, frame)) {
                Some(holds) if holds == decides => return Value::truth(decides),
                Some(_) => {}
                None => unknown = true,
            }
        }
        if unknown { Value::Null } else { Value::truth(!decides) }
    }

    fn is_in(&self, needle: &Value, hay: &[Expr], frame: &Frame<'_>) -> Value {
        let mut unknown = needle.is_null();
        for item in hay {
            match compare(Binary::Equal, needle, &self.eval(item, frame)) {
                Some(true) => return Value::truth(true),
                Some(false) => {}
                None => unknown = true,
            }
        }
        if unknown { Value::Null } else { Value::truth(false) }
    }

    fn case<'a>(&self, case: &'a Case, frame: &'a Frame<'a>) -> Computed<'a> {
        let operand = case.operand.as_ref().map(|operand| self.eval(operand, frame));
        for (when, then) in &case.arms {
            let chosen = match &operand {
                Some(operand) => compare(Binary::Equal, operand, &self.eval(when, frame)) == Some(true),
                None => self.holds(when, frame),
            };
            if chosen {
                return self.eval(then, frame);
            }
        }
        case.otherwise.as_ref().map_or(Cow::Owned(Value::Null), |otherwise| self.eval(otherwise, frame))
    }

    fn cast<'a>(&self, value: Computed<'a>, to: Type) -> Computed<'a> {
        match (to, &*value) {
            (_, Value::Null) | (Type::Text, Value::Text(_)) | (Type::Blob, Value::Bytes(_)) => value,
            (_, Value::List(_)) => Cow::Owned(Value::Null),
            (Type::Integer, other) => Cow::Owned(coerce::integer(other).map_or(Value::Null, Value::Int)),
            (Type::Real, other) => {
                Cow::Owned(coerce::number(other).map_or(Value::Null, |n| Value::float(n.float())))
            }
            (Type::Text, other) => {
                Cow::Owned(coerce::text(other).map_or(Value::Null, |text| self.text(text)))
            }
            (Type::Blob, other) => {
                Cow::Owned(coerce::text(other).map_or(Value::Null, |text| Value::bytes(text.as_bytes())))
            }
        }
    }
}

/// A condition as a value.
pub(super) fn known(holds: Option<bool>) -> Value {
    holds.map_or(Value::Null, Value::truth)
}

/// Compares two values; unknown when one is NULL.
#[inline]
fn compare(op: Binary, left: &Value, right: &Value) -> Option<bool> {
    if left.is_null() || right.is_null() {
        return None;
    }
    let order = by_value(left, right);
    Some(match op {
        Binary::Equal => order == Ordering::Equal,
        Binary::NotEqual => order != Ordering::Equal,
        Binary::Less => order == Ordering::Less,
        Binary::LessEqual => order != Ordering::Greater,
        Binary::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}
