//! [`ZoneName`]: where a zone is in the tree.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// Bytes of a whole name.
const NAME_MAX: usize = 255;
/// Levels below the root.
pub const DEPTH_MAX: usize = 16;

/// The path of a zone: `/` is the root, `/eu/ams/rack7` a zone three levels below. An agent is a leaf, such as
/// `/eu/ams/rack7/host12`. The tree has no other shape than these names give it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneName(Arc<str>);

/// Why a text is no zone's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ZoneNameError {
    /// It does not begin with a slash, or ends with one.
    #[error(
        "`{0}` is not the path of a zone: write it like /eu/ams/rack7, with a slash in front of each part"
    )]
    Shape(String),
    /// A part is empty, too long, or has characters that cannot be shown.
    #[error(
        "`{0}` has a part that is empty, or has spaces or control characters; use letters, digits and -._"
    )]
    Part(String),
    /// It is too long or too deep.
    #[error("the path of a zone has at most {NAME_MAX} bytes and {DEPTH_MAX} parts")]
    Long,
}

impl ZoneName {
    /// The zone that all others are in.
    #[must_use]
    pub fn root() -> Self {
        Self("/".into())
    }

    /// How many parts it has: 0 for the root.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.parts().count()
    }

    /// Its parts, from the root's side.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1).filter(|part| !part.is_empty())
    }

    /// The zone around it that is `depth` levels below the root; itself if it is not as deep.
    #[must_use]
    pub fn ancestor(&self, depth: usize) -> Self {
        if depth >= self.depth() {
            return self.clone();
        }
        match self.0.match_indices('/').nth(depth) {
            Some((end, _)) if end > 0 => Self(self.0[..end].into()),
            _ => Self::root(),
        }
    }

    /// Whether `other` is this zone or inside of it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let (own, other) = (self.0.trim_end_matches('/'), &other.0);
        other.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ZoneName {
    type Err = ZoneNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "/" {
            return Ok(Self::root());
        }
        let Some(parts) = text.strip_prefix('/') else { return Err(ZoneNameError::Shape(text.to_owned())) };
        if text.len() > NAME_MAX || parts.split('/').count() > DEPTH_MAX {
            return Err(ZoneNameError::Long);
        }
        let shown = |c: char| !c.is_whitespace() && !c.is_control();
        if parts.split('/').any(|part| part.is_empty() || !part.chars().all(shown)) {
            return Err(ZoneNameError::Part(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> ZoneName {
        name.parse().unwrap()
    }

    #[test]
    fn a_name_knows_what_it_is_in() {
        let host = zone("/eu/ams/rack7/host12");
        assert_eq!(host.depth(), 4);
        assert_eq!(host.ancestor(0), ZoneName::root());
        assert_eq!(host.ancestor(1), zone("/eu"));
        assert_eq!(host.ancestor(3), zone("/eu/ams/rack7"));
        assert_eq!(host.ancestor(9), host);
        assert_eq!(ZoneName::root().depth(), 0);
        assert!(zone("/eu/ams").contains(&host) && ZoneName::root().contains(&host) && host.contains(&host));
        assert!(!zone("/eu/am").contains(&host));
        assert!(!host.contains(&zone("/eu")));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for wrong in
            ["", "eu", "/eu/", "//", "/a b", "/a\n", &format!("/{}", "x".repeat(300)), &"/x".repeat(17)]
        {
            assert!(wrong.parse::<ZoneName>().is_err(), "{wrong}");
        }
    }
}
