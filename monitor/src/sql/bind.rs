//! From the syntax tree of an expression to an [`Expr`]: names become numbers, and what is not possible is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlparser::ast::{BinaryOperator, Expr as Ast, Ident, UnaryOperator, ValueWithSpan};

use super::error::{Position, SqlError};
use super::expr::{AggregateCall, Binary, Case, Expr, Unary};
use super::grammar::{self, cut, too_deep};
use super::limits::Limits;
use super::syntax::{binary, cast_type, is_smallest, literal, place, wrong};
use crate::value::Value;

/// Terms of a chain of `AND` or of `OR`. The syntax tree of a chain is as deep as it is long.
const CHAIN: usize = 256;

/// What stands where, and which names it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clause {
    /// What is selected.
    Select,
    Where,
    GroupBy,
    Having,
    OrderBy,
    /// The arguments of an aggregate, and its filter.
    Aggregate,
}

/// Collects what the expressions of a query need.
pub(super) struct Binder<'l> {
    pub limits: &'l Limits,
    /// The name of the table, by which columns may be qualified.
    pub table: Option<String>,
    /// Columns that are read, in the order of their first use.
    pub columns: Vec<Arc<str>>,
    places: BTreeMap<Arc<str>, u16>,
    pub aggregates: Vec<AggregateCall>,
    /// Names that the select list gives, and what they stand for.
    pub aliases: Vec<(Arc<str>, Expr)>,
    pub nodes: usize,
    pub clause: Clause,
}

impl<'l> Binder<'l> {
    pub(super) fn new(limits: &'l Limits, table: Option<String>) -> Self {
        Self {
            limits,
            table,
            columns: Vec::new(),
            places: BTreeMap::new(),
            aggregates: Vec::new(),
            aliases: Vec::new(),
            nodes: 0,
            clause: Clause::Select,
        }
    }

    /// Binds an expression of a clause.
    pub(super) fn bind_in(&mut self, clause: Clause, ast: &Ast) -> Result<Expr, SqlError> {
        self.clause = clause;
        self.bind(ast, 0)
    }

