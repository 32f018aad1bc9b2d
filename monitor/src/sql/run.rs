//! A plan, run over rows.
//!
//! 1. Rows are put in their own order (by id, then by everything), so that nothing depends on how they arrived.
//! 2. The columns that the plan reads are looked up once for each schema, and their values collected as references: one frame a row.
//! 3. WHERE, then groups and aggregates, HAVING, columns, DISTINCT, ORDER BY (stable, so equal rows stay in the order of step 1 or of their
//!    keys), OFFSET and LIMIT.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::aggregate::{Rows, aggregate};
use super::error::EvalError;
use super::eval::{Eval, Frame};
use super::expr::Expr;
use super::plan::{Groups, Output, Plan, Term};
use crate::order::{Key, by_value};
use crate::row::{ID, Row};
use crate::schema::Schema;
use crate::value::Value;

/// A row of the answer, and what it is ordered by.
struct Line {
    values: Vec<Value>,
    order: Vec<Value>,
}

/// Names of the answer's columns, and its rows.
pub(super) type Lines = (Vec<Arc<str>>, Vec<Box<[Value]>>);

/// Runs a plan.
pub(super) fn run(plan: &Plan, eval: &Eval<'_>, rows: &[&Row]) -> Result<Lines, EvalError> {
    if rows.len() > eval.limits.rows {
        return Err(EvalError::TooManyRows { found: rows.len(), limit: eval.limits.rows });
    }
    let rows = sorted(rows);
    let star = star(plan, &rows);
    let cells = cells(&plan.inputs, &rows);
    let width = plan.inputs.len();
    let picked = picked(plan, eval, &cells, rows.len())?;
    let of = Rows { cells: &cells, width, picked: &picked };
    let lines = match &plan.groups {
        Some(groups) => grouped(plan, groups, eval, of)?,
        None => single(plan, eval, of, &star, &rows)?,
    };
    Ok((names(plan, &star), finish(plan, eval, lines)?))
}

/// The rows that WHERE lets through.
pub(super) fn picked(
    plan: &Plan,
    eval: &Eval<'_>,
    cells: &[&Value],
    count: usize,
) -> Result<Vec<u32>, EvalError> {
    let mut picked: Vec<u32> = (0..count as u32).collect();
    if let Some(filter) = &plan.filter {
        let every = Rows { cells, width: plan.inputs.len(), picked: &[] };
        let mut work = Ok(());
        picked.retain(|row| {
            work = work.clone().and_then(|()| eval.within_work());
            work.is_ok() && eval.holds(filter, every.frame(*row))
        });
        work?;
    }
    Ok(picked)
}

/// Rows in their own order.
pub(super) fn sorted<'r>(rows: &[&'r Row]) -> Vec<&'r Row> {
    let mut last: Option<(&Arc<Schema>, Option<usize>)> = None;
    let mut keyed: Vec<(u64, &'r Value, &'r Row)> = Vec::with_capacity(rows.len());
    for &row in rows {
        let at = match last {
            Some((schema, at)) if Arc::ptr_eq(schema, row.schema()) => at,
            _ => row.schema().position(ID),
        };
        last = Some((row.schema(), at));
        let id = at.map_or(&Value::Null, |at| &row.values()[at]);
        keyed.push((prefix(id), id, row));
    }
    // Nothing is equal but what is the same bits, so that it does not matter which of them comes first.
    keyed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)).then_with(|| a.2.cmp(b.2)));
    keyed.into_iter().map(|(_, _, row)| row).collect()
}

/// A number that is in the order of values, though it does not tell all of them apart: two bits of kind, then what a value begins
/// with. Comparing it first spares most looks at the values themselves, half of what a small aggregation costs.
fn prefix(value: &Value) -> u64 {
    let start = |bytes: &[u8]| {
        let mut first = [0; 8];
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        u64::from_be_bytes(first)
    };
    let (kind, order) = match value {
        Value::Null => (0, 0),
        // Rounding does not turn the order round.
        Value::Int(_) | Value::Float(_) => {
            let bits = value.as_f64().unwrap_or_default().to_bits();
            (1, if bits >> 63 == 0 { bits | 1 << 63 } else { !bits })
        }
        Value::Text(text) => (2, start(text.as_bytes())),
        Value::Bytes(bytes) => (3, start(bytes)),
        Value::List(_) => (3, u64::MAX),
    };
    kind << 62 | order >> 2
}

/// The values that the plan reads, row after row; NULL where a row has none.
pub(super) fn cells<'r>(inputs: &[Arc<str>], rows: &[&'r Row]) -> Vec<&'r Value> {
    let mut cells = Vec::with_capacity(rows.len() * inputs.len());
    let mut places: Vec<Option<usize>> = Vec::new();
    let mut last: Option<&Arc<Schema>> = None;
    for row in rows {
        if !last.is_some_and(|schema| Arc::ptr_eq(schema, row.schema())) {
            places.clear();
            places.extend(inputs.iter().map(|name| row.schema().position(name)));
            last = Some(row.schema());
        }
        let values = row.values();
        cells.extend(places.iter().map(|place| place.map_or(&Value::Null, |at| &values[at])));
    }
    cells
}

/// The attributes that `*` stands for: all of all rows, but those that are selected by name.
fn star(plan: &Plan, rows: &[&Row]) -> Vec<Arc<str>> {
    if !plan.outputs.iter().any(|output| matches!(output, Output::Star)) {
        return Vec::new();
    }
    let mut names: BTreeSet<&Arc<str>> = BTreeSet::new();
    let mut last: Option<&Arc<Schema>> = None;
    for row in rows {
        if !last.is_some_and(|schema| Arc::ptr_eq(schema, row.schema())) {
            names.extend(row.schema().names());
            last = Some(row.schema());
        }
    }
    for output in &plan.outputs {
        if let Output::Column { name, .. } = output {
            names.remove(name);
        }
    }
    names.into_iter().cloned().collect()
}

