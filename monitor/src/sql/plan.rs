//! What a SELECT means: which rows, grouped how, which columns, in which order, how many.

use std::sync::Arc;

use sqlparser::ast::{
    Distinct, Expr as Ast, GroupByExpr, LimitClause, OrderBy, OrderByKind, OrderByOptions, OrderBySort,
    Query, Select, SelectFlavor, SelectItem, SetExpr, TableFactor, TableWithJoins,
};

use super::bind::{Binder, Clause};
use super::error::SqlError;
use super::expr::{AggregateCall, Expr};
use super::grammar::{self, cut};
use super::limits::Limits;
use super::syntax::{number, place, wrong};
use crate::value::Value;

/// A checked SELECT.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub table: Option<String>,
    /// Attributes that are read: the slots of a row's frame.
    pub inputs: Box<[Arc<str>]>,
    pub filter: Option<Expr>,
    pub groups: Option<Groups>,
    pub outputs: Box<[Output]>,
    pub distinct: bool,
    pub having: Option<Expr>,
    pub order: Box<[Term]>,
    pub limit: Option<u64>,
    pub offset: u64,
    /// Parts of all expressions.
    pub nodes: usize,
}

/// How rows become groups. Everything after it is over frames of keys, then aggregates.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    /// None for one group of all rows, which is there even when there are no rows.
    pub keys: Box<[Expr]>,
    pub aggregates: Box<[AggregateCall]>,
    /// The order of the rows inside of a group, for `FIRST`.
    pub rows: Box<[Term]>,
}

/// A column of the answer.
#[derive(Debug, Clone)]
pub(super) enum Output {
    /// `*`: all attributes that are not selected by name.
    Star,
    Column {
        name: Arc<str>,
        expr: Expr,
    },
}

/// A term of an order.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}

/// Makes a plan of the syntax tree.
pub(super) fn plan(query: &Query, limits: &Limits) -> Result<Plan, SqlError> {
    let SetExpr::Select(select) = &*query.body else {
        return refuse("UNION, VALUES and the like are not possible; write one SELECT");
    };
    if query.with.is_some()
        || query.fetch.is_some()
        || !query.locks.is_empty()
        || query.for_clause.is_some()
        || query.settings.is_some()
        || query.format_clause.is_some()
        || !query.pipe_operators.is_empty()
        || is_unusual(select)
    {
        return refuse(
            "only SELECT, FROM, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT and OFFSET are possible; leave the rest out",
        );
    }
    let mut binder = Binder::new(limits, table(&select.from)?);
    let distinct = match &select.distinct {
        None | Some(Distinct::All) => false,
        Some(Distinct::Distinct) => true,
        Some(_) => return refuse("DISTINCT ON is not possible; use GROUP BY and FIRST"),
    };
    let outputs = outputs(&mut binder, select)?;
    let filter = select.selection.as_ref().map(|filter| binder.bind_in(Clause::Where, filter)).transpose()?;
    let keys = keys(&mut binder, &outputs, &select.group_by)?;
    let having = select.having.as_ref().map(|having| binder.bind_in(Clause::Having, having)).transpose()?;
    let order = order(&mut binder, &outputs, query.order_by.as_ref())?;
    let (limit, offset) = limit(query.limit_clause.as_ref())?;
    let mut plan = Plan {
        table: binder.table,
        inputs: binder.columns.into(),
        filter,
        groups: None,
        outputs: outputs.into(),
        distinct,
        having,
        order: order.into(),
        limit,
        offset,
        nodes: binder.nodes,
    };
    if !keys.is_empty() || !binder.aggregates.is_empty() {
        group(&mut plan, keys, binder.aggregates, select)?;
    } else if plan.having.is_some() {
        return refuse("HAVING needs GROUP BY or an aggregate; use WHERE to choose single rows");
    }
    if plan.distinct && plan.order.iter().any(|term| !is_selected(&plan.outputs, &term.expr)) {
        return refuse(
            "with DISTINCT the answer can be ordered by selected columns only; select what ORDER BY names",
        );
    }
    Ok(plan)
}

fn refuse<T>(message: &str) -> Result<T, SqlError> {
    Err(SqlError::new(message, None))
}

/// Whether a SELECT has parts that other databases know.
fn is_unusual(select: &Select) -> bool {
    select.select_modifiers.is_some()
        || select.top.is_some()
        || select.exclude.is_some()
        || select.into.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || !select.named_window.is_empty()
        || select.qualify.is_some()
        || select.value_table_mode.is_some()
        || select.flavor != SelectFlavor::Standard
}

