//! What sources have said, and what of it is to be reported. A value: time comes in with every call.
//!
//! A name belongs to the source that the configuration gives it to, or to the first that uses it, until its value is gone. Names of the
//! configuration have their place even while they have no value, so that applications cannot take it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gcs::time::Time;

use super::{
    config::Rules,
    limits,
    name::{Name, NameError},
    scalar,
    significance::Significance,
};
use crate::value::Value;

/// An attribute that has changed. `Null` removes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Its name.
    pub name: Arc<str>,
    /// Its value.
    pub value: Value,
}

/// Why an attribute was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No attribute can have this name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Another source reports it.
    #[error("the attribute {name} is reported by {by}; choose another name")]
    Taken {
        /// The attribute.
        name: String,
        /// The source that has it.
        by: String,
    },
    /// There are as many attributes as a row may have.
    #[error("there are {max} attributes already, and {0} would be one too many; remove others first", max = limits::ATTRIBUTES)]
    TooMany(String),
    /// The value is too large, or there is no room for it beside the others.
    #[error("the value of {name} takes {bytes} bytes of a row, and there is room for {room}; say less")]
    TooLarge {
        /// The attribute.
        name: String,
        /// What it would take.
        bytes: usize,
        /// What there is.
        room: usize,
    },
    /// A list that is too long.
    #[error("the list of {name} has {elements} elements; use at most {max}", max = limits::ELEMENTS)]
    TooLong {
        /// The attribute.
        name: String,
        /// How many there are.
        elements: usize,
    },
}

/// A source, by the order in which they were made known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SourceId(pub(super) usize);

impl SourceId {
    /// Whoever has a [`super::Handle`].
    pub(super) const PROGRAM: Self = Self(0);
    /// Applications, over HTTP.
    pub(super) const HTTP: Self = Self(1);
    /// Applications, by datagrams.
    pub(super) const STATSD: Self = Self(2);
    const FIXED: [&str; 3] = ["program", "http", "statsd"];
}

/// A source, and how it fares.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceState {
    pub(super) label: Arc<str>,
    /// Readings that failed.
    pub(super) failures: u64,
    /// Values, datagrams and requests that were not taken.
    pub(super) refused: u64,
    /// What went wrong, until it works again.
    pub(super) error: Option<String>,
    /// Why something was not taken, the last time.
    pub(super) refusal: Option<String>,
}

/// An attribute.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) source: SourceId,
    pub(super) value: Value,
    pub(super) said_at: Time,
    pub(super) expires: Time,
    pub(super) reported: Value,
    pub(super) reported_at: Option<Time>,
    rule: Significance,
    /// Bytes of the value, and of what was reported.
    bytes: (usize, usize),
}

impl Entry {
    /// When it is to be reported; `None` if nothing has changed.
    fn due(&self) -> Option<Time> {
        match self.reported_at {
            Some(at) => self.rule.due(&self.reported, at, &self.value),
            None => (!self.value.is_null()).then_some(Time::ZERO),
        }
    }

    /// Whether a change that is not due yet is to go with others that are.
    fn may_go_along(&self, now: Time) -> bool {
        self.reported != self.value && self.reported_at.is_none_or(|at| at + self.rule.refresh / 2 <= now)
    }

    fn expires(&self) -> Time {
        if self.value.is_null() { Time::NEVER } else { self.expires }
    }
}

/// All attributes and sources.
#[derive(Debug)]
pub(super) struct Store {
    entries: BTreeMap<Arc<str>, Entry>,
    sources: Vec<SourceState>,
    /// Whose names they are by configuration.
    claims: BTreeMap<Arc<str>, SourceId>,
    rules: Rules,
}

/// What a value that is not there yet is thought to take.
const CLAIMED_BYTES: usize = 16;

/// Bytes of a value in a row. A value within the limits can always be written.
fn size(value: &Value) -> usize {
    postcard::serialize_with_flavor(value, postcard::ser_flavors::Size::default()).unwrap_or(usize::MAX)
}

impl Store {
    pub(super) fn new(rules: Rules) -> Self {
        let sources =
            SourceId::FIXED.map(|label| SourceState { label: label.into(), ..SourceState::default() });
        Self { entries: BTreeMap::new(), sources: sources.into(), claims: BTreeMap::new(), rules }
    }

