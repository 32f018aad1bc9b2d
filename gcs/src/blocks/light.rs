//! Thousands of *light groups* over the members of one group, the processes' group: failure detection, transport and
//! order are shared, and joining costs one message, not a view change.
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! # fn stack() -> gcs::stack::Blueprint { unimplemented!() }
//! use gcs::{blocks::light::{LightEvent, LightGroups}, group::Group};
//!
//! let builder = Group::builder("chat").bind("10.0.0.1:4803".parse()?).expect(3);
//! let processes = LightGroups::start(builder.stack(stack())).await?; // gcs_stacks::named("total")?
//! let (room, mut events) = processes.join("room/42").await?;
//! room.cast(b"hello").await?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         LightEvent::View(v) => println!("view {}: {} members", v.number, v.members.len()),
//!         LightEvent::Message { from, bytes } => println!("{} bytes from {from}", bytes.len()),
//!         LightEvent::Away => println!("excluded; comes back by itself"),
//!         LightEvent::Left(why) => println!("{why}"),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # What is promised
//! Every process keeps the list of all light groups and their members, changed only by what the processes' group delivers,
//! in its one order. So:
//! - *Views.* The members of one light group that have a view with one number have the same one. Its members are those
//!   who have joined and not left, as far as they are in the view of the processes' group: who dies or is excluded leaves all
//!   its light groups at that point of the order, everywhere.
//! - *Virtual synchrony.* Members that go from one view of a light group to the next deliver the same messages between
//!   them, in the same order. A joiner delivers everything after its first view and nothing from before.
//! - *Where a message goes.* To those who are members at its place in the order, not at the time of the cast, if its
//!   sender is a member there. Nobody else delivers it.
//! - *Across groups.* The order is one over all light groups: what two processes deliver in several groups they deliver in
//!   the same order. With a stack that is uniform, all of this holds for those who crash, too.
//! - *Back after an exclusion.* A process that was excluded and comes back is a new member. Its handles live on: they say
//!   [`LightEvent::Away`], join again by themselves, and say [`LightEvent::View`] with `joined`. What was delivered meanwhile
//!   they have missed; a light group transfers no state.
//! - *Names.* A light group that has lost its last member is gone; one with the same name later has another id, and a
//!   message for the one never reaches the other.
//!
//! # What it costs
//! A join or a leave is one small message to all processes; a message is 9 bytes longer than one of the processes' group, and
//! *all* processes receive it: those that are not in its light group look its id up and discard it. Light groups share
//! one order, and wait for each other: groups with much traffic and few common members are better off as groups of their own.
//!
//! # Bounds
//! [`MAX_GROUPS`] light groups, names of up to [`MAX_NAME`] bytes, one membership of a process in each, and as many members as
//! the processes' group can have. Events that wait for readers: 8 MiB in all light groups of a process
//! together; then this process takes no more messages, and its group waits, as for any slow application. If none of its
//! readers has taken anything for the patience of 5 s, the one that is furthest behind loses its membership
//! ([`Ending::TooSlow`]) and what it has not read.
//!
//! Not for partitionable groups: parts would give one id to different light groups.
//!
//! After Guo and Rodrigues, "Dynamic light-weight groups", ICDCS 1997, and Glade, Birman, Cooper and van Renesse,
//! "Light-weight process groups in the Isis system", 1993; see `docs/adr/015-light-groups.md`.

mod codec;
mod directory;
mod memberships;
mod queue;
mod service;

pub use directory::{MAX_GROUPS, MAX_NAME};
pub use memberships::{Memberships, SeatId};

use crate::{
    group::{Builder, CastError, Group, StartError},
    id::MemberId,
    message::MAX_MESSAGE,
    properties::Properties,
};
use bytes::Bytes;
use parking_lot::Mutex;
use queue::{Budget, Queue};
use service::{Claim, Request, Service, Standing};
use std::{sync::Arc, thread, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// How many requests wait for the block's thread before callers wait.
const REQUESTS: usize = 1024;
/// How many bytes of events wait for readers by default.
const QUEUE_BYTES: usize = 8 << 20;
/// How long nobody reads by default before the one that is furthest behind loses its membership.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum LightError {
    /// The processes' group did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The stack promises too little.
    #[error("light groups need a stack that gives {0}")]
    Stack(Properties),
    /// No thread.
    #[error("the thread of the light groups cannot start: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why a process is not in a light group. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The name.
    #[error("a name of {0} bytes cannot be a light group's: give 1 to {MAX_NAME} bytes")]
    Name(usize),
    /// It is a member.
    #[error("this process is in the light group already, or about to join it: use the handle that it has")]
    Member,
    /// The bound.
    #[error(
        "there are {MAX_GROUPS} light groups, no more can be made: join one that exists, or let others leave"
    )]
    Full,
    /// No group.
    #[error("this process has left the processes' group")]
    Stopped,
}

