//! Rows of zones: computed out of their tables by the agents that speak for them.

use std::{collections::BTreeMap, sync::Arc};

use gcs::time::Time;

use super::Agent;
use crate::{codec::RowLimits, row::Row, sql::Context, value::Value};

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

    /// The row of the zone at this level: what functions say, and the standard attributes, which no function can change.
    pub(super) fn summary(&mut self, now: Time, level: usize) -> Row {
        let rows: Vec<Row> = self.tables[level].issues().map(|(_, issue)| issue.row.clone()).collect();
        let context = Context { now_s: now.0 as f64 / 1e9, seed: self.config.seed };
        let config = self.config.clone();
        let mut attributes: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        for function in &config.functions {
            match function.summarise(&rows, &context) {
                Ok(summary) => {
                    attributes.extend(summary.row.iter().map(|(name, value)| (name.into(), value.clone())))
                }
                Err(_) => self.counters.failed += 1,
            }
        }
        let standard = self.standard(&rows, level);
        let row = Row::new(attributes.into_iter().chain(standard.clone()));
        if row.check(&RowLimits::default()).is_err() {
            self.counters.failed += 1;
            return Row::new(standard);
        }
        row
    }

    fn standard(&self, rows: &[Row], level: usize) -> [(Arc<str>, Value); 4] {
        let ints = |name: &'static str| rows.iter().filter_map(move |row| row.get(name).as_int());
        let speakers = self.tables[level].speakers();
        [
            ("id".into(), Value::text(self.parts[level - 1].clone())),
            ("nmembers".into(), Value::Int(ints("nmembers").fold(0, i64::saturating_add))),
            ("depth".into(), Value::Int(ints("depth").max().unwrap_or(0).saturating_add(1))),
            ("contacts".into(), Value::list(speakers.iter().map(|contact| Value::text(contact.to_string())))),
        ]
    }
}