    /// Binds a part; `depth` is how deep it is.
    pub(super) fn bind(&mut self, ast: &Ast, depth: usize) -> Result<Expr, SqlError> {
        if depth > self.limits.depth {
            return Err(too_deep(self.limits, place(ast)));
        }
        self.count(1, place(ast))?;
        let next = depth + 1;
        Ok(match ast {
            Ast::Nested(inner) => self.bind(inner, next)?,
            Ast::Identifier(ident) => self.name(ident)?,
            Ast::CompoundIdentifier(parts) => self.qualified(ast, parts)?,
            Ast::Value(ValueWithSpan { value, .. }) => Expr::Const(self.bounded(ast, literal(ast, value)?)?),
            Ast::UnaryOp { op, expr } if is_smallest(*op, expr) => Expr::Const(Value::Int(i64::MIN)),
            Ast::UnaryOp { op, expr } => {
                let inner = self.bind(expr, next)?;
                match op {
                    UnaryOperator::Plus => inner,
                    UnaryOperator::Minus => unary(Unary::Minus, inner),
                    UnaryOperator::BitwiseNot => unary(Unary::BitNot, inner),
                    UnaryOperator::Not => unary(Unary::Not, inner),
                    _ => return wrong(ast, format!("the sign {op} is not possible; use +, -, ~ or NOT")),
                }
            }
            Ast::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => {
                self.chain(ast, op, next)?
            }
            Ast::BinaryOp { left, op, right } => match binary(op) {
                Some(binary) => self.two(binary, left, right, next)?,
                None => {
                    return wrong(
                        ast,
                        format!(
                            "the operator {} is not possible; docs/sql.md has the list",
                            cut(&op.to_string())
                        ),
                    );
                }
            },
            Ast::IsNotDistinctFrom(left, right) => self.two(Binary::Same, left, right, next)?,
            Ast::IsDistinctFrom(left, right) => not(self.two(Binary::Same, left, right, next)?),
            Ast::IsNull(inner) | Ast::IsUnknown(inner) => unary(Unary::IsNull, self.bind(inner, next)?),
            Ast::IsNotNull(inner) | Ast::IsNotUnknown(inner) => {
                not(unary(Unary::IsNull, self.bind(inner, next)?))
            }
            Ast::IsTrue(inner) => unary(Unary::IsTrue, self.bind(inner, next)?),
            Ast::IsNotTrue(inner) => not(unary(Unary::IsTrue, self.bind(inner, next)?)),
            Ast::IsFalse(inner) => unary(Unary::IsFalse, self.bind(inner, next)?),
            Ast::IsNotFalse(inner) => not(unary(Unary::IsFalse, self.bind(inner, next)?)),
            Ast::Between { expr, negated, low, high } => {
                let three = [self.bind(expr, next)?, self.bind(low, next)?, self.bind(high, next)?];
                not_if(*negated, Expr::Between(Box::new(three)))
            }
            Ast::InList { expr, list, negated } => {
                let needle = Box::new(self.bind(expr, next)?);
                let hay = list.iter().map(|item| self.bind(item, next)).collect::<Result<_, _>>()?;
                not_if(*negated, Expr::In(needle, hay))
            }
            Ast::Like { negated, any: false, expr, pattern, escape_char } => {
                let escape = escape_char.as_deref().map(|escape| self.escape(escape)).transpose()?;
                let both = [self.bind(expr, next)?, self.bind(pattern, next)?];
                not_if(*negated, Expr::Like(Box::new(both), escape))
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                let operand = operand.as_deref().map(|operand| self.bind(operand, next)).transpose()?;
                let arms = conditions
                    .iter()
                    .map(|arm| Ok((self.bind(&arm.condition, next)?, self.bind(&arm.result, next)?)))
                    .collect::<Result<_, SqlError>>()?;
                let otherwise = else_result.as_deref().map(|last| self.bind(last, next)).transpose()?;
                Expr::Case(Box::new(Case { operand, arms, otherwise }))
            }
            Ast::Cast { expr, data_type, .. } => match cast_type(data_type) {
                Some(to) => Expr::Cast(Box::new(self.bind(expr, next)?), to),
                None => return wrong(ast, "CAST makes INTEGER, REAL, TEXT or BLOB; choose one of them"),
            },
            Ast::Function(function) => self.call(ast, function, next)?,
            Ast::InSubquery { .. } | Ast::Exists { .. } | Ast::Subquery(_) => {
                return wrong(ast, "a SELECT inside of another is not possible; ask about one table");
            }
            Ast::Collate { .. } => {
                return wrong(
                    ast,
                    "COLLATE is not possible; text compares by its bytes, LOWER(x) ignores case",
                );
            }
            Ast::ILike { .. } => return wrong(ast, "ILIKE is not possible; LIKE ignores case already"),
            Ast::Tuple(_) => {
                return wrong(
                    ast,
                    "a list in parentheses is possible after IN only; compare one value with one",
                );
            }
            _ => return wrong(ast, "this kind of expression is not possible; docs/sql.md says what is"),
        })
    }

    /// Counts parts towards the limit.
    fn count(&mut self, parts: usize, at: Option<Position>) -> Result<(), SqlError> {
        self.nodes += parts;
        if self.nodes > self.limits.nodes {
            let message = format!("the query has more than {} parts; shorten it", self.limits.nodes);
            return Err(SqlError::new(message, at));
        }
        Ok(())
    }

    fn bounded(&self, ast: &Ast, value: Value) -> Result<Value, SqlError> {
        let bytes = match &value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        if bytes > self.limits.string_bytes {
            return wrong(
                ast,
                format!(
                    "this literal has {bytes} bytes, and the limit is {}; shorten it",
                    self.limits.string_bytes
                ),
            );
        }
        Ok(value)
    }

