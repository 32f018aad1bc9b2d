//! What peers send that makes no sense: dropped and counted, and the first of each peer is traced.

use gcs::{id::Rank, report::Report};

/// One layer's count of nonsense.
#[derive(Debug, Default)]
pub(crate) struct Nonsense {
    /// Peers whose nonsense has been traced, as a mask of ranks.
    traced: u64,
    count: u64,
}

impl Nonsense {
    /// Says how many frames were dropped.
    pub(crate) fn report(&self, to: &mut Report) {
        to.say("frames refused", self.count);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_counted_whoever_says_it() {
        let (mut nonsense, mut report) = (Nonsense::default(), Report::default());
        for from in [0, 1, 1, 63, 64] {
            nonsense.note("layer", from, "no such thing");
        }
        nonsense.report(&mut report);
        assert_eq!(report.to_string(), "frames refused: 5\n");
    }
}
