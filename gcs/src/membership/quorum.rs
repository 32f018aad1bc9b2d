//! Which sets of members may decide for a view.

/// Whether `set` (a mask of ranks) is a quorum of a view whose members count for `weights`, by rank: it has more than
/// half of all votes, or exactly half with the first voter among them. Any two quorums of a view share a voter. The
/// second case is the tie-breaker that lets the older one of a pair go on alone.
///
/// Weighted voting is Gifford's ("Weighted voting for replicated data", SOSP 1979). Who counts for nothing, a learner,
/// is needed for no quorum and makes none.
#[must_use]
pub fn is_quorum(set: u64, weights: impl IntoIterator<Item = u16>) -> bool {
    let count = count(set, weights);
    2 * count.set > count.all || (2 * count.set == count.all && count.has_first)
}

/// Whether `set` has more than half of all votes: shares a voter with every quorum.
#[must_use]
pub fn is_majority(set: u64, weights: impl IntoIterator<Item = u16>) -> bool {
    let count = count(set, weights);
    2 * count.set > count.all
}

struct Count {
    /// Votes of the set, and of everybody.
    set: u32,
    all: u32,
    /// Whether the lowest-ranked member that votes is in the set.
    has_first: bool,
}

/// At most [`crate::id::MAX_MEMBERS`] times `u16::MAX`: twice that is far below `u32::MAX`.
fn count(set: u64, weights: impl IntoIterator<Item = u16>) -> Count {
    let mut count = Count { set: 0, all: 0, has_first: false };
    for (rank, weight) in weights.into_iter().enumerate() {
        let weight = u32::from(weight);
        let mine = set >> rank & 1 == 1;
        count.has_first |= mine && count.all == 0 && weight > 0;
        count.all += weight;
        count.set += if mine { weight } else { 0 };
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intersect(weights: &[u16]) {
        let quorum = |s: &u64| is_quorum(*s, weights.iter().copied());
        let quorums: Vec<u64> = (0..1_u64 << weights.len()).filter(quorum).collect();
        let voters = weights.iter().enumerate().filter(|(_, w)| **w > 0).fold(0, |m, (r, _)| m | 1_u64 << r);
        for a in &quorums {
            assert!(quorums.iter().all(|b| a & b & voters != 0), "{weights:?}, {a:b}");
        }
    }

    #[test]
    fn any_two_quorums_share_a_voter() {
        for members in 1..=9_usize {
            intersect(&vec![1; members]);
        }
        // All weights from 0 to 3 of up to five members.
        for members in 1..=5_u32 {
            for code in 0..4_u32.pow(members) {
                let weights: Vec<_> = (0..members).map(|r| (code / 4_u32.pow(r) % 4) as u16).collect();
                intersect(&weights);
            }
        }
    }

    #[test]
    fn a_majority_meets_every_quorum() {
        for weights in [&[1, 1][..], &[2, 1, 1], &[3, 1, 1, 1], &[0, 1, 0, 1], &[5, 0, 2]] {
            for a in (0..1_u64 << weights.len()).filter(|s| is_majority(*s, weights.iter().copied())) {
                for b in (0..1_u64 << weights.len()).filter(|s| is_quorum(*s, weights.iter().copied())) {
                    assert!(a & b != 0, "{weights:?}, {a:b}, {b:b}");
                }
            }
        }
    }

    #[test]
    fn the_older_of_a_pair_goes_on() {
        assert!(is_quorum(0b01, [1, 1]) && !is_quorum(0b10, [1, 1]) && !is_majority(0b01, [1, 1]));
    }

    #[test]
    fn weights_count_not_members() {
        assert!(is_quorum(0b001, [3, 1, 1]) && !is_quorum(0b110, [3, 1, 1]));
        assert!(is_quorum(0b011, [1, 1, 0]) && is_quorum(0b001, [1, 1, 0]) && !is_quorum(0b110, [1, 1, 0]));
        // Half of the votes, with the first that votes.
        assert!(is_quorum(0b010, [0, 2, 1, 1]) && !is_quorum(0b1101, [0, 2, 1, 1]));
        assert!(!is_quorum(0b11, [0, 0]) && !is_quorum(0, []), "nobody votes");
    }
}
