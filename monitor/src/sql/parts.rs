//! [`Parts`]: an aggregation over all rows that there are, computed in parts.
//!
//! ```text
//!   rows of agents ──WHERE, aggregates──► part ─┐
//!                           parts of zones ─────┴──combined──► part of the zone around them ──expressions──► what the SELECT says of all agents
//! ```
//! A part is what has to be known of some rows so that nothing else has to be: the sum for SUM, the mean and the count for AVG, the sketch for a
//! sketch (Madden, Franklin, Hellerstein and Hong, "TAG", OSDI 2002, call these partial state records). Then the answer is that of one table of
//! all rows, as far as floats and sketches allow, whatever the shape of the tree.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    aggregate::{Rows, aggregate},
    error::{EvalError, SqlError},
    eval::Eval,
    expr::{AggregateCall, Binary, Expr, Unary},
    functions::Aggregate,
    plan::{Output, Plan},
    query::{Context, Query, Summary},
    run,
};
use crate::{row::Row, value::Value};

/// An aggregation, and how it is computed in parts.
#[derive(Debug, Clone)]
pub struct Parts {
    query: Query,
    /// Over rows of agents; one for each value of a part.
    first: Box<[AggregateCall]>,
    /// Over parts.
    combine: Box<[AggregateCall]>,
    /// By which attributes zones tell their parts.
    names: Box<[Arc<str>]>,
    /// For each aggregate of the query: which value of a part it is.
    values: Box<[usize]>,
}

impl Parts {
    /// How to compute a query in parts; values of parts that are no columns of it are told as `prefix.0`, `prefix.1` and so on.
    ///
    /// # Errors
    /// It is no aggregation, or has an aggregate whose parts would be as large as what they are of.
    pub fn new(query: &Query, prefix: &str) -> Result<Self, SqlError> {
        let plan = query.plan();
        let groups = plan.groups.as_ref().filter(|_| query.is_aggregation());
        let Some(groups) = groups else { return refuse(&EvalError::NotAnAggregation.to_string()) };
        if !groups.rows.is_empty() {
            return refuse("ORDER BY is about one table, and agents have many; use TOP");
        }
        let (mut first, mut combine, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let mut names: Vec<Option<Arc<str>>> = Vec::new();
        for (nth, call) in groups.aggregates.iter().enumerate() {
            let at = first.len();
            values.push(at);
            for (part, (kind, args)) in parts(call, at)? {
                first.push(part);
                combine.push(AggregateCall { kind, keep: call.keep, args, distinct: false, filter: None });
            }
            let column = plan.outputs.iter().find_map(|output| match output {
                Output::Column { name, expr: Expr::Slot(slot) } if usize::from(*slot) == nth => Some(name),
                _ => None,
            });
            names.push(column.filter(|_| call.kind != Aggregate::Stddev).cloned());
            names.resize(first.len(), None);
        }
        let name =
            |(nth, name): (usize, Option<Arc<str>>)| name.unwrap_or_else(|| format!("{prefix}.{nth}").into());
        let names = names.into_iter().enumerate().map(name).collect();
        let (first, combine, values) = (first.into(), combine.into(), values.into());
        Ok(Self { query: query.clone(), first, combine, names, values })
    }

    /// The query.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What the query says of all agents in a zone, out of the rows of agents in it and of what zones in it have told; with the zone's own part.
    ///
    /// # Errors
    /// When the rows, or the result, are more than the limits allow.
    pub fn summarise<'r>(
        &self,
        agents: impl IntoIterator<Item = &'r Row>,
        zones: impl IntoIterator<Item = &'r Row>,
        context: &Context,
    ) -> Result<Summary, EvalError> {
        let plan = self.query.plan();
        let eval = Eval::new(context, self.query.limits());
        let (agents, zones): (Vec<&Row>, Vec<&Row>) =
            (agents.into_iter().collect(), zones.into_iter().collect());
        let limit = eval.limits.rows;
        if agents.len() + zones.len() > limit {
            return Err(EvalError::TooManyRows { found: agents.len() + zones.len(), limit });
        }
        let own = match agents.is_empty() && !zones.is_empty() {
            true => None,
            false => Some(self.of_agents(plan, &eval, &agents)?),
        };
        let part = match own {
            Some(own) if zones.is_empty() => own,
            own => self.combined(&eval, &zones, own.as_deref())?,
        };
        let finals = self.finals(plan, &part);
        let frame: Vec<&Value> = finals.iter().collect();
        let mut attributes: BTreeMap<Arc<str>, Value> = self.names.iter().cloned().zip(part).collect();
        for output in &plan.outputs {
            if let Output::Column { name, expr } = output {
                attributes.insert(name.clone(), eval.eval(expr, &frame).into_owned());
            }
        }
        eval.within_work()?;
        Ok(Summary { row: Row::new(attributes), faults: eval.faults() })
    }

    fn of_agents(&self, plan: &Plan, eval: &Eval<'_>, rows: &[&Row]) -> Result<Vec<Value>, EvalError> {
        let rows = run::sorted(rows);
        let (cells, width) = (run::cells(&plan.inputs, &rows), plan.inputs.len());
        let picked = run::picked(plan, eval, &cells, rows.len())?;
        let rows = Rows { cells: &cells, width, picked: &picked };
        self.first.iter().map(|call| aggregate(eval, call, rows)).collect()
    }

