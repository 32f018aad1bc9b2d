//! How programs say attributes, from any thread.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    clock::Clock,
    limits,
    name::Name,
    poll::ReadError,
    scalar,
    status::Status,
    store::{Refused, SourceId, Store, Update},
};
use crate::value::Value;

/// What all sources share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Mutex<Store>,
    /// Something was said: [`Handle::take`] may have something.
    pub(super) changed: Notify,
    pub(super) clock: Clock,
}

/// Says attributes of this agent. Cheap to clone, and of use in every thread; nothing in it waits for anything but a short lock.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(store: Store) -> Self {
        Self {
            shared: Arc::new(Shared {
                store: Mutex::new(store),
                changed: Notify::new(),
                clock: Clock::start(),
            }),
        }
    }

    /// Says an attribute, for good. `Null` removes it.
    ///
    /// # Errors
    /// The name is none, or another source's; or there is no room in the row. A value that is too large also ends the one before it.
    pub fn set(&self, name: &str, value: impl Into<Value>) -> Result<(), Refused> {
        self.put(SourceId::PROGRAM, name, value.into(), Duration::MAX)
    }

    /// Says an attribute that is gone after `life` unless it is said again.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_for(&self, name: &str, value: impl Into<Value>, life: Duration) -> Result<(), Refused> {
        self.put(SourceId::PROGRAM, name, value.into(), life)
    }

    /// What is reported, by whom, and what went wrong.
    pub fn status(&self) -> Status {
        Status::of(&self.shared.store.lock(), self.shared.clock.now())
    }

    pub(super) fn put(
        &self,
        source: SourceId,
        name: &str,
        value: Value,
        life: Duration,
    ) -> Result<(), Refused> {
        let mut store = self.shared.store.lock();
        let known = store.knows(name).then(|| Arc::from(name));
        let name = match known.map_or_else(|| Name::new(name).map(|n| n.shared().clone()), Ok) {
            Ok(name) => name,
            Err(e) => {
                let refused = Refused::from(e);
                store.refuse(source, &refused);
                return Err(refused);
            }
        };
        let outcome = store.put(self.shared.clock.now(), source, &name, value, life);
        drop(store);
        self.shared.changed.notify_one();
        outcome
    }

    /// Ends the value of an attribute of this source. Whether there was one.
    pub(super) fn remove(&self, source: SourceId, name: &str) -> Result<bool, Refused> {
        let removed = self.shared.store.lock().remove(self.shared.clock.now(), source, name);
        self.shared.changed.notify_one();
        removed
    }

    /// A reading has failed: said once until one succeeds.
    pub(super) fn fail(&self, source: SourceId, error: &ReadError) {
        let error = scalar::shortened(error.to_string());
        let mut store = self.shared.store.lock();
        if store.fail(source, error.clone()) {
            let source = store.label(source);
            tracing::warn!(%source, "{error}; its attributes will be absent until it works again");
        }
    }

    /// A reading has succeeded.
    pub(super) fn works(&self, source: SourceId) {
        let mut store = self.shared.store.lock();
        if store.works(source) {
            tracing::info!(source = %store.label(source), "it works again");
        }
    }

    /// Counts something that was not taken, and says so the first time.
    pub(super) fn refuse(&self, source: SourceId, why: &dyn std::fmt::Display) {
        self.shared.store.lock().refuse(source, why);
    }

    /// What is to be reported now, and for how long there will be nothing unless something is said.
    pub(super) fn take(&self) -> Result<Vec<Update>, Duration> {
        let mut store = self.shared.store.lock();
        let updates = store.take(self.shared.clock.now());
        if updates.is_empty() { Err(self.shared.clock.until(store.next_timer())) } else { Ok(updates) }
    }
}

/// The life of what applications say, unless they say another.
pub(super) fn life_or(asked: Option<Duration>, default: Duration) -> Duration {
    asked.unwrap_or(default).clamp(Duration::from_secs(1), limits::LONGEST_LIFE)
}
