//! An interface, a group and an endpoint, in one task.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    os::fd::{AsRawFd as _, RawFd},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use gcs::{
    blocks::AgreedTime,
    endpoint::Event,
    group::{CastError, Events, Group},
    time::Time,
};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::{Interest, unix::AsyncFd};

use super::{ApplyError, Batch, Endpoint, ThawError, mirror::Mirror, status::Status};
use crate::{
    link::{Checksum, Ingress, Link, Outputs},
    net::{AddressProvider, Error as NetError, Interface},
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

/// How long to wait for room in the group.
const FULL: Duration = Duration::from_millis(1);

/// Why an endpoint ends.
#[derive(Debug, Error)]
pub enum RunError {
    /// The interface fails.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A batch could not be applied: this replica must not go on.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The state of another replica could not be read: this one cannot join.
    #[error(transparent)]
    Thaw(#[from] ThawError),
    /// The system refuses to watch the interface.
    #[error("the interface cannot be waited for: {0}")]
    Watch(std::io::Error),
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// This process is no longer in its group.
    #[error("this process is no longer in its group: start it again to join")]
    Left,
}

/// What has become of a replica, for its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
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
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Leads => f.write_str("leads"),
            Self::Follows => f.write_str("follows"),
            Self::Joined => f.write_str("joined"),
            Self::Diverged { batches } => ApplyError::Diverged { batches }.fmt(f),
        }
    }
}

/// Which part this replica plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Follower,
    /// First in its view; the kick has yet to be cast.
    First,
    /// The kick is on its way.
    Taking,
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

/// A replica.
struct Runner<S, I, A, C> {
    group: Group,
    endpoint: Endpoint<S>,
    nic: I,
    link: Link,
    provider: A,
    outputs: Outputs,
    role: Role,
    /// When the clock of batches showed what, by ours.
    started: Instant,
    ahead: u64,
    last_stamp: Time,
    waiting: Vec<Ingress>,
    /// What has come while somebody else led.
    mirror: Mirror,
    waiting_bytes: usize,
    /// When the batches were cast that are on their way, by our clock.
    under_way: VecDeque<Time>,
    about: About,
    /// The time of the last batch that is on its way: timers that are due until then fire with it.
    timers_cast: Option<Time>,
    /// The time of day that was cast last.
    clock_cast: AgreedTime,
    /// The group had no room for a batch.
    full: bool,
    segments: Vec<Segment>,
    changed: C,
}

