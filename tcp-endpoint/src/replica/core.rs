//! [`Replica`]: what a member does as leader and as follower. A value: its driver tells it what the group says and what the interface has
//! received, at which time, and carries out what it wants.
//!
//! ```text
//!   Follower ──first in a primary view──► First ──the kick is cast──► Taking ──the kick is delivered──► Leader
//!      ▲                                    │                           │                                 │
//!      └────────────────── another view, no contact with a quorum, out of the group ──────────────────────┘
//! ```
//!
//! Needs: to be given everything that the group says, in order, and frames; [`Replica::batch`] to be asked for after that, then
//! [`Replica::emit`]; and both again after [`Replica::wait`].

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use gcs::{blocks::AgreedTime, endpoint::Event, time::Time, view::ViewId};
use parking_lot::Mutex;
use thiserror::Error;

use super::{ApplyError, Batch, Endpoint, Frozen, ThawError, mirror::Mirror, status::Status};
use crate::{
    link::{Checksum, Frame, Ingress, Link, Outputs, Received},
    net::{AddressProvider, Outcome},
    packet,
    service::Service,
    tcp::Segment,
};

/// A batch carries up to about so many bytes of packets; one super-packet more may come on top.
const BATCH_BYTES: usize = 256 * 1024;
/// Packets that wait to be cast; beyond that they are dropped, and their senders slow down.
const WAITING_BYTES: usize = 4 << 20;
/// Batches that are cast and not yet delivered.
const UNDER_WAY: usize = 64;

/// How long to wait before an address is taken again that could not be taken.
const TAKE_AGAIN: Duration = Duration::from_secs(2);
/// How long to wait for room in the group.
const FULL: Duration = Duration::from_millis(1);

/// Why a replica must not go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplicaError {
    /// A batch could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The state of another replica could not be read: this one cannot join.
    #[error(transparent)]
    Thaw(#[from] ThawError),
}

/// What has become of a replica, for its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is in a new view of its group.
    View {
        /// Which.
        id: ViewId,
        /// The names of its members, by rank.
        members: Vec<String>,
    },
    /// No majority of the replicas is in reach: nothing goes on until one is.
    Blocked,
    /// One is again.
    Resumed,
    /// It holds the addresses.
    Leads,
    /// It does not.
    Follows,
    /// It has received the state from another replica.
    Joined,
    /// It has done something else than its leader, and begins anew.
    Diverged {
        /// Batches after which that was seen.
        batches: u64,
    },
    /// An address could not be moved, and why. As long as this replica leads it is tried again and again.
    NotMoved(String),
}

impl Change {
    /// Prints it as a line, for programs: what is wrong to standard error, behind the program's name.
    pub fn print(&self, program: &str) {
        match self {
            Self::Diverged { .. } | Self::NotMoved(_) => eprintln!("{program}: {self}"),
            _ => println!("{self}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View { id, members } => write!(f, "view {id}: {}", members.join(", ")),
            Self::Blocked => f.write_str("blocked: no majority of the replicas is in reach"),
            Self::Resumed => f.write_str("resumed"),
            Self::Leads => f.write_str("leads"),
            Self::Follows => f.write_str("follows"),
            Self::Joined => f.write_str("joined"),
            Self::Diverged { batches } => ApplyError::Diverged { batches: *batches }.fmt(f),
            Self::NotMoved(why) => f.write_str(why),
        }
    }
}

/// Which part a replica plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It applies what others cast, and is silent.
    #[default]
    Follower,
    /// First in its view; the kick has yet to be cast.
    First,
    /// The kick is on its way.
    Taking,
    /// It has the addresses.
    Leader,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Follower => "follows",
            Self::First | Self::Taking => "is about to lead",
            Self::Leader => "leads",
        })
    }
}

/// What a replica says of itself, as text; for [`gcs::group::Builder::about`], for one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct About(Arc<Mutex<Status>>);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.0.lock().clone();
        status.fmt(f)
    }
}

/// A replica: an endpoint, its share of the link, and which part it plays. Times are those of its own clock.
pub struct Replica<S, A> {
    endpoint: Endpoint<S>,
    link: Link,
    provider: A,
    /// When the addresses are to be taken once more.
    take_again: Time,
    outputs: Outputs,
    role: Role,
    /// First in its view, which is primary.
    first: bool,
    /// It has the state of its group.
    complete: bool,
    /// How far the time of batches is ahead of our clock: the clock of who led before showed what, by ours.
    ahead: u64,
    last_stamp: Time,
    waiting: Vec<Ingress>,
    waiting_bytes: usize,
    /// What has come while somebody else led.
    mirror: Mirror,
    /// When the batches were cast that are on their way, by our clock.
    under_way: VecDeque<Time>,
    /// The time of the last batch that is on its way: timers that are due until then fire with it.
    timers_cast: Option<Time>,
    /// The time of day that was offered last.
    clock: AgreedTime,
    /// So many of the packets that wait are in the batch that was asked for last.
    offered: usize,
    /// The group had no room for a batch.
    full: bool,
    segments: Vec<Segment>,
    changes: VecDeque<Change>,
    about: About,
    secret: [u8; 32],
}

