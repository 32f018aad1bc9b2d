//! Whom a view change excludes.
//!
//! Members that are gone, and of those that are left, as few as possible so that nobody suspects anybody: suspicions are
//! the edges of a graph, and the member with the most edges goes first (a member that hears nobody accuses everybody,
//! and is the one to go), of several the youngest. The rule depends on nothing but its arguments, so all members that
//! have heard the same suspicions agree on who proposes.
//!
//! Learners, who do not vote, cost no voter its place: suspicions among voters are weighed first, by votes (of two
//! sides, the one with fewer goes), then a learner goes that a voter who stays does not hear, or that does not hear it,
//! and at last come suspicions among learners.
//!
//! The dead accuse nobody, so when half of an even number is silent, both halves have as many edges, and the rule may keep
//! the wrong one. Then, if what it keeps is no quorum, a member goes by what it hears itself.

use super::quorum::is_quorum;

/// The members that member `me` would exclude, as a mask, where members count for `weights`, by rank. Bit `r` of
/// `silent[q]` says that `q` hears nothing from `r`; `gone` are members of whose end there is evidence.
#[must_use]
pub fn select_excluded(weights: &[u16], me: usize, silent: &[u64], gone: u64) -> u64 {
    let everyone = u64::MAX >> (64 - weights.len().clamp(1, 64));
    let fewest = fewest(weights, silent, gone & everyone);
    let unheard = (gone | silent.get(me).copied().unwrap_or(0)) & everyone;
    let leaves_quorum = |excluded: u64| is_quorum(everyone & !excluded, weights.iter().copied());
    if !leaves_quorum(fewest) && leaves_quorum(unheard) { unheard } else { fewest }
}

/// The same for a partitionable group, in which those go on whom `me` hears: without those that it does not hear, and with
/// as many of the others as have nothing against each other.
#[must_use]
pub fn select_parted(weights: &[u16], me: usize, silent: &[u64], gone: u64) -> u64 {
    let everyone = u64::MAX >> (64 - weights.len().clamp(1, 64));
    let unheard = (gone | silent.get(me).copied().unwrap_or(0)) & everyone;
    fewest(weights, silent, unheard)
}

/// As few as possible so that nobody who is left suspects anybody who is left.
fn fewest(weights: &[u16], silent: &[u64], gone: u64) -> u64 {
    if silent.iter().take(weights.len()).all(|row| *row == 0) {
        return gone;
    }
    let accuses = |q: usize, r: usize| silent.get(q).is_some_and(|mask| mask >> r & 1 == 1);
    let at_odds = |q: usize, r: usize| q != r && (accuses(q, r) || accuses(r, q));
    let votes = |r: usize| weights[r] > 0;
    let mut excluded = thin_out(weights, gone, at_odds, votes);
    let learners = (0..weights.len()).filter(|r| !votes(*r));
    let lost = |l: &usize| (0..weights.len()).any(|r| votes(r) && excluded >> r & 1 == 0 && at_odds(*l, r));
    excluded |= learners.filter(lost).fold(0, |mask, l| mask | 1 << l);
    thin_out(&vec![1; weights.len()], excluded, at_odds, |r| !votes(r))
}

/// Excludes one after the other of those `among` whom there is discord: who has the most votes against it for each of
/// its own, of several the youngest.
fn thin_out(
    weights: &[u16],
    mut excluded: u64,
    at_odds: impl Fn(usize, usize) -> bool,
    among: impl Fn(usize) -> bool,
) -> u64 {
    loop {
        let there = |r: &usize| among(*r) && excluded >> r & 1 == 0;
        let against = |r: usize| -> u64 {
            (0..weights.len()).filter(there).filter(|q| at_odds(*q, r)).map(|q| u64::from(weights[q])).sum()
        };
        let mut worst: Option<(u64, usize)> = None;
        for (votes, r) in (0..weights.len()).filter(there).map(|r| (against(r), r)) {
            let leads =
                worst.is_none_or(|(most, w)| votes * u64::from(weights[w]) >= most * u64::from(weights[r]));
            worst = if leads { Some((votes, r)) } else { worst };
        }
        match worst {
            Some((votes, r)) if votes > 0 => excluded |= 1 << r,
            _ => return excluded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_excluded_without_cause() {
        assert_eq!(select_excluded(&[1; 3], 0, &[0, 0, 0], 0), 0);
    }

    #[test]
    fn evidence_counts_without_suspicion_and_silences_the_dead() {
        assert_eq!(select_excluded(&[1; 3], 0, &[0b110, 0, 0], 0b001), 0b001);
    }

    #[test]
    fn the_one_that_hears_nobody_goes() {
        assert_eq!(select_excluded(&[1; 4], 0, &[0, 0b1101, 0, 0], 0), 0b0010);
    }

    #[test]
    fn a_silent_member_goes_although_it_is_old() {
        assert_eq!(select_excluded(&[1; 3], 0, &[0, 0b001, 0b001], 0), 0b001);
    }

    #[test]
    fn of_two_that_do_not_hear_each_other_the_younger_goes() {
        assert_eq!(select_excluded(&[1; 3], 0, &[0b010, 0, 0], 0), 0b010);
        assert_eq!(select_excluded(&[1; 3], 0, &[0, 0b001, 0], 0), 0b010);
    }

    #[test]
    fn half_of_an_even_number_goes_on_without_the_silent_half() {
        // 1 and 2 are dead; 0 and 3 hear each other only, and are a quorum because of 0.
        let silent = [0b0110, 0, 0, 0b0110];
        assert_eq!(select_excluded(&[1; 4], 0, &silent, 0), 0b0110);
        assert_eq!(select_excluded(&[1; 4], 3, &silent, 0), 0b0110);
        // 0 and 3 are dead: 1 and 2 are no quorum, whatever they would exclude.
        let left = !select_excluded(&[1; 4], 1, &[0, 0b1001, 0b1001, 0], 0) & 0b1111;
        assert!(!is_quorum(left & 0b0110, [1; 4]));
    }

    #[test]
    fn a_partition_leaves_the_larger_side() {
        // {0, 1} and {2, 3, 4} do not hear each other; all suspicions are known (after the fact).
        let side = |r: usize| if r < 2 { 0b11100 } else { 0b00011 };
        let silent: Vec<u64> = (0..5).map(side).collect();
        assert_eq!(select_excluded(&[1; 5], 0, &silent, 0), 0b00011);
    }

    #[test]
    fn the_side_with_fewer_votes_goes() {
        // 0 and the other two do not hear each other.
        let silent = [0b110, 0b001, 0b001];
        assert_eq!(select_excluded(&[3, 1, 1], 0, &silent, 0), 0b110);
        assert_eq!(select_excluded(&[1, 1, 1], 0, &silent, 0), 0b001);
        assert_eq!(select_excluded(&[1, 2], 0, &[0b10, 0], 0), 0b01);
    }

    #[test]
    fn learners_cost_no_voter_its_place() {
        // 2, 3 and 4 learn, and do not hear 0, whom 1 hears.
        assert_eq!(select_excluded(&[1, 1, 0, 0, 0], 0, &[0, 0, 1, 1, 1], 0), 0b11100);
        // 1 is silent for everybody.
        assert_eq!(select_excluded(&[1, 1, 1, 0], 0, &[0b10, 0, 0b10, 0b10], 0), 0b0010);
        // Two learners do not hear each other.
        assert_eq!(select_excluded(&[1, 0, 0], 0, &[0, 0b100, 0b010], 0), 0b100);
    }
}
