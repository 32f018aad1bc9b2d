//! [`State`]: all components and all interests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    component::{Component, Now},
    interests::Interests,
    limits,
};
use crate::health::{
    command::{Command, Refusal, Registration},
    name::{Label, Who},
    verdict::{History, Position},
};

/// What all representatives hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    history: History,
    now_ms: u64,
    /// What the last tick said.
    tick_ms: u64,
    components: BTreeMap<Label, Component>,
    instances: usize,
    interests: Interests,
    /// No component that is forgotten had a verdict of a higher number: whoever comes later counts on from there.
    forgotten: u64,
}

impl State {
    /// A state without components, of no history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The group has a new view, of this epoch. In another epoch the sequences are others, too: what representatives had agreed on
    /// that are not there any more may be missing.
    pub fn view_changed(&mut self, epoch: u64) {
        self.history = History(epoch);
    }

    /// The history that its sequences belong to.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }

    /// A component.
    #[must_use]
    pub fn component(&self, name: &Label) -> Option<&Component> {
        self.components.get(name)
    }

    /// All components, in the order of their names.
    pub fn components(&self) -> impl Iterator<Item = (&Label, &Component)> {
        self.components.iter()
    }

    /// Where a component's sequence is. None: it is not there.
    #[must_use]
    pub fn position(&self, name: &Label) -> Option<Position> {
        self.components.get(name).map(|c| Position { history: self.history, seq: c.seq() })
    }

    /// Whether somebody has an interest in a component.
    #[must_use]
    pub fn has_interest(&self, who: &Who, component: &Label) -> bool {
        self.interests.has(who, component)
    }

    /// How many interests there are.
    #[must_use]
    pub fn interests(&self) -> usize {
        self.interests.len()
    }

    /// Carries a command out. `day_ms` is the time of day that the group has agreed on, in milliseconds since the Unix epoch; it is
    /// written into verdicts, and nothing depends on it.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub fn apply(&mut self, command: Command, day_ms: u64) -> Result<(), Refusal> {
        let now = Now { state_ms: self.now_ms, day_ms };
        match command {
            Command::Tick { at_ms } => {
                self.tick(at_ms, day_ms);
                Ok(())
            }
            Command::Register(registration) => self.register(registration, now),
            Command::Deregister { component, instance } => {
                let of = self.components.get_mut(&component);
                let removed = of.is_some_and(|c| c.deregister(&instance, now));
                self.instances -= usize::from(removed);
                Ok(())
            }
            Command::Observe(observation) => match self.components.get_mut(&observation.component) {
                Some(component) => component.observe(observation, now),
                None => Err(Refusal::NoComponent(observation.component)),
            },
            Command::Interest { who, component, lease_ms } => {
                self.interests.add(who, component, lease_ms, self.now_ms)
            }
            Command::Renew { who, lease_ms } => self.interests.renew(who, lease_ms, self.now_ms),
            Command::Drop { who, component } => {
                self.interests.drop(&who, &component);
                Ok(())
            }
            Command::Forget { component } => self.forget(component),
        }
    }

    fn register(&mut self, registration: Registration, now: Now) -> Result<(), Refusal> {
        if !(1..=limits::OBSERVERS).contains(&usize::from(registration.witnesses)) {
            return Err(Refusal::Witnesses(registration.witnesses));
        }
        let full = self.instances >= limits::INSTANCES_ALL;
        let count = self.components.len();
        let name = registration.component.clone();
        if !self.components.contains_key(&name) {
            if count >= limits::COMPONENTS {
                return Err(Refusal::Components(u32::try_from(count).unwrap_or(u32::MAX)));
            }
            if full {
                return Err(Refusal::Instances(u32::try_from(self.instances).unwrap_or(u32::MAX)));
            }
        }
        let component = self.components.entry(name).or_insert_with(|| Component::new(self.forgotten));
        let before = component.len();
        let registered = component.register(registration, full, now);
        self.instances += component.len() - before;
        registered
    }

    fn forget(&mut self, component: Label) -> Result<(), Refusal> {
        if self.components.get(&component).is_some_and(|c| !c.is_empty()) {
            return Err(Refusal::NotEmpty(component));
        }
        if let Some(forgotten) = self.components.remove(&component) {
            self.forgotten = self.forgotten.max(forgotten.seq());
        }
        Ok(())
    }

    fn tick(&mut self, at_ms: u64, day_ms: u64) {
        self.now_ms += at_ms.saturating_sub(self.tick_ms).min(limits::TICK_MAX_MS);
        self.tick_ms = at_ms;
        let now = Now { state_ms: self.now_ms, day_ms };
        self.components.values_mut().for_each(|component| component.tick(now));
        self.interests.tick(self.now_ms);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
