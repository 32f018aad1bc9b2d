//! [`Wheel`]: what happens when, by the millisecond.

use std::collections::BTreeMap;

/// Milliseconds ahead that have a slot of their own.
const SLOTS: usize = 1 << 12;

/// Events by the millisecond, in the order in which they were put there.
#[derive(Debug)]
pub(super) struct Wheel<T> {
    now: u64,
    slots: Vec<Vec<T>>,
    /// Beyond the slots.
    later: BTreeMap<u64, Vec<T>>,
    len: usize,
}

impl<T> Wheel<T> {
    pub(super) fn new() -> Self {
        Self {
            now: 0,
            slots: std::iter::repeat_with(Vec::new).take(SLOTS).collect(),
            later: BTreeMap::new(),
            len: 0,
        }
    }

    pub(super) fn put(&mut self, at: u64, event: T) {
        let at = at.max(self.now + 1);
        self.len += 1;
        if at - self.now < SLOTS as u64 {
            self.slots[slot(at)].push(event);
        } else {
            self.later.entry(at).or_default().push(event);
        }
    }

    /// What happens in the next millisecond, which is now.
    pub(super) fn next(&mut self) -> (u64, Vec<T>) {
        self.now += 1;
        let mut events = self.later.remove(&self.now).unwrap_or_default();
        events.append(&mut self.slots[slot(self.now)]);
        self.len -= events.len();
        (self.now, events)
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }
}

fn slot(at: u64) -> usize {
    usize::try_from(at % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_there_comes_in_its_millisecond() {
        let mut wheel = Wheel::new();
        for at in [5, 1, 9_000, 5, 4_095, 4_096, 0] {
            wheel.put(at, at);
        }
        let mut seen = Vec::new();
        while wheel.len > 0 {
            let (now, events) = wheel.next();
            seen.extend(events.into_iter().map(|at| (now, at)));
        }
        assert_eq!(seen, [(1, 1), (1, 0), (5, 5), (5, 5), (4_095, 4_095), (4_096, 4_096), (9_000, 9_000)]);
    }
}
