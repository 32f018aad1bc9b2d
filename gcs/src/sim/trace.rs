//! What applications see in a simulation: the material of the oracles, and the trace that a failure prints.

use super::{envelope::MessageId, kv::Op};
use crate::{
    id::{FNV_OFFSET, MemberId, Rank, fnv1a},
    membership::is_quorum,
    view::{Role, ViewId},
};
use std::{
    collections::VecDeque,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Something that happened at one process.
#[derive(Clone, Debug, Hash)]
pub struct Observation {
    /// True time, in nanoseconds since the simulation's start.
    pub at: u64,
    /// The process, from 0.
    pub process: usize,
    /// The process in its life and incarnation at that time.
    pub member: MemberId,
    /// What happened.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, Hash)]
pub enum What {
    /// The process was started.
    Started,
    /// The process was killed.
    Crashed,
    /// The process was stopped for a while.
    Paused,
    /// The process goes on after a pause.
    Woke,
    /// The process was asked to leave the group.
    LeaveAsked,
    /// A view was installed.
    View(Box<Installed>),
    /// The application cast a message.
    Sent {
        /// Its name.
        id: MessageId,
        /// Digest of its payload.
        digest: u64,
        /// The view in which the application was.
        view: Option<ViewId>,
    },
    /// A message was delivered.
    Delivered {
        /// Its name.
        id: MessageId,
        /// Digest of its payload.
        digest: u64,
        /// The view in which the application was.
        view: Option<ViewId>,
        /// The sender, by the rank that the delivery names.
        from: Option<MemberId>,
    },
    /// The application gave its state, as it is at the beginning of the view.
    StateGiven {
        /// The view.
        view: ViewId,
        /// Digest of the state, if the application computes one.
        digest: Option<u64>,
    },
    /// The application has received the state.
    StateRestored {
        /// The view at whose beginning it was given.
        view: ViewId,
        /// Digest of the state, if the application computes one.
        digest: Option<u64>,
    },
    /// The view ends, in a partitionable group: what follows is delivered by those who go on together.
    Transitional,
    /// Told to go on without a quorum, and does: what is delivered until the next view is another history than that of
    /// the others in the same view.
    Forced,
    /// No contact with a quorum.
    Blocked,
    /// Contact again.
    Resumed,
    /// May act as owner until then.
    Lease {
        /// True time at which the process's clock shows the end of the lease, in nanoseconds.
        until: u64,
    },
    /// Out of the group, for this reason.
    Left(Box<str>),
    /// A client began an operation on the replicated map.
    Invoked {
        /// The message that carries it.
        id: MessageId,
        /// The operation.
        op: Op,
    },
    /// The operation took effect at the replica that the client uses, which answered this.
    Returned {
        /// The message that carried it.
        id: MessageId,
        /// The value read, or the value before the write.
        value: u64,
    },
    /// Something that the application noted for an oracle of its own.
    Note {
        /// What.
        tag: &'static str,
        /// How much.
        value: u64,
    },
    /// A datagram left the process. Only in traces, and only if the set-up asks for it.
    Transmitted {
        /// To which process.
        to: usize,
        /// What it is.
        kind: &'static str,
        /// Its length, in bytes.
        len: usize,
    },
    /// A fault was carried out (true) or skipped because a quorum would have been lost (false).
    Fault(Box<str>, bool),
}

/// A view as it was installed at one process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Installed {
    /// Its name.
    pub id: ViewId,
    /// Its members, in rank order.
    pub members: Arc<[MemberId]>,
    /// What they count for, by rank.
    pub roles: Arc<[Role]>,
    /// The process's rank.
    pub rank: Rank,
    /// The view before, of the same incarnation; None if it has just joined.
    pub previous: Option<ViewId>,
    /// Whether it is a view of the primary component.
    pub primary: bool,
    /// Whether parts of the group have merged in it.
    pub merges: bool,
    /// The transitional set that the event names.
    pub came_with: Arc<[MemberId]>,
    /// Whether the state is yet to come.
    pub awaits_state: bool,
    /// Digest of the application's state at the view's beginning; None if it has none or computes none.
    pub digest: Option<u64>,
}

impl Installed {
    /// Whether these members (a mask of ranks) can decide for the view.
    #[must_use]
    pub fn is_quorum(&self, set: u64) -> bool {
        is_quorum(set, self.roles.iter().map(|r| r.weight))
    }

    /// Whether the process is a witness.
    #[must_use]
    pub fn at_witness(&self) -> bool {
        self.roles.get(usize::from(self.rank)).is_some_and(|r| r.witness)
    }
}

/// The last observations, and a hash over all of them.
#[derive(Debug)]
pub struct Trace {
    tail: VecDeque<Observation>,
    keep: usize,
    hash: Fnv,
    count: u64,
}

impl Trace {
    /// A trace that keeps the last `keep` observations.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self { tail: VecDeque::new(), keep, hash: Fnv(FNV_OFFSET), count: 0 }
    }

    pub(super) fn add(&mut self, observation: Observation) {
        observation.hash(&mut self.hash);
        self.count += 1;
        if self.keep == 0 {
            return;
        }
        if self.tail.len() == self.keep {
            self.tail.pop_front();
        }
        self.tail.push_back(observation);
    }

    /// Takes something else into the hash.
    pub(super) fn mix(&mut self, value: u64) {
        self.hash.write_u64(value);
    }

    /// A hash over everything that happened. The same seed and set-up give the same.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// How many observations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last observations, oldest first.
    pub fn tail(&self) -> impl Iterator<Item = &Observation> {
        self.tail.iter()
    }
}

