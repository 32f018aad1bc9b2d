//! [`Zone`]: the table of a zone, as its agents say it.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use gcs_monitor::{display::from_json, value::Value};
use serde_json::Value as Json;

use super::grid::{Grid, Line};

/// Attributes that are not for people, or have a place of their own.
const STANDARD: [&str; 8] = ["id", "contacts", "rep", "issued", "depth", "nmembers", "expected", "oldest"];
/// Columns of a grid.
const COLUMNS: usize = 64;

/// A child that is there.
#[derive(Clone, Debug, PartialEq)]
struct Child {
    attributes: BTreeMap<String, Value>,
}

impl Child {
    fn int(&self, name: &str) -> Option<i64> {
        self.attributes.get(name).and_then(Value::as_int)
    }
}

/// The table of a zone at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Zone {
    children: BTreeMap<String, Child>,
    /// Who is gone, and since which second, if that is known.
    gone: BTreeMap<String, Option<u64>>,
    /// How many agents there were at some time that is not forgotten.
    expected: i64,
    functions: BTreeSet<String>,
    /// The time of day when it was like this.
    pub(super) now_s: u64,
}

impl Zone {
    /// From what `/v1/zone` says, at this second. Since when somebody is gone is what the agent says, or what was seen before.
    pub(super) fn new(said: &Json, before: Option<&Self>, now_s: u64) -> Self {
        let text = |json: &Json| json.as_str().map(str::to_owned);
        let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
        let children = list(&said["rows"]).into_iter().filter_map(|row| {
            let attributes = row["attributes"].as_object()?.iter();
            let attributes = attributes.map(|(name, value)| (name.clone(), from_json(value))).collect();
            Some((text(&row["child"])?, Child { attributes }))
        });
        let gone = list(&said["gone"]).into_iter().filter_map(|json| text(&json)).map(|child| {
            let seen = || match before {
                Some(before) => before.gone.get(&child).copied().unwrap_or(Some(now_s)),
                None => None,
            };
            let since = said["gone_since_s"][&child].as_u64().or_else(seen);
            (child, since)
        });
        let functions = list(&said["functions"]).iter().filter_map(|f| text(&f["name"])).collect();
        let expected = said["expected"].as_i64().unwrap_or(0);
        Self { children: children.collect(), gone: gone.collect(), expected, functions, now_s }
    }

    /// The zones in it, and how many agents each has, of how many.
    pub(super) fn zones(&self) -> impl Iterator<Item = (&str, i64, i64)> {
        let inner = self.children.iter().filter(|(_, child)| child.attributes.contains_key("depth"));
        let mut inner: Vec<_> = inner.collect();
        inner.sort_by(|(a, _), (b, _)| natural(a, b));
        inner.into_iter().map(|(name, child)| {
            let members = child.int("nmembers").unwrap_or(0);
            (name.as_str(), members, child.int("expected").unwrap_or(0).max(members))
        })
    }

    pub(super) fn is_zone(&self, child: &str) -> bool {
        self.zones().any(|(name, ..)| name == child)
    }

    /// How many agents it has, and of how many.
    pub(super) fn agents(&self) -> (i64, i64) {
        let members = self.children.values().filter_map(|child| child.int("nmembers"));
        let members = members.fold(0, i64::saturating_add);
        (members, self.expected.max(members))
    }

    /// How old its oldest word is.
    pub(super) fn oldest_s(&self) -> Option<i64> {
        let oldest = self.children.values().filter_map(|child| child.int("oldest")).min()?;
        Some(self.now_s.cast_signed().saturating_sub(oldest).max(0))
    }

    pub(super) fn value(&self, child: &str, attribute: &str) -> Option<f64> {
        self.children.get(child)?.attributes.get(attribute)?.as_f64()
    }

