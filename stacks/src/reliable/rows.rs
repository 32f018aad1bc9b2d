//! Who holds what: one row for each member, and the stability that follows from the rows.

use gcs::{id::Rank, layer::Stability};
use smallvec::SmallVec;

/// By member and sender: all the sender's frames up to this one are known to be held by the member.
#[derive(Debug)]
pub(super) struct Rows {
    me: usize,
    members: usize,
    held: Vec<u64>,
    stable: Stability,
    /// Senders whose column has changed since stability was computed.
    changed: u64,
}

impl Rows {
    pub(super) fn new(me: usize, members: usize) -> Self {
        let stable = Stability { majority: vec![0; members], all: vec![0; members] };
        Self { me, members, held: vec![0; members * members], stable, changed: 0 }
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
            // Strictly more than half hold what the (n/2 + 1)-th largest does.
            let majority = column[self.members - 1 - self.members / 2];
            if majority > self.stable.majority[sender] || column[0] > self.stable.all[sender] {
                advanced |= 1 << sender;
            }
            (self.stable.majority[sender], self.stable.all[sender]) = (majority, column[0]);
        }
        advanced
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
            let mut rows = Rows::new(0, held.len());
            held.iter().enumerate().for_each(|(m, k)| rows.learn(m, 0, *k));
            assert_eq!(rows.advance(), 1);
            assert_eq!((rows.stable().majority[0], rows.stable().all[0]), (majority, all), "{held:?}");
            assert_eq!(rows.advance(), 0);
        }
    }

    #[test]
    fn rows_only_grow() {
        let mut rows = Rows::new(0, 2);
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
