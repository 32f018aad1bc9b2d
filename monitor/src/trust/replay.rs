//! [`Replay`]: the requests that were there already, as long as they would still count.

use std::collections::BTreeSet;

use super::{key::PublicKey, refusal::Refusal};

/// Requests that are remembered. They are about 64 bytes each.
pub const REQUESTS_MAX: usize = 16_384;

/// By when, by whom, and by number.
#[derive(Debug, Default)]
pub(super) struct Replay(BTreeSet<(u64, PublicKey, u64)>);

impl Replay {
    /// Takes a request that is verified; refuses it if it was there.
    pub(super) fn take(
        &mut self,
        now_s: u64,
        window_s: u64,
        at_s: u64,
        by: PublicKey,
        nonce: u64,
    ) -> Result<(), Refusal> {
        let oldest = (now_s.saturating_sub(window_s), PublicKey::from_bytes([0; 32]), 0);
        if self.0.first().is_some_and(|first| *first < oldest) {
            self.0 = self.0.split_off(&oldest);
        }
        if self.0.contains(&(at_s, by, nonce)) {
            return Err(Refusal::Replayed);
        }
        if self.0.len() >= REQUESTS_MAX {
            return Err(Refusal::Full("requests"));
        }
        self.0.insert((at_s, by, nonce));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_and_they_are_forgotten_when_none_would_count() {
        let (mut replay, key) = (Replay::default(), PublicKey::from_bytes([7; 32]));
        for nonce in 0..REQUESTS_MAX as u64 {
            assert_eq!(replay.take(1000, 300, 1000, key, nonce), Ok(()));
        }
        assert_eq!(replay.take(1300, 300, 1000, key, 7), Err(Refusal::Replayed));
        assert_eq!(replay.take(1300, 300, 1001, key, 7), Err(Refusal::Full("requests")));
        assert_eq!(replay.take(1301, 300, 1001, key, 7), Ok(()));
        assert_eq!(replay.0.len(), 1);
    }
}
