//! Remote calls to all members of a group.
//!
//! A request is multicast; every member runs its handler when the request is delivered and multicasts the reply, so with
//! a total stack all members serve requests in the same order. Replies go to everybody for now, though only the caller
//! looks at them. Members that leave the view before they have replied are counted as failed, so a call for all replies
//! ends. Nothing is repeated: a call that was under way when this process was excluded fails.
//!
//! Bounds: 1024 calls under way; each ends at its time-out.

mod service;

use crate::{
    group::{Builder, Events, Group, StartError},
    runtime::clock,
    view::Member,
};
use bytes::Bytes;
use service::{Call, Service};
use std::{thread, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// The most calls that one process has under way.
const IN_FLIGHT: usize = 1024;

/// How many replies a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// One.
    First,
    /// More than half of the members of the view in which the request was delivered, witnesses not counted.
    Majority,
    /// One of every member of that view that has not left since.
    All,
}

/// Why a call failed. The handlers may have run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Too few replies in time.
    #[error("{} replies came in time, too few for what was asked", .0.len())]
    TimedOut(Vec<(Member, Bytes)>),
    /// So many members left that there cannot be enough replies.
    #[error("too many members left before they replied")]
    Failed,
    /// This process was excluded or has left.
    #[error("this process was excluded or has left the group")]
    Left,
    /// The request is larger than a message can be.
    #[error("the request is too large to be multicast")]
    TooLarge,
}

/// A handle for calls. Clones share it; when the last one is dropped, this process stops abruptly
/// ([`Group::leave`] is the clean way).
#[derive(Clone)]
pub struct Rpc {
    calls: mpsc::Sender<Call>,
    group: Group,
}

impl Rpc {
    /// Joins a group in which every member runs `serve` for each request. It is called on a thread of its own, for one
    /// request after the other.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        builder: Builder,
        serve: impl FnMut(&[u8]) -> Bytes + Send + 'static,
    ) -> Result<Self, StartError> {
        let (group, events) = builder.start().await?;
        Self::on(group, events, serve)
    }

    pub(crate) fn on(
        group: Group,
        events: Events,
        serve: impl FnMut(&[u8]) -> Bytes + Send + 'static,
    ) -> Result<Self, StartError> {
        let (calls, rx) = mpsc::channel(IN_FLIGHT);
        let client = u128::from(clock::random()) << 64 | u128::from(clock::random());
        let service = Service::new(group.clone(), client, Box::new(serve));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StartError::Thread)?;
        thread::Builder::new()
            .name("gcs rpc".to_owned())
            .spawn(move || runtime.block_on(service.run(rx, events)))
            .map_err(StartError::Thread)?;
        Ok(Self { calls, group })
    }

    /// Calls all members, this one included, and returns the replies that were asked for (or a few more), in the order
    /// in which they came.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(
        &self,
        request: &[u8],
        replies: Replies,
        timeout: Duration,
    ) -> Result<Vec<(Member, Bytes)>, CallError> {
        if request.len() + service::HEADER > crate::message::MAX_MESSAGE {
            return Err(CallError::TooLarge);
        }
        let (answer, rx) = oneshot::channel();
        let call = Call { request: Bytes::copy_from_slice(request), replies, timeout, answer };
        self.calls.send(call).await.map_err(|_| CallError::Left)?;
        rx.await.unwrap_or(Err(CallError::Left))
    }

    /// The group below.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{group::tests::loopback_group, runtime::loopback::Loopback};

    #[test]
    fn a_group_of_one_answers_and_a_call_ends_with_the_membership() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (group, events) = loopback_group(Group::builder("g"), Loopback::new()).await;
            let rpc = Rpc::on(group, events, |r| r.iter().rev().copied().collect()).unwrap();
            for replies in [Replies::First, Replies::Majority, Replies::All] {
                let got = rpc.call(b"abc", replies, Duration::from_secs(5)).await.unwrap();
                assert_eq!(got.len(), 1);
                assert_eq!(&got[0].1[..], b"cba");
            }
            rpc.group().leave().await.unwrap();
            let late = rpc.call(b"abc", Replies::First, Duration::from_secs(5)).await;
            assert_eq!(late, Err(CallError::Left));
        });
    }
}
