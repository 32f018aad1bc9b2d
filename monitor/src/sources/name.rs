//! The names that attributes may have: those that a query can say without quotes.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::Deserialize;

use crate::sql::{Limits, Query};

/// Names that mean something to zones themselves.
pub const RESERVED: [&str; 10] =
    ["contacts", "depth", "expected", "id", "issued", "nmembers", "oldest", "relays", "rep", "servers"];

/// The name of an attribute: `a` to `z`, digits and `_`, beginning with a letter or `_`, at most [`Name::MAX_BYTES`]; none of [`RESERVED`],
/// and no word of SQL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Arc<str>);

/// Why a name cannot be an attribute's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    #[error("an attribute needs a name")]
    Empty,
    /// It is too long.
    #[error("a name of {0} bytes is too long for an attribute; use at most {max}", max = Name::MAX_BYTES)]
    TooLong(usize),
    /// A character that names do not have.
    #[error("{0:?} is no name for an attribute; use a to z, 0 to 9 and _, and begin with a letter or _")]
    Alphabet(String),
    /// It means something to zones.
    #[error("the attribute {0} is set by the zones themselves; choose another name")]
    Reserved(String),
    /// It means something in SQL.
    #[error("{0} is a word of SQL, and queries could not ask for it; choose another name")]
    Sql(String),
}

impl Name {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 63;

    /// A name.
    ///
    /// # Errors
    /// It is none that an attribute can have.
    pub fn new(text: &str) -> Result<Self, NameError> {
        match text.len() {
            0 => return Err(NameError::Empty),
            n if n > Self::MAX_BYTES => return Err(NameError::TooLong(n)),
            _ => {}
        }
        let legal = text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !legal || text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(NameError::Alphabet(text.to_owned()));
        }
        if RESERVED.contains(&text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        let query = format!("SELECT {text} AS {text} WHERE {text} > 1 ORDER BY {text}");
        // Words such as NULL can be said, and mean something else.
        let asks = |query: Query| query.inputs().iter().any(|input| **input == *text);
        if !Query::parse(&query, &Limits::default()).is_ok_and(asks) {
            return Err(NameError::Sql(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The name of a metric of some other system as that of an attribute: in lower case, with `_` for what names do not have.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn from_foreign(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong(text.len()));
        }
        let mut name: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect();
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            name.insert(0, '_');
        }
        Self::new(&name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_query_can_say() {
        for good in ["cpu", "_x9", "disk_used_percent", "name", "value", "count"] {
            assert_eq!(Name::new(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in
            ["", "CPU", "9a", "a-b", "&f", "ä", "id", "nmembers", "select", "null", "true", "a b", "a\0"]
        {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
        assert!(Name::new(&"a".repeat(63)).is_ok());
        assert_eq!(Name::new(&"a".repeat(64)), Err(NameError::TooLong(64)));
    }

    #[test]
    fn names_of_other_systems_are_made_legal() {
        let name = |text| Name::from_foreign(text).map(|n| n.to_string());
        assert_eq!(name("App.Queue-Length"), Ok("app_queue_length".to_owned()));
        assert_eq!(name("5xx"), Ok("_5xx".to_owned()));
        assert_eq!(name("größe"), Ok("gr__e".to_owned()));
        assert!(name("ID").is_err());
        assert!(name("").is_err());
    }
}
