//! [`Replica`]: the state as the building block [`Replicated`](gcs::blocks::Replicated) runs it, and as the driver reads it meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gcs::{
    blocks::{AgreedTime, RestoreError, Snapshot, StateMachine},
    view::View,
};
use tokio::sync::watch;

use super::State;
use crate::health::command::{Command, Refusal};

/// Bytes in a chunk of a snapshot.
const CHUNK: usize = 256 << 10;

/// The state of this process's replica. Whoever has a clone reads what has been agreed on so far; the group changes it.
#[derive(Clone)]
pub struct Replica {
    state: Arc<Mutex<State>>,
    /// Counts changes.
    changed: Arc<watch::Sender<u64>>,
    restoring: Vec<u8>,
}

impl Default for Replica {
    fn default() -> Self {
        Self::new()
    }
}

impl Replica {
    /// One without components.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new())),
            changed: Arc::new(watch::Sender::new(0)),
            restoring: Vec::new(),
        }
    }

    /// The state. The group waits while it is looked at. While this process is being brought up to date it is what it was before: never
    /// half of another one.
    pub fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says when the state has changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn has_changed(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }
}

impl StateMachine for Replica {
    fn apply(&mut self, command: &[u8], at: AgreedTime) -> Bytes {
        let outcome = Command::from_bytes(command).and_then(|command| self.look().apply(command, at.0));
        self.has_changed();
        postcard::to_stdvec(&outcome).unwrap_or_default().into()
    }

    /// Nothing is asked here: [`Self::look`] reads without the group.
    fn query(&self, _: &[u8], _: AgreedTime) -> Bytes {
        Bytes::new()
    }

    fn view_changed(&mut self, view: &View) {
        self.look().view_changed(view.id.epoch);
        self.has_changed();
    }

    /// Writes the whole state down at once, so the group waits for as long as that takes: it is bounded by [`limits`](super::limits), and
    /// has not been measured there.
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(Frozen::of(&self.look()))
    }

    fn reset(&mut self) {
        self.restoring.clear();
    }

    fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        self.restoring.extend_from_slice(chunk);
        if let Some(state) = Frozen::thaw(&self.restoring)? {
            self.restoring = Vec::new();
            *self.look() = state;
            self.has_changed();
        }
        Ok(())
    }
}

/// What [`StateMachine::apply`] has answered.
///
/// # Errors
/// Why nothing has changed.
pub fn outcome(reply: &[u8]) -> Result<(), Refusal> {
    postcard::from_bytes(reply).unwrap_or(Err(Refusal::Malformed))
}

/// A state as bytes, behind their number.
pub struct Frozen(Bytes);

impl Frozen {
    /// Of a state.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let body = postcard::to_stdvec(state).unwrap_or_default();
        let mut bytes = (body.len() as u64).to_le_bytes().to_vec();
        bytes.extend(body);
        Self(bytes.into())
    }

    /// The state out of chunks, once all of them are there.
    ///
    /// # Errors
    /// What is there is not a state.
    pub fn thaw(bytes: &[u8]) -> Result<Option<State>, RestoreError> {
        let wrong = || RestoreError("it is not the health of components".to_owned());
        let Some((len, body)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| wrong())?;
        if body.len() < len {
            return Ok(None);
        }
        match postcard::take_from_bytes(body) {
            Ok((state, [])) => Ok(Some(state)),
            _ => Err(wrong()),
        }
    }
}

impl Snapshot for Frozen {
    fn chunks(&self) -> u64 {
        self.0.len().div_ceil(CHUNK) as u64
    }

    fn chunk(&self, index: u64) -> Bytes {
        let from = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(CHUNK).min(self.0.len());
        self.0.slice(from..self.0.len().min(from + CHUNK))
    }
}