    /// A source of the configuration, and the names that are its own.
    pub(super) fn add_source<'n>(
        &mut self,
        label: &str,
        names: impl IntoIterator<Item = &'n Name>,
    ) -> SourceId {
        let id = SourceId(self.sources.len());
        self.sources.push(SourceState { label: label.into(), ..SourceState::default() });
        self.claims.extend(names.into_iter().map(|name| (name.shared().clone(), id)));
        id
    }

    pub(super) fn sources(&self) -> &[SourceState] {
        &self.sources
    }

    pub(super) fn label(&self, id: SourceId) -> Arc<str> {
        self.sources.get(id.0).map(|source| source.label.clone()).unwrap_or_default()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.entries.iter()
    }

    /// Whether a name is known to be one.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.entries.contains_key(name) || self.claims.contains_key(name)
    }

    /// A value that lives for `life`. What is refused for its size or its number of elements also ends the value before it: that
    /// is not true any more.
    pub(super) fn put(
        &mut self,
        now: Time,
        source: SourceId,
        name: &Arc<str>,
        value: Value,
        life: Duration,
    ) -> Result<(), Refused> {
        let outcome = self.try_put(now, source, name, value, life);
        if let Err(refused) = &outcome {
            self.refuse(source, refused);
            let stale = matches!(refused, Refused::TooLarge { .. } | Refused::TooLong { .. });
            if let Some(entry) = self.entries.get_mut(name).filter(|entry| stale && entry.source == source) {
                entry.value = Value::Null;
                entry.bytes.0 = size(&Value::Null);
            }
        }
        outcome
    }

    fn try_put(
        &mut self,
        now: Time,
        source: SourceId,
        name: &Arc<str>,
        value: Value,
        life: Duration,
    ) -> Result<(), Refused> {
        self.expire(now);
        let present = self.entries.get(name);
        let owner = self.claims.get(name).copied();
        let owner = owner.or(present.filter(|entry| !entry.value.is_null()).map(|entry| entry.source));
        if let Some(owner) = owner.filter(|owner| *owner != source) {
            return Err(Refused::Taken { name: name.to_string(), by: self.label(owner).to_string() });
        }
        if present.is_none() && value.is_null() {
            return Ok(());
        }
        let claimed = self.claims.contains_key(name);
        if present.is_none() && !claimed && self.places_taken() >= limits::ATTRIBUTES {
            return Err(Refused::TooMany(name.to_string()));
        }
        let elements = value.elements().len();
        if elements > limits::ELEMENTS {
            return Err(Refused::TooLong { name: name.to_string(), elements });
        }
        let rule = self.rules.of(name);
        let value = rule.round(value.normalised());
        let bytes = size(&value);
        let reported = present.map_or(0, |entry| entry.bytes.1);
        let others = self.bytes_taken(name);
        let room = limits::VALUE_BYTES.min(limits::ROW_BYTES.saturating_sub(others + name.len() + 1));
        if bytes.max(reported) > room {
            return Err(Refused::TooLarge { name: name.to_string(), bytes, room });
        }
        let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry {
            source,
            value: Value::Null,
            said_at: now,
            expires: now,
            reported: Value::Null,
            reported_at: None,
            rule,
            bytes: (0, 0),
        });
        entry.source = source;
        entry.value = value;
        entry.bytes.0 = bytes;
        entry.said_at = now;
        entry.expires = now + life;
        Ok(())
    }

    /// Attributes, and names that the configuration has kept a place for.
    fn places_taken(&self) -> usize {
        self.entries.len() + self.claims.keys().filter(|name| !self.entries.contains_key(*name)).count()
    }

    /// Bytes of all attributes but this one.
    fn bytes_taken(&self, but: &str) -> usize {
        let others = self.entries.iter().filter(|(name, _)| &***name != but);
        let there: usize = others.map(|(name, e)| name.len() + 1 + e.bytes.0.max(e.bytes.1)).sum();
        let claims = self.claims.keys().filter(|name| &***name != but && !self.entries.contains_key(*name));
        there + claims.map(|name| name.len() + 1 + CLAIMED_BYTES).sum::<usize>()
    }

    /// Ends the value of an attribute of this source. Whether there was one.
    pub(super) fn remove(&mut self, now: Time, source: SourceId, name: &str) -> Result<bool, Refused> {
        self.expire(now);
        let Some(entry) = self.entries.get_mut(name).filter(|entry| !entry.value.is_null()) else {
            return Ok(false);
        };
        if entry.source != source {
            let by = entry.source;
            return Err(Refused::Taken { name: name.to_owned(), by: self.label(by).to_string() });
        }
        entry.value = Value::Null;
        entry.bytes.0 = size(&Value::Null);
        entry.said_at = now;
        Ok(true)
    }

    /// A reading has failed. Its attributes live on until their time is over. Returns whether this is new.
    pub(super) fn fail(&mut self, source: SourceId, error: String) -> bool {
        let Some(state) = self.sources.get_mut(source.0) else { return false };
        state.failures += 1;
        state.error.replace(error).is_none()
    }

    /// A reading has succeeded. Returns whether the one before it had failed.
    pub(super) fn works(&mut self, source: SourceId) -> bool {
        self.sources.get_mut(source.0).is_some_and(|state| state.error.take().is_some())
    }

    /// Counts something that was not taken, and says so the first time.
    pub(super) fn refuse(&mut self, source: SourceId, why: &dyn std::fmt::Display) {
        let Some(state) = self.sources.get_mut(source.0) else { return };
        state.refused += 1;
        // Said once. What it shows of a name or a value is bounded.
        if state.refusal.replace(scalar::shortened(why.to_string())).is_none() {
            tracing::warn!(source = %state.label, "{why}; this is said once, and counted from now on");
        }
    }

    fn expire(&mut self, now: Time) {
        for entry in self.entries.values_mut().filter(|entry| entry.expires() <= now) {
            entry.value = Value::Null;
            entry.bytes.0 = size(&Value::Null);
        }
        self.entries.retain(|_, entry| !(entry.value.is_null() && entry.reported.is_null()));
    }

    /// What is to be reported now; of each name the latest value.
    pub(super) fn take(&mut self, now: Time) -> Vec<Update> {
        self.expire(now);
        if !self.entries.values().any(|entry| entry.due().is_some_and(|due| due <= now)) {
            return Vec::new();
        }
        let mut updates = Vec::new();
        for (name, entry) in &mut self.entries {
            if entry.due().is_some_and(|due| due <= now) || entry.may_go_along(now) {
                entry.reported = entry.value.clone();
                entry.bytes.1 = entry.bytes.0;
                entry.reported_at = Some(now);
                updates.push(Update { name: name.clone(), value: entry.value.clone() });
            }
        }
        self.expire(now);
        updates
    }

    /// When [`Self::take`] may have something, unless something is said before.
    pub(super) fn next_timer(&self) -> Time {
        let times = self.entries.values().flat_map(|entry| [Some(entry.expires()), entry.due()]);
        times.flatten().min().unwrap_or(Time::NEVER)
    }
}

#[cfg(test)]
mod tests;
