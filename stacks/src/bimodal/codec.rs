//! The payloads of control frames.
//!
//! ```text
//! DIGEST: | 1 | round: u32 | n: u8 | n × (from: u16, first: u64, count: u16) |
//! ASK:    | 2 | the same
//! ```
//! Integers are little-endian.

use super::gossip::{RUNS_MAX, Run};

const DIGEST: u8 = 1;
const ASK: u8 = 2;
const RUN: usize = 12;

/// What a control frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Control {
    /// Whether its sender asks for the runs, or holds them.
    pub(super) asks: bool,
    pub(super) round: u32,
    pub(super) runs: Vec<Run>,
}

impl Control {
    pub(super) fn encode(&self) -> Vec<u8> {
        debug_assert!(self.runs.len() <= RUNS_MAX);
        let mut out = vec![if self.asks { ASK } else { DIGEST }];
        out.extend_from_slice(&self.round.to_le_bytes());
        out.push(u8::try_from(self.runs.len()).unwrap_or(u8::MAX));
        for run in &self.runs {
            out.extend_from_slice(&u16::try_from(run.from).unwrap_or(u16::MAX).to_le_bytes());
            out.extend_from_slice(&run.first.to_le_bytes());
            out.extend_from_slice(&run.count.to_le_bytes());
        }
        out
    }

    /// None if it is malformed.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (tag, rest) = payload.split_first()?;
        let asks = match *tag {
            DIGEST => false,
            ASK => true,
            _ => return None,
        };
        let (round, rest) = rest.split_first_chunk::<4>()?;
        let (n, rest) = rest.split_first()?;
        let (chunks, tail) = rest.as_chunks::<RUN>();
        if !tail.is_empty() || chunks.len() != usize::from(*n) || chunks.len() > RUNS_MAX {
            return None;
        }
        let runs = chunks.iter().map(run).collect::<Option<Vec<_>>>()?;
        Some(Self { asks, round: u32::from_le_bytes(*round), runs })
    }
}

fn run(chunk: &[u8; RUN]) -> Option<Run> {
    let (from, rest) = chunk.split_first_chunk::<2>()?;
    let (first, count) = rest.split_first_chunk::<8>()?;
    let (from, first) = (u32::from(u16::from_le_bytes(*from)), u64::from_le_bytes(*first));
    let count = u16::from_le_bytes(count.try_into().ok()?);
    let fits = first > 0 && count > 0 && first.checked_add(count.into()).is_some();
    fits.then_some(Run { from, first, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_that_make_no_sense_are_refused() {
        for (first, count) in [(0, 1), (1, 0), (u64::MAX, 1)] {
            let bytes = Control { asks: true, round: 1, runs: vec![Run { from: 0, first, count }] }.encode();
            assert_eq!(Control::decode(&bytes), None, "first {first} count {count}");
        }
    }

    #[test]
    fn the_longest_fits_into_the_smallest_frame() {
        let runs = vec![Run { from: 1, first: 1, count: 1 }; RUNS_MAX];
        assert!(Control { asks: true, round: 1, runs }.encode().len() <= 512);
    }

    proptest! {
        #[test]
        fn controls_come_back(
            asks: bool, round: u32,
            runs in prop::collection::vec((any::<u16>(), 1..u64::MAX / 2, 1..u16::MAX), 0..RUNS_MAX)
        ) {
            let runs = runs.into_iter().map(|(from, first, count)| Run { from: from.into(), first, count });
            let control = Control { asks, round, runs: runs.collect() };
            prop_assert_eq!(Control::decode(&control.encode()), Some(control));
        }

        #[test]
        fn what_decodes_is_what_was_encoded(mut bytes in prop::collection::vec(any::<u8>(), 0..64), n in 0..6_u8) {
            if bytes.len() > 5 {
                (bytes[0], bytes[5]) = (1 + n % 2, n);
                bytes.truncate(6 + RUN * usize::from(n));
            }
            if let Some(control) = Control::decode(&bytes) {
                prop_assert_eq!(control.encode(), bytes);
            }
        }
    }
}
