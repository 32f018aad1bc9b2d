//! [`Fired`]: that a standing query has fired at an agent, as agents tell each other; [`Event`]: as who has asked is told.

use serde::{Deserialize, Serialize};

use crate::{codec::RowLimits, row::Row, trust::EventSeal};

/// Rows of one event that are told; more are counted.
pub const ROWS_MAX: usize = 16;
/// Bytes of them.
pub const ROW_BYTES_MAX: usize = 800;

/// Which event of one standing query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// At which agent it fired, while the query stood there without a break: random.
    pub origin: u64,
    /// Counts from 1.
    pub nth: u32,
}

/// A standing query has fired at an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fired {
    /// Which event it is.
    pub id: EventId,
    /// For how many rows.
    pub rows: u32,
    /// So many events were given up before it, because a bound was reached.
    pub lost: u32,
    /// What fired; none where many fire at once, and this one is only counted.
    pub told: Option<Told>,
    /// Who says so, where agents have keys, and it is told.
    pub seal: Option<Box<EventSeal>>,
}

/// What fired, where and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The agent's name.
    pub agent: String,
    /// When, by the agent's clock: milliseconds since 1970.
    pub at_ms: u64,
    /// Some of the rows, at least one.
    pub rows: Vec<Row>,
}

/// What who has asked is told: that a standing query has fired somewhere, or at several agents.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What fired, where and when; none for many at once that are only counted.
    pub told: Option<Told>,
    /// How many times it fired: 1, if it is told, or 0 if it was counted before.
    pub times: u64,
    /// For how many rows; some of them are told.
    pub rows: u64,
    /// So many more events are lost, because a bound was reached on the way.
    pub lost: u64,
}

impl Fired {
    /// About its bytes in a message.
    pub(super) fn bytes(&self) -> usize {
        let told = |told: &Told| 10 + told.agent.len() + told.rows.iter().map(row_bytes).sum::<usize>();
        17 + self.told.as_ref().map_or(0, told) + self.seal.as_ref().map_or(0, |seal| seal.bytes())
    }

    /// From now on it is only counted.
    pub(super) fn untell(&mut self) {
        (self.told, self.seal) = (None, None);
    }

    /// Whether it may be from an agent.
    pub(super) fn is_sound(&self) -> bool {
        let limits = RowLimits::default();
        self.id.nth > 0
            && self.seal.as_ref().is_none_or(|seal| seal.is_sound())
            && self.told.as_ref().is_none_or(|told| {
                told.rows.len() <= ROWS_MAX
                    && told.agent.parse::<super::name::ZoneName>().is_ok()
                    && told.rows.iter().all(|row| row.check(&limits).is_ok())
            })
    }
}

/// As many rows of an event as are told.
pub(super) fn shown(rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    let mut left = ROW_BYTES_MAX;
    let fits = |row: &Row| {
        let bytes = row_bytes(row);
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    rows.into_iter().take(ROWS_MAX).take_while(fits).collect()
}

fn row_bytes(row: &Row) -> usize {
    2 + row.encoded_len()
}
