//! The one value that is meant in a document: at a JSON pointer, after a pattern, or all of it.

use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;

use super::{scalar, scalar::JsonError};
use crate::value::Value;

/// Memory that a pattern may take, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// Where in a document the value is.
#[derive(Debug, Clone)]
pub(super) struct Extract {
    at: At,
    text: bool,
}

#[derive(Debug, Clone)]
enum At {
    Pointer(String),
    Pattern(Regex),
    Everything,
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExtractError {
    #[error("both a pointer and a pattern are given; remove one")]
    Both,
    #[error("the pointer {0:?} does not begin with /; write it as \"/queue/length\"")]
    Pointer(String),
    #[error("the pattern {0:?} is not a regular expression, or too large a one; correct it")]
    Pattern(String),
    #[error("it is not JSON: {0}")]
    NotJson(String),
    #[error("there is nothing at {0}")]
    NothingAt(String),
    #[error("nothing matches the pattern {0:?}")]
    NoMatch(String),
    #[error(transparent)]
    Json(#[from] JsonError),
}

impl Extract {
    pub(super) fn new(
        pointer: Option<&str>,
        pattern: Option<&str>,
        text: bool,
    ) -> Result<Self, ExtractError> {
        let at = match (pointer, pattern) {
            (Some(_), Some(_)) => return Err(ExtractError::Both),
            (Some(pointer), None) if pointer.is_empty() || pointer.starts_with('/') => {
                At::Pointer(pointer.to_owned())
            }
            (Some(pointer), None) => return Err(ExtractError::Pointer(pointer.to_owned())),
            (None, Some(pattern)) => {
                let mut builder = RegexBuilder::new(pattern);
                let built = builder
                    .multi_line(true)
                    .size_limit(PATTERN_BYTES)
                    .dfa_size_limit(PATTERN_BYTES)
                    .nest_limit(100)
                    .build();
                At::Pattern(built.map_err(|_| ExtractError::Pattern(pattern.to_owned()))?)
            }
            (None, None) => At::Everything,
        };
        Ok(Self { at, text })
    }

    /// Whether only the end of a long document matters.
    pub(super) fn reads_the_end(&self) -> bool {
        matches!(self.at, At::Pattern(_))
    }

    /// The value in this document, whose bytes the caller has bounded.
    pub(super) fn value(&self, document: &str) -> Result<Value, ExtractError> {
        let found = match &self.at {
            At::Pointer(pointer) => {
                let json: Json =
                    serde_json::from_str(document).map_err(|e| ExtractError::NotJson(e.to_string()))?;
                let found = json.pointer(pointer).ok_or_else(|| ExtractError::NothingAt(pointer.clone()))?;
                return Ok(match found {
                    Json::Number(number) if self.text => Value::from(number.to_string()),
                    other => scalar::from_json(other)?,
                });
            }
            At::Pattern(pattern) => {
                let last = pattern.captures_iter(document).last();
                let last = last.ok_or_else(|| ExtractError::NoMatch(pattern.as_str().to_owned()))?;
                last.get(1).or_else(|| last.get(0)).map_or("", |found| found.as_str())
            }
            At::Everything => document,
        };
        Ok(match found.trim() {
            text if self.text && !text.is_empty() => Value::text(text),
            text => scalar::from_text(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(
        pointer: Option<&str>,
        pattern: Option<&str>,
        text: bool,
        document: &str,
    ) -> Result<Value, ExtractError> {
        Extract::new(pointer, pattern, text)?.value(document)
    }

    #[test]
    fn a_pointer_points_into_json() {
        let document = r#"{"queue": {"length": 12, "~/": [1, 2]}, "up": true, "version": 1.10, "o": {}}"#;
        let at = |pointer| value(Some(pointer), None, false, document);
        assert_eq!(at("/queue/length"), Ok(Value::Int(12)));
        assert_eq!(at("/queue/~0~1/1"), Ok(Value::Int(2)));
        assert_eq!(at("/up"), Ok(Value::Int(1)));
        assert_eq!(at("/nowhere"), Err(ExtractError::NothingAt("/nowhere".to_owned())));
        assert_eq!(at("/o"), Err(ExtractError::Json(JsonError::Object)));
        assert!(matches!(value(Some("/a"), None, false, "{\"a\": 1"), Err(ExtractError::NotJson(_))));
        assert_eq!(value(Some("/queue/length"), None, true, document), Ok("12".into()));
    }

    #[test]
    fn the_last_match_of_a_pattern_counts() {
        let document = "took 5 ms\ntook 7 ms\nversion 1.10\n";
        let of = |pattern, text| value(None, Some(pattern), text, document);
        assert_eq!(of("took ([0-9]+) ms", false), Ok(Value::Int(7)));
        assert_eq!(of("^version .*$", false), Ok("version 1.10".into()));
        assert_eq!(of("version (.*)", false), Ok(Value::float(1.1)));
        assert_eq!(of("version (.*)", true), Ok("1.10".into()));
        assert!(matches!(of("gave ([0-9]+)", false), Err(ExtractError::NoMatch(_))));
        assert!(matches!(of("a{1000}{1000}{1000}", false), Err(ExtractError::Pattern(_))));
    }

    #[test]
    fn without_either_all_of_it_counts() {
        assert_eq!(value(None, None, false, " 45000\n"), Ok(Value::Int(45_000)));
        assert_eq!(value(None, None, false, ""), Ok(Value::Null));
    }

    proptest! {
        #[test]
        fn any_document_has_a_value_or_an_error(document in any::<String>(), pointer in "/[a-z~/0-9]{0,8}") {
            let _ = value(Some(&pointer), None, false, &document);
            let _ = value(None, Some("(a|b)*(.)"), true, &document);
            let _ = value(None, None, false, &document);
        }
    }
}
