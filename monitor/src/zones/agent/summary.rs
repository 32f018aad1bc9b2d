//! Rows of zones: computed out of their tables by the agents that speak for them.

use std::{collections::BTreeMap, sync::Arc};

use gcs::time::Time;

use super::{Agent, Config};
use crate::{codec::RowLimits, row::Row, sql::Context, value::Value, zones::table::Table};

impl Agent {
    /// Issues the row of the zone at this level, if that is this agent's to do and the row is another one.
    pub(super) fn summarise(&mut self, now: Time, level: usize) {
        self.summarised[level] = now;
        if self.tables[level].speakers().first() != Some(&self.contact) {
            return;
        }
        let row = self.summary(now, level);
        let shown = self.tables[level - 1].issue(&self.parts[level - 1]);
        if shown.is_none_or(|shown| shown.stamp.generator != self.generator || shown.row != row) {
            self.issue(now, level - 1, row);
        }
    }

    /// The row of the zone at this level.
    pub(super) fn summary(&mut self, now: Time, level: usize) -> Row {
        let (row, failed) = summary(&self.config, now, &self.parts[level - 1], &self.tables[level]);
        self.counters.failed += failed;
        row
    }
}

/// The row of a zone with this table: what functions say, and the standard attributes, which no function can change. And how many functions
/// had nothing to say, or too much.
pub(crate) fn summary(config: &Config, now: Time, id: &Arc<str>, table: &Table) -> (Row, u64) {
    let rows: Vec<&Row> = table.issues().map(|(_, issue)| &issue.row).collect();
    let context = Context { now_s: now.0 as f64 / 1e9, seed: config.seed };
    let (mut attributes, mut failed): (BTreeMap<Arc<str>, Value>, u64) = (BTreeMap::new(), 0);
    for function in &config.functions {
        match function.summarise(rows.iter().copied(), &context) {
            Ok(summary) => {
                attributes.extend(summary.row.iter().map(|(name, value)| (name.into(), value.clone())))
            }
            Err(_) => failed += 1,
        }
    }
    let ints = |name: &'static str| rows.iter().filter_map(move |row| row.get(name).as_int());
    let speakers = table.speakers();
    let standard: [(Arc<str>, Value); 4] = [
        ("id".into(), Value::text(id.clone())),
        ("nmembers".into(), Value::Int(ints("nmembers").fold(0, i64::saturating_add))),
        ("depth".into(), Value::Int(ints("depth").max().unwrap_or(0).saturating_add(1))),
        ("contacts".into(), Value::list(speakers.iter().map(|contact| Value::text(contact.to_string())))),
    ];
    let row = Row::new(attributes.into_iter().chain(standard.clone()));
    if row.check(&RowLimits::default()).is_err() {
        return (Row::new(standard), failed + 1);
    }
    (row, failed)
}