impl<S: Service, A: AddressProvider> Replica<S, A> {
    /// A follower. `secret`: random; if this replica founds the group, its numbers are derived from it.
    pub fn new(endpoint: Endpoint<S>, link: Link, provider: A, about: About, secret: [u8; 32]) -> Self {
        Self {
            endpoint,
            link,
            provider,
            take_again: Time::NEVER,
            outputs: Outputs::default(),
            role: Role::Follower,
            first: false,
            complete: false,
            ahead: 0,
            last_stamp: Time::ZERO,
            waiting: Vec::new(),
            waiting_bytes: 0,
            mirror: Mirror::default(),
            under_way: VecDeque::new(),
            timers_cast: None,
            clock: AgreedTime(0),
            offered: 0,
            full: false,
            segments: Vec::new(),
            changes: VecDeque::new(),
            about,
            secret,
        }
    }

    /// Which part it plays.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its connections and its service.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint<S> {
        &self.endpoint
    }

    /// The answer to [`Event::StateRequested`], at that point of what the group says.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        self.endpoint.freeze()
    }

    /// What has become of it since this was asked last, the oldest first.
    pub fn change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// How long nothing has to be done.
    pub fn wait(&mut self, now: Time) -> Duration {
        if self.full {
            return FULL;
        }
        let link = self.link.next_timer().since(now);
        let provider = self.provider.next_timer().min(self.take_again).since(now);
        let wait = link.min(provider).min(Duration::from_secs(1));
        self.due().map_or(wait, |at| wait.min(at.since(Time(now.0 + self.ahead))))
    }

    /// The group says something. [`Event::StateRequested`] is for the driver, see [`Self::freeze`].
    ///
    /// # Errors
    /// This replica must not go on.
    pub fn on_event(&mut self, now: Time, event: Event) -> Result<(), ReplicaError> {
        match event {
            Event::Messages(messages) => {
                for message in messages.iter_shared() {
                    self.apply(now, &message)?;
                }
            }
            Event::View(change) => {
                self.first = change.rank == 0 && change.primary;
                self.complete = !change.awaits_state;
                self.under_way.clear();
                self.timers_cast = None;
                let members = change.view.members.iter().map(|m| m.name.to_string()).collect();
                self.changes.push_back(Change::View { id: change.view.id, members });
                if !self.may_lead() {
                    self.yields(now);
                } else if self.role == Role::Follower {
                    self.is_first();
                }
            }
            Event::StateChunk { index, last, data, .. } => {
                self.endpoint.thaw(index, last, &data)?;
                if last {
                    self.complete = true;
                    self.follow_clock(now, self.endpoint.last());
                    self.changes.push_back(Change::Joined);
                    // Who gave it may have left with the view that this one has come with.
                    if self.may_lead() && self.role == Role::Follower {
                        self.is_first();
                    }
                }
            }
            Event::Blocked => {
                self.changes.push_back(Change::Blocked);
                self.yields(now);
            }
            Event::Left(_) => self.yields(now),
            Event::Resumed => {
                self.changes.push_back(Change::Resumed);
                if self.may_lead() {
                    self.is_first();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes what the interface has received.
    pub fn on_frames(&mut self, now: Time, received: impl IntoIterator<Item = Received>) {
        for frame in received {
            self.link.receive(now, frame, &mut self.outputs);
        }
        for mut ingress in std::mem::take(&mut self.outputs.packets) {
            // What is cast has been looked at: no other replica has to.
            if packet::read(&ingress).is_err() {
                continue;
            }
            ingress.meta.checksum = Checksum::Good;
            if self.role == Role::Follower {
                self.mirror.push(now, ingress);
            } else {
                self.wait_for_batch(ingress);
            }
        }
    }

    /// What is to be cast now, at this time of day: what has arrived, and what is due. [`Self::cast`] or [`Self::not_cast`] follows.
    pub fn batch(&mut self, now: Time, clock: AgreedTime) -> Option<Batch> {
        self.full = false;
        self.offered = 0;
        match self.role {
            Role::First if !self.endpoint.begun() => {
                let mut batch = self.empty(now, clock);
                batch.secret(&self.secret);
                Some(batch)
            }
            Role::First => {
                // What waits, then the kick.
                let mut batch = self.filled(now, clock);
                batch.kick();
                Some(batch)
            }
            Role::Leader if self.under_way.len() < UNDER_WAY => {
                let by = Time(now.0 + self.ahead);
                let due = self.due().is_some_and(|at| at <= by);
                (due || !self.waiting.is_empty()).then(|| self.filled(now, clock))
            }
            Role::Follower | Role::Taking | Role::Leader => None,
        }
    }

    /// The group has taken the batch.
    pub fn cast(&mut self, now: Time) {
        self.under_way.push_back(now);
        let sent = self.waiting.drain(..self.offered).map(|p| p.packet.len());
        self.waiting_bytes -= sent.sum::<usize>();
        if self.role == Role::First {
            self.role = Role::Taking;
        } else {
            self.timers_cast = Some(self.last_stamp);
        }
    }

    /// The group has no room for the batch at the moment.
    pub fn not_cast(&mut self) {
        self.full = true;
    }

    /// What is to leave, for the driver to drain. `lease_valid` is asked last of all, and only if there is something: without a lease
    /// nothing leaves.
    pub fn emit(&mut self, now: Time, lease_valid: impl FnOnce() -> bool) -> &mut Vec<Frame> {
        self.link.tick(now, &mut self.outputs);
        self.outputs.events.clear();
        self.move_addresses(now);
        let frames = &mut self.outputs.frames;
        if !frames.is_empty() && self.role == Role::Leader && !lease_valid() {
            frames.clear();
        }
        frames
    }

    /// Looks at what the provider is doing.
    fn move_addresses(&mut self, now: Time) {
        if self.provider.next_timer() <= now {
            for Outcome { vip, result, output, .. } in self.provider.poll(now) {
                let Err(e) = result else { continue };
                self.changes.push_back(Change::NotMoved(format!("{}: {e}: {output}", vip.ip)));
                self.take_again = now + TAKE_AGAIN;
            }
        }
        if self.take_again <= now {
            self.take_again = Time::NEVER;
            if self.role == Role::Leader {
                self.provider.take(now, &mut self.link, &mut self.outputs);
            }
        }
    }

    /// The time for a batch: later than all before.
    fn stamp(&mut self, now: Time) -> Time {
        let now = Time(now.0 + self.ahead);
        self.last_stamp = now.max(Time(self.last_stamp.max(self.endpoint.last()).0 + 1));
        self.last_stamp
    }

    /// The deadline for which a batch has to be cast: none, if one that is on its way comes later.
    fn due(&mut self) -> Option<Time> {
        let cast = self.timers_cast;
        self.endpoint.deadline().filter(|at| self.role == Role::Leader && cast.is_none_or(|cast| cast < *at))
    }

    /// A batch that has nothing but the time.
    fn empty(&mut self, now: Time, clock: AgreedTime) -> Batch {
        let mut batch = Batch::new(self.stamp(now), self.endpoint.mark());
        if clock > self.clock {
            self.clock = clock;
            batch.clock(clock);
        }
        batch
    }

    /// A batch with what waits, as much as one carries.
    fn filled(&mut self, now: Time, clock: AgreedTime) -> Batch {
        let mut batch = self.empty(now, clock);
        let mut bytes = 0;
        let packets = self.waiting.iter().take_while(|p| {
            let fits = bytes < BATCH_BYTES;
            bytes += p.packet.len();
            fits
        });
        self.offered = packets.inspect(|p| batch.packet(p)).count();
        batch
    }

    fn may_lead(&self) -> bool {
        self.first && self.complete
    }

    /// Where the leader's clock is: from there we would go on.
    fn follow_clock(&mut self, now: Time, leader: Time) {
        self.ahead = self.ahead.max(leader.0.saturating_sub(now.0));
    }

    /// It is to lead. What it has heard of clients while another one led, and that one has not cast, is its to cast.
    fn is_first(&mut self) {
        self.role = Role::First;
        for ingress in self.mirror.take() {
            if self.endpoint.awaits(&ingress) {
                self.wait_for_batch(ingress);
            }
        }
    }

    fn yields(&mut self, now: Time) {
        if self.role == Role::Leader {
            self.changes.push_back(Change::Follows);
            self.provider.release(now, &mut self.link, &mut self.outputs);
        }
        self.role = Role::Follower;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.mirror = Mirror::default();
    }

    fn apply(&mut self, now: Time, message: &Bytes) -> Result<(), ApplyError> {
        let applied = self.endpoint.apply(message, &mut self.segments)?;
        if self.timers_cast.is_some_and(|cast| cast <= applied.time) {
            self.timers_cast = None;
        }
        if self.role == Role::Taking && applied.kicked {
            self.role = Role::Leader;
            self.changes.push_back(Change::Leads);
            self.provider.take(now, &mut self.link, &mut self.outputs);
        }
        if self.role == Role::Leader {
            for segment in self.segments.drain(..) {
                self.link.send(now, packet::write(&segment), &mut self.outputs);
            }
        } else {
            self.segments.clear();
            self.follow_clock(now, applied.time);
        }
        self.account(now);
        Ok(())
    }

    /// A batch has been applied.
    fn account(&mut self, now: Time) {
        let mut status = self.about.0.lock();
        if let Some(from) = self.under_way.pop_front() {
            status.stable(from, now);
        }
        status.role = self.role;
        status.batches = self.endpoint.mark().batches;
        status.under_way = self.under_way.len();
        status.waiting_bytes = self.waiting_bytes;
        if let Some(host) = self.endpoint.host() {
            status.of(host);
        }
    }

    /// A packet for the next batch.
    fn wait_for_batch(&mut self, ingress: Ingress) {
        if self.waiting_bytes < WAITING_BYTES {
            self.waiting_bytes += ingress.packet.len();
            self.waiting.push(ingress);
        }
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