/// Runs a replica until it has left its group, or its interface fails. `changed` is told what becomes of it, `about` knows it.
///
/// # Errors
/// [`RunError`].
pub async fn run<S: Service, I: Interface, A: AddressProvider>(
    group: (Group, Events),
    endpoint: Endpoint<S>,
    nic: I,
    link: Link,
    provider: A,
    about: About,
    changed: impl FnMut(Change),
) -> Result<Infallible, RunError> {
    let (group, mut events) = group;
    #[expect(clippy::disallowed_methods, reason = "this is the driver")]
    let started = Instant::now();
    let mut runner = Runner {
        group,
        endpoint,
        nic,
        link,
        provider,
        outputs: Outputs::default(),
        role: Role::Follower,
        started,
        ahead: 0,
        last_stamp: Time::ZERO,
        waiting: Vec::new(),
        mirror: Mirror::default(),
        waiting_bytes: 0,
        under_way: VecDeque::new(),
        about,
        timers_cast: None,
        clock_cast: AgreedTime(0),
        full: false,
        segments: Vec::new(),
        changed,
    };
    // Behind the runner, which has the interface: it goes before that.
    let watched = readable(runner.nic.poll_fd().as_raw_fd()).map_err(RunError::Watch)?;
    let mut batch = Vec::new();
    loop {
        runner.cast()?;
        runner.emit()?;
        let wait = runner.wait();
        tokio::select! {
            more = events.next_batch(&mut batch) => {
                for event in batch.drain(..) {
                    runner.on_event(event)?;
                }
                if !more {
                    return Err(RunError::Left);
                }
            }
            ready = watched.readable() => {
                let mut ready = ready.map_err(RunError::Watch)?;
                if !runner.receive()? {
                    ready.clear_ready();
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Not a duplicate of the descriptor: when a process dies, Linux lets go first of what was opened last, and takes some 15 ms to let go of a
/// packet socket. The others would hear that much later of its death.
#[expect(unsafe_code, reason = "the interface's descriptor stays open for longer than this is used")]
fn readable(fd: RawFd) -> std::io::Result<AsyncFd<RawFd>> {
    // SAFETY: the interface closes it, and lives longer.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

#[expect(clippy::disallowed_methods, reason = "this is the driver")]
fn time_of_day() -> AgreedTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    AgreedTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl<S: Service, I: Interface, A: AddressProvider, C: FnMut(Change)> Runner<S, I, A, C> {
    /// Our own clock.
    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The time for a batch: later than all before.
    fn stamp(&mut self) -> Time {
        let now = Time(self.now().0 + self.ahead);
        self.last_stamp = now.max(Time(self.last_stamp.max(self.endpoint.last()).0 + 1));
        self.last_stamp
    }

    /// An empty batch of now.
    fn batch(&mut self) -> Batch {
        let mut batch = Batch::new(self.stamp(), self.endpoint.mark());
        let clock = time_of_day();
        if clock > self.clock_cast {
            self.clock_cast = clock;
            batch.clock(clock);
        }
        batch
    }

    /// The deadline for which a batch has to be cast: none, if one that is on its way comes later.
    fn due(&mut self) -> Option<Time> {
        let cast = self.timers_cast;
        self.endpoint.deadline().filter(|at| self.role == Role::Leader && cast.is_none_or(|cast| cast < *at))
    }

    /// How long nothing has to be done.
    fn wait(&mut self) -> Duration {
        if self.full {
            return FULL;
        }
        let now = self.now();
        let link = self.link.next_timer().since(now);
        let provider = self.provider.next_timer().since(now);
        let wait = link.min(provider).min(Duration::from_secs(1));
        self.due().map_or(wait, |at| wait.min(at.since(Time(now.0 + self.ahead))))
    }

    fn on_event(&mut self, event: Event) -> Result<(), RunError> {
        match event {
            Event::Messages(messages) => {
                for message in messages.iter_shared() {
                    self.apply(&message)?;
                }
            }
            Event::View(change) => {
                let first = change.rank == 0 && change.primary && !change.awaits_state;
                self.under_way.clear();
                self.timers_cast = None;
                if first && self.role == Role::Follower {
                    self.is_first();
                } else if !first {
                    self.yields();
                }
            }
            Event::StateRequested { view } => {
                self.group.provide_state(view, Arc::new(self.endpoint.freeze()))
            }
            Event::StateChunk { index, last, data, .. } => {
                self.endpoint.thaw(index, last, &data)?;
                if last {
                    (self.changed)(Change::Joined);
                }
            }
            Event::Blocked | Event::Left(_) => self.yields(),
            Event::Resumed if self.group.view().is_some_and(|v| v.rank == 0) => self.is_first(),
            _ => {}
        }
        Ok(())
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

    /// Casts the first batch of a new leader: what waits, then the kick.
    fn begin(&mut self) -> Result<(), RunError> {
        let mut batch = self.batch();
        let mut count = 0;
        if self.endpoint.begun() {
            count = self.fill(&mut batch);
            batch.kick();
        } else {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|e| RunError::Random(e.to_string()))?;
            batch.secret(&secret);
        }
        if self.push(&batch, count)? {
            self.role = Role::Taking;
        }
        Ok(())
    }

    fn yields(&mut self) {
        if self.role == Role::Leader {
            (self.changed)(Change::Follows);
        }
        self.role = Role::Follower;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.mirror = Mirror::default();
        let now = self.now();
        self.provider.release(now, &mut self.link, &mut self.outputs);
    }

    /// Puts what waits into a batch, as much as one carries: so many packets.
    fn fill(&self, batch: &mut Batch) -> usize {
        let mut bytes = 0;
        let packets = self.waiting.iter().take_while(|p| {
            let fits = bytes < BATCH_BYTES;
            bytes += p.packet.len();
            fits
        });
        packets.inspect(|p| batch.packet(p)).count()
    }

    /// Casts a batch with the first `count` packets that wait; false if the group has no room for it at the moment.
    fn push(&mut self, batch: &Batch, count: usize) -> Result<bool, RunError> {
        match self.group.try_cast_parts(&batch.parts()) {
            Ok(()) => {
                self.under_way.push_back(self.now());
                let sent = self.waiting.drain(..count).map(|p| p.packet.len());
                self.waiting_bytes -= sent.sum::<usize>();
            }
            Err(CastError::WouldBlock) => self.full = true,
            Err(_) => return Err(RunError::Left),
        }
        Ok(!self.full)
    }

    /// Casts what has arrived, and what is due.
    fn cast(&mut self) -> Result<(), RunError> {
        self.full = false;
        if self.role == Role::First {
            return self.begin();
        }
        if self.role != Role::Leader || self.under_way.len() >= UNDER_WAY {
            return Ok(());
        }
        let now = Time(self.now().0 + self.ahead);
        let due = self.due().is_some_and(|at| at <= now);
        if self.waiting.is_empty() && !due {
            return Ok(());
        }
        let mut batch = self.batch();
        let count = self.fill(&mut batch);
        if self.push(&batch, count)? {
            self.timers_cast = Some(self.last_stamp);
        }
        Ok(())
    }

    fn apply(&mut self, message: &Bytes) -> Result<(), RunError> {
        let applied = self.endpoint.apply(message, &mut self.segments)?;
        if self.timers_cast.is_some_and(|cast| cast <= applied.time) {
            self.timers_cast = None;
        }
        if self.role == Role::Taking && applied.kicked {
            self.role = Role::Leader;
            (self.changed)(Change::Leads);
            let now = self.now();
            self.provider.take(now, &mut self.link, &mut self.outputs);
        }
        if self.role == Role::Leader {
            let now = self.now();
            for segment in self.segments.drain(..) {
                self.link.send(now, packet::write(&segment), &mut self.outputs);
            }
        } else {
            self.segments.clear();
            // Where the leader's clock is: from there we would go on.
            self.ahead = self.ahead.max(applied.time.0.saturating_sub(self.now().0));
        }
        self.account();
        Ok(())
    }

    /// A batch has been applied.
    fn account(&mut self) {
        let now = self.now();
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

    /// Takes what the interface has received. Whether there may be more.
    fn receive(&mut self) -> Result<bool, RunError> {
        let mut received = Vec::new();
        let more = self.nic.recv(&mut received)?;
        let now = self.now();
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
        Ok(more)
    }

    /// A packet for the next batch.
    fn wait_for_batch(&mut self, ingress: Ingress) {
        if self.waiting_bytes < WAITING_BYTES {
            self.waiting_bytes += ingress.packet.len();
            self.waiting.push(ingress);
        }
    }

    /// Sends what is to leave, if this replica still may.
    fn emit(&mut self) -> Result<(), RunError> {
        let now = self.now();
        self.link.tick(now, &mut self.outputs);
        self.outputs.events.clear();
        if self.outputs.frames.is_empty() {
            return Ok(());
        }
        if self.role == Role::Leader && !self.group.lease_valid() {
            self.outputs.frames.clear();
            return Ok(());
        }
        Ok(self.nic.send(&mut self.outputs.frames)?)
    }
}
