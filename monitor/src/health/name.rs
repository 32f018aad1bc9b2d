//! Names: of components and instances, which are labels of the Domain Name System, and of who observes or watches.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest label, in bytes (RFC 1035, §2.3.4).
pub const LABEL_MAX: usize = 63;
/// The longest name of somebody, in bytes.
pub const WHO_MAX: usize = 64;

/// The name of a component or of an instance: 1 to [`LABEL_MAX`] small letters, digits and inner hyphens, so that it can be a part of a
/// domain name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(Arc<str>);

/// Who observes, or has an interest: 1 to [`WHO_MAX`] visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Who(Arc<str>);

/// What is not a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Not a label.
    #[error(
        "`{0}` cannot be a component's or an instance's name: take 1 to {LABEL_MAX} of a-z, 0-9 and inner hyphens"
    )]
    Label(String),
    /// Not somebody's name.
    #[error(
        "`{0}` cannot be an observer's or a watcher's name: take 1 to {WHO_MAX} visible ASCII characters"
    )]
    Who(String),
}

/// What is shown of something that is not a name.
fn shown(text: &str) -> String {
    text.chars().take(WHO_MAX).flat_map(char::escape_default).collect()
}

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = (1..=LABEL_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits { Ok(Self(text.into())) } else { Err(NameError::Label(shown(text))) }
    }
}

impl FromStr for Who {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = (1..=WHO_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(NameError::Who(shown(text))) }
    }
}

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

text!(Label);
text!(Who);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_parts_of_domain_names() {
        for good in ["a", "shop", "web-1", "0", &"x".repeat(63)] {
            assert_eq!(good.parse::<Label>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a b", "ä", "a\n", &"x".repeat(64)] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_a_name_does_not_spoil_the_screen() {
        let error = "\x1b[2Jboo".parse::<Who>().unwrap_err().to_string();
        assert!(!error.contains('\x1b'), "{error}");
        assert!(postcard::from_bytes::<Label>(&postcard::to_stdvec("NO").unwrap()).is_err());
    }
}
