//! Replicated counters, by name.

use super::{
    AgreedTime, ExecuteError, Replicated, RestoreError, Snapshot, StateMachine,
    rsm::ReplicaError,
    wire::{Reader, malformed, put_bytes, whole},
};
use crate::group::Builder;
use bytes::{BufMut, Bytes};
use std::{collections::BTreeMap, sync::Arc};

/// A handle on this process's replica of a set of counters. Counters start at 0 and stop at the ends of their range.
#[derive(Clone)]
pub struct Counters {
    inner: Replicated<CounterMachine>,
}

impl Counters {
    /// Starts a replica.
    ///
    /// # Errors
    /// As [`Replicated::start`].
    pub async fn start(builder: Builder) -> Result<Self, ReplicaError> {
        Ok(Self::on(Replicated::start(builder, CounterMachine::default()).await?))
    }

    /// On a replica that has been started.
    #[must_use]
    pub fn on(inner: Replicated<CounterMachine>) -> Self {
        Self { inner }
    }

    /// The replica, for its view and state.
    #[must_use]
    pub fn replica(&self) -> &Replicated<CounterMachine> {
        &self.inner
    }

    /// Adds to a counter and returns its new value.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn add(&self, name: &str, delta: i64) -> Result<i64, ExecuteError> {
        let mut b = Vec::new();
        put_bytes(&mut b, name.as_bytes());
        b.put_i64_le(delta);
        let reply = self.inner.execute(b.into()).await?;
        Reader(&reply).i64().ok_or(ExecuteError::Unknown)
    }

    /// The value of a counter; sees every addition that was answered before this call.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn get(&self, name: &str) -> Result<i64, ExecuteError> {
        let reply = self.inner.query(Bytes::copy_from_slice(name.as_bytes())).await?;
        Ok(Reader(&reply).i64().unwrap_or(0))
    }
}

/// The state machine of [`Counters`].
#[derive(Default)]
pub struct CounterMachine {
    values: BTreeMap<Vec<u8>, i64>,
}

impl StateMachine for CounterMachine {
    fn apply(&mut self, command: &[u8], _: AgreedTime) -> Bytes {
        let mut r = Reader(command);
        let (Some(name), Some(delta)) = (r.bytes(), r.i64()) else { return Bytes::new() };
        let value = self.values.entry(name.to_vec()).or_default();
        *value = value.saturating_add(delta);
        Bytes::copy_from_slice(&value.to_le_bytes())
    }

    fn query(&self, query: &[u8], _: AgreedTime) -> Bytes {
        Bytes::copy_from_slice(&self.values.get(query).copied().unwrap_or(0).to_le_bytes())
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        let mut b = Vec::new();
        for (name, value) in &self.values {
            put_bytes(&mut b, name);
            b.put_i64_le(*value);
        }
        whole(b)
    }

    fn reset(&mut self) {
        self.values.clear();
    }

    fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        let mut r = Reader(chunk);
        while !r.0.is_empty() {
            let (Some(name), Some(value)) = (r.bytes(), r.i64()) else { return Err(malformed("counters")) };
            self.values.insert(name.to_vec(), value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_saturate_and_survive_a_transfer() {
        let mut m = CounterMachine::default();
        let add = |m: &mut CounterMachine, delta: i64| {
            let mut b = Vec::new();
            put_bytes(&mut b, b"n");
            b.put_i64_le(delta);
            Reader(&m.apply(&b, AgreedTime(0))).i64().unwrap()
        };
        assert_eq!(add(&mut m, 5), 5);
        assert_eq!(add(&mut m, -7), -2);
        let mut copy = CounterMachine::default();
        copy.restore(&m.snapshot().chunk(0)).unwrap();
        assert_eq!(add(&mut copy, i64::MIN), i64::MIN);
        assert!(copy.restore(b"x").is_err());
        assert!(m.apply(b"x", AgreedTime(0)).is_empty());
    }
}
