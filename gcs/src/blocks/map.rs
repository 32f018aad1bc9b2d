//! A replicated map from byte strings to byte strings.

mod shards;

use super::{
    AgreedTime, ExecuteError, Replicated, RestoreError, Snapshot, StateMachine,
    rsm::ReplicaError,
    wire::{Reader, put_bytes, put_option},
};
use crate::group::Builder;
use bytes::{BufMut, Bytes};
use shards::Shards;
use std::sync::Arc;

const PUT: u8 = 0;
const REMOVE: u8 = 1;
const SWAP: u8 = 2;
const GET: u8 = 0;
const LEN: u8 = 1;

/// A handle on this process's replica of a map.
#[derive(Clone)]
pub struct Map {
    inner: Replicated<MapMachine>,
}

/// What a compare-and-swap did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Whether the value was the expected one, and has been replaced.
    pub swapped: bool,
    /// The value before.
    pub before: Option<Bytes>,
}

impl Map {
    /// Starts a replica.
    ///
    /// # Errors
    /// As [`Replicated::start`].
    pub async fn start(builder: Builder) -> Result<Self, ReplicaError> {
        Ok(Self::on(Replicated::start(builder, MapMachine::default()).await?))
    }

    /// On a replica that has been started.
    #[must_use]
    pub fn on(inner: Replicated<MapMachine>) -> Self {
        Self { inner }
    }

    /// The replica, for its view and state.
    #[must_use]
    pub fn replica(&self) -> &Replicated<MapMachine> {
        &self.inner
    }

    /// Sets a value and returns the one before.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<Option<Bytes>, ExecuteError> {
        let mut b = command(PUT, key);
        put_bytes(&mut b, value);
        Ok(option(&self.inner.execute(b.into()).await?))
    }

    /// Removes a value and returns it.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn remove(&self, key: &[u8]) -> Result<Option<Bytes>, ExecuteError> {
        Ok(option(&self.inner.execute(command(REMOVE, key).into()).await?))
    }

    /// Replaces the value by `new` (None removes it) if it is `expected` (None: absent).
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn compare_and_swap(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<Swap, ExecuteError> {
        let mut b = command(SWAP, key);
        put_option(&mut b, expected);
        put_option(&mut b, new);
        let reply = self.inner.execute(b.into()).await?;
        let (swapped, rest) = reply.split_first().unwrap_or((&0, &[]));
        Ok(Swap { swapped: *swapped == 1, before: option(rest) })
    }

    /// The value; sees every write that was answered before this call.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ExecuteError> {
        Ok(option(&self.inner.query(command(GET, key).into()).await?))
    }

    /// How many keys there are.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn len(&self) -> Result<u64, ExecuteError> {
        let reply = self.inner.query(Bytes::from_static(&[LEN])).await?;
        Ok(Reader(&reply).u64().unwrap_or(0))
    }

    /// Whether there are no keys.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn is_empty(&self) -> Result<bool, ExecuteError> {
        Ok(self.len().await? == 0)
    }
}

fn command(kind: u8, key: &[u8]) -> Vec<u8> {
    let mut b = vec![kind];
    put_bytes(&mut b, key);
    b
}

fn option(reply: &[u8]) -> Option<Bytes> {
    Reader(reply).option().flatten().map(Bytes::copy_from_slice)
}

/// The state machine of a [`Map`].
#[derive(Default)]
pub struct MapMachine {
    contents: Shards,
}

impl MapMachine {
    fn run(&mut self, command: &[u8]) -> Option<Vec<u8>> {
        let mut r = Reader(command);
        let (kind, key, mut reply) = (r.u8()?, r.bytes()?, Vec::new());
        match kind {
            PUT => {
                let value = r.bytes()?;
                put_option(&mut reply, self.contents.set(key, Some(value)).as_deref());
            }
            REMOVE => put_option(&mut reply, self.contents.set(key, None).as_deref()),
            SWAP => {
                let (expected, new) = (r.option()?, r.option()?);
                let before = self.contents.get(key).cloned();
                let same = before.as_deref() == expected;
                reply.push(u8::from(same));
                put_option(&mut reply, before.as_deref());
                if same {
                    self.contents.set(key, new);
                }
            }
            _ => return None,
        }
        Some(reply)
    }
}

impl StateMachine for MapMachine {
    fn apply(&mut self, command: &[u8], _: AgreedTime) -> Bytes {
        self.run(command).unwrap_or_default().into()
    }

    fn query(&self, query: &[u8], _: AgreedTime) -> Bytes {
        let mut r = Reader(query);
        let mut reply = Vec::new();
        match (r.u8(), r.bytes()) {
            (Some(GET), Some(key)) => put_option(&mut reply, self.contents.get(key).map(|v| &v[..])),
            (Some(LEN), _) => reply.put_u64_le(self.contents.len()),
            _ => {}
        }
        reply.into()
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.contents.freeze()
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        self.contents.restore(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_compare_and_nonsense_is_answered_with_nothing() {
        let mut m = MapMachine::default();
        let mut swap = |expected: Option<&[u8]>, new: Option<&[u8]>| {
            let mut c = command(SWAP, b"k");
            put_option(&mut c, expected);
            put_option(&mut c, new);
            m.apply(&c, AgreedTime(0))[0]
        };
        assert_eq!(swap(Some(b"x"), Some(b"y")), 0);
        assert_eq!(swap(None, Some(b"y")), 1);
        assert_eq!(swap(Some(b"y"), None), 1);
        assert_eq!(swap(None, None), 1);
        assert!(m.apply(b"\x09", AgreedTime(0)).is_empty());
    }
}