/// The one table, by its name or alias.
fn table(from: &[TableWithJoins]) -> Result<Option<String>, SqlError> {
    let one = match from {
        [] => return Ok(None),
        [one] if one.joins.is_empty() => one,
        _ => return refuse("a query is about one table; joins are not possible"),
    };
    match &one.relation {
        TableFactor::Table {
            name,
            alias: None,
            args: None,
            version: None,
            sample: None,
            with_hints,
            partitions,
            ..
        } if with_hints.is_empty() && partitions.is_empty() => match name.0.as_slice() {
            [part] if part.as_ident().is_some() => Ok(part.as_ident().map(|ident| ident.value.clone())),
            _ => refuse(
                "the name of a table has one part; quote it if it contains dots or slashes: \"/eu/ams\"",
            ),
        },
        _ => {
            refuse("FROM takes the name of one table, without an alias; write FROM children, or leave it out")
        }
    }
}

fn outputs(binder: &mut Binder<'_>, select: &Select) -> Result<Vec<Output>, SqlError> {
    let mut outputs: Vec<Output> = Vec::new();
    if select.projection.len() > binder.limits.outputs {
        let message = format!(
            "the query has {} columns, and the limit is {}; select fewer",
            select.projection.len(),
            binder.limits.outputs
        );
        return Err(SqlError::new(message, None));
    }
    for item in &select.projection {
        let (ast, alias) = match item {
            SelectItem::UnnamedExpr(ast) => (ast, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
            SelectItem::Wildcard(options) if options.to_string().is_empty() => {
                if outputs.iter().any(|output| matches!(output, Output::Star)) {
                    return refuse("* is there twice; leave one out");
                }
                outputs.push(Output::Star);
                continue;
            }
            _ => {
                return refuse(
                    "* stands alone here, and a column has one alias; name the columns that you want",
                );
            }
        };
        let expr = binder.bind_in(Clause::Select, ast)?;
        let name = match (alias, ast) {
            (Some(alias), _) => alias.value.clone(),
            (None, Ast::Identifier(ident)) => ident.value.clone(),
            // Bound, so it is not too deep to be printed.
            (None, _) => ast.to_string(),
        };
        let at = alias.map_or_else(|| place(ast), |alias| grammar::position(alias.span.start));
        if name.len() > binder.limits.name_bytes {
            let message = format!(
                "the name of this column is longer than {} bytes; give it a short one with AS",
                binder.limits.name_bytes
            );
            return Err(SqlError::new(message, at));
        }
        if outputs
            .iter()
            .any(|output| matches!(output, Output::Column { name: other, .. } if **other == *name))
        {
            let message =
                format!("two columns are named {}; give one of them another name with AS", cut(&name));
            return Err(SqlError::new(message, at));
        }
        let name: Arc<str> = name.into();
        if alias.is_some() {
            binder.aliases.push((name.clone(), expr.clone()));
        }
        outputs.push(Output::Column { name, expr });
    }
    Ok(outputs)
}

/// The selected column that a whole number in GROUP BY or ORDER BY means, counted from 1.
fn ordinal(outputs: &[Output], ast: &Ast) -> Result<Option<Expr>, SqlError> {
    let Some(n) = number(ast) else { return Ok(None) };
    match usize::try_from(n).ok().and_then(|n| outputs.get(n.checked_sub(1)?)) {
        Some(Output::Column { expr, .. }) => Ok(Some(expr.clone())),
        _ => wrong(ast, format!("there is no selected column number {n}; count from 1, or write its name")),
    }
}

fn keys(binder: &mut Binder<'_>, outputs: &[Output], group_by: &GroupByExpr) -> Result<Vec<Expr>, SqlError> {
    let GroupByExpr::Expressions(asts, modifiers) = group_by else {
        return refuse("GROUP BY ALL is not possible; name the columns");
    };
    if !modifiers.is_empty() {
        return refuse("GROUP BY has no modifiers here; name columns only");
    }
    bounded("GROUP BY", asts.len(), binder.limits)?;
    let key = |ast| match ordinal(outputs, ast)? {
        Some(expr) if expr.has_aggregate() => {
            wrong(ast, "this column is an aggregate; group by columns of rows")
        }
        Some(expr) => Ok(expr),
        None => binder.bind_in(Clause::GroupBy, ast),
    };
    asts.iter().map(key).collect()
}

fn bounded(what: &str, terms: usize, limits: &Limits) -> Result<(), SqlError> {
    if terms > limits.terms {
        return Err(SqlError::new(
            format!("{what} has {terms} terms, and the limit is {}; use fewer", limits.terms),
            None,
        ));
    }
    Ok(())
}

fn order(
    binder: &mut Binder<'_>,
    outputs: &[Output],
    order_by: Option<&OrderBy>,
) -> Result<Vec<Term>, SqlError> {
    let Some(order_by) = order_by else { return Ok(Vec::new()) };
    let OrderByKind::Expressions(terms) = &order_by.kind else {
        return refuse("ORDER BY ALL is not possible; name the columns");
    };
    bounded("ORDER BY", terms.len(), binder.limits)?;
    let mut order = Vec::with_capacity(terms.len());
    for term in terms {
        let OrderByOptions { sort, nulls_first } = &term.options;
        let descending = match sort {
            None | Some(OrderBySort::Asc) => false,
            Some(OrderBySort::Desc) => true,
            Some(_) => return wrong(&term.expr, "a term of ORDER BY is followed by ASC or DESC"),
        };
        let expr = match ordinal(outputs, &term.expr)? {
            Some(expr) => expr,
            None => binder.bind_in(Clause::OrderBy, &term.expr)?,
        };
        // NULL is the smallest, as in SQLite: first going up, last going down.
        order.push(Term { expr, descending, nulls_first: nulls_first.unwrap_or(!descending) });
    }
    Ok(order)
}

fn limit(clause: Option<&LimitClause>) -> Result<(Option<u64>, u64), SqlError> {
    let count = |ast: &Ast| match number(ast) {
        Some(n) => Ok(n),
        None => wrong(ast, "LIMIT and OFFSET take a number from 0, written as such"),
    };
    match clause {
        None => Ok((None, 0)),
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => Ok((
            limit.as_ref().map(count).transpose()?,
            offset.as_ref().map(|offset| count(&offset.value)).transpose()?.unwrap_or(0),
        )),
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => Ok((Some(count(limit)?), count(offset)?)),
        Some(_) => refuse("LIMIT … BY is not possible; use GROUP BY and FIRST"),
    }
}

/// Turns a plan over rows into one over groups.
fn group(
    plan: &mut Plan,
    keys: Vec<Expr>,
    aggregates: Vec<AggregateCall>,
    select: &Select,
) -> Result<(), SqlError> {
    let mut rows = Vec::new();
    if keys.is_empty() {
        // One row comes out, so an order is about the rows that go in; one by an aggregate is about nothing.
        rows = std::mem::take(&mut plan.order).into_vec();
        rows.retain(|term| !term.expr.has_aggregate());
    }
    for (output, item) in plan.outputs.iter_mut().zip(&select.projection) {
        let Output::Column { expr, .. } = output else {
            return refuse(
                "* is possible for single rows only; name the columns, or leave the aggregates out",
            );
        };
        let at = match item {
            SelectItem::UnnamedExpr(ast) | SelectItem::ExprWithAlias { expr: ast, .. } => place(ast),
            _ => None,
        };
        over_groups(expr, &keys).map_err(|slot| ungrouped(&plan.inputs, slot, at))?;
    }
    if let Some(having) = &mut plan.having {
        let at = select.having.as_ref().and_then(place);
        over_groups(having, &keys).map_err(|slot| ungrouped(&plan.inputs, slot, at))?;
    }
    for term in &mut plan.order {
        over_groups(&mut term.expr, &keys).map_err(|slot| ungrouped(&plan.inputs, slot, None))?;
    }
    plan.groups = Some(Groups { keys: keys.into(), aggregates: aggregates.into(), rows: rows.into() });
    Ok(())
}

/// Rewrites an expression to read keys and aggregates; the column that is neither is the error.
fn over_groups(expr: &mut Expr, keys: &[Expr]) -> Result<(), u16> {
    if let Some(key) = keys.iter().position(|key| key == expr) {
        *expr = Expr::Slot(key as u16);
        return Ok(());
    }
    match expr {
        Expr::Slot(slot) => Err(*slot),
        Expr::Aggregate(n) => {
            *expr = Expr::Slot(keys.len() as u16 + *n);
            Ok(())
        }
        other => other.children_mut().into_iter().try_for_each(|child| over_groups(child, keys)),
    }
}

fn ungrouped(inputs: &[Arc<str>], slot: u16, at: Option<super::error::Position>) -> SqlError {
    let name = inputs.get(usize::from(slot)).map_or_else(String::new, |name| cut(name));
    SqlError::new(
        format!(
            "{name} has a value for each row, and here is one for many; write MAX({name}), FIRST(1, {name}), or GROUP BY {name}"
        ),
        at,
    )
}

fn is_selected(outputs: &[Output], expr: &Expr) -> bool {
    let star = outputs.iter().any(|output| matches!(output, Output::Star)) && matches!(expr, Expr::Slot(_));
    star || matches!(expr, Expr::Const(Value::Null))
        || outputs
            .iter()
            .any(|output| matches!(output, Output::Column { expr: selected, .. } if selected == expr))
}