    fn combined(
        &self,
        eval: &Eval<'_>,
        zones: &[&Row],
        own: Option<&[Value]>,
    ) -> Result<Vec<Value>, EvalError> {
        let mut cells = run::cells(&self.names, &run::sorted(zones));
        cells.extend(own.into_iter().flatten());
        let count = zones.len() + usize::from(own.is_some());
        let picked: Vec<u32> = (0..count as u32).collect();
        let rows = Rows { cells: &cells, width: self.names.len(), picked: &picked };
        self.combine.iter().map(|call| aggregate(eval, call, rows)).collect()
    }

    /// The values of the query's aggregates.
    fn finals(&self, plan: &Plan, part: &[Value]) -> Vec<Value> {
        let calls = plan.groups.iter().flat_map(|groups| &groups.aggregates);
        let value = |(call, at): (&AggregateCall, &usize)| match (call.kind, &part[*at]) {
            (Aggregate::Stddev, Value::Float(variance)) => Value::float(variance.sqrt()),
            // None of those who could have counted has.
            (Aggregate::Count | Aggregate::CountRows, Value::Null) => Value::Int(0),
            (_, value) => value.clone(),
        };
        calls.zip(&self.values).map(value).collect()
    }
}

fn refuse<T>(message: &str) -> Result<T, SqlError> {
    Err(SqlError::new(message, None))
}

/// A value of a part, and how several of it become one.
type Part = (AggregateCall, (Aggregate, Box<[Expr]>));

/// The part of an aggregate, the first value of which is at this place; that one becomes the aggregate's value.
fn parts(call: &AggregateCall, at: usize) -> Result<Vec<Part>, SqlError> {
    let slot = |n: usize| Expr::Slot((at + n) as u16);
    let like = |kind: Aggregate, args: &[Expr]| AggregateCall { kind, args: args.into(), ..call.clone() };
    let same = |kind: Aggregate| vec![(call.clone(), (kind, [slot(0)].into()))];
    let matters = !matches!(call.kind, Aggregate::Min | Aggregate::Max);
    if call.distinct && matters {
        return refuse(
            "DISTINCT over all agents would have to carry all values; write DISTINCT_COUNT(DISTINCT_SKETCH(x)), or TOP",
        );
    }
    Ok(match (call.kind, &*call.args) {
        (Aggregate::Count | Aggregate::CountRows | Aggregate::Sum, _) => same(Aggregate::Sum),
        (Aggregate::Top, _) => {
            vec![(call.clone(), (Aggregate::Top, [Expr::Const(Value::Null), slot(0)].into()))]
        }
        (Aggregate::Avg, [x]) => vec![
            (call.clone(), (Aggregate::Avg, [slot(0), slot(1)].into())),
            (like(Aggregate::Count, std::slice::from_ref(x)), (Aggregate::Sum, [slot(1)].into())),
        ],
        (Aggregate::Avg, [x, weight]) => {
            let filter = Some(counted(call, &[x], weight));
            let weights = AggregateCall { filter, ..like(Aggregate::Sum, std::slice::from_ref(weight)) };
            vec![
                (call.clone(), (Aggregate::Avg, [slot(0), slot(1)].into())),
                (weights, (Aggregate::Sum, [slot(1)].into())),
            ]
        }
        (Aggregate::Variance | Aggregate::Stddev, [x]) => population(
            like(Aggregate::Variance, std::slice::from_ref(x)),
            like(Aggregate::Avg, std::slice::from_ref(x)),
            like(Aggregate::Count, std::slice::from_ref(x)),
            slot,
        ),
        (Aggregate::Variance | Aggregate::Stddev, [mean, variance, count]) => {
            let filter = Some(counted(call, &[mean, variance], count));
            let of = |kind, args: &[Expr]| AggregateCall { filter: filter.clone(), ..like(kind, args) };
            let means = of(Aggregate::Avg, &[mean.clone(), count.clone()]);
            let counts = of(Aggregate::Sum, std::slice::from_ref(count));
            population(like(Aggregate::Variance, &call.args), means, counts, slot)
        }
        (kind, _) => same(kind),
    })
}

fn population(
    variance: AggregateCall,
    mean: AggregateCall,
    count: AggregateCall,
    slot: impl Fn(usize) -> Expr,
) -> Vec<Part> {
    vec![
        (variance, (Aggregate::Variance, [slot(1), slot(0), slot(2)].into())),
        (mean, (Aggregate::Avg, [slot(1), slot(2)].into())),
        (count, (Aggregate::Sum, [slot(2)].into())),
    ]
}

/// Which rows count where there are weights.
fn counted(call: &AggregateCall, there: &[&Expr], weight: &Expr) -> Expr {
    let is_there = |x: &Expr| Expr::Unary(Unary::Not, Expr::Unary(Unary::IsNull, x.clone().into()).into());
    let positive = Expr::Binary(Binary::Greater, [weight.clone(), Expr::Const(Value::Int(0))].into());
    let conditions = there.iter().map(|x| is_there(x)).chain([positive]);
    Expr::And(call.filter.iter().cloned().chain(conditions).collect())
}
