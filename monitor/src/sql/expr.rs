//! Expressions after checking: names are numbers, functions are known, depth is bounded.

use super::functions::{Aggregate, Scalar};
use crate::value::Value;

/// An expression over a frame: before grouping a row's input columns, after it the group's keys and aggregates.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// A literal.
    Const(Value),
    /// A place in the frame.
    Slot(u16),
    /// One of the aggregates of the plan; only while binding, afterwards a place in the frame.
    Aggregate(u16),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<[Expr; 2]>),
    /// `AND` of all, `OR` of any: chains are flat, so that long ones are not deep.
    And(Box<[Expr]>),
    Or(Box<[Expr]>),
    Between(Box<[Expr; 3]>),
    In(Box<Expr>, Box<[Expr]>),
    Like(Box<[Expr; 2]>, Option<char>),
    Case(Box<Case>),
    Cast(Box<Expr>, Type),
    Call(Scalar, Box<[Expr]>),
}

/// `CASE`, with or without an operand.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    pub operand: Option<Expr>,
    pub arms: Box<[(Expr, Expr)]>,
    pub otherwise: Option<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Minus,
    BitNot,
    Not,
    IsNull,
    /// True, as opposed to false or unknown.
    IsTrue,
    /// False, as opposed to true or unknown.
    IsFalse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Concat,
    BitAnd,
    BitOr,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// Equal, and NULL is equal to NULL.
    Same,
    Glob,
}

/// What `CAST` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Integer,
    Real,
    Text,
    Blob,
}

/// One aggregate of a plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AggregateCall {
    pub kind: Aggregate,
    /// How many elements `FIRST`, `RANDOM` and `TOP` keep.
    pub keep: usize,
    /// What is aggregated, and its weight or whatever else the function takes; over rows.
    pub args: Box<[Expr]>,
    pub distinct: bool,
    pub filter: Option<Expr>,
}

impl Expr {
    /// The parts that it is made of.
    pub(super) fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Const(_) | Self::Slot(_) | Self::Aggregate(_) => Vec::new(),
            Self::Unary(_, a) | Self::Cast(a, _) => vec![a],
            Self::Binary(_, both) | Self::Like(both, _) => both.iter().collect(),
            Self::Between(three) => three.iter().collect(),
            Self::And(parts) | Self::Or(parts) | Self::Call(_, parts) => parts.iter().collect(),
            Self::In(needle, hay) => std::iter::once(&**needle).chain(hay.iter()).collect(),
            Self::Case(case) => {
                let arms = case.arms.iter().flat_map(|(when, then)| [when, then]);
                case.operand.iter().chain(arms).chain(&case.otherwise).collect()
            }
        }
    }

    /// The same parts, to be replaced.
    pub(super) fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Const(_) | Self::Slot(_) | Self::Aggregate(_) => Vec::new(),
            Self::Unary(_, a) | Self::Cast(a, _) => vec![a],
            Self::Binary(_, both) | Self::Like(both, _) => both.iter_mut().collect(),
            Self::Between(three) => three.iter_mut().collect(),
            Self::And(parts) | Self::Or(parts) | Self::Call(_, parts) => parts.iter_mut().collect(),
            Self::In(needle, hay) => std::iter::once(&mut **needle).chain(hay.iter_mut()).collect(),
            Self::Case(case) => {
                let arms = case.arms.iter_mut().flat_map(|(when, then)| [when, then]);
                case.operand.iter_mut().chain(arms).chain(&mut case.otherwise).collect()
            }
        }
    }

    /// Whether an aggregate is in it.
    pub(super) fn has_aggregate(&self) -> bool {
        matches!(self, Self::Aggregate(_)) || self.children().into_iter().any(Self::has_aggregate)
    }

    /// Whether a column is in it, outside of aggregates.
    pub(super) fn has_column(&self) -> bool {
        matches!(self, Self::Slot(_)) || self.children().into_iter().any(Self::has_column)
    }
}