    /// Each number of each child.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.children.iter().flat_map(|(child, of)| {
            let numbers = of.attributes.iter().filter(|(name, _)| is_shown(name));
            numbers.filter_map(|(name, value)| Some((child.as_str(), name.as_str(), value.as_f64()?)))
        })
    }

    /// A line for each child, also for those that are gone. First what distinguishes the children, then what all have alike.
    pub(super) fn grid(&self, now_s: u64) -> Grid {
        let columns = self.columns();
        let any_zone = self.zones().next().is_some();
        let mut names = vec!["child".to_owned()];
        let any_gone = self.zones().any(|(_, members, expected)| expected > members);
        let counts = [any_zone.then_some("agents"), (any_zone && any_gone).then_some("gone")];
        names.extend(counts.iter().flatten().map(|name| (*name).to_owned()));
        names.extend(columns.iter().cloned());
        let mut lines: Vec<Line> = self
            .children
            .iter()
            .map(|(name, child)| Line {
                key: name.clone(),
                cells: Self::cells(name, child, counts, &columns),
                gone: None,
            })
            .collect();
        lines.extend(self.gone.iter().map(|(name, since)| {
            let since = match since {
                Some(since) => format!("gone for {}", age(now_s.saturating_sub(*since))),
                None => "gone".to_owned(),
            };
            Line { key: name.clone(), cells: vec![Value::text(name.as_str())], gone: Some(since) }
        }));
        lines.sort_by(|a, b| natural(&a.key, &b.key));
        Grid { names, lines }
    }

    fn cells(name: &str, child: &Child, counts: [Option<&str>; 2], columns: &[String]) -> Vec<Value> {
        let members = child.int("nmembers").unwrap_or(0);
        let gone = child.int("expected").unwrap_or(0).saturating_sub(members).max(0);
        let values = [Value::Int(members), if gone > 0 { Value::Int(gone) } else { Value::Null }];
        let values = counts.into_iter().zip(values).filter_map(|(is, value)| is.map(|_| value));
        let others = columns.iter().map(|name| child.attributes.get(name).cloned().unwrap_or_default());
        [Value::text(name)].into_iter().chain(values).chain(others).collect()
    }

    fn columns(&self) -> Vec<String> {
        let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for child in self.children.values() {
            for (name, value) in child.attributes.iter().filter(|(name, _)| is_shown(name)) {
                seen.entry(name).or_default().insert(value.to_string());
            }
        }
        let several = self.children.len() > 1;
        let mut columns: Vec<(bool, &str)> =
            seen.iter().map(|(name, values)| (several && values.len() == 1, *name)).collect();
        columns.sort_unstable();
        columns.into_iter().take(COLUMNS).map(|(_, name)| name.to_owned()).collect()
    }

    /// What has changed since before.
    pub(super) fn changes(&self, before: &Self) -> Vec<(String, &'static str)> {
        let mut all = Vec::new();
        for child in self.children.keys().filter(|child| !before.children.contains_key(*child)) {
            let back = before.gone.contains_key(child);
            all.push((child.clone(), if back { "is back" } else { "is new" }));
        }
        let missing = before.children.keys().filter(|child| !self.children.contains_key(*child));
        all.extend(missing.map(|child| (child.clone(), "is gone")));
        let function = |name: &String| format!("function {name}");
        all.extend(self.functions.difference(&before.functions).map(|name| (function(name), "is installed")));
        all.extend(before.functions.difference(&self.functions).map(|name| (function(name), "is removed")));
        all
    }
}

fn is_shown(name: &str) -> bool {
    !name.starts_with('&') && !STANDARD.contains(&name)
}

/// Numbers in names count as numbers: host2 comes before host10.
fn natural(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(String, u64, usize)> {
        let mut all = Vec::new();
        for c in text.chars() {
            match (c.to_digit(10), all.last_mut()) {
                (Some(digit), Some((_, number, len))) => {
                    *number = u64::saturating_add(u64::saturating_mul(*number, 10), digit.into());
                    *len += 1;
                }
                (Some(digit), None) => all.push((String::new(), digit.into(), 1)),
                (None, Some((text, _, 0))) => text.push(c),
                (None, _) => all.push((c.to_string(), 0, 0)),
            }
        }
        all
    };
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}

/// How long ago, in one or two words.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count() {
        let mut names = ["a10b", "a", "10", "a2b", "9", "a02", "b", "a99999999999999999999", "a10"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a", "a2b", "a02", "a10", "a10b", "a99999999999999999999", "b"]);
    }

    #[test]
    fn ages_are_short() {
        assert_eq!(
            [age(0), age(119), age(120), age(7200), age(999_999)],
            ["0 s", "119 s", "2 min", "2 h", "11 days"]
        );
    }
}
