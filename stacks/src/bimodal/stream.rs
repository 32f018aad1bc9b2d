//! What one participant has cast, as far as another one knows and holds it.

use super::gossip::{Effect, Run};
use std::collections::VecDeque;

/// What became of an item that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is held.
    New,
    /// It is known, was given up, or is too far ahead.
    Refused,
}

#[derive(Debug)]
struct Held<T> {
    item: T,
    len: usize,
}

/// `base - 1 <= delivered <= highest`; the ring begins with number `base` and ends with `highest`.
#[derive(Debug)]
pub(super) struct Stream<T> {
    base: u64,
    ring: VecDeque<Option<Held<T>>>,
    /// Everything up to this number was delivered or given up.
    delivered: u64,
    /// At the end of which round the highest number was which: one entry for each round in which it grew.
    grew: VecDeque<(u32, u64)>,
    held_bytes: usize,
    delivered_bytes: usize,
}

impl<T> Default for Stream<T> {
    fn default() -> Self {
        Self {
            base: 1,
            ring: VecDeque::new(),
            delivered: 0,
            grew: VecDeque::new(),
            held_bytes: 0,
            delivered_bytes: 0,
        }
    }
}

impl<T: Clone> Stream<T> {
    /// The highest number that was held or skipped.
    pub(super) fn highest(&self) -> u64 {
        self.base + self.ring.len() as u64 - 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// How many of them can be forgotten without loss.
    pub(super) fn delivered_bytes(&self) -> usize {
        self.delivered_bytes
    }

    fn index(&self, seq: u64) -> Option<usize> {
        seq.checked_sub(self.base).and_then(|i| usize::try_from(i).ok())
    }

    fn get(&self, seq: u64) -> Option<&Held<T>> {
        self.ring.get(self.index(seq)?)?.as_ref()
    }

    pub(super) fn holds(&self, seq: u64) -> bool {
        self.get(seq).is_some()
    }

    /// Holds an item that is new, and at most `ahead` numbers beyond what was delivered.
    pub(super) fn put(&mut self, seq: u64, item: T, len: usize, ahead: u64) -> Put {
        if seq <= self.delivered || seq - self.delivered > ahead || self.holds(seq) {
            return Put::Refused;
        }
        let Some(at) = self.index(seq) else { return Put::Refused };
        while self.ring.len() <= at {
            self.ring.push_back(None);
        }
        self.ring[at] = Some(Held { item, len });
        self.held_bytes += len;
        Put::New
    }

    /// Delivers what is in order.
    pub(super) fn deliver(&mut self, from: u32, out: &mut Vec<Effect<T>>) {
        while let Some(held) = self.get(self.delivered + 1) {
            let (item, len) = (held.item.clone(), held.len);
            self.delivered += 1;
            self.delivered_bytes += len;
            out.push(Effect::Deliver { from, seq: self.delivered, item });
        }
    }

    /// The part of `first..=last` that may be asked for.
    pub(super) fn askable(&self, first: u64, last: u64, ahead: u64) -> (u64, u64) {
        (first.max(self.delivered + 1), last.min(self.delivered.saturating_add(ahead)))
    }

    /// The items that are held of `count` from `first` on.
    pub(super) fn items(&self, first: u64, count: u16) -> impl Iterator<Item = (u64, &T)> {
        let last = first.saturating_add(count.into()).min(self.highest() + 1);
        (first.max(self.base)..last).filter_map(|seq| Some((seq, &self.get(seq)?.item)))
    }

    /// The latest runs of items that are held, latest first.
    pub(super) fn runs(&self, from: u32, most: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for seq in (self.base..=self.highest()).rev().filter(|seq| self.holds(*seq)) {
            if !Run::extend(&mut runs, from, seq, most) {
                break;
            }
        }
        runs
    }

    /// At the beginning of a round: gives up and forgets what was known `kept` rounds ago. How many bytes were freed.
    pub(super) fn expire(&mut self, from: u32, round: u32, kept: u32, out: &mut Vec<Effect<T>>) -> usize {
        let highest = self.highest();
        if self.grew.back().map_or(highest > 0 && !self.ring.is_empty(), |(_, upto)| *upto < highest) {
            self.grew.push_back((round, highest));
        }
        let mut upto = 0;
        while let Some((_, old)) = self.grew.pop_front_if(|(since, _)| round.wrapping_sub(*since) >= kept) {
            upto = old;
        }
        self.give_up(from, upto, out)
    }

    /// Gives up what is missing up to `upto`, delivers what is in order then, and forgets everything up to `upto`. How many
    /// bytes were freed.
    pub(super) fn give_up(&mut self, from: u32, upto: u64, out: &mut Vec<Effect<T>>) -> usize {
        let upto = upto.min(self.highest());
        while self.delivered < upto {
            let first = self.delivered + 1;
            while self.delivered < upto && !self.holds(self.delivered + 1) {
                self.delivered += 1;
            }
            if self.delivered >= first {
                out.push(Effect::Lost { from, first, count: self.delivered + 1 - first });
            }
            self.deliver(from, out);
        }
        let mut freed = 0;
        while self.base <= upto {
            freed += self.pop_first();
        }
        freed
    }

    /// An own item that is not held: `seq` is the next number. How many bytes were freed.
    pub(super) fn skip_to(&mut self, seq: u64) -> usize {
        let mut freed = 0;
        while !self.ring.is_empty() {
            freed += self.pop_first();
        }
        (self.base, self.delivered) = (seq + 1, seq);
        freed
    }

    /// Forgets the first delivered item. How many bytes were freed: 0 if there is none.
    pub(super) fn forget_first(&mut self) -> usize {
        let mut freed = 0;
        while freed == 0 && self.base <= self.delivered && !self.ring.is_empty() {
            freed = self.pop_first();
        }
        freed
    }

    fn pop_first(&mut self) -> usize {
        let freed = self.ring.pop_front().flatten().map_or(0, |held| held.len);
        self.held_bytes -= freed;
        if self.base <= self.delivered {
            self.delivered_bytes -= freed;
        }
        self.base += 1;
        freed
    }

    pub(super) fn check(&self, ahead: u64) {
        assert!(self.base <= self.delivered + 1, "B3: only what was delivered or given up is forgotten");
        assert!(self.delivered <= self.highest(), "B3: nothing beyond what was seen is delivered");
        assert!(self.highest() - self.delivered <= ahead, "B4: too far ahead");
        let bytes = |upto: u64| {
            let held = (self.base..=upto).filter_map(|seq| self.get(seq));
            held.map(|held| held.len).sum::<usize>()
        };
        assert_eq!(self.held_bytes, bytes(self.highest()), "B1: held bytes are counted");
        assert_eq!(self.delivered_bytes, bytes(self.delivered), "B1: delivered bytes are counted");
    }
}
