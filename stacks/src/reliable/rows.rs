//! Who holds what: one row for each member, and the stability that follows from the rows.

use gcs::{id::Rank, layer::Stability, membership::is_majority};
use smallvec::SmallVec;

/// By member and sender: all the sender's frames up to this one are known to be held by the member.
#[derive(Debug)]
pub(super) struct Rows {
    me: usize,
    members: usize,
    held: Vec<u64>,
    /// By rank: the votes of the members. None: each has one.
    weights: Option<SmallVec<[u16; 16]>>,
    stable: Stability,
    /// Senders whose column has changed since stability was computed.
    changed: u64,
}

impl Rows {
    /// For a view whose members have these votes.
    pub(super) fn new(me: usize, weights: impl Iterator<Item = u16>) -> Self {
        let weights: SmallVec<[u16; 16]> = weights.collect();
        let members = weights.len();
        let weights = weights.iter().any(|w| *w != 1).then_some(weights);
        let stable = Stability { majority: vec![0; members], all: vec![0; members] };
        Self { me, members, held: vec![0; members * members], weights, stable, changed: 0 }
    }

    pub(super) fn get(&self, member: usize, sender: usize) -> u64 {
        self.held[member * self.members + sender]
    }

    /// This member's own row, as others know it or will.
    pub(super) fn mine(&self) -> &[u64] {
        &self.held[self.me * self.members..][..self.members]
    }

    /// Rows only grow.
    pub(super) fn learn(&mut self, member: usize, sender: usize, upto: u64) {
        let known = &mut self.held[member * self.members + sender];
        if upto > *known {
            *known = upto;
            self.changed |= 1 << sender;
        }
    }

    pub(super) fn stable(&self) -> &Stability {
        &self.stable
    }

    /// Brings stability up to date: the mask of senders for which it advanced.
    pub(super) fn advance(&mut self) -> u64 {
        let mut advanced = 0;
        for sender in ranks(std::mem::take(&mut self.changed)) {
            let mut column: SmallVec<[u64; 16]> = (0..self.members).map(|m| self.get(m, sender)).collect();
            column.sort_unstable();
            let majority = match &self.weights {
                // Strictly more than half hold what the (n/2 + 1)-th largest does.
                None => column[self.members - 1 - self.members / 2],
                Some(weights) => self.held_by_most(weights, &column, sender),
            };
            if majority > self.stable.majority[sender] || column[0] > self.stable.all[sender] {
                advanced |= 1 << sender;
            }
            (self.stable.majority[sender], self.stable.all[sender]) = (majority, column[0]);
        }
        advanced
    }

    /// The highest of these marks (ascending) that members with strictly more than half of all votes hold.
    fn held_by_most(&self, weights: &[u16], marks: &[u64], sender: usize) -> u64 {
        let votes = |mark: u64| (0..self.members).filter(move |m| self.get(*m, sender) >= mark);
        let most =
            |mark: &&u64| is_majority(votes(**mark).fold(0, |s, m| s | 1 << m), weights.iter().copied());
        marks.iter().rev().find(most).copied().unwrap_or(0)
    }

    /// The members that are not known to hold all that this one holds.
    pub(super) fn behind(&self) -> u64 {
        let lacks = |m: usize| (0..self.members).any(|s| self.get(m, s) < self.get(self.me, s));
        (0..self.members).filter(|m| lacks(*m)).fold(0, |mask, m| mask | 1 << m)
    }
}

/// The ranks in a mask, ascending.
pub(super) fn ranks(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let rank = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (rank < u64::BITS).then_some(rank as usize)
    })
}

/// A member's index as its rank.
pub(super) fn rank(index: usize) -> Rank {
    Rank::try_from(index).unwrap_or(Rank::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majority_is_more_than_half_and_all_is_all() {
        // By number of members: what the members hold of one stream, majority, all.
        let table: [(&[u64], u64, u64); 5] = [
            (&[7], 7, 7),
            (&[7, 3], 3, 3),
            (&[7, 3, 5], 5, 3),
            (&[9, 1, 5, 4], 4, 1),
            (&[1, 2, 3, 4, 5], 3, 1),
        ];
        for (held, majority, all) in table {
            let mut rows = Rows::new(0, held.iter().map(|_| 1));
            held.iter().enumerate().for_each(|(m, k)| rows.learn(m, 0, *k));
            assert_eq!(rows.advance(), 1);
            assert_eq!((rows.stable().majority[0], rows.stable().all[0]), (majority, all), "{held:?}");
            assert_eq!(rows.advance(), 0);
        }
    }

    #[test]
    fn a_majority_is_one_of_votes() {
        // By member: votes, and what it holds of one stream; then what most votes hold, and all members.
        let table = [
            ([3, 1, 1], [2, 9, 8], 2, 2),
            ([2, 1, 1], [2, 9, 8], 2, 2),
            ([1, 1, 2], [2, 9, 8], 8, 2),
            ([1, 1, 0], [5, 4, 0], 4, 0),
            ([1, 0, 0], [5, 9, 0], 5, 0),
            ([1, 1, 2], [1, 1, 7], 1, 1),
        ];
        for (votes, held, majority, all) in table {
            let mut rows = Rows::new(0, votes.into_iter());
            held.iter().enumerate().for_each(|(m, k)| rows.learn(m, 0, *k));
            rows.advance();
            assert_eq!((rows.stable().majority[0], rows.stable().all[0]), (majority, all), "{votes:?}");
        }
    }

    #[test]
    fn rows_only_grow() {
        let mut rows = Rows::new(0, [1, 1].into_iter());
        rows.learn(0, 1, 5);
        rows.learn(1, 1, 9);
        rows.learn(0, 1, 4);
        assert_eq!(rows.mine(), [0, 5]);
        assert_eq!(rows.behind(), 0);
        rows.learn(0, 0, 1);
        assert_eq!(rows.behind(), 0b10);
    }

    #[test]
    fn masks_list_their_ranks() {
        assert_eq!(ranks(1 << 63 | 5).collect::<Vec<_>>(), [0, 2, 63]);
    }
}
