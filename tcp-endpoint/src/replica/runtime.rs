//! An interface, a group and a replica, in one task.

use std::{
    convert::Infallible,
    os::fd::{AsRawFd as _, RawFd},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use gcs::{
    blocks::AgreedTime,
    endpoint::Event,
    group::{CastError, Events, Group},
    time::Time,
};
use thiserror::Error;
use tokio::io::{Interest, unix::AsyncFd};

use super::{About, Change, Endpoint, Replica, ReplicaError, Role};
use crate::{
    link::Link,
    net::{AddressProvider, Error as NetError, Interface},
    service::Service,
};

/// Why an endpoint ends.
#[derive(Debug, Error)]
pub enum RunError {
    /// The interface fails.
    #[error(transparent)]
    Net(#[from] NetError),
    /// This replica must not go on.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
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

/// A replica and its surroundings.
struct Runner<S, I, A, C> {
    group: Group,
    replica: Replica<S, A>,
    nic: I,
    started: Instant,
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
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|e| RunError::Random(e.to_string()))?;
    let replica = Replica::new(endpoint, link, provider, about, secret);
    #[expect(clippy::disallowed_methods, reason = "this is the driver")]
    let started = Instant::now();
    let mut runner = Runner { group, replica, nic, started, changed };
    // Behind the runner, which has the interface: it goes before that.
    let watched = readable(runner.nic.poll_fd().as_raw_fd()).map_err(RunError::Watch)?;
    let mut batch = Vec::new();
    loop {
        runner.cast()?;
        runner.emit()?;
        let wait = runner.replica.wait(runner.now());
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

    fn on_event(&mut self, event: Event) -> Result<(), RunError> {
        if let Event::StateRequested { view } = event {
            self.group.provide_state(view, Arc::new(self.replica.freeze()));
            return Ok(());
        }
        let now = self.now();
        let done = self.replica.on_event(now, event);
        self.tell();
        Ok(done?)
    }

    fn tell(&mut self) {
        while let Some(change) = self.replica.change() {
            (self.changed)(change);
        }
    }

    /// Takes what the interface has received. Whether there may be more.
    fn receive(&mut self) -> Result<bool, RunError> {
        let mut received = Vec::new();
        let more = self.nic.recv(&mut received)?;
        let now = self.now();
        self.replica.on_frames(now, received);
        Ok(more)
    }

    /// Casts what is to be cast.
    fn cast(&mut self) -> Result<(), RunError> {
        let now = self.now();
        let Some(batch) = self.replica.batch(now, time_of_day()) else { return Ok(()) };
        match self.group.try_cast_parts(&batch.parts()) {
            Ok(()) => self.replica.cast(now),
            Err(CastError::WouldBlock) => self.replica.not_cast(),
            Err(_) => return Err(RunError::Left),
        }
        Ok(())
    }

    /// Sends what is to leave, if this replica still may.
    fn emit(&mut self) -> Result<(), RunError> {
        let now = self.now();
        let group = &self.group;
        let leads = self.replica.role() == Role::Leader;
        let frames = self.replica.emit(now, || group.lease_valid());
        if !frames.is_empty() {
            self.nic.send(frames, &|| !leads || group.lease_valid())?;
        }
        self.tell();
        Ok(())
    }
}
