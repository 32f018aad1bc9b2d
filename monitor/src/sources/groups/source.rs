//! Attributes of the groups that have members on this host.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{GROUPS, ask::ask, member::Member};
use crate::{
    order::by_value,
    sources::{
        blocking::Worker,
        config,
        name::Name,
        poll::{Read, ReadError, Reading, Said},
        significance::Significance,
    },
    value::Value,
};

/// What becomes of the values that a group's members here say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Of {
    Count,
    Smallest,
    Largest,
    Sum,
}

/// What is said of a group: the end of the attribute's name, the column, and what becomes of several members.
const ATTRIBUTES: [(&str, &str, Of); 10] = [
    ("processes", "group_name", Of::Count),
    ("members", "members", Of::Smallest),
    ("view", "view", Of::Largest),
    ("primary", "primary", Of::Smallest),
    ("blocked", "blocked", Of::Largest),
    ("lease", "lease", Of::Largest),
    ("stack", "stack", Of::Smallest),
    ("held", "held_bytes", Of::Sum),
    ("pending", "pending_bytes", Of::Sum),
    ("queued", "queued_bytes", Of::Sum),
];

/// The ends of the attributes' names.
pub(in crate::sources) const FACTS: [&str; ATTRIBUTES.len()] = {
    let mut facts = [""; ATTRIBUTES.len()];
    let mut nth = 0;
    while nth < facts.len() {
        facts[nth] = ATTRIBUTES[nth].0;
        nth += 1;
    }
    facts
};

/// When changes are reported, if nothing else is said: queues are never still.
pub(in crate::sources) fn significance(name: &str) -> Option<Significance> {
    let (_, fact) = name.strip_prefix("gcs_")?.rsplit_once('_')?;
    let queue = ["held", "pending", "queued"].contains(&fact);
    queue.then(|| Significance { absolute: 65_536.0, relative: 0.25, ..Significance::default() })
}

/// The folder, and what is wanted of it.
#[derive(Debug)]
pub(in crate::sources) struct Source {
    worker: Worker,
    folder: Arc<Path>,
    wanted: Vec<String>,
}

impl Source {
    pub(in crate::sources) fn new(config: &config::Groups) -> Self {
        let (folder, wanted) = (config.folder.as_path().into(), config.attributes.clone());
        Self { worker: Worker::default(), folder, wanted }
    }
}

impl Read for Source {
    async fn read(&mut self) -> Reading {
        let folder = self.folder.clone();
        let (members, mut wrong) = self.worker.run(move || ask(&folder)).await??;
        let said = attributes(&members, &self.wanted, &mut wrong);
        let count = wrong.len();
        let first = wrong.into_iter().next();
        Ok((said, first.map(|first| ReadError::Sockets { count, first: Box::new(first) })))
    }
}

/// What the members say of their groups.
fn attributes(members: &[Member], wanted: &[String], wrong: &mut Vec<ReadError>) -> Vec<Said> {
    let mut groups: BTreeMap<String, (&str, Vec<&Member>)> = BTreeMap::new();
    for member in members {
        let group = groups.entry(short(member.group())).or_insert_with(|| (member.group(), Vec::new()));
        // Two groups whose names become one are not taken for one group.
        if group.0 == member.group() {
            group.1.push(member);
        } else {
            wrong.push(ReadError::SameName(member.group().to_owned(), group.0.to_owned()));
        }
    }
    if let Some((group, _)) = groups.values().nth(GROUPS) {
        wrong.push(ReadError::TooManyGroups((*group).to_owned()));
    }
    let mut said = Vec::new();
    for (short, (_, members)) in groups.iter().take(GROUPS) {
        for (fact, column, of) in ATTRIBUTES.iter().filter(|(fact, ..)| wanted.iter().any(|w| w == fact)) {
            let value = combined(members.iter().map(|member| member.get(column)), *of);
            match Name::from_foreign(&format!("gcs_{short}_{fact}")) {
                Ok(name) if !value.is_null() => said.push(Said::new(name, value)),
                Ok(_) => {}
                Err(error) => wrong.push(ReadError::Name { what: short.clone(), error }),
            }
        }
    }
    said
}

/// A group's name as a part of attributes' names.
fn short(group: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    group.chars().map(plain).take(40).collect()
}

/// Of those who have said it.
fn combined<'v>(values: impl Iterator<Item = &'v Value>, of: Of) -> Value {
    let values = values.filter(|value| !value.is_null());
    let picked = match of {
        Of::Count => return Value::Int(i64::try_from(values.count()).unwrap_or(i64::MAX)),
        Of::Sum => {
            let add =
                |sum: Option<i64>, value: &Value| Some(sum.unwrap_or(0).saturating_add(value.as_int()?));
            return values.fold(None, add).map_or(Value::Null, Value::Int);
        }
        Of::Smallest => values.min_by(|a, b| by_value(a, b)),
        Of::Largest => values.max_by(|a, b| by_value(a, b)),
    };
    picked.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(answers: &[&str]) -> (BTreeMap<String, String>, Vec<String>) {
        let members: Vec<Member> = answers.iter().map(|answer| answer.parse().unwrap()).collect();
        let (wanted, mut wrong) = (FACTS.map(str::to_owned), Vec::new());
        let said = attributes(&members, &wanted, &mut wrong);
        let said = said.iter().map(|said| (said.name.to_string(), said.value.to_string())).collect();
        (said, wrong.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn several_members_of_a_group_say_the_worst_of_it() {
        let (said, wrong) = said(&[
            "group: kv\nmembers: 3\nview: 7\nprimary: true\nblocked: false\npending_bytes: 10\nstack: total",
            "group: kv\nmembers: 2\nview: 8\nprimary: false\nblocked: true\npending_bytes: 5\nstack: total",
            "group: kv\nstate: seeks\nblocked: false\npending_bytes: 0",
            "group: Web-1\nmembers: 4",
        ]);
        let all = [
            ("blocked", "1"),
            ("members", "2"),
            ("pending", "15"),
            ("primary", "0"),
            ("processes", "3"),
            ("stack", "total"),
            ("view", "8"),
        ];
        let kv = all.map(|(fact, value)| (format!("gcs_kv_{fact}"), value.to_owned()));
        let web = [("gcs_web_1_members", "4"), ("gcs_web_1_processes", "1")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(said, kv.into_iter().chain(web).collect());
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn groups_are_few_and_not_mistaken_for_each_other() {
        let many: Vec<String> = (0..9).map(|n| format!("group: g{n}\nmembers: 1")).collect();
        let (many, wrong) = said(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(many.len(), 2 * GROUPS);
        assert!(wrong[0].contains("g4"), "{wrong:?}");
        let (two, wrong) = said(&["group: a b\nmembers: 1", "group: a-b\nmembers: 9"]);
        assert_eq!(two["gcs_a_b_members"], "1");
        assert!(wrong[0].contains("a-b") && wrong[0].contains("a b"), "{wrong:?}");
        let (long, wrong) = said(&[&format!("group: {}\nmembers: 1", "é".repeat(64))]);
        assert!(long.len() == 2 && wrong.is_empty(), "{long:?} {wrong:?}");
    }

    #[test]
    fn queues_that_change_a_little_are_no_news() {
        assert_eq!(significance("gcs_kv_pending").map(|s| s.relative), Some(0.25));
        assert!(["gcs_kv_members", "pending", "kv_pending"].iter().all(|name| significance(name).is_none()));
    }
}