fn names(plan: &Plan, star: &[Arc<str>]) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    for output in &plan.outputs {
        match output {
            Output::Star => names.extend_from_slice(star),
            Output::Column { name, .. } => names.push(name.clone()),
        }
    }
    names
}

/// One row of the answer for each row.
fn single(
    plan: &Plan,
    eval: &Eval<'_>,
    rows: Rows<'_>,
    star: &[Arc<str>],
    sources: &[&Row],
) -> Result<Vec<Line>, EvalError> {
    let mut lines = Vec::with_capacity(rows.picked.len());
    for &row in rows.picked {
        eval.within_work()?;
        let frame = rows.frame(row);
        let mut values = Vec::new();
        for output in &plan.outputs {
            match output {
                Output::Star => {
                    values.extend(star.iter().map(|name| sources[row as usize].get(name).clone()))
                }
                Output::Column { expr, .. } => values.push(eval.eval(expr, frame).into_owned()),
            }
        }
        lines.push(Line { values, order: order_values(&plan.order, eval, frame) });
    }
    Ok(lines)
}

/// One row of the answer for each group.
fn grouped(plan: &Plan, groups: &Groups, eval: &Eval<'_>, rows: Rows<'_>) -> Result<Vec<Line>, EvalError> {
    let mut lines = Vec::new();
    for (keys, picked) in split(groups, eval, rows)? {
        let of_group = Rows { picked: &picked, ..rows };
        let mut values = keys;
        for call in &groups.aggregates {
            values.push(aggregate(eval, call, of_group)?);
        }
        eval.within_work()?;
        let frame: Vec<&Value> = values.iter().collect();
        if plan.having.as_ref().is_some_and(|having| !eval.holds(having, &frame)) {
            continue;
        }
        let values = plan.outputs.iter().filter_map(|output| match output {
            Output::Column { expr, .. } => Some(eval.eval(expr, &frame).into_owned()),
            Output::Star => None,
        });
        lines.push(Line { values: values.collect(), order: order_values(&plan.order, eval, &frame) });
    }
    Ok(lines)
}

/// The keys of a group, and which rows are in it.
type Group = (Vec<Value>, Vec<u32>);

/// Splits rows into groups, in the order of their keys.
fn split(groups: &Groups, eval: &Eval<'_>, rows: Rows<'_>) -> Result<Vec<Group>, EvalError> {
    if groups.keys.is_empty() {
        return Ok(vec![(Vec::new(), in_order(&groups.rows, eval, rows))]);
    }
    let mut keyed: Vec<(Key, u32)> = Vec::with_capacity(rows.picked.len());
    for &row in rows.picked {
        eval.within_work()?;
        let keys = groups.keys.iter().map(|key| eval.eval(key, rows.frame(row)).into_owned());
        keyed.push((Key(keys.collect()), row));
    }
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    let mut split: Vec<Group> = Vec::new();
    let mut last: Option<Key> = None;
    for (key, row) in keyed {
        match split.last_mut() {
            Some((_, picked)) if last.as_ref() == Some(&key) => picked.push(row),
            _ => {
                if split.len() == eval.limits.groups {
                    return Err(EvalError::TooManyGroups { limit: eval.limits.groups });
                }
                split.push((key.0.to_vec(), vec![row]));
                last = Some(key);
            }
        }
    }
    Ok(split)
}

/// The rows of the one group, in the order that the query wants them for FIRST.
fn in_order(terms: &[Term], eval: &Eval<'_>, rows: Rows<'_>) -> Vec<u32> {
    if terms.is_empty() {
        return rows.picked.to_vec();
    }
    let mut keyed: Vec<(Vec<Value>, u32)> =
        rows.picked.iter().map(|row| (order_values(terms, eval, rows.frame(*row)), *row)).collect();
    keyed.sort_by(|a, b| compare(terms, &a.0, &b.0));
    keyed.into_iter().map(|(_, row)| row).collect()
}

fn order_values(terms: &[Term], eval: &Eval<'_>, frame: &Frame<'_>) -> Vec<Value> {
    let value = |expr: &Expr| eval.eval(expr, frame).into_owned();
    terms.iter().map(|term| value(&term.expr)).collect()
}

/// Compares what two rows are ordered by.
fn compare(terms: &[Term], a: &[Value], b: &[Value]) -> Ordering {
    let orders = terms.iter().zip(a.iter().zip(b)).map(|(term, (a, b))| match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if term.nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if term.nulls_first => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ if term.descending => by_value(b, a),
        _ => by_value(a, b),
    });
    orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// DISTINCT, ORDER BY, OFFSET, LIMIT, and the limit on the answer.
fn finish(plan: &Plan, eval: &Eval<'_>, mut lines: Vec<Line>) -> Result<Vec<Box<[Value]>>, EvalError> {
    eval.within_work()?;
    if plan.distinct {
        let mut seen = BTreeSet::new();
        lines.retain(|line| seen.insert(Key(line.values.clone().into())));
    }
    if !plan.order.is_empty() {
        lines.sort_by(|a, b| compare(&plan.order, &a.order, &b.order));
    }
    let offset = usize::try_from(plan.offset).unwrap_or(usize::MAX);
    let limit = plan.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let lines: Vec<Box<[Value]>> =
        lines.into_iter().skip(offset).take(limit).map(|line| line.values.into()).collect();
    if lines.len() > eval.limits.output_rows {
        return Err(EvalError::TooLarge {
            what: "the rows",
            found: lines.len(),
            limit: eval.limits.output_rows,
        });
    }
    Ok(lines)
}
