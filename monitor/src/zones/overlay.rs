//! [`targets`]: to whom news goes at once.
//!
//! All who take part in spreading news of a zone stand in the same order in a ring, and each passes what is new to it on, once, to those who
//! stand at certain distances, which are the same for all. Then everybody is told by as many as it tells, and is missed only when all of them
//! are lost; where everybody picks at random, a share of e^-k is told by nobody at all, whatever is lost. Who sees a member more or less in the
//! ring tells another neighbour: that costs a duplicate or a hole, which the periodic exchange fills.
//!
//! Distances are a geometric series, 1 first: in a ring of 47 everybody is told after five hops, 3.0 on average, in one of 141 after eight, 4.6 on
//! average, which is as good as the best of some random ones, and random ones are at times twice as far.

/// The places in a ring of `len` to which whoever is at `place` passes news on: `fanout` of them, or all others.
pub fn targets(place: usize, len: usize, fanout: usize) -> impl Iterator<Item = usize> {
    let mut distances: Vec<usize> = Vec::with_capacity(fanout);
    for nth in 0..fanout.min(len.saturating_sub(1)) {
        let distance = (len as f64).powf(nth as f64 / fanout as f64).round() as usize;
        let next = distances.last().map_or(1, |last| last + 1);
        distances.push(distance.max(next).min(len - 1));
    }
    distances.dedup();
    distances.into_iter().map(move |distance| (place + distance) % len)
}

/// To how many others whoever stands in a tree passes news on.
const ARITY: usize = 4;

/// The places in a ring of `len` to which whoever is at `place` passes news on in the tree whose root is at `root`: everybody is told once. With
/// one copy less than there are places it is told as soon as by [`targets`]; what is lost is lost for all below.
pub fn below(place: usize, root: usize, len: usize) -> impl Iterator<Item = usize> {
    let nth = (place + len - root) % len.max(1);
    (nth * ARITY + 1..=nth * ARITY + ARITY)
        .take_while(move |child| *child < len)
        .map(move |child| (child + root) % len)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// After how many hops everybody has heard, if nothing is lost.
    fn hops(len: usize, fanout: usize) -> usize {
        let (mut heard, mut last, mut hops) = (BTreeSet::from([0]), BTreeSet::from([0]), 0);
        while heard.len() < len {
            let told = last.iter().flat_map(|place| targets(*place, len, fanout));
            last = told.filter(|place| !heard.contains(place)).collect();
            assert!(!last.is_empty(), "{len}: not all are reached");
            heard.extend(&last);
            hops += 1;
        }
        hops
    }

    #[test]
    fn everybody_is_reached_and_soon() {
        for (len, most) in
            [(2, 1), (5, 1), (6, 2), (12, 3), (25, 4), (47, 5), (64, 6), (141, 8), (192, 9), (768, 15)]
        {
            assert!(hops(len, 4) <= most, "{len}");
        }
        (1..300).for_each(|len| assert!(hops(len, 4) <= 4 + len / 20));
        (1..100).for_each(|len| assert!(hops(len, 1) < len.max(1)));
    }

    #[test]
    fn in_a_tree_everybody_is_told_once() {
        for (len, root) in (1..100).flat_map(|len| (0..len).map(move |root| (len, root))) {
            let mut told = vec![0; len];
            (0..len).flat_map(|place| below(place, root, len)).for_each(|place| told[place] += 1);
            let others = told.iter().enumerate().filter(|(place, _)| *place != root);
            assert!(told[root] == 0 && others.clone().all(|(_, n)| *n == 1), "{len} {root}: {told:?}");
        }
    }

    #[test]
    fn everybody_is_told_as_often_as_it_tells() {
        for len in 2..200 {
            let mut told = vec![0; len];
            (0..len).flat_map(|place| targets(place, len, 4)).for_each(|place| told[place] += 1);
            assert!(told.iter().all(|n| *n == 4.min(len - 1)), "{len}: {told:?}");
        }
        assert_eq!(targets(0, 1, 4).count() + targets(0, 0, 4).count(), 0);
    }
}
