//! A query: parsed once, evaluated as often as rows change.

use std::sync::Arc;

use super::cost::{Cost, cost};
use super::error::{EvalError, SqlError};
use super::eval::Eval;
use super::fault::Faults;
use super::limits::Limits;
use super::plan::{Output, Plan, plan};
use super::{grammar, run};
use crate::row::Row;
use crate::schema::Schema;
use crate::value::Value;

/// What an evaluation takes from outside: nothing in a query reads a clock or draws a number by itself.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Context {
    /// Seconds since 1970, for `NOW()` and `AGE(x)`.
    pub now_s: f64,
    /// What `RANDOM(n, x)` draws by. With one seed in all zones, what arrives at the top is a fair draw from all.
    pub seed: u64,
}

/// A SELECT over one table that was checked: it ends, within its limits, whatever the rows are.
///
/// ```
/// use gcs_monitor::{row::Row, sql::{Context, Limits, Query}, value::Value};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let query = Query::parse("SELECT SUM(nmembers) AS nmembers, AVG(load, nmembers) AS load", &Limits::default())?;
/// assert_eq!(query.inputs().iter().map(|name| &**name).collect::<Vec<_>>(), ["nmembers", "load"]);
///
/// let child = |members: i64, load: f64| Row::new([("nmembers", Value::Int(members)), ("load", load.into())]);
/// let children = [child(1, 0.5), child(3, 1.5)];
/// let summary = query.summarise(&children, &Context::default())?;
/// assert_eq!(summary.row, Row::new([("nmembers", Value::Int(4)), ("load", 1.25.into())]));
///
/// let mistake = Query::parse("SELECT SUN(nmembers)", &Limits::default()).unwrap_err();
/// assert_eq!(mistake.to_string(), "line 1, column 8: there is no function SUN; SUM was probably meant");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Query {
    text: Arc<str>,
    plan: Arc<Plan>,
    limits: Limits,
    outputs: Box<[Arc<str>]>,
    /// For an aggregation: the schema of its row, and which column of the answer each of its names is.
    summary: Option<(Arc<Schema>, Box<[usize]>)>,
}

/// The rows that a query answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Names of the columns, in the order of the SELECT.
    pub names: Vec<Arc<str>>,
    /// The rows; each has a value for each name.
    pub rows: Vec<Box<[Value]>>,
    /// Why values are NULL that might not have been.
    pub faults: Faults,
}

/// The one row that an aggregation makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The row.
    pub row: Row,
    /// Why values are NULL that might not have been.
    pub faults: Faults,
}

impl Query {
    /// Parses and checks a SELECT. What it may ask for, here and in each evaluation, is bounded by `limits`.
    ///
    /// # Errors
    /// One sentence that says what is wrong and what to do, and where.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, SqlError> {
        let plan = plan(&*grammar::parse(text, limits)?, limits)?;
        let outputs: Box<[Arc<str>]> = plan
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Column { name, .. } => Some(name.clone()),
                Output::Star => None,
            })
            .collect();
        let one_row = plan.groups.as_ref().is_some_and(|groups| groups.keys.is_empty())
            && plan.having.is_none()
            && plan.limit.is_none()
            && plan.offset == 0;
        let summary = one_row.then(|| {
            let schema = Schema::new(outputs.iter().cloned());
            let column =
                |name: &Arc<str>| outputs.iter().position(|output| output == name).unwrap_or_default();
            let columns = schema.names().iter().map(column).collect();
            (schema, columns)
        });
        Ok(Self { text: text.into(), plan: Arc::new(plan), limits: *limits, outputs, summary })
    }

    /// The text that it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What stands after FROM, if anything; what it means is the caller's to say.
    pub fn table(&self) -> Option<&str> {
        self.plan.table.as_deref()
    }

    /// The attributes that it reads by name, in the order of their first use.
    pub fn inputs(&self) -> &[Arc<str>] {
        &self.plan.inputs
    }

    /// Whether it reads all attributes, by `*`.
    pub fn reads_all(&self) -> bool {
        self.plan.outputs.iter().any(|output| matches!(output, Output::Star))
    }

    /// The names of the columns that it makes, without those that `*` stands for.
    pub fn outputs(&self) -> &[Arc<str>] {
        &self.outputs
    }

    /// Whether it makes exactly one row of whatever rows there are, and so can be an aggregation function of a zone.
    pub fn is_aggregation(&self) -> bool {
        self.summary.is_some()
    }

    /// What it costs, from its text alone.
    pub fn cost(&self) -> Cost {
        cost(&self.plan, &self.limits)
    }

    /// Answers with all rows that the SELECT describes. Depends on the set of rows, not on their order.
    ///
    /// # Errors
    /// When the rows, or the answer, are more than the limits allow.
    pub fn evaluate<'r>(
        &self,
        rows: impl IntoIterator<Item = &'r Row>,
        context: &Context,
    ) -> Result<Answer, EvalError> {
        let rows: Vec<&Row> = rows.into_iter().collect();
        let eval = Eval::new(context, &self.limits);
        let (names, rows) = run::run(&self.plan, &eval, &rows)?;
        let faults = eval.faults();
        rows.iter().try_for_each(|row| self.check_size(row))?;
        Ok(Answer { names, rows, faults })
    }

    /// Makes the one row of a parent out of the rows of its children. Depends on the set of rows, not on their order.
    ///
    /// # Errors
    /// When the query is no aggregation, and when the rows, or the result, are more than the limits allow.
    pub fn summarise<'r>(
        &self,
        rows: impl IntoIterator<Item = &'r Row>,
        context: &Context,
    ) -> Result<Summary, EvalError> {
        let (schema, columns) = self.summary.as_ref().ok_or(EvalError::NotAnAggregation)?;
        let answer = self.evaluate(rows, context)?;
        let [values] = answer.rows.as_slice() else { return Err(EvalError::NotAnAggregation) };
        let values = columns.iter().map(|column| values.get(*column).cloned().unwrap_or_default());
        let row = Row::with_schema(schema.clone(), values).ok_or(EvalError::NotAnAggregation)?;
        Ok(Summary { row, faults: answer.faults })
    }

    /// Whether a row of the answer is within the limit on its size and on the length of lists.
    fn check_size(&self, values: &[Value]) -> Result<(), EvalError> {
        let names: usize = self.outputs.iter().map(|name| name.len() + 1).sum();
        let found = names + values.iter().map(size).sum::<usize>();
        if found > self.limits.output_bytes {
            return Err(EvalError::TooLarge {
                what: "the bytes of a row",
                found,
                limit: self.limits.output_bytes,
            });
        }
        Ok(())
    }
}

/// About how many bytes a value is, encoded; never fewer.
fn size(value: &Value) -> usize {
    match value {
        Value::Null => 1,
        Value::Int(_) => 11,
        Value::Float(_) => 9,
        Value::Text(text) => text.len() + 4,
        Value::Bytes(bytes) => bytes.len() + 4,
        Value::List(values) => 4 + values.iter().map(size).sum::<usize>(),
    }
}
