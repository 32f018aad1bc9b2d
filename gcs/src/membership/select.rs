//! Whom a view change excludes.
//!
//! Members that are gone, and of those that are left, as few as possible so that nobody suspects anybody: suspicions are
//! the edges of a graph, and the member with the most edges goes first (a member that hears nobody accuses everybody,
//! and is the one to go), of several the youngest. The rule depends on nothing but its arguments, so all members that
//! have heard the same suspicions agree on who proposes.
//!
//! The dead accuse nobody, so when half of an even number is silent, both halves have as many edges, and the rule may keep
//! the wrong one. Then, if what it keeps is no quorum, a member goes by what it hears itself.

use super::quorum::is_quorum;

/// The members that member `me` would exclude, as a mask. Bit `r` of `silent[q]` says that `q` hears nothing from `r`;
/// `gone` are members of whose end there is evidence.
#[must_use]
pub fn select_excluded(members: usize, me: usize, silent: &[u64], gone: u64) -> u64 {
    let everyone = u64::MAX >> (64 - members.clamp(1, 64));
    let fewest = fewest(members, silent, gone);
    let unheard = (gone | silent.get(me).copied().unwrap_or(0)) & everyone;
    let leaves_quorum = |excluded: u64| is_quorum(everyone & !excluded, members);
    if !leaves_quorum(fewest) && leaves_quorum(unheard) { unheard } else { fewest }
}

/// As few as possible so that nobody who is left suspects anybody who is left.
fn fewest(members: usize, silent: &[u64], gone: u64) -> u64 {
    let everyone = u64::MAX >> (64 - members.clamp(1, 64));
    let mut excluded = gone & everyone;
    if silent.iter().take(members).all(|row| *row == 0) {
        return excluded;
    }
    let accuses = |q: usize, r: usize| silent.get(q).is_some_and(|mask| mask >> r & 1 == 1);
    loop {
        let alive = |r: &usize| excluded >> r & 1 == 0;
        let degree = |r: usize| {
            (0..members).filter(alive).filter(|q| *q != r && (accuses(*q, r) || accuses(r, *q))).count()
        };
        // `max_by_key` takes the last of several: the highest rank, the youngest.
        match (0..members).filter(alive).map(|r| (degree(r), r)).max_by_key(|(d, r)| (*d, *r)) {
            Some((d, r)) if d > 0 => excluded |= 1 << r,
            _ => return excluded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_excluded_without_cause() {
        assert_eq!(select_excluded(3, 0, &[0, 0, 0], 0), 0);
    }

    #[test]
    fn evidence_counts_without_suspicion_and_silences_the_dead() {
        assert_eq!(select_excluded(3, 0, &[0b110, 0, 0], 0b001), 0b001);
    }

    #[test]
    fn the_one_that_hears_nobody_goes() {
        assert_eq!(select_excluded(4, 0, &[0, 0b1101, 0, 0], 0), 0b0010);
    }

    #[test]
    fn a_silent_member_goes_although_it_is_old() {
        assert_eq!(select_excluded(3, 0, &[0, 0b001, 0b001], 0), 0b001);
    }

    #[test]
    fn of_two_that_do_not_hear_each_other_the_younger_goes() {
        assert_eq!(select_excluded(3, 0, &[0b010, 0, 0], 0), 0b010);
        assert_eq!(select_excluded(3, 0, &[0, 0b001, 0], 0), 0b010);
    }

    #[test]
    fn half_of_an_even_number_goes_on_without_the_silent_half() {
        // 1 and 2 are dead; 0 and 3 hear each other only, and are a quorum because of 0.
        let silent = [0b0110, 0, 0, 0b0110];
        assert_eq!(select_excluded(4, 0, &silent, 0), 0b0110);
        assert_eq!(select_excluded(4, 3, &silent, 0), 0b0110);
        // 0 and 3 are dead: 1 and 2 are no quorum, whatever they would exclude.
        let left = !select_excluded(4, 1, &[0, 0b1001, 0b1001, 0], 0) & 0b1111;
        assert!(!is_quorum(left & 0b0110, 4));
    }

    #[test]
    fn a_partition_leaves_the_larger_side() {
        // {0, 1} and {2, 3, 4} do not hear each other; all suspicions are known (after the fact).
        let side = |r: usize| if r < 2 { 0b11100 } else { 0b00011 };
        let silent: Vec<u64> = (0..5).map(side).collect();
        assert_eq!(select_excluded(5, 0, &silent, 0), 0b00011);
    }
}