/// Why a membership in a light group is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// [`LightGroup::leave`].
    #[error("left as asked")]
    Asked,
    /// Too many events waited for too long.
    #[error("the events of this light group were not read for too long while nothing more could be queued")]
    TooSlow,
    /// The process came back, and could not join again.
    #[error("there are {MAX_GROUPS} light groups, no more can be made")]
    Full,
    /// No group.
    #[error("this process has left the processes' group")]
    Stopped,
}

/// A view of a light group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightView {
    /// The group's id. One that is made later under the same name has another one.
    pub group: u64,
    /// Counts the group's views from 1, without gaps.
    pub number: u64,
    /// Its members, in the order in which they joined.
    pub members: Vec<MemberId>,
    /// Whether this process has joined with this view: nothing from before it was delivered here.
    pub joined: bool,
}

/// What happens in a light group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LightEvent {
    /// A view was installed. Messages from here on belong to it.
    View(LightView),
    /// A message was delivered.
    Message {
        /// Who sent it: a member of the view.
        from: MemberId,
        /// What it says.
        bytes: Bytes,
    },
    /// The process was excluded from the processes' group, and has come back as a new incarnation: it is in no view of this light
    /// group until the next one, which says `joined`.
    Away,
    /// The membership is over; the last event.
    Left(Ending),
}

/// Counters and sizes of a process's light groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LightStats {
    /// How many light groups there are.
    pub groups: usize,
    /// How many of them this process is in.
    pub joined: usize,
    /// Messages delivered in these, since the start.
    pub delivered: u64,
    /// Messages received that were for others, since the start.
    pub discarded: u64,
    /// Messages that were not understood, since the start.
    pub malformed: u64,
    /// Bytes of events that wait for readers.
    pub queued_bytes: usize,
}

/// This process among those that have light groups. Clones share it. When it and everything that has come of it is
/// dropped, the process stops abruptly ([`Group::leave`] is the clean way).
#[derive(Clone)]
pub struct LightGroups {
    requests: mpsc::Sender<Request>,
    budget: Arc<Budget>,
    stats: Arc<Mutex<LightStats>>,
    group: Group,
}

impl LightGroups {
    /// Joins or founds the processes' group, with state transfer. Its stack must give total order and virtual synchrony.
    ///
    /// # Errors
    /// [`LightError`]; nothing is left running.
    pub async fn start(builder: Builder) -> Result<Self, LightError> {
        Self::start_with(builder, QUEUE_BYTES, PATIENCE).await
    }

    /// The same, with other bounds: how many bytes of events wait for readers, and how long nobody reads before the one that
    /// is furthest behind loses its membership.
    ///
    /// # Errors
    /// [`LightError`].
    pub async fn start_with(
        builder: Builder,
        queue_bytes: usize,
        patience: Duration,
    ) -> Result<Self, LightError> {
        let needs = Properties::TOTAL_ORDER | Properties::VIRTUAL_SYNCHRONY;
        if let Some(gives) = builder.stack_gives()
            && !gives.contains(needs)
        {
            return Err(LightError::Stack(needs.without(gives)));
        }
        let (group, events) = builder.state_transfer(true).primary_only("light groups").start().await?;
        Self::on(group, events, queue_bytes, patience)
    }

    /// On a group that has just been started.
    pub(crate) fn on(
        group: Group,
        events: crate::group::Events,
        queue_bytes: usize,
        patience: Duration,
    ) -> Result<Self, LightError> {
        let (requests, asked) = mpsc::channel(REQUESTS);
        let (dropping, dropped) = mpsc::unbounded_channel();
        let budget = Arc::new(Budget::new(queue_bytes));
        let stats = Arc::<Mutex<LightStats>>::default();
        let service =
            Service::new(group.clone(), Arc::clone(&budget), patience, Arc::clone(&stats), dropping);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(LightError::Thread)?;
        thread::Builder::new()
            .name("gcs light".to_owned())
            .spawn(move || runtime.block_on(service.run(asked, dropped, events)))
            .map_err(LightError::Thread)?;
        Ok(Self { requests, budget, stats, group })
    }