    fn escape(&self, ast: &Ast) -> Result<char, SqlError> {
        let text = match ast {
            Ast::Value(ValueWithSpan { value, .. }) => literal(ast, value)?,
            _ => Value::Null,
        };
        let mut chars = text.as_text().unwrap_or_default().chars();
        match (chars.next(), chars.next()) {
            (Some(escape), None) => Ok(escape),
            _ => wrong(ast, "ESCAPE needs one character, such as '!'"),
        }
    }

    fn two(&mut self, op: Binary, left: &Ast, right: &Ast, depth: usize) -> Result<Expr, SqlError> {
        Ok(Expr::Binary(op, Box::new([self.bind(left, depth)?, self.bind(right, depth)?])))
    }

    /// `a AND b AND c …`, which the grammar nests to the left, as one.
    fn chain(&mut self, ast: &Ast, op: &BinaryOperator, depth: usize) -> Result<Expr, SqlError> {
        let mut terms = Vec::new();
        let mut rest = ast;
        while let Ast::BinaryOp { left, op: same, right } = rest {
            if same != op {
                break;
            }
            terms.push(&**right);
            rest = left;
            if terms.len() >= CHAIN {
                return wrong(
                    ast,
                    format!("more than {CHAIN} conditions are chained; use IN, or fewer of them"),
                );
            }
        }
        terms.push(rest);
        let terms = terms.into_iter().rev().map(|term| self.bind(term, depth)).collect::<Result<_, _>>()?;
        Ok(if *op == BinaryOperator::And { Expr::And(terms) } else { Expr::Or(terms) })
    }

    /// A name: of the select list where that is visible, otherwise of an attribute.
    fn name(&mut self, ident: &Ident) -> Result<Expr, SqlError> {
        let visible = matches!(self.clause, Clause::GroupBy | Clause::Having | Clause::OrderBy);
        if visible
            && let Some((_, expr)) = self.aliases.iter().find(|(alias, _)| **alias == *ident.value)
            // Groups come before aggregates, so an aggregate's name cannot be meant.
            && !(self.clause == Clause::GroupBy && expr.has_aggregate())
        {
            let expr = expr.clone();
            self.count(weight(&expr), grammar::position(ident.span.start))?;
            return Ok(expr);
        }
        self.column(ident)
    }

    fn qualified(&mut self, ast: &Ast, parts: &[Ident]) -> Result<Expr, SqlError> {
        match (parts, &self.table) {
            ([table, column], Some(name)) if table.value == *name => self.column(column),
            ([_, _], Some(name)) => wrong(
                ast,
                format!("the table of this query is {}; name its columns without a table", cut(name)),
            ),
            _ => wrong(
                ast,
                "a column has one name here, without a table before it; quote names with dots: \"a.b\"",
            ),
        }
    }

    /// An attribute of the rows.
    fn column(&mut self, ident: &Ident) -> Result<Expr, SqlError> {
        let at = grammar::position(ident.span.start);
        if ident.value.len() > self.limits.name_bytes {
            let message = format!("this name is longer than {} bytes; shorten it", self.limits.name_bytes);
            return Err(SqlError::new(message, at));
        }
        if let Some(place) = self.places.get(ident.value.as_str()) {
            return Ok(Expr::Slot(*place));
        }
        let place = u16::try_from(self.columns.len())
            .map_err(|_| SqlError::new("too many columns; read fewer", at))?;
        let name: Arc<str> = ident.value.as_str().into();
        self.places.insert(name.clone(), place);
        self.columns.push(name);
        Ok(Expr::Slot(place))
    }
}

/// How many parts an expression has.
pub(super) fn weight(expr: &Expr) -> usize {
    1 + expr.children().into_iter().map(weight).sum::<usize>()
}

fn unary(op: Unary, inner: Expr) -> Expr {
    Expr::Unary(op, Box::new(inner))
}

fn not(inner: Expr) -> Expr {
    unary(Unary::Not, inner)
}

fn not_if(negated: bool, inner: Expr) -> Expr {
    if negated { not(inner) } else { inner }
}
