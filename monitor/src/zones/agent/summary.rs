//! Rows of zones: computed out of their tables by the agents that speak for them.

use std::{collections::BTreeMap, net::SocketAddrV4, sync::Arc};

use gcs::time::Time;

use super::Agent;
use crate::{
    row::Row,
    sql::{Context, Query},
    value::Value,
    zones::{
        function::{Function, STANDARD, count_name},
        name::ZoneName,
        table::{CONTACTS, Table},
    },
};

/// Bytes and attributes of a zone's row that functions may fill; a row may have some more.
const BYTES_MAX: usize = 7168;
const ATTRIBUTES_MAX: usize = 112;
/// The attribute that names relays: who is one, and some of a zone's.
pub(super) const RELAYS: &str = "relays";

impl Agent {
    /// Issues the row of the zone at this level, if that is this agent's to do and the row is another one.
    pub(super) fn summarise(&mut self, now: Time, level: usize) {
        if self.tables[level].speakers().first() != Some(&self.contact) {
            return;
        }
        let row = self.summary(now, level);
        let shown = self.tables[level - 1].issue(&self.parts[level - 1]);
        let old = i64::try_from(self.config.refresh.as_secs() / 2).unwrap_or(i64::MAX);
        if shown.is_none_or(|shown| {
            shown.stamp.generator != self.generator
                || differs(&shown.row, &row, old)
                || self.is_worn(now, shown.stamp)
        }) {
            self.issue(now, level - 1, row);
        }
    }

    /// The row of the zone at this level, as this agent would compute it.
    pub(super) fn summary(&mut self, now: Time, level: usize) -> Row {
        let functions = self.functions(now, level);
        let zone = Zone { id: &self.parts[level - 1], rep: &self.name };
        let (row, failed) = summary(&functions, &self.context(now), zone, &self.tables[level]);
        self.counters.failed += failed;
        row
    }

    /// What functions say of all agents at this moment, as far as this agent knows: the row that the root would have.
    #[must_use]
    pub fn top(&self, now: Time) -> Row {
        let zone = Zone { id: &"/".into(), rep: &self.name };
        summary(&self.functions(now, 0), &self.context(now), zone, &self.tables[0]).0
    }

    /// What functions and queries take from outside.
    #[must_use]
    pub fn context(&self, now: Time) -> Context {
        Context { now_s: self.epoch_s as f64 + now.0 as f64 / 1e9, seed: self.config.seed }
    }
}

/// Whether a row says something else, or the same of a time so much later.
fn differs(shown: &Row, row: &Row, old: i64) -> bool {
    let oldest = |row: &Row| row.get("oldest").as_int().unwrap_or(0);
    let others = |row: &Row| {
        row.iter()
            .filter(|(name, _)| *name != "oldest")
            .map(|(n, v)| (n.to_owned(), v.clone()))
            .collect::<Vec<_>>()
    };
    oldest(row).saturating_sub(oldest(shown)) >= old || others(shown) != others(row)
}

/// What a zone's row is to say of itself.
#[derive(Clone, Copy)]
pub(crate) struct Zone<'a> {
    pub(crate) id: &'a Arc<str>,
    /// Who says it.
    pub(crate) rep: &'a ZoneName,
}

/// The row of a zone with this table: what functions say, of how many agents, and the standard attributes. And how many functions had nothing
/// to say, or too much.
pub(crate) fn summary(
    functions: &[&Arc<Function>],
    context: &Context,
    zone: Zone<'_>,
    table: &Table,
) -> (Row, u64) {
    let rows: Vec<&Row> = table.issues().map(|(_, issue)| &issue.row).collect();
    let (mut attributes, mut bytes, mut failed): (BTreeMap<Arc<str>, Value>, usize, u64) =
        (BTreeMap::new(), 0, 0);
    let (agents, zones): (Vec<&Row>, Vec<&Row>) = rows.iter().copied().partition(|row| is_agent(row));
    for function in functions {
        let (Some(parts), name) = (function.parts(), &function.said().name) else { continue };
        let Ok(summary) = parts.summarise(agents.iter().copied(), zones.iter().copied(), context) else {
            failed += 1;
            continue;
        };
        bytes += summary.row.encoded_len() + name.len() + 8;
        let taken = summary.row.iter().any(|(name, _)| attributes.contains_key(name));
        if taken || bytes > BYTES_MAX || attributes.len() + summary.row.values().len() >= ATTRIBUTES_MAX {
            failed += 1;
            continue;
        }
        attributes.extend(summary.row.iter().map(|(name, value)| (name.into(), value.clone())));
        let reported = Value::Int(reported(name, parts.query(), rows.iter().copied()));
        attributes.insert(count_name(name).into(), reported);
    }
    let ints = |name: &'static str| rows.iter().filter_map(move |row| row.get(name).as_int());
    let (present, expected) = table.members();
    let oldest = ints("oldest").min().map_or(Value::Null, Value::Int);
    let standard: [(Arc<str>, Value); STANDARD.len()] = [
        ("id".into(), Value::text(zone.id.clone())),
        ("nmembers".into(), Value::Int(present)),
        ("expected".into(), Value::Int(expected)),
        ("depth".into(), Value::Int(ints("depth").max().unwrap_or(0).saturating_add(1))),
        ("contacts".into(), Value::list(table.speakers_told())),
        ("oldest".into(), oldest),
        ("rep".into(), Value::text(zone.rep.as_str())),
    ];
    (Row::new(attributes.into_iter().chain(standard).chain(relays(&rows))), failed)
}

/// Where those behind NATs may be reached, as far as some of its children say so.
fn relays(rows: &[&Row]) -> Option<(Arc<str>, Value)> {
    let all = rows.iter().flat_map(|row| row.get(RELAYS).elements().iter().take(1));
    let some: Vec<Value> = all.filter(|relay| is_relay(relay)).take(CONTACTS).cloned().collect();
    (!some.is_empty()).then(|| (RELAYS.into(), Value::list(some)))
}

fn is_relay(value: &Value) -> bool {
    value.as_text().is_some_and(|text| text.parse::<SocketAddrV4>().is_ok())
}

/// Whether this is what an agent says of itself, not a zone.
#[must_use]
pub fn is_agent(row: &Row) -> bool {
    row.get("depth").is_null()
}

/// How many agents have something to say to a function: those of zones as the zone tells, and agents that have one of the attributes that
/// it reads. What a zone does not tell is not counted.
pub fn reported<'r>(name: &str, query: &Query, rows: impl Iterator<Item = &'r Row>) -> i64 {
    let counts = count_name(name);
    let inputs = || query.inputs().iter().filter(|input| !STANDARD.contains(&input.as_ref()));
    let of = |row: &Row| match is_agent(row) {
        true => i64::from(inputs().next().is_none() || inputs().any(|input| !row.get(input).is_null())),
        false => row.get(&counts).as_int().unwrap_or(0),
    };
    rows.map(of).fold(0, i64::saturating_add)
}
