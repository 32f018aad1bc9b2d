//! What the outside must see of the replicas, whoever of them leads. What leaves is looked at where it leaves, in the order of true time:
//!
//! - frames: `capture`, as at a real client's cable: no other byte at a position, acknowledgements and windows do not go back, no resets;
//! - *lease*: nothing leaves without a lease, by true time; *minority*: nothing leaves one of three that has been alone for longer than
//!   a lease;
//! - *owner*: whoever emits is in the same or a later view than all who have emitted before, and in one view it is one;
//! - *stable*: whoever emits has applied what everybody had applied who has emitted before;
//! - *digest*: replicas that have applied as many batches have done the same;
//! - *clock*: the time of the batches of one leader does not go slower than true time;
//! - *kick*: after a takeover every open connection is spoken to at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use gcs::{
    sim::{Observation, Oracle as SimOracle, Violation, What, oracles::Summary},
    view::ViewId,
};
use gcs_tcp_endpoint::{
    link::{Frame, Mac},
    replica::Mark,
};

use crate::{Shared, VIP, capture, ether::Ether};

/// By then a new leader has spoken to a client, if nothing is in its way: addresses have to be asked for.
const SOON: u64 = 100_000_000;

pub(crate) struct Book {
    capture: capture::Oracle,
    /// Since when and until when somebody hears nobody of the group, and nobody hears him.
    pub(crate) alone: BTreeMap<usize, (u64, u64)>,
    pub(crate) lease_ns: u64,
    /// Until when processes have a lease, by true time.
    leases: BTreeMap<usize, u64>,
    owner: Option<(ViewId, usize)>,
    /// Batches that were applied by who has emitted.
    emitted: u64,
    digests: BTreeMap<u64, u64>,
    leaders: Vec<Mac>,
    pub(crate) leader: Option<usize>,
    /// Who has not been spoken to by the new leader, and by when he has to be.
    unkicked: BTreeSet<SocketAddr>,
    kicked_by: u64,
    pub(crate) seen: Seen,
    pub(crate) violation: Option<String>,
}

/// What a run was about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) takeovers: u64,
    /// Connections that were open at a takeover, and were spoken to in time.
    pub(crate) kicked: u64,
    pub(crate) batches: u64,
    pub(crate) joins: u64,
    /// How often a lease was not valid any more when something was to leave.
    pub(crate) muted: u64,
}

impl Book {
    pub(crate) fn new(lease_ns: u64) -> Self {
        Self {
            capture: capture::Oracle::new(vec![VIP.into()]),
            alone: BTreeMap::new(),
            lease_ns,
            leases: BTreeMap::new(),
            owner: None,
            emitted: 0,
            digests: BTreeMap::new(),
            leaders: Vec::new(),
            leader: None,
            unkicked: BTreeSet::new(),
            kicked_by: 0,
            seen: Seen::default(),
            violation: None,
        }
    }

    pub(crate) fn violates(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// A replica has applied a batch.
    pub(crate) fn applied(&mut self, process: usize, mark: Mark) {
        self.seen.batches = self.seen.batches.max(mark.batches);
        let before = *self.digests.entry(mark.batches).or_insert(mark.digest);
        if before != mark.digest {
            self.violates(format!("digest: p{process} differs after {} batches", mark.batches));
        }
    }

    /// A replica leads from now on; these are its open connections.
    pub(crate) fn leads(&mut self, now: u64, process: usize, mac: Mac, clients: BTreeSet<SocketAddr>) {
        self.leaders.push(mac);
        self.leader = Some(process);
        self.seen.takeovers += 1;
        self.seen.kicked += clients.len() as u64;
        (self.unkicked, self.kicked_by) = (clients, now + SOON);
    }

    /// Whoever led may not be able to speak.
    pub(crate) fn excused(&mut self) {
        self.unkicked.clear();
    }

    /// A replica is about to emit: frames, as they are on the wire, follow at [`Self::frame`].
    pub(crate) fn emits(&mut self, now: u64, process: usize, view: Option<(ViewId, usize)>, mark: Mark) {
        let Some((view, members)) = view else {
            return self.violates(format!("owner: p{process} emits in no view"));
        };
        if self.leases.get(&process).is_none_or(|until| *until <= now) {
            self.violates(format!("lease: p{process} emits at {now} without one"));
        }
        if let Some((since, until)) = self.alone.get(&process)
            && members > 2
            && (since + self.lease_ns + 50_000_000..*until).contains(&now)
        {
            self.violates(format!("minority: p{process} emits at {now}, alone since {since}"));
        }
        if let Some((before, by)) = self.owner
            && (view < before || (view == before && by != process))
        {
            self.violates(format!("owner: p{process} emits in view {view} after p{by} did in {before}"));
        }
        self.owner = Some((view, process));
        if mark.batches < self.emitted {
            let (mine, known) = (mark.batches, self.emitted);
            self.violates(format!("stable: p{process} emits after {mine} batches, {known} were let out"));
        }
        self.emitted = self.emitted.max(mark.batches);
    }

    /// A frame of anybody's, on the wire.
    pub(crate) fn frame(&mut self, now: u64, frame: &Bytes) {
        self.capture.frame(Duration::from_nanos(now), frame);
    }

    /// A frame of a replica's.
    pub(crate) fn spoken_to(&mut self, frame: &Frame) {
        let packet = &frame.packet;
        if let (Some((_, to)), Some(at)) = (packet.addresses(), packet.transport_at()) {
            let port = u16::from_be_bytes([packet.header[at + 2], packet.header[at + 3]]);
            self.unkicked.remove(&SocketAddr::new(to, port));
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: u64, ether: &Ether) {
        if self.unkicked.is_empty() || now <= self.kicked_by {
            return;
        }
        let left = std::mem::take(&mut self.unkicked);
        if ether.is_calm(now, 2 * SOON) {
            self.violates(format!("kick: {:?} leads, and has not spoken to {left:?}", self.leader));
        }
    }

    /// The end; what the frames have shown.
    pub(crate) fn end(self, mac: Option<Mac>) -> capture::Seen {
        self.capture.end(&mac.map_or(self.leaders, |mac| vec![mac]))
    }
}

/// Tells the book of leases, by true time, and the simulation of what the book says.
pub(crate) struct Judge(pub(crate) Shared);

impl SimOracle for Judge {
    fn name(&self) -> &'static str {
        "TCP"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        let book = &mut self.0.borrow_mut().book;
        match &o.what {
            What::Lease { until } => _ = book.leases.insert(o.process, *until),
            What::Started | What::Crashed | What::Left(_) => {
                book.leases.remove(&o.process);
                if book.leader == Some(o.process) {
                    book.leader = None;
                    book.excused();
                }
            }
            What::Paused if book.leader == Some(o.process) => book.excused(),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &Summary) -> Result<(), Violation> {
        Ok(())
    }
}
