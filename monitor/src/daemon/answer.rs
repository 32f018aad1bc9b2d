//! [`Answer`]: what a question to a zone is answered with, and how much of the zone is in it.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use crate::{
    display,
    row::Row,
    sql::{self, Context, EvalError, Query},
    zones::{
        agent::{Found, is_agent, reported},
        function::{Function, STANDARD, count_name},
    },
};

/// How much of a zone is in an answer. Who says nothing is unknown, never zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completeness {
    /// In how many agents' words it is founded.
    pub reported: i64,
    /// How many agents the zone has.
    pub members: i64,
    /// How many it had at some time that is not forgotten yet: one hour.
    pub expected: i64,
    /// Seconds since 1970 when the oldest of the rows that it is made of was issued.
    pub oldest_s: Option<i64>,
    /// The highest version of a row in the table: the same table says the same.
    pub epoch: u64,
    /// Children of the zone that are gone.
    pub gone: Vec<Arc<str>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Which zone was asked.
    pub zone: String,
    /// Names and rows.
    pub table: sql::Answer,
    /// How much of the zone is in it.
    pub completeness: Completeness,
}

impl Answer {
    /// What a query says of the children of a zone.
    ///
    /// # Errors
    /// See [`Query::evaluate`].
    pub fn of_children(found: &Found, query: &Query, context: &Context) -> Result<Self, EvalError> {
        let table = query.evaluate(found.rows.iter().map(|(_, issue)| &issue.row), context)?;
        Ok(Self::new(found, table, children_reported(found, query)))
    }

    /// What the function of this name says of all agents of a zone, level over level. `None` while the zone does not have it.
    ///
    /// # Errors
    /// See [`Query::evaluate`].
    pub fn of_agents(found: &Found, name: &str, context: &Context) -> Result<Option<Self>, EvalError> {
        let function = found.functions.iter().find(|function| function.said().name == name);
        let Some(parts) = function.and_then(|function| function.parts()) else { return Ok(None) };
        let rows = || found.rows.iter().map(|(_, issue)| &issue.row);
        let (agents, zones) = rows().partition::<Vec<_>, _>(|row| is_agent(row));
        let summary = parts.summarise(agents, zones, context)?;
        let names = parts.query().outputs().to_vec();
        let row = names.iter().map(|name| summary.row.get(name).clone()).collect();
        let table = sql::Answer { names, rows: vec![row], faults: summary.faults };
        Ok(Some(Self::new(found, table, reported(name, parts.query(), rows()))))
    }

    fn new(found: &Found, table: sql::Answer, reported: i64) -> Self {
        let ints = |name: &'static str| found.rows.iter().filter_map(move |(_, i)| i.row.get(name).as_int());
        let members = ints("nmembers").fold(0, i64::saturating_add);
        let completeness = Completeness {
            reported,
            members,
            expected: found.expected.max(members),
            oldest_s: ints("oldest").min(),
            epoch: found.rows.iter().map(|(_, issue)| issue.stamp.version).max().unwrap_or(0),
            gone: found.gone.clone(),
        };
        Self { zone: found.zone.to_string(), table, completeness }
    }

    /// As JSON, at this second since 1970.
    #[must_use]
    pub fn json(&self, now_s: u64) -> serde_json::Value {
        let c = &self.completeness;
        let rows: Vec<serde_json::Value> =
            self.table.rows.iter().map(|row| row.iter().map(display::json).collect()).collect();
        let faults: Vec<String> = self.table.faults.iter().map(|fault| fault.to_string()).collect();
        json!({
            "zone": self.zone,
            "columns": self.table.names.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
            "rows": rows,
            "faults": faults,
            "completeness": {
                "reported": c.reported,
                "members": c.members,
                "expected": c.expected,
                "oldest_s": c.oldest_s.map(|oldest| now_s.cast_signed().saturating_sub(oldest).max(0)),
                "epoch": c.epoch,
                "gone": c.gone.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
            },
        })
    }
}

/// How many agents the attributes are from that a query over a zone's children reads: of several attributes, the one that the fewest have.
fn children_reported(found: &Found, query: &Query) -> i64 {
    let rows = || found.rows.iter().map(|(_, issue)| &issue.row);
    let read: BTreeSet<&str> =
        query.inputs().iter().map(AsRef::as_ref).filter(|name| !STANDARD.contains(name)).collect();
    let counts = read.into_iter().map(|attribute| {
        let makes = |f: &&Arc<Function>| {
            f.query().is_some_and(|query| query.outputs().iter().any(|output| output.as_ref() == attribute))
        };
        let function = found.functions.iter().find(makes).map(|f| count_name(&f.said().name));
        rows().map(|row| of_row(row, attribute, function.as_deref())).fold(0, i64::saturating_add)
    });
    counts.min().unwrap_or_else(|| rows().map(members).fold(0, i64::saturating_add))
}

fn members(row: &Row) -> i64 {
    row.get("nmembers").as_int().unwrap_or(0)
}

fn of_row(row: &Row, attribute: &str, function: Option<&str>) -> i64 {
    match function.and_then(|count| row.get(count).as_int()) {
        _ if row.get(attribute).is_null() => 0,
        Some(count) => count,
        None => members(row),
    }
}
