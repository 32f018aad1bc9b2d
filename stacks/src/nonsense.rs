//! What peers send that makes no sense: dropped and counted, and the first of each peer is traced.

use gcs::id::Rank;

/// One layer's count of nonsense.
#[derive(Debug, Default)]
pub(crate) struct Nonsense {
    /// Peers whose nonsense has been traced, as a mask of ranks.
    traced: u64,
    count: u64,
}

impl Nonsense {
    /// How many frames were dropped.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Counts a frame of `from` that `layer` drops.
    pub(crate) fn note(&mut self, layer: &'static str, from: Rank, what: &'static str) {
        self.count = self.count.saturating_add(1);
        let bit = 1_u64.checked_shl(from.into()).unwrap_or(0);
        if bit & !self.traced != 0 {
            self.traced |= bit;
            tracing::warn!(layer, from, count = self.count, "frame dropped: {what}");
        }
    }
}
