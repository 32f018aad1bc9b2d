//! [`Subscriber`]: a watcher's part. It knows how far it has come with each component, and what it has to ask a representative for, whether
//! that is the first one or the one to which it goes because another has failed.
//!
//! Invariant: what it passes on of a component is one sequence of verdicts, without gaps but for those in front of a snapshot, and never
//! goes back.

use std::collections::BTreeMap;

use super::{
    name::{Label, Who},
    verdict::Position,
    wire::{Ask, Told},
};

/// What is to be thought of something that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It comes next: pass it on.
    News,
    /// It is known: forget it.
    Old,
    /// Something is missing before it, which no representative that is right leaves out. Ask another one.
    Gap,
    /// The interest has ended: ask for it again. What was told meanwhile is not lost, as long as it is kept.
    Lapsed,
}

/// Where a watcher is in what he watches.
#[derive(Clone, Debug)]
pub struct Subscriber {
    who: Who,
    lease_ms: u32,
    watched: BTreeMap<Label, Option<Position>>,
}

impl Subscriber {
    /// One who watches nothing yet, and renews his interests in time for a lease of so many milliseconds.
    #[must_use]
    pub fn new(who: Who, lease_ms: u32) -> Self {
        Self { who, lease_ms, watched: BTreeMap::new() }
    }

    /// Watches a component, from a position that is known of earlier, or from how it is now.
    pub fn watch(&mut self, component: Label, after: Option<Position>) {
        self.watched.entry(component).or_insert(after);
    }

    /// Does not watch it any more.
    pub fn unwatch(&mut self, component: &Label) {
        self.watched.remove(component);
    }

    /// How far it has come.
    #[must_use]
    pub fn position(&self, component: &Label) -> Option<Position> {
        self.watched.get(component).copied().flatten()
    }

    /// What to ask a representative for, at first or again.
    pub fn asks(&self) -> impl Iterator<Item = Ask> {
        self.watched.keys().filter_map(|component| self.ask(component))
    }

    /// What to ask for one component; None: it is not watched.
    #[must_use]
    pub fn ask(&self, component: &Label) -> Option<Ask> {
        let (who, lease_ms, after) = (self.who.clone(), self.lease_ms, *self.watched.get(component)?);
        Some(Ask::Watch { who, component: component.clone(), lease_ms, after })
    }

    /// Takes in what a representative says.
    pub fn hear(&mut self, told: &Told) -> Heard {
        let (component, new, before) = match told {
            Told::Lapsed { component } if self.watched.contains_key(component) => return Heard::Lapsed,
            Told::Lapsed { .. } => return Heard::Old,
            Told::Snapshot { component, position, .. } => (component, *position, None),
            Told::Verdict { component, history, verdict } => {
                let position = |seq| Position { history: *history, seq };
                (component, position(verdict.seq), Some(position(verdict.seq.saturating_sub(1))))
            }
        };
        let Some(at) = self.watched.get_mut(component) else { return Heard::Old };
        if at.is_some_and(|at| (new.history, new.seq) <= (at.history, at.seq)) {
            return Heard::Old;
        }
        if before.is_some() && before != *at {
            return Heard::Gap;
        }
        *at = Some(new);
        Heard::News
    }
}
