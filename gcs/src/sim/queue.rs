//! The event queue: earliest first, and in the order of insertion at one instant, so that runs repeat exactly.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Events by time.
#[derive(Debug)]
pub(super) struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    inserted: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: u64,
    number: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::with_capacity(256), inserted: 0 }
    }

    pub(super) fn push(&mut self, at: u64, event: E) {
        self.inserted += 1;
        self.heap.push(Entry { at, number: self.inserted, event });
    }

    /// The time of the earliest event.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|e| e.at)
    }

    pub(super) fn pop(&mut self) -> Option<(u64, E)> {
        self.heap.pop().map(|e| (e.at, e.event))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// The heap gives the greatest first: that is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time_then_by_insertion() {
        let mut q = Queue::new();
        for (at, e) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            q.push(at, e);
        }
        assert_eq!(q.next_at(), Some(1));
        let order: Vec<_> = std::iter::from_fn(|| q.pop()).map(|(_, e)| e).collect();
        assert_eq!(order, ['a', 'b', 'c', 'd']);
    }
}