    /// Joins the light group called `name` (1 to [`MAX_NAME`] bytes), which is made if it does not exist, and waits until
    /// this process is a member. The first event is the view in which it is.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(&self, name: &str) -> Result<(LightGroup, LightEvents), JoinError> {
        if !directory::is_name(name) {
            return Err(JoinError::Name(name.len()));
        }
        let queue = Arc::new(Queue::new(Arc::clone(&self.budget)));
        let (standing, stands) = watch::channel(Standing::Away);
        let (answer, claimed) = oneshot::channel();
        let request = Request::Join { name: name.into(), queue: Arc::clone(&queue), standing, answer };
        self.requests.send(request).await.map_err(|_| JoinError::Stopped)?;
        let claim = claimed.await.unwrap_or(Err(JoinError::Stopped))?;
        let keep = Arc::new(Keep { claim, requests: self.requests.clone() });
        let events = LightEvents { queue, _keep: Arc::clone(&keep) };
        Ok((LightGroup { keep, stands, group: self.group.clone() }, events))
    }

    /// The processes' group below. Casting to it directly confuses nobody: what is not understood is counted and ignored.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Counters and sizes, as of the block's last activity.
    #[must_use]
    pub fn stats(&self) -> LightStats {
        *self.stats.lock()
    }

    /// Leaves the processes' group, and with it all light groups.
    ///
    /// # Errors
    /// [`JoinError::Stopped`] if it was out of the group already.
    pub async fn leave(&self) -> Result<(), JoinError> {
        self.group.leave().await.map_err(|_| JoinError::Stopped)
    }
}

/// Keeps a membership alive, and the block's thread.
struct Keep {
    claim: Claim,
    requests: mpsc::Sender<Request>,
}

/// A membership in a light group. Clones share it. When they and the [`LightEvents`] are dropped, the process leaves the
/// light group.
#[derive(Clone)]
pub struct LightGroup {
    keep: Arc<Keep>,
    stands: watch::Receiver<Standing>,
    group: Group,
}

impl LightGroup {
    /// Multicasts a message (9 bytes less than [`MAX_MESSAGE`] at most) to the members of the light group. Waits as
    /// [`Group::cast`] does, and while this process is excluded and not a member again. Ok means that it is under way: it is
    /// delivered, unless this process fails, is excluded, or leaves the light group first.
    ///
    /// # Errors
    /// [`CastError::TooLarge`]; [`CastError::Left`] if the membership is over.
    pub async fn cast(&self, bytes: &[u8]) -> Result<(), CastError> {
        if bytes.len() + codec::HEADER > MAX_MESSAGE {
            return Err(CastError::TooLarge(bytes.len() + codec::HEADER));
        }
        let mut message = codec::message(bytes);
        let mut stands = self.stands.clone();
        loop {
            let is_cast = self.group.shared().retry(|| {
                // The guard keeps the block's thread from joining again before this is in its place.
                let standing = self.stands.borrow();
                match *standing {
                    Standing::Member(id) => {
                        codec::address(&mut message, id);
                        self.group
                            .shared()
                            .push(message.len() + 4, |casts| casts.push(&message))
                            .map(|()| Ok(true))
                    }
                    Standing::Away => Ok(Ok(false)),
                    Standing::Leaving | Standing::Ended(_) => Ok(Err(CastError::Left)),
                }
            });
            if is_cast.await?? {
                return Ok(());
            }
            stands.wait_for(|s| *s != Standing::Away).await.map_err(|_| CastError::Left)?;
        }
    }

    /// Leaves the light group after everything cast through this handle so far, and waits until that is done. Nothing more is
    /// cast; the events go on until then.
    ///
    /// # Errors
    /// Why the membership was over before.
    pub async fn leave(&self) -> Result<(), Ending> {
        let leave = Request::Leave(self.keep.claim.seat);
        let sent = self.keep.requests.send(leave).await;
        let mut stands = self.stands.clone();
        let ended = stands.wait_for(|s| matches!(s, Standing::Ended(_)) || sent.is_err()).await;
        match ended.as_deref() {
            Ok(Standing::Ended(Ending::Asked)) => Ok(()),
            Ok(Standing::Ended(why)) => Err(*why),
            _ => Err(Ending::Stopped),
        }
    }
}

/// What happens in a light group, for one reader; [`LightEvent::Left`] is the last. See the module's bounds for what
/// becomes of a reader that does not keep up; who does not care drops the stream: then events are discarded.
pub struct LightEvents {
    queue: Arc<Queue>,
    _keep: Arc<Keep>,
}

impl LightEvents {
    /// The next event; None after the last one. Cancel safe.
    pub async fn next(&mut self) -> Option<LightEvent> {
        loop {
            match self.queue.pop() {
                (None, true) => return None,
                (None, false) => self.queue.arrived().await,
                (event, _) => return event,
            }
        }
    }

    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> Option<LightEvent> {
        self.queue.pop().0
    }
}

impl Drop for LightEvents {
    fn drop(&mut self) {
        self.queue.clear(true);
    }
}

#[cfg(test)]
#[path = "light/tests.rs"]
mod tests;
