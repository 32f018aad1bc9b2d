//! Connections and a service, moved by batches. A value: no sockets, no clocks.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use gcs::{
    blocks::{AgreedTime, Snapshot},
    time::Time,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::batch::{self, BatchError, Entry, Mark};
use crate::{
    link::Ingress,
    packet::{Arrival, read},
    service::{Io, RestoreError, Service},
    tcp::{Config, Event, Host, Segment, SnapshotError, Thaw},
};

/// A replica's connections and what stands on them. All replicas that have applied the same batches are in the same state.
pub struct Endpoint<S> {
    /// None until the group's first batch has brought the secret.
    host: Option<Host>,
    config: Config,
    listen: Vec<SocketAddr>,
    service: S,
    wake: Option<Time>,
    last: Time,
    /// The time of day.
    clock: AgreedTime,
    /// Batches that were applied, and the digests behind the last of them.
    batches: u64,
    digests: VecDeque<u64>,
    thaw: Option<Thawing>,
}

/// Digests that are kept: a batch is cast before so many more are delivered.
const DIGESTS: usize = 1024;

/// What the first byte of a chunk says about the others.
const STATE: u8 = 1;
const SERVICE: u8 = 2;
const HOST: u8 = 3;
const BULK: u8 = 4;
/// Bytes of a service's state in a chunk.
const SERVICE_BYTES: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct State {
    last: Time,
    clock: u64,
    wake: Option<Time>,
    batches: u64,
    begun: bool,
}

struct Thawing {
    state: Option<State>,
    service: Vec<u8>,
    host: Thaw,
}

/// A frozen endpoint: its clock, its service, its connections.
pub struct Frozen {
    state: State,
    bulk: Option<Arc<dyn Snapshot>>,
    service: Vec<u8>,
    host: Option<crate::tcp::Frozen>,
}

impl Frozen {
    /// What there is, and in how many chunks.
    fn parts(&self) -> [(u8, u64); 4] {
        let bulk = self.bulk.as_ref().map_or(0, |b| b.chunks());
        let host = self.host.as_ref().map_or(0, crate::tcp::Frozen::chunks);
        [(STATE, 1), (BULK, bulk), (SERVICE, self.service.chunks(SERVICE_BYTES).len() as u64), (HOST, host)]
    }
}

impl Snapshot for Frozen {
    fn chunks(&self) -> u64 {
        self.parts().iter().map(|(_, chunks)| chunks).sum()
    }

    fn chunk(&self, mut index: u64) -> Bytes {
        for (kind, chunks) in self.parts() {
            if index >= chunks {
                index -= chunks;
                continue;
            }
            let bytes = match kind {
                STATE => postcard::to_stdvec(&self.state).expect("numbers"),
                BULK => self.bulk.as_ref().map(|b| b.chunk(index).into()).unwrap_or_default(),
                HOST => self.host.as_ref().map(|h| h.chunk(index)).unwrap_or_default(),
                _ => {
                    let at = usize::try_from(index).expect("below the number of chunks");
                    self.service.chunks(SERVICE_BYTES).nth(at).unwrap_or_default().to_vec()
                }
            };
            return [&[kind][..], &bytes].concat().into();
        }
        Bytes::new()
    }
}

/// The state of another replica was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ThawError {
    /// It is of another release, or damaged.
    #[error("the state of another replica cannot be read: are all members of the same release?")]
    Malformed,
    /// Its service.
    #[error(transparent)]
    Service(#[from] RestoreError),
    /// Its connections.
    #[error(transparent)]
    Connections(#[from] SnapshotError),
}

/// A batch was not applied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] BatchError),
    /// This replica is not in the state in which the leader was.
    #[error(
        "after batch {batches} this replica is not in the state of its leader: it has to join again; \
         do all run the same release with the same configuration?"
    )]
    Diverged {
        /// Batches after which that is so.
        batches: u64,
    },
}

/// What a batch has brought besides segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The time of the batch.
    pub time: Time,
    /// It was the first one of a new leader.
    pub kicked: bool,
}

impl<S: Service> Endpoint<S> {
    /// An endpoint that clients can reach at `listen`, for `service`. All replicas are given the same.
    pub fn new(config: Config, listen: Vec<SocketAddr>, service: S) -> Self {
        Self {
            host: None,
            config,
            listen,
            service,
            wake: None,
            last: Time::ZERO,
            clock: AgreedTime(0),
            batches: 0,
            digests: VecDeque::new(),
            thaw: None,
        }
    }

