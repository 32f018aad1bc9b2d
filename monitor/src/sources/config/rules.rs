//! When changes of which attribute are reported.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::sources::{groups, host, significance::Significance};

/// The key of the table for attributes that have none of their own.
pub const EVERYTHING: &str = "*";

/// When changes of an attribute are reported; what is not said is as it would be without this table. See [`Significance`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// See [`Significance::absolute`].
    pub absolute: Option<f64>,
    /// See [`Significance::relative`].
    pub relative: Option<f64>,
    /// See [`Significance::digits`].
    pub digits: Option<u8>,
    /// See [`Significance::refresh`].
    #[serde(deserialize_with = "super::duration_or_none")]
    pub refresh: Option<Duration>,
    /// See [`Significance::pause`].
    #[serde(deserialize_with = "super::duration_or_none")]
    pub pause: Option<Duration>,
}

impl Report {
    fn over(&self, base: Significance) -> Significance {
        Significance {
            absolute: self.absolute.unwrap_or(base.absolute),
            relative: self.relative.unwrap_or(base.relative),
            digits: self.digits.unwrap_or(base.digits),
            refresh: self.refresh.unwrap_or(base.refresh),
            pause: self.pause.unwrap_or(base.pause),
        }
    }
}

/// The rule of every attribute.
#[derive(Debug, Clone, Default)]
pub(in crate::sources) struct Rules(BTreeMap<String, Report>);

impl Rules {
    pub(in crate::sources) fn new(reports: BTreeMap<String, Report>) -> Self {
        Self(reports)
    }

    /// The table of the attribute over what the host's attributes have, or over that for everything.
    pub(in crate::sources) fn of(&self, name: &str) -> Significance {
        let base = host::significance(name).or_else(|| groups::significance(name)).unwrap_or_else(|| {
            let general = Significance::default();
            self.0.get(EVERYTHING).map_or(general, |report| report.over(general))
        });
        self.0.get(name).map_or(base, |report| report.over(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_table_counts() {
        let report = |relative, digits| Report { relative, digits, ..Report::default() };
        let rules = Rules::new(BTreeMap::from([
            (EVERYTHING.to_owned(), report(Some(0.5), Some(2))),
            ("queue".to_owned(), report(Some(0.0), None)),
            ("cpu".to_owned(), report(None, Some(1))),
        ]));
        assert_eq!((rules.of("queue").relative, rules.of("queue").digits), (0.0, 2));
        assert_eq!((rules.of("other").relative, rules.of("other").digits), (0.5, 2));
        assert_eq!((rules.of("cpu").absolute, rules.of("cpu").digits), (5.0, 1));
        assert_eq!(rules.of("load1").digits, 3);
    }
}
