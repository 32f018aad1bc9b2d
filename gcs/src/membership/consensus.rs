//! Single-decree Paxos (Lamport, "The part-time parliament", 1998), the parts without messages: what an acceptor
//! remembers, and which value a proposer must take.
//!
//! The acceptors are the members of the view that ends. They keep nothing on disk: a process that forgets is a new
//! incarnation, which is no member of that view.

/// An attempt to decide: ordered by round, then by the proposer's rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ballot {
    /// Counts attempts from 1; 0 is before all.
    pub round: u32,
    /// The proposer's rank.
    pub rank: u32,
}

impl Ballot {
    /// The lowest ballot of `rank` above this one.
    #[must_use]
    pub fn next(self, rank: u32) -> Self {
        Self { round: self.round.saturating_add(1), rank }
    }
}

/// An acceptor's memory.
#[derive(Clone, Debug)]
pub struct Acceptor<V> {
    promised: Ballot,
    accepted: Option<(Ballot, V)>,
}

impl<V> Default for Acceptor<V> {
    fn default() -> Self {
        Self { promised: Ballot::default(), accepted: None }
    }
}

impl<V: Clone> Acceptor<V> {
    /// The highest ballot promised so far.
    #[must_use]
    pub fn promised(&self) -> Ballot {
        self.promised
    }

    /// The value accepted with the highest ballot so far.
    #[must_use]
    pub fn accepted(&self) -> Option<&(Ballot, V)> {
        self.accepted.as_ref()
    }

    /// Promises not to take part in lower ballots.
    ///
    /// # Errors
    /// The higher ballot that was promised already.
    pub fn promise(&mut self, ballot: Ballot) -> Result<(), Ballot> {
        if ballot < self.promised {
            return Err(self.promised);
        }
        self.promised = ballot;
        Ok(())
    }

    /// Accepts a value. The caller has made sure that it holds every frame up to the value's cut.
    ///
    /// # Errors
    /// The higher ballot that was promised.
    pub fn accept(&mut self, ballot: Ballot, value: V) -> Result<(), Ballot> {
        self.promise(ballot)?;
        assert!(self.accepted.as_ref().is_none_or(|(b, _)| *b <= ballot), "acceptors go forward");
        self.accepted = Some((ballot, value));
        Ok(())
    }
}

/// The value that a proposer must propose, given what a quorum of acceptors has accepted earlier: the one of the highest
/// ballot. None: it is free to propose its own.
pub fn choose<V>(accepted: impl IntoIterator<Item = (Ballot, V)>) -> Option<V> {
    accepted.into_iter().max_by_key(|(b, _)| *b).map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn b(round: u32, rank: u32) -> Ballot {
        Ballot { round, rank }
    }

    #[test]
    fn a_promise_keeps_lower_ballots_out() {
        let mut a = Acceptor::default();
        assert_eq!(a.promise(b(2, 1)), Ok(()));
        assert_eq!(a.promise(b(2, 0)), Err(b(2, 1)));
        assert_eq!(a.accept(b(1, 9), 'x'), Err(b(2, 1)));
        assert_eq!(a.accept(b(2, 1), 'y'), Ok(()));
        assert_eq!(a.accepted(), Some(&(b(2, 1), 'y')));
    }

    #[test]
    fn the_value_of_the_highest_ballot_wins() {
        assert_eq!(choose([(b(1, 2), 'x'), (b(3, 0), 'y'), (b(2, 9), 'z')]), Some('y'));
        assert_eq!(choose::<char>([]), None);
    }

    /// All interleavings of two proposers over three acceptors with lost messages, by exhaustive choice of who is
    /// reached in each phase: two decided values are always the same.
    #[test]
    fn two_proposers_never_decide_differently() {
        for sets in 0..1_u32 << 12 {
            let reach = |phase: u32, acceptor: usize| sets >> (phase * 3) >> acceptor & 1 == 1;
            let mut acceptors: [Acceptor<char>; 3] = Default::default();
            let mut decided = Vec::new();
            // Proposer 0 prepares, proposer 1 does all, proposer 0 goes on.
            let prepared = |acceptors: &mut [Acceptor<char>; 3], ballot, phase| {
                let mut seen = Vec::new();
                for (i, a) in acceptors.iter_mut().enumerate().filter(|(i, _)| reach(phase, *i)) {
                    let _ = i;
                    if a.promise(ballot).is_ok() {
                        seen.push(a.accepted().copied());
                    }
                }
                (seen.len() >= 2).then(|| choose(seen.into_iter().flatten()))
            };
            let accept = |acceptors: &mut [Acceptor<char>; 3], ballot, phase, v| {
                let n = acceptors.iter_mut().enumerate().filter(|(i, _)| reach(phase, *i));
                n.filter_map(|(_, a)| a.accept(ballot, v).ok()).count() >= 2
            };
            let first = prepared(&mut acceptors, b(1, 0), 0);
            if let Some(found) = prepared(&mut acceptors, b(1, 1), 1) {
                let v = found.unwrap_or('B');
                if accept(&mut acceptors, b(1, 1), 2, v) {
                    decided.push(v);
                }
            }
            if let Some(found) = first {
                let v = found.unwrap_or('A');
                if accept(&mut acceptors, b(1, 0), 3, v) {
                    decided.push(v);
                }
            }
            decided.dedup();
            assert!(decided.len() <= 1, "{sets:b}");
        }
    }
}
