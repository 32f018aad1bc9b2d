//! What a replicated program implements: a deterministic state machine, and its snapshot.

use crate::view::{View, ViewChange};
use bytes::Bytes;
use std::sync::Arc;

/// Agreed time, in milliseconds since the Unix epoch: the same at every replica for the same command, and it never
/// runs backwards. Programs that expire things use this instead of a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgreedTime(pub u64);

/// A deterministic state machine: the same commands in the same order give the same state and the same replies at
/// every replica. No clock, no randomness, no iteration over unordered maps.
pub trait StateMachine: Send + 'static {
    /// Applies one command and returns the reply for the client that sent it.
    fn apply(&mut self, command: &[u8], at: AgreedTime) -> Bytes;

    /// Answers a read-only query. `at` is the time of the last command or barrier before it.
    fn query(&self, query: &[u8], at: AgreedTime) -> Bytes;

    /// The group has a new view. An ordered input like a command: every replica sees it between the same commands. A
    /// replica that receives the state at a view's beginning is not called for that view, the state includes it.
    fn view_changed(&mut self, view: &View) {
        let _ = view;
    }

    /// In a partitionable group: the part that this replica is in merges into another one, whose state is about to replace
    /// this one. Returns commands that the group is to apply then: what of this part's own history is to be in the common
    /// one. Every replica of the part is asked, those of the first member are submitted, once; if it dies before they are
    /// delivered, they are lost.
    fn reconcile(&mut self, change: &ViewChange) -> Vec<Bytes> {
        let _ = change;
        Vec::new()
    }

    /// Freezes the present state. Called between two commands while the group goes on, so it must be cheap (share
    /// structure, copy on write): writes wait as long as this call takes.
    fn snapshot(&self) -> Arc<dyn Snapshot>;

    /// Forgets everything; chunks of a snapshot follow.
    fn reset(&mut self);

    /// Installs one chunk of a snapshot. Chunks arrive in order, each once.
    ///
    /// # Errors
    /// A chunk that cannot be understood: the replica leaves the group rather than go on with a wrong state.
    fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError>;
}

/// A frozen state that can be read in chunks while the state machine goes on.
pub trait Snapshot: Send + Sync + 'static {
    /// How many chunks there are. The same at every replica that took the snapshot at the same point.
    fn chunks(&self) -> u64;

    /// Chunk `index` (from 0), ideally 64 KiB to 1 MiB. A chunk must say the same at every replica, so that a joiner
    /// can go on with another donor.
    fn chunk(&self, index: u64) -> Bytes;
}

/// A snapshot chunk was not understood.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot cannot be restored: {0}")]
pub struct RestoreError(pub String);
