//! A deterministic program that runs on several processes as one: [`Replicated`].
//!
//! Commands are multicast in one total, uniform order and applied by every replica; the replica that submitted them
//! answers. A read waits for a *barrier* in the same order, which all reads that are waiting share, so it sees every
//! write that was answered before it was asked (linearizable). An operation that this process has submitted and not seen
//! applied when it is excluded and comes back is looked up in the table that came with the state, and submitted again
//! under the same name if it is not there: it takes effect exactly once.
//!
//! The stack must give total order and uniform delivery, and the group must transfer state. The program runs on a
//! thread of its own: a slow command makes the group wait, not fail.

mod codec;
mod replica;
mod service;
mod sessions;

use crate::{
    group::{Builder, Group, StartError},
    properties::Properties,
    runtime::clock,
    view::ViewChange,
};
use bytes::Bytes;
use service::{Request, Service, Work};
use std::{marker::PhantomData, sync::Arc, thread, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

use super::StateMachine;

/// How long an operation waits for the group by default.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many requests wait for the replica's thread before callers wait.
const QUEUE: usize = 1024;

/// Why an operation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// Nothing was done: a quorum of the group is out of reach, or the group has not formed.
    #[error("no quorum: nothing was done; try again, perhaps through another replica")]
    NoQuorum,
    /// It may have been done.
    #[error("the operation may or may not have been applied: the group did not confirm it in time")]
    Unknown,
    /// Nothing was done.
    #[error("the commands are too large to be multicast as one message: nothing was done")]
    TooLarge,
    /// Nothing was done.
    #[error("this replica has left the group or stopped: nothing was done")]
    Stopped,
}

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The group did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The stack promises too little.
    #[error("a replicated state machine needs a stack that gives {0}")]
    Stack(Properties),
    /// No thread.
    #[error("the replica's thread cannot start: {0}")]
    Thread(#[source] std::io::Error),
}

/// A handle on this process's replica. Clones share it; when the last one is dropped, the replica stops abruptly
/// ([`Self::leave`] is the clean way).
pub struct Replicated<M> {
    requests: mpsc::Sender<Request>,
    ready: watch::Receiver<bool>,
    group: Group,
    machine: PhantomData<fn() -> M>,
}

impl<M> Clone for Replicated<M> {
    fn clone(&self) -> Self {
        let (requests, ready) = (self.requests.clone(), self.ready.clone());
        Self { requests, ready, group: self.group.clone(), machine: PhantomData }
    }
}

impl<M: StateMachine> Replicated<M> {
    /// Starts a replica that runs `machine`, whose state is the initial one.
    ///
    /// # Errors
    /// [`ReplicaError`]; nothing is left running.
    pub async fn start(builder: Builder, machine: M) -> Result<Self, ReplicaError> {
        Self::start_with(builder, machine, DEADLINE).await
    }

    /// The same, with another time that operations wait for the group.
    ///
    /// # Errors
    /// [`ReplicaError`].
    pub async fn start_with(builder: Builder, machine: M, deadline: Duration) -> Result<Self, ReplicaError> {
        let needs = Properties::TOTAL_ORDER | Properties::UNIFORM;
        if let Some(gives) = builder.stack_gives()
            && !gives.contains(needs)
        {
            return Err(ReplicaError::Stack(needs.without(gives)));
        }
        let (group, events) = builder.state_transfer(true).start().await?;
        Self::on(group, events, machine, deadline)
    }

    /// On a group that has just been started.
    pub(crate) fn on(
        group: Group,
        events: crate::group::Events,
        machine: M,
        deadline: Duration,
    ) -> Result<Self, ReplicaError> {
        let (requests, rx) = mpsc::channel(QUEUE);
        let (ready_tx, ready) = watch::channel(false);
        let client = u128::from(clock::random()) << 64 | u128::from(clock::random());
        let service = Service::new(group.clone(), machine, client, deadline, ready_tx);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(ReplicaError::Thread)?;
        thread::Builder::new()
            .name("gcs replica".to_owned())
            .spawn(move || runtime.block_on(service.run(rx, events)))
            .map_err(ReplicaError::Thread)?;
        Ok(Self { requests, ready, group, machine: PhantomData })
    }

    /// Applies a command everywhere and returns the reply.
    ///
    /// # Errors
    /// [`ExecuteError`] says whether anything may have changed.
    pub async fn execute(&self, command: Bytes) -> Result<Bytes, ExecuteError> {
        self.execute_all(vec![command]).await?.pop().ok_or(ExecuteError::Unknown)
    }

    /// Applies commands everywhere, one after the other with nothing between them, and returns the replies. They travel
    /// as one message.
    ///
    /// # Errors
    /// [`ExecuteError`] says whether anything may have changed; if so, all of them or none took effect.
    pub async fn execute_all(&self, commands: Vec<Bytes>) -> Result<Vec<Bytes>, ExecuteError> {
        if codec::encoded_len(&commands) > crate::message::MAX_MESSAGE {
            return Err(ExecuteError::TooLarge);
        }
        self.request(Work::Commands(commands)).await
    }

    /// Answers a query; sees every command that was answered, anywhere, before this call.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn query(&self, query: Bytes) -> Result<Bytes, ExecuteError> {
        self.query_all(vec![query]).await?.pop().ok_or(ExecuteError::Stopped)
    }

    /// Answers queries, all at the same point of the order; sees every command that was answered before this call.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn query_all(&self, queries: Vec<Bytes>) -> Result<Vec<Bytes>, ExecuteError> {
        self.request(Work::Queries(queries)).await
    }

    async fn request(&self, work: Work) -> Result<Vec<Bytes>, ExecuteError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { work, reply }).await.map_err(|_| ExecuteError::Stopped)?;
        // A replica that stops with requests in its queue has not looked at them; what it has cast it answers itself.
        answer.await.unwrap_or(Err(ExecuteError::Stopped))
    }

    /// Submits a command without waiting for anything; it may be lost.
    pub(crate) fn submit(&self, command: Bytes) {
        let (reply, _) = oneshot::channel();
        let _ = self.requests.try_send(Request { work: Work::Commands(vec![command]), reply });
    }

    /// Waits until the replica is in the group and has its state.
    ///
    /// # Errors
    /// [`ExecuteError::Stopped`].
    pub async fn wait_ready(&self) -> Result<(), ExecuteError> {
        let mut ready = self.ready.clone();
        ready.wait_for(|r| *r).await.map(|_| ()).map_err(|_| ExecuteError::Stopped)
    }

    /// The present view.
    #[must_use]
    pub fn view(&self) -> Option<Arc<ViewChange>> {
        self.group.view()
    }

    /// The group below. Casting to it directly confuses nobody: replicas count and ignore what they do not understand.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Leaves the group after everything submitted so far has been cast, and stops.
    ///
    /// # Errors
    /// [`ExecuteError::Stopped`] if it was out of the group already.
    pub async fn leave(&self) -> Result<(), ExecuteError> {
        self.group.leave().await.map_err(|_| ExecuteError::Stopped)
    }
}

#[cfg(test)]
#[path = "rsm/tests.rs"]
mod tests;