    /// How far it has come.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { batches: self.batches, digest: self.host.as_ref().map_or(0, Host::digest) }
    }

    /// Whether nothing is known to be different at who was at `mark`.
    fn agrees(&self, mark: Mark) -> bool {
        let back = self.batches.checked_sub(mark.batches).and_then(|n| usize::try_from(n).ok());
        let at = back.and_then(|back| self.digests.len().checked_sub(back.checked_add(1)?));
        at.and_then(|at| self.digests.get(at)).is_none_or(|digest| *digest == mark.digest)
    }

    /// Whether the group's first batch has been applied.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.host.is_some()
    }

    /// The connections.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// What stands on them.
    #[must_use]
    pub fn service(&self) -> &S {
        &self.service
    }

    /// The time of the last batch.
    #[must_use]
    pub fn last(&self) -> Time {
        self.last
    }

    /// Whether a packet would change something: not if all that it says is known.
    #[must_use]
    pub fn awaits(&self, ingress: &Ingress) -> bool {
        match (read(ingress), &self.host) {
            (Ok(Arrival::Segment(segment)), Some(host)) => host.awaits(&segment),
            (Ok(Arrival::TooBig { .. }), Some(_)) => true,
            _ => false,
        }
    }

    /// When a batch has to be cast, if nothing happens before.
    pub fn deadline(&mut self) -> Option<Time> {
        let host = self.host.as_mut()?.deadline();
        host.into_iter().chain(self.wake).min()
    }

    /// Applies a delivered batch. What is to leave is appended to `out`.
    ///
    /// # Errors
    /// Bytes that are no batch, or another state than the leader's: nothing has changed, and this replica must not go on.
    pub fn apply(&mut self, batch: &Bytes, out: &mut Vec<Segment>) -> Result<Applied, ApplyError> {
        let (time, mark, entries) = batch::read(batch)?;
        if !self.agrees(mark) {
            return Err(ApplyError::Diverged { batches: mark.batches });
        }
        let applied = self.enter_all(time, entries, out);
        self.batches += 1;
        self.digests.push_back(self.mark().digest);
        if self.digests.len() > DIGESTS {
            self.digests.pop_front();
        }
        Ok(applied)
    }

    fn enter_all(&mut self, time: Time, entries: Vec<Entry>, out: &mut Vec<Segment>) -> Applied {
        self.last = self.last.max(time);
        let mut applied = Applied { time: self.last, kicked: false };
        let begun = self.begun();
        if let Some(host) = &mut self.host {
            host.begin(self.last);
        }
        for entry in entries {
            self.enter(entry, &mut applied);
        }
        let Some(host) = &mut self.host else { return applied };
        if !begun {
            self.service.on_begin(&mut Io { host, wake: &mut self.wake, now: self.last, clock: self.clock });
        }
        if self.wake.is_some_and(|at| at <= self.last) {
            self.wake = None;
            self.service.on_timer(&mut Io { host, wake: &mut self.wake, now: self.last, clock: self.clock });
        }
        while let Some(event) = host.event() {
            let mut io = Io { host, wake: &mut self.wake, now: self.last, clock: self.clock };
            match event {
                Event::Accepted(id) | Event::Connected(id) => self.service.on_open(id, &mut io),
                Event::Readable(id) => self.service.on_data(id, &mut io),
                Event::Writable(id) => self.service.on_writable(id, &mut io),
                Event::Finished(id) => self.service.on_finished(id, &mut io),
                Event::Gone(id, reason) => self.service.on_close(id, reason, &mut io),
            }
        }
        host.finish(out);
        applied
    }

    /// Freezes the present state, between two batches, for replicas that join.
    pub fn freeze(&self) -> Frozen {
        let state = State {
            last: self.last,
            clock: self.clock.0,
            wake: self.wake,
            batches: self.batches,
            begun: self.begun(),
        };
        Frozen {
            state,
            bulk: self.service.bulk(),
            service: self.service.snapshot(),
            host: self.host.as_ref().map(Host::freeze),
        }
    }

    /// Takes a chunk of another replica's state, in order; the state is replaced with the last one.
    ///
    /// # Errors
    /// It is not understood: this replica must not go on.
    pub fn thaw(&mut self, index: u64, last: bool, chunk: &[u8]) -> Result<(), ThawError> {
        if index == 0 {
            self.thaw =
                Some(Thawing { state: None, service: Vec::new(), host: Thaw::new(self.config.clone()) });
            self.service.forget_bulk();
        }
        let thawing = self.thaw.as_mut().ok_or(ThawError::Malformed)?;
        match chunk.split_first() {
            Some((&STATE, bytes)) => {
                thawing.state = Some(postcard::from_bytes(bytes).map_err(|_| ThawError::Malformed)?)
            }
            Some((&BULK, bytes)) => self.service.restore_bulk(bytes)?,
            Some((&SERVICE, bytes)) => thawing.service.extend_from_slice(bytes),
            Some((&HOST, bytes)) => thawing.host.chunk(bytes)?,
            _ => return Err(ThawError::Malformed),
        }
        if last && let Some(Thawing { state, service, host }) = self.thaw.take() {
            let state = state.ok_or(ThawError::Malformed)?;
            self.service.restore(&service)?;
            (self.last, self.wake, self.batches) = (state.last, state.wake, state.batches);
            self.clock = AgreedTime(state.clock);
            self.digests.clear();
            self.host = if state.begun { Some(host.finish()?) } else { None };
        }
        Ok(())
    }

    fn enter(&mut self, entry: Entry, applied: &mut Applied) {
        match (entry, &mut self.host) {
            (Entry::Secret(secret), none @ None) => {
                let mut host = Host::new(self.config.clone(), secret);
                self.listen.iter().for_each(|&at| host.listen(at));
                host.begin(self.last);
                *none = Some(host);
                applied.kicked = true;
            }
            (Entry::Kick, Some(host)) => {
                host.kick();
                applied.kicked = true;
            }
            (Entry::Clock(clock), _) => self.clock = self.clock.max(clock),
            (Entry::Packet(ingress), Some(host)) => match read(&ingress) {
                Ok(Arrival::Segment(segment)) => host.segment(&segment),
                Ok(Arrival::TooBig { local, remote, seq, mtu }) => host.path_mtu(local, remote, seq, mtu),
                Err(_) => {}
            },
            (Entry::Secret(_), Some(_)) | (Entry::Kick | Entry::Packet(_), None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Batch, *};
    use crate::{
        link::{Checksum, Meta},
        packet,
        tcp::Id,
    };

    const VIP: &str = "10.0.0.100:80";

    /// Says something to everybody.
    struct Says(&'static [u8]);

    impl Service for Says {
        fn on_open(&mut self, id: Id, io: &mut Io<'_>) {
            io.write(id, &mut Bytes::from_static(self.0));
        }

        fn on_data(&mut self, _id: Id, _io: &mut Io<'_>) {}

        fn snapshot(&self) -> Vec<u8> {
            Vec::new()
        }

        fn restore(&mut self, _snapshot: &[u8]) -> Result<(), RestoreError> {
            Ok(())
        }
    }

    fn replica(says: &'static [u8]) -> Endpoint<Says> {
        Endpoint::new(Config::default(), vec![VIP.parse().unwrap()], Says(says))
    }

    fn ingress(segment: &Segment) -> Ingress {
        let packet = packet::write(segment);
        let bytes = [&packet.header[..], &packet.payload.concat()].concat();
        Ingress { packet: bytes.into(), meta: Meta { segment: packet.segment, checksum: Checksum::Good } }
    }

    /// How many batches it takes until a follower is seen to be different; it joins after `joins` of them.
    fn different_after(says: &'static [u8], joins: u64) -> Option<u64> {
        let (mut leader, mut follower) = (replica(b"one"), replica(says));
        let mut client = Host::new(Config::default(), [1; 32]);
        client.connect([10, 0, 0, 1].into(), VIP.parse().unwrap()).unwrap();
        let mut answers = Vec::new();
        (1..10).find(|&i| {
            let now = Time::from_ms(i);
            client.begin(now);
            answers.drain(..).for_each(|s| client.segment(&s));
            let mut sent = Vec::new();
            client.finish(&mut sent);
            let mut batch = Batch::new(now, leader.mark());
            if i == 1 {
                batch.secret(&[7; 32]);
            }
            sent.iter().for_each(|s| batch.packet(&ingress(s)));
            let batch = batch.to_bytes();
            leader.apply(&batch, &mut answers).unwrap();
            if i == joins {
                let state = leader.freeze();
                let last = state.chunks() - 1;
                (0..=last).for_each(|at| follower.thaw(at, at == last, &state.chunk(at)).unwrap());
            }
            if i <= joins {
                return false;
            }
            follower.apply(&batch, &mut Vec::new()).is_err_and(|e| matches!(e, ApplyError::Diverged { .. }))
        })
    }

    #[test]
    fn who_does_something_else_than_its_leader_is_told() {
        assert_eq!(different_after(b"one", 0), None);
        assert_eq!(different_after(b"one", 5), None, "one that joins goes on from the same digest");
        // The connection is open with the second batch; the third says what that has done.
        assert_eq!(different_after(b"two", 0), Some(3));
        assert_eq!(different_after(b"three", 0), Some(3));
        assert_eq!(different_after(b"two", 1), Some(3));
        assert_eq!(different_after(b"two", 5), None, "what it does not say again cannot differ");
    }
}
