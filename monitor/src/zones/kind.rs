//! [`Kind`]: what a function is for. All kinds are spread, renewed, removed, refused and forgotten alike.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::sql::{Limits, Query, SqlError};

/// Bytes of an announcement.
pub const WORDS_MAX: usize = 1024;
/// Bytes of the text of a standing query.
pub const CONDITION_MAX: usize = 2048;
/// How often a standing query may be looked at.
pub const EVERY_MS: std::ops::RangeInclusive<u32> = 100..=3_600_000;

/// What names of standing queries begin with. Where agents have keys, only theirs do.
pub const EVENT: &str = "event-";
/// And those of announcements.
pub const ANNOUNCEMENT: &str = "announcement-";

/// What a function is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Its text says what each zone's row is to say of all agents in it.
    #[default]
    Aggregation,
    /// Its text is asked of a table that each agent of the zone has for itself; who has something to answer tells somebody.
    Standing(Standing),
    /// Its text is for whoever reads along in the zone.
    Announcement,
}

/// How a standing query is asked and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Where the agent is reached that is told.
    pub to: SocketAddr,
    /// When it fires.
    pub trigger: Trigger,
    /// How sure it is that what fired arrives.
    pub delivery: Delivery,
    /// How often agents look, in milliseconds; see [`EVERY_MS`].
    pub every_ms: u32,
}

/// When a standing query fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// For rows that were not in its result the last time; at first for all. One that goes away and comes back fires again.
    #[default]
    Edge,
    /// Each time that its result is not empty.
    Level,
}

/// How sure it is that what fired arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Said again until it is confirmed, and shown once: nothing is lost while the query stands.
    #[default]
    AtLeastOnce,
    /// Said once.
    AtMostOnce,
}

/// Why there cannot be such a standing query, or announcement.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KindError {
    /// Its text.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// It asks no table.
    #[error(
        "a standing query names the table that agents are to look at: SELECT … FROM processes WHERE …, or connections, log, attributes, or one that applications fill"
    )]
    NoTable,
    /// It is asked too often, or hardly ever.
    #[error("a standing query is looked at each 100 ms to each hour, not each {0} ms")]
    Every(u32),
    /// It says too much.
    #[error("an announcement has at most {WORDS_MAX} bytes, and this one has {0}")]
    Words(usize),
}

impl Standing {
    /// How often agents look.
    #[must_use]
    pub fn every(&self) -> Duration {
        Duration::from_millis(self.every_ms.into())
    }
}

/// What a standing query may ask of a local table.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        text_bytes: CONDITION_MAX,
        outputs: 32,
        output_rows: 2048,
        output_bytes: 2048,
        groups: 2048,
        work: 5_000_000,
        ..Limits::default()
    }
}

impl Kind {
    /// What a text of this kind asks of local tables: nothing, if it is none that is asked of them.
    ///
    /// # Errors
    /// It cannot be of this kind.
    pub(super) fn condition(&self, text: &str) -> Result<Option<Arc<Query>>, KindError> {
        match self {
            _ if text.is_empty() => Ok(None),
            Self::Aggregation => Ok(None),
            Self::Announcement if text.len() > WORDS_MAX => Err(KindError::Words(text.len())),
            Self::Announcement => Ok(None),
            Self::Standing(standing) if !EVERY_MS.contains(&standing.every_ms) => {
                Err(KindError::Every(standing.every_ms))
            }
            Self::Standing(_) => {
                let query = Query::parse(text, &limits())?;
                query.table().ok_or(KindError::NoTable)?;
                Ok(Some(Arc::new(query)))
            }
        }
    }

    /// What names of functions of this kind begin with.
    #[must_use]
    pub fn prefix(&self) -> Option<&'static str> {
        match self {
            Self::Aggregation => None,
            Self::Standing(_) => Some(EVENT),
            Self::Announcement => Some(ANNOUNCEMENT),
        }
    }

    /// Whether two are of the same kind.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
