//! A linearizability checker for registers (Wing, Gong, "Testing and verifying concurrent objects", 1993, with the memo
//! of Lowe, "Testing for linearizability", 2017). Linearizability is local, so each register is checked alone.

use super::kv::Op;
use std::collections::BTreeSet;

/// One operation of a client. Times are of one clock that all clients share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it asked for.
    pub op: Op,
    /// When.
    pub invoked: u64,
    /// When it was answered, and what; None if never.
    pub returned: Option<(u64, u64)>,
}

/// What the checker found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none.
    Broken,
    /// Not found out within the effort.
    Undecided,
}

/// Whether these operations on one register, which holds 0 at first, have an order that agrees with their answers and
/// in which none comes before another that had ended when it began. Gives up after `effort` steps.
///
/// ```
/// use gcs::sim::{Op, linear::{Call, Verdict, check}};
/// let write = Call { op: Op::Write { key: 0, value: 5 }, invoked: 1, returned: Some((3, 0)) };
/// let read = |at, value| Call { op: Op::Read { key: 0 }, invoked: at, returned: Some((at + 1, value)) };
/// assert_eq!(check(&[write, read(2, 0), read(4, 5)], 1000), Verdict::Linearizable);
/// assert_eq!(check(&[write, read(4, 0)], 1000), Verdict::Broken);
/// ```
#[must_use]
pub fn check(calls: &[Call], effort: u64) -> Verdict {
    let mut calls = calls.to_vec();
    calls.sort_unstable_by_key(|c| c.invoked);
    let mut search = Search {
        answered: calls.iter().filter(|c| c.returned.is_some()).count(),
        done: vec![0; calls.len().div_ceil(64)],
        seen: BTreeSet::new(),
        left: effort,
        calls,
    };
    search.run()
}

struct Search {
    calls: Vec<Call>,
    /// How many answered operations are not in the order yet.
    answered: usize,
    /// The operations that are, as a bit set.
    done: Vec<u64>,
    /// Sets of operations and values that lead nowhere.
    seen: BTreeSet<(Vec<u64>, u64)>,
    left: u64,
}

/// A place in the search: the next operation to try, and how to take the last one back.
struct Level {
    next: usize,
    value: u64,
    chosen: Option<usize>,
}

impl Search {
    fn run(&mut self) -> Verdict {
        let mut levels = vec![Level { next: 0, value: 0, chosen: None }];
        while let Some(level) = levels.last_mut() {
            if self.answered == 0 {
                return Verdict::Linearizable;
            }
            if self.left == 0 {
                return Verdict::Undecided;
            }
            self.left -= 1;
            let (value, from) = (level.value, level.next);
            match self.candidate(from, value) {
                Some(i) => {
                    level.next = i + 1;
                    self.set(i, true);
                    let value = self.calls[i].op.apply(value);
                    if self.seen.insert((self.done.clone(), value)) {
                        levels.push(Level { next: 0, value, chosen: Some(i) });
                    } else {
                        self.set(i, false);
                    }
                }
                None => {
                    let chosen = level.chosen;
                    levels.pop();
                    if let Some(i) = chosen {
                        self.set(i, false);
                    }
                }
            }
        }
        Verdict::Broken
    }

    fn is_done(&self, i: usize) -> bool {
        self.done[i / 64] >> (i % 64) & 1 == 1
    }

    fn set(&mut self, i: usize, done: bool) {
        self.done[i / 64] ^= 1 << (i % 64);
        if self.calls[i].returned.is_some() {
            self.answered = if done { self.answered - 1 } else { self.answered + 1 };
        }
    }

    /// The next operation, from `from` on, that may come now: nothing that is not done has ended before it began, and
    /// its answer fits the value.
    fn candidate(&self, from: usize, value: u64) -> Option<usize> {
        let open = (0..self.calls.len()).filter(|i| !self.is_done(*i));
        let first_end = open.filter_map(|i| self.calls[i].returned).map(|r| r.0).min().unwrap_or(u64::MAX);
        (from..self.calls.len())
            .take_while(|i| self.calls[*i].invoked < first_end)
            .filter(|i| !self.is_done(*i))
            .find(|i| {
                let call = &self.calls[*i];
                match call.returned {
                    Some((_, answer)) => answer == value,
                    // Without an answer, an operation that changes nothing need not be tried.
                    None => call.op.apply(value) != value,
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn call(op: Op, invoked: u64, returned: Option<(u64, u64)>) -> Call {
        Call { op, invoked, returned }
    }

    #[test]
    fn concurrent_writes_have_an_order_that_reads_tell() {
        let (w1, w2) = (Op::Write { key: 0, value: 1 }, Op::Write { key: 0, value: 2 });
        let r = Op::Read { key: 0 };
        let writes = [call(w1, 1, Some((10, 0))), call(w2, 2, Some((9, 1)))];
        let good = [writes[0], writes[1], call(r, 11, Some((12, 2)))];
        assert_eq!(check(&good, 1000), Verdict::Linearizable);
        let bad = [writes[0], writes[1], call(r, 11, Some((12, 1)))];
        assert_eq!(check(&bad, 1000), Verdict::Broken);
    }

    #[test]
    fn a_swap_succeeds_once() {
        let s = |new| Op::Swap { key: 0, expected: 0, new };
        let both = [call(s(1), 1, Some((5, 0))), call(s(2), 2, Some((6, 0)))];
        assert_eq!(check(&both, 1000), Verdict::Broken);
        let one = [call(s(1), 1, Some((5, 0))), call(s(2), 2, Some((6, 1)))];
        assert_eq!(check(&one, 1000), Verdict::Linearizable);
    }

    /// Random histories made from an order pass; with one answer changed, they mostly do not.
    #[test]
    fn random_histories() {
        let mut broken = 0;
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut value = 0;
            let mut calls: Vec<Call> = (0..60_u64)
                .map(|i| {
                    let op = match rng.below(3) {
                        0 => Op::Read { key: 0 },
                        1 => Op::Write { key: 0, value: i + 1 },
                        _ => Op::Swap { key: 0, expected: value, new: 1000 + i },
                    };
                    let at = 100 * (i + 10);
                    let answer = value;
                    value = op.apply(value);
                    let answered = rng.chance(950).then(|| (at + 1 + rng.below(300), answer));
                    call(op, at - rng.below(300), answered)
                })
                .collect();
            assert_eq!(check(&calls, 1_000_000), Verdict::Linearizable, "seed {seed}");
            if let Some(c) = calls[30].returned.as_mut() {
                c.1 += 500_000;
                broken += u32::from(check(&calls, 1_000_000) == Verdict::Broken);
            }
        }
        assert!(broken > 150);
    }
}
