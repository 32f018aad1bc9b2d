//! [`Conditions`]: the standing queries of one agent, and when each is to be looked at. A value: rows and time in; rows that fire out.
//!
//! * **Bounds**: as many as zones have functions; what each remembers of its last result, by [`limits`].
//!
//! [`limits`]: crate::zones::kind::limits

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gcs::time::Time;

use crate::{
    row::Row,
    sql::{Context, Query},
    value::Value,
    zones::{
        function::Function,
        kind::{Kind, Standing, Trigger},
    },
};

/// The column of the one row of a query that fails.
pub const ERROR: &str = "error";

/// Those of an agent, by name.
#[derive(Debug, Default)]
pub struct Conditions {
    of: BTreeMap<Arc<str>, Condition>,
}

#[derive(Debug)]
struct Condition {
    query: Arc<Query>,
    standing: Standing,
    /// The rows of its last result.
    before: BTreeSet<Row>,
    due: Time,
}

/// A query that is to be looked at.
#[derive(Clone, Debug)]
pub struct Due {
    /// Its name.
    pub name: Arc<str>,
    /// What it asks; its table is named.
    pub query: Arc<Query>,
}

impl Conditions {
    /// From now on these stand, and no others.
    pub fn follow<'a>(&mut self, now: Time, standing: impl Iterator<Item = &'a Arc<Function>>) {
        let mut held = std::mem::take(&mut self.of);
        for function in standing {
            let (Some(query), Kind::Standing(standing)) =
                (function.condition(), function.said().kind.clone())
            else {
                continue;
            };
            let name: Arc<str> = function.said().name.as_str().into();
            let same = held
                .remove(&name)
                .filter(|held| held.query.text() == query.text() && held.standing == standing);
            let fresh = || Condition { query: query.clone(), standing, before: BTreeSet::new(), due: now };
            self.of.insert(name, same.unwrap_or_else(fresh));
        }
    }

    /// When the next one is to be looked at.
    #[must_use]
    pub fn next(&self) -> Time {
        self.of.values().map(|condition| condition.due).min().unwrap_or(Time::NEVER)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Due> {
        self.due(Time::NEVER)
    }

    /// Which are to be looked at now.
    #[must_use]
    pub fn due(&self, now: Time) -> Vec<Due> {
        let due = self.of.iter().filter(|(_, condition)| condition.due <= now);
        due.map(|(name, of)| Due { name: name.clone(), query: of.query.clone() }).collect()
    }

    /// The rows of its table's for which a query fires now. One that fails fires with a row that says why.
    pub fn look(&mut self, now: Time, name: &str, table: &[Row], context: &Context) -> Vec<Row> {
        let Some(of) = self.of.get_mut(name) else { return Vec::new() };
        of.due = now + of.standing.every();
        let result: BTreeSet<Row> = match of.query.evaluate(table, context) {
            Ok(answer) => {
                let row = |values: Box<[Value]>| Row::new(answer.names.iter().cloned().zip(values));
                answer.rows.into_iter().map(row).collect()
            }
            Err(e) => BTreeSet::from([Row::new([(ERROR, Value::text(e.to_string()))])]),
        };
        match of.standing.trigger {
            Trigger::Level => result.into_iter().collect(),
            Trigger::Edge => {
                let new = result.difference(&of.before).cloned().collect();
                of.before = result;
                new
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::zones::{function::Said, kind::Delivery};

    fn standing(text: &str, trigger: Trigger, issued_s: u64) -> Arc<Function> {
        let to = "10.0.0.1:1".parse().unwrap();
        let kind = Kind::Standing(Standing { to, trigger, delivery: Delivery::AtLeastOnce, every_ms: 500 });
        let (name, text, expires_s) = ("event-1".into(), text.into(), issued_s + 60);
        let said = Said { name, kind, text, strong: false, issued_s, expires_s, seal: Vec::new() };
        Arc::new(Function::new(said).unwrap())
    }

    fn table(loads: &[i64]) -> Vec<Row> {
        let row = |(pid, load): (usize, &i64)| {
            Row::new([("pid", Value::Int(pid as i64)), ("load", Value::Int(*load))])
        };
        loads.iter().enumerate().map(row).collect()
    }

    fn pids(rows: &[Row]) -> Vec<i64> {
        rows.iter().filter_map(|row| row.get("pid").as_int()).collect()
    }

    const BUSY: &str = "SELECT pid FROM processes WHERE load > 5";

    #[test]
    fn at_an_edge_a_row_fires_when_it_was_not_there_before() {
        let mut conditions = Conditions::default();
        conditions.follow(Time::ZERO, [standing(BUSY, Trigger::Edge, 0)].iter());
        let mut look =
            |loads: &[i64]| pids(&conditions.look(Time::ZERO, "event-1", &table(loads), &Context::default()));
        assert_eq!(look(&[9, 1, 9]), [0, 2]);
        assert_eq!(look(&[9, 9, 9]), [1]);
        assert_eq!(look(&[8, 7, 6]), [0; 0], "other columns do not count");
        assert_eq!(look(&[8, 0, 6]), [0; 0]);
        assert_eq!(look(&[8, 9, 6]), [1], "it comes back");
    }

    #[test]
    fn at_a_level_it_fires_each_time_and_only_then() {
        let mut conditions = Conditions::default();
        conditions.follow(Time::ZERO, [standing(BUSY, Trigger::Level, 0)].iter());
        assert_eq!(conditions.due(Time::ZERO).len(), 1);
        for _ in 0..3 {
            let rows =
                conditions.look(Time::from_ms(100), "event-1", &table(&[9, 1, 9]), &Context::default());
            assert_eq!(pids(&rows), [0, 2]);
        }
        assert!(conditions.due(Time::from_ms(599)).is_empty());
        assert_eq!(conditions.next(), Time::from_ms(100) + Duration::from_millis(500));
    }

    #[test]
    fn what_is_renewed_goes_on_and_what_is_another_begins_anew() {
        let mut conditions = Conditions::default();
        let mut follow = |text: &str, issued_s| {
            conditions.follow(Time::ZERO, [standing(text, Trigger::Edge, issued_s)].iter());
            pids(&conditions.look(Time::ZERO, "event-1", &table(&[9]), &Context::default()))
        };
        assert_eq!(follow(BUSY, 0), [0]);
        assert_eq!(follow(BUSY, 20), [0; 0]);
        assert_eq!(follow("SELECT pid FROM processes WHERE load > 6", 40), [0]);
        conditions.follow(Time::ZERO, std::iter::empty());
        assert_eq!(conditions.next(), Time::NEVER);
    }

    #[test]
    fn a_query_that_fails_says_so_once() {
        let mut conditions = Conditions::default();
        conditions.follow(Time::ZERO, [standing("SELECT pid FROM processes", Trigger::Edge, 0)].iter());
        let many = table(&vec![0; 2049]);
        let rows = conditions.look(Time::ZERO, "event-1", &many, &Context::default());
        assert!(rows.len() == 1 && rows[0].get(ERROR).as_text().is_some(), "{rows:?}");
        assert!(conditions.look(Time::ZERO, "event-1", &many, &Context::default()).is_empty());
    }
}