/// FNV-1a as a hasher: the same in every run and on every machine of one byte order.
#[derive(Debug)]
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = fnv1a(self.0, bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A member as people read it in traces: `p2` in its first life, `p2'3` in its third, `p2'3+1` after one rejoin in it.
#[derive(Clone, Copy, Debug)]
pub struct Short(pub MemberId);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(process) = super::process::index_of(self.0.addr) else { return write!(f, "{}", self.0) };
        let (life, rejoins) = super::process::life_of(self.0.incarnation);
        write!(f, "p{process}")?;
        if life != 1 {
            write!(f, "'{life}")?;
        }
        if rejoins != 0 {
            write!(f, "+{rejoins}")?;
        }
        Ok(())
    }
}

/// Members as people read them.
pub(super) fn names(members: &[MemberId]) -> String {
    members.iter().map(|m| Short(*m).to_string()).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, us) = (self.at / 1_000_000, self.at / 1_000 % 1_000);
        write!(f, "{ms:>6}.{us:03}ms {:<6} {}", Short(self.member).to_string(), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view =
            |v: &Option<ViewId>| v.map_or_else(|| "no view".to_owned(), |v| format!("view {}", v.number));
        match self {
            Self::View(v) => {
                write!(f, "installs view {} [{}]", v.id.number, names(&v.members))?;
                match v.previous {
                    Some(p) => write!(f, " after {} with [{}]", p.number, names(&v.came_with)),
                    None => write!(f, ", joined{}", if v.awaits_state { ", awaits state" } else { "" }),
                }
            }
            Self::Sent { id, view: v, .. } => write!(f, "casts {id} in {}", view(v)),
            Self::Delivered { id, view: v, .. } => write!(f, "delivers {id} in {}", view(v)),
            Self::StateGiven { view, .. } => write!(f, "gives its state at view {}", view.number),
            Self::StateRestored { view, .. } => write!(f, "has the state at view {}", view.number),
            Self::Lease { until } => {
                write!(f, "lease until {}.{:03}ms", until / 1_000_000, until / 1_000 % 1_000)
            }
            Self::Left(reason) => write!(f, "left: {reason}"),
            Self::Invoked { id, op } => write!(f, "invokes {op:?} with {id}"),
            Self::Returned { id, value } => write!(f, "returns {value} for {id}"),
            Self::Note { tag, value } => write!(f, "notes {tag} {value}"),
            Self::Transmitted { to, kind, len } => write!(f, "sends {kind} ({len} bytes) to p{to}"),
            Self::Fault(text, done) => write!(f, "fault: {text}{}", if *done { "" } else { " (skipped)" }),
            other => write!(f, "{other:?}"),
        }
    }
}
