//! What one member says of itself.

use std::{collections::BTreeMap, str::FromStr};

use crate::{row::Row, value::Value};

/// Bytes of a text that are kept.
const TEXT_BYTES: usize = 128;

/// A fact that members say: its name there, what kind it is, and its column.
type Fact = (&'static str, Kind, &'static str);

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Truth,
}

/// `group` is a word of SQL.
const SAID: [Fact; 17] = [
    ("group", Kind::Text, "group_name"),
    ("stack", Kind::Text, "stack"),
    ("name", Kind::Text, "name"),
    ("process", Kind::Number, "process"),
    ("address", Kind::Text, "address"),
    ("state", Kind::Text, "state"),
    ("blocked", Kind::Truth, "blocked"),
    ("lease", Kind::Truth, "lease"),
    ("slow", Kind::Truth, "slow"),
    ("held_bytes", Kind::Number, "held_bytes"),
    ("pending_bytes", Kind::Number, "pending_bytes"),
    ("queued_bytes", Kind::Number, "queued_bytes"),
    ("epoch", Kind::Number, "epoch"),
    ("view", Kind::Number, "view"),
    ("members", Kind::Number, "members"),
    ("rank", Kind::Number, "rank"),
    ("primary", Kind::Truth, "primary"),
];

/// One member, by column. What it has not said, or not in its kind, is absent.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sources) struct Member(BTreeMap<&'static str, Value>);

/// The answer is none of a member.
#[derive(Debug, thiserror::Error)]
#[error("it does not say of which group it is a member; is it of an older release?")]
pub(in crate::sources) struct Nonsense;

impl FromStr for Member {
    type Err = Nonsense;

    fn from_str(answer: &str) -> Result<Self, Nonsense> {
        let mut columns = BTreeMap::new();
        for line in answer.lines() {
            let Some((name, value)) = line.split_once(": ") else { continue };
            let Some((_, kind, column)) = SAID.iter().find(|(said, ..)| *said == name) else { continue };
            let value = match kind {
                Kind::Text => Some(Value::text(&value[..value.floor_char_boundary(TEXT_BYTES)])),
                Kind::Number => value.parse::<u64>().ok().and_then(|n| i64::try_from(n).ok()).map(Value::Int),
                Kind::Truth => value.parse::<bool>().ok().map(Value::truth),
            };
            columns.extend(value.map(|value| (*column, value)));
        }
        if columns.contains_key("group_name") { Ok(Self(columns)) } else { Err(Nonsense) }
    }
}

impl Member {
    /// Its group.
    pub(super) fn group(&self) -> &str {
        self.get("group_name").as_text().unwrap_or_default()
    }

    /// The value of a column.
    pub(super) fn get(&self, column: &str) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    /// Its row in the table of groups; every column is there.
    pub(super) fn row(&self) -> Row {
        Row::new(SAID.iter().map(|(.., column)| (*column, self.get(column).clone())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sources::name::Name;

    const ANSWER: &str = "group: kv\nstack: total\nname: a: b\nprocess: 7\nstate: member\nblocked: false\nlease: true\n\
                          view: 4\nmembers: 3\nprimary: true\nepoch: 1790000000000000000\nnew: 1\n";

    #[test]
    fn what_is_said_is_a_row_that_can_be_asked() {
        let member: Member = ANSWER.parse().unwrap();
        let row = member.row();
        let of = |column: &str| row.get(column).to_string();
        assert_eq!(
            ["group_name", "name", "process", "members", "lease"].map(of),
            ["kv", "a: b", "7", "3", "1"]
        );
        assert_eq!(["blocked", "epoch", "view"].map(of), ["0", "1790000000000000000", "4"]);
        assert!(
            row.get("rank").is_null() && row.get("new").is_null(),
            "it was not said, or is not known here"
        );
        for (.., column) in SAID {
            assert!(Name::new(column).is_ok(), "{column} cannot be asked for");
        }
    }

    #[test]
    fn what_makes_no_sense_is_absent() {
        let member: Member =
            "group: kv\nmembers: -1\nview: 99999999999999999999\nblocked: maybe\nlease".parse().unwrap();
        assert!(["members", "view", "blocked", "lease"].iter().all(|column| member.get(column).is_null()));
        for answer in ["", "refused: one can say `report` here\n", "members: 3\n"] {
            assert!(answer.parse::<Member>().is_err(), "{answer}");
        }
        let long: Member = format!("group: {}", "é".repeat(500)).parse().unwrap();
        assert_eq!(long.group().len(), TEXT_BYTES);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(text in any::<String>(), value in any::<String>(), fact in 0..SAID.len()) {
            let _ = text.parse::<Member>();
            let answer = format!("group: x\n{}: {value}\n", SAID[fact].0);
            let member: Member = answer.parse().unwrap();
            let widest = member.0.values().filter_map(Value::as_text).map(str::len).max();
            prop_assert!(widest <= Some(TEXT_BYTES));
        }
    }
}
