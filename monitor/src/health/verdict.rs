//! What is found, and what is agreed on.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::name::{Label, Who};

/// The longest evidence, in bytes; what is longer is cut.
pub const EVIDENCE_MAX: usize = 96;

/// What an observer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// It answers.
    Up,
    /// It answers, and takes longer than this observer finds right. Nobody else has to agree.
    Sluggish,
    /// It does not answer, or is not there.
    Down,
}

/// What the representatives agree on, of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nobody has said anything, or not for long.
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down,
    /// It is not an instance of the component any more.
    Gone,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Gone => "gone",
        })
    }
}

/// Why a verdict was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The instance was registered, or its address has changed.
    Registered,
    /// It is not an instance any more.
    Deregistered,
    /// As many observers as are needed have found so, and more than found otherwise.
    Agreed,
    /// Its own supervisor has seen it end.
    Certain,
    /// It came back before, and was held down because it had gone up and down too often.
    Released,
    /// Nobody has looked at it for long.
    Silent,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registered => "registered",
            Self::Deregistered => "deregistered",
            Self::Agreed => "agreed",
            Self::Certain => "certain",
            Self::Released => "released",
            Self::Silent => "silent",
        })
    }
}

/// What an observer has seen, for people: at most [`EVIDENCE_MAX`] bytes, without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Evidence(Box<str>);

impl From<&str> for Evidence {
    fn from(text: &str) -> Self {
        let mut kept = String::new();
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if kept.len() + c.len_utf8() > EVIDENCE_MAX {
                break;
            }
            kept.push(c);
        }
        Self(kept.into())
    }
}

impl From<String> for Evidence {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<Evidence> for String {
    fn from(evidence: Evidence) -> Self {
        evidence.0.into()
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An observer whose finding was considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Who.
    pub observer: Who,
    /// What he finds.
    pub finding: Finding,
    /// What he has seen.
    pub evidence: Evidence,
}

/// Which history of a group a sequence belongs to: the epoch of its views, so it is larger after every founding. Text in JSON, whose
/// numbers would round it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct History(pub u64);

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { to.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return u64::deserialize(from).map(Self);
        }
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|_| D::Error::custom("a history is a hexadecimal number"))
    }
}

/// A place in a component's sequence of verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Numbers count in it.
    pub history: History,
    /// The number of the last verdict that is known.
    pub seq: u64,
}

/// What is agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Counts the component's verdicts, without gaps.
    pub seq: u64,
    /// Of which instance.
    pub instance: Label,
    /// How it is from now on.
    pub health: Health,
    /// Why.
    pub cause: Cause,
    /// Where it is reached.
    pub address: Option<SocketAddr>,
    /// When, in milliseconds since the Unix epoch, by the clock of one of the representatives.
    pub at_ms: u64,
    /// Who was asked, those first who agree.
    pub witnesses: Vec<Witness>,
}

/// How an instance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which one.
    pub instance: Label,
    /// How it is.
    pub health: Health,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Where it is reached.
    pub address: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_short_and_visible() {
        let long = Evidence::from("é".repeat(90).as_str());
        assert_eq!(long.to_string().len(), EVIDENCE_MAX);
        assert_eq!(Evidence::from("a\x1b\nb").to_string(), "a  b");
    }

    #[test]
    fn a_history_is_not_rounded_in_json() {
        let history = History(u64::MAX - 1);
        let json = serde_json::to_string(&history).unwrap();
        assert_eq!(json, "\"fffffffffffffffe\"");
        assert_eq!(serde_json::from_str::<History>(&json).unwrap(), history);
        let bytes = postcard::to_stdvec(&history).unwrap();
        assert_eq!(postcard::from_bytes::<History>(&bytes).unwrap(), history);
        assert!(serde_json::from_str::<History>("\"+\"").is_err());
    }
}
