//! The async API: a process joins a group, casts messages and reads events.
//!
//! A [`Group`] is a handle: clones share one endpoint, which lives on a thread of its own. [`Events`] is the stream of
//! what the group delivers, for one reader. When the last `Group` and the `Events` are dropped, the thread stops
//! abruptly, and the others see this process as gone; [`Group::leave`] is the clean way.

mod builder;
mod events;
mod released;

pub use builder::{Builder, StartError};
pub use events::Events;

use crate::{
    blocks::Snapshot,
    endpoint::{ForceError, LeaveReason},
    id::MemberId,
    message::MAX_MESSAGE,
    report::Report,
    runtime::{
        GroupStats, Status,
        shared::{Command, Refused, Shared},
    },
    view::{ViewChange, ViewId},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::{oneshot, watch};

/// This process's membership in a group. Cheap to clone; usable from any thread and any runtime.
#[derive(Clone)]
pub struct Group {
    keep: Arc<Keep>,
    addr: SocketAddr,
}

/// Stops the endpoint when the last handle is gone.
pub(crate) struct Keep(pub(crate) Arc<Shared>);

impl Drop for Keep {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Why messages were not cast. Nothing was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CastError {
    /// A message is too large.
    #[error("a message of {0} bytes is too large: at most {MAX_MESSAGE} bytes can be cast as one")]
    TooLarge(usize),
    /// The group does not keep up, or is blocked; only from [`Group::try_cast`].
    #[error("the group takes no more messages at present: wait, or use `cast`")]
    WouldBlock,
    /// This process is not in the group any more.
    #[error("this process is no longer in the group")]
    Left,
    /// This process has no application, see [`Builder::witness`].
    #[error("this process is a witness: it votes, and casts nothing")]
    Witness,
}

impl From<Refused> for CastError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::WouldBlock,
            Refused::Closed => Self::Left,
            Refused::Witness => Self::Witness,
        }
    }
}

impl Group {
    /// Settings for a membership in the group called `name`.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    pub(crate) fn new(keep: Arc<Keep>, addr: SocketAddr) -> Self {
        Self { keep, addr }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.keep.0
    }

    /// Multicasts a message (at most [`MAX_MESSAGE`] bytes) to all members, this one included. Waits while 1 MiB of
    /// messages is waiting for the group's credit. Ok means that it is under way: it is delivered, unless this process
    /// fails or is excluded first.
    ///
    /// # Errors
    /// [`CastError::TooLarge`], [`CastError::Left`].
    pub async fn cast(&self, message: &[u8]) -> Result<(), CastError> {
        self.cast_batch(&[message]).await
    }

    /// Multicasts several messages, one after the other, for the price of one hand-over.
    ///
    /// # Errors
    /// As [`Self::cast`]; then none of them was cast.
    pub async fn cast_batch<M: AsRef<[u8]>>(&self, messages: &[M]) -> Result<(), CastError> {
        check_sizes(messages)?;
        Ok(self.shared().push_wait(messages).await?)
    }

    /// Multicasts a message if that is possible without waiting.
    ///
    /// # Errors
    /// [`CastError`].
    pub fn try_cast(&self, message: &[u8]) -> Result<(), CastError> {
        self.try_cast_parts(&[message])
    }

    /// The same for a message that is made of these parts, which need not be put together before.
    ///
    /// # Errors
    /// [`CastError`].
    pub fn try_cast_parts(&self, parts: &[&[u8]]) -> Result<(), CastError> {
        let len = parts.iter().map(|part| part.len()).sum();
        if len > MAX_MESSAGE {
            return Err(CastError::TooLarge(len));
        }
        Ok(self.shared().push(len + 4, |casts| casts.push_parts(parts))?)
    }

    /// Leaves the group after everything cast so far is delivered, and waits until that is done. Other clones of the
    /// handle are of no more use then.
    ///
    /// # Errors
    /// Why this process was out of the group before it could leave; None if its endpoint was stopped.
    pub async fn leave(&self) -> Result<(), Option<LeaveReason>> {
        let mut status = self.shared().status.subscribe();
        self.shared().command(Command::Leave);
        let end = status.wait_for(|s| s.left.is_some() || s.stopped).await;
        match end.ok().and_then(|s| s.left.clone()) {
            Some(LeaveReason::Asked) => Ok(()),
            other => Err(other),
        }
    }

    /// Goes on without a quorum, as a new primary, alone and in a new epoch: for the operator to say, who knows that the
    /// others will not come back. Ok: that has happened. Those that come back all the same, even if they are a quorum of the
    /// old view, give their history up and receive this process's state; what they have delivered and it has not is lost to
    /// the group. See `docs/adr/010-weights-and-forced-primaries.md`.
    ///
    /// # Errors
    /// Why it was not done: there is a quorum, say. None if the endpoint has stopped.
    pub async fn force_primary(&self) -> Result<(), Option<ForceError>> {
        let (to, outcome) = oneshot::channel();
        self.shared().command(Command::ForcePrimary(to));
        let mut status = self.shared().status.subscribe();
        tokio::select! {
            outcome = outcome => outcome.map_err(|_| None)?.map_err(Some),
            _ = status.wait_for(|s| s.stopped) => Err(None),
        }
    }

    /// Asks the group for a new view, of the same members if nobody comes or goes: layers that adapt to the load do so at the
    /// beginning of a view. Nothing is lost or reordered; casting stops for as long as a view change takes.
    pub fn renew(&self) {
        self.shared().command(Command::Renew);
    }

    /// Answers [`crate::endpoint::Event::StateRequested`]: the state at the beginning of `view`.
    /// It is dropped on a thread of its own once all joiners have it.
    pub fn provide_state(&self, view: ViewId, snapshot: Arc<dyn Snapshot>) {
        let snapshot = Arc::new(released::Released::new(snapshot));
        self.shared().command(Command::State { view, snapshot });
    }

    /// Whether this process is still known to be in contact with a quorum: as long as it is, no other part of the group
    /// has gone on without it. Reads a clock; to be asked right before acting as an owner.
    #[must_use]
    pub fn lease_valid(&self) -> bool {
        self.shared().lease_valid()
    }

    /// The present view; None before the first one. It may be ahead of the events not yet read.
    #[must_use]
    pub fn view(&self) -> Option<Arc<ViewChange>> {
        self.shared().status.borrow().view.clone()
    }

    /// Where this process stands, and a way to wait for changes of that.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared().status.subscribe()
    }

    /// This process in its present life; None before the first view.
    #[must_use]
    pub fn me(&self) -> Option<MemberId> {
        self.shared().status.borrow().me
    }

    /// The address that others reach this process at.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// What the endpoint knows and waits for, for people who look for the cause of something. None if it has stopped.
    pub async fn report(&self) -> Option<Report> {
        let (to, report) = oneshot::channel();
        self.shared().command(Command::Report(to));
        let mut status = self.shared().status.subscribe();
        tokio::select! {
            report = report => report.ok(),
            _ = status.wait_for(|s| s.stopped) => None,
        }
    }

    /// Counters and queue lengths, as of the endpoint's last activity.
    #[must_use]
    pub fn stats(&self) -> GroupStats {
        self.shared().stats()
    }
}

fn check_sizes<M: AsRef<[u8]>>(messages: &[M]) -> Result<(), CastError> {
    match messages.iter().map(|m| m.as_ref().len()).find(|n| *n > MAX_MESSAGE) {
        Some(n) => Err(CastError::TooLarge(n)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "group/tests.rs"]
pub(crate) mod tests;
