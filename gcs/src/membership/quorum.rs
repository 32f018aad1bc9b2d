//! Which sets of members may decide for a view.

/// Whether `set` (a mask of ranks) is a quorum of a view of `members` members: more than half of them, or exactly half
/// with rank 0 among them. Any two quorums of a view share a member. The second case is the tie-breaker that lets the
/// older one of a pair go on alone.
#[must_use]
pub fn is_quorum(set: u64, members: usize) -> bool {
    let n = set.count_ones() as usize;
    2 * n > members || (2 * n == members && set & 1 == 1)
}

/// Whether `set` is more than half of `members`: shares a member with every quorum.
#[must_use]
pub fn is_majority(set: u64, members: usize) -> bool {
    2 * set.count_ones() as usize > members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_quorums_intersect() {
        for members in 1..=9_usize {
            let quorums: Vec<u64> = (0..1_u64 << members).filter(|s| is_quorum(*s, members)).collect();
            for a in &quorums {
                assert!(quorums.iter().all(|b| a & b != 0), "{members} members, {a:b}");
            }
        }
    }

    #[test]
    fn the_older_of_a_pair_goes_on() {
        assert!(is_quorum(0b01, 2) && !is_quorum(0b10, 2) && !is_majority(0b01, 2));
    }
}
