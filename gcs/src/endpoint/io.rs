//! What goes into an endpoint and what comes out.

use crate::{
    blocks::Snapshot,
    frame::{Buf, Packet},
    id::MemberId,
    message::{Messages, Outgoing},
    time::Time,
    view::{ViewChange, ViewId},
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::{fmt, net::SocketAddr, sync::Arc};

/// A received datagram.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Where it came from.
    pub from: SocketAddr,
    /// What it says. Alone in its buffer where that costs nothing: then layers can change it where it is.
    pub payload: Buf,
}

/// What an endpoint is told.
pub enum Input {
    /// The first input: begin to join or found. `wall_ns` is the time of day, nanoseconds since the Unix epoch; it names
    /// a founding, nothing else depends on it.
    Start {
        /// Time of day.
        wall_ns: u64,
    },
    /// Datagrams were received.
    Datagrams(Vec<Datagram>),
    /// Multicast these messages. Give only while [`Event::Writable`] says so; what is given otherwise is kept, too.
    Cast(Outgoing),
    /// There is evidence that this process is gone: its kernel reset the liveness connection and accepts no other.
    Gone(MemberId),
    /// Leave the group, after everything cast so far is delivered.
    Leave,
    /// The answer to [`Event::StateRequested`].
    State {
        /// The view whose beginning it describes.
        view: ViewId,
        /// The state there.
        snapshot: Arc<dyn Snapshot>,
    },
    /// These are the contacts from now on.
    Contacts(Vec<SocketAddr>),
    /// The operator's word: go on without a quorum. Answered by [`Event::Forced`]. `wall_ns` is the time of day, nanoseconds
    /// since the Unix epoch; it names the epoch that begins.
    ForcePrimary {
        /// Time of day.
        wall_ns: u64,
    },
    /// Agree on a new view, with the same members if nobody comes or goes: layers that adapt do so then.
    Renew,
    /// The application does not keep up with what is delivered (true), or does again (false).
    Congested(bool),
    /// A timer is due, or nothing in particular.
    Tick,
}

/// A datagram to send.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// To whom. Several: the same datagram to each, which the transport may do in one go.
    pub to: SmallVec<[SocketAddr; 4]>,
    /// What it says; at most the transport's MTU for frames, at most 60 KiB for control messages.
    pub payload: Packet,
}

/// Why a process is no longer in the group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaveReason {
    /// It asked for it.
    #[error("left as asked")]
    Asked,
    /// The group went on without it, and it does not rejoin.
    #[error("excluded: the group went on without this process")]
    Excluded,
    /// The group does not take it.
    #[error("refused by {by}: {reason}")]
    Refused {
        /// Who said so.
        by: SocketAddr,
        /// The difference, in words.
        reason: String,
    },
    /// Nobody let it in for as long as the settings allow.
    #[error("no member of the group answered: is one of the contacts a running member, and reachable?")]
    NoAnswer,
    /// Every member that had the state is gone, and with them the state.
    #[error("the group's state is lost: every member that had it is gone")]
    StateLost,
}

/// Why a process was not made a new primary by force. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForceError {
    /// Nothing to go on from.
    #[error(
        "this process is in no view: start it so that it founds the group, there is nothing that it could go on from"
    )]
    NoView,
    /// Nothing to force.
    #[error(
        "this process is in contact with a quorum, or was a moment ago: the group goes on, nothing has to be forced"
    )]
    Quorum,
    /// Others could not get the state.
    #[error("this process does not have the group's state: force one that has it")]
    NoState,
    /// It is on its way out.
    #[error("this process leaves the group")]
    Leaving,
    /// Nothing to force.
    #[error("the group is partitionable: this process goes on by itself when the others are out of reach")]
    Partitionable,
}

/// What an endpoint tells the application.
#[derive(Debug)]
pub enum Event {
    /// A view was installed. Messages from here on belong to it.
    View(ViewChange),
    /// The view ends, in a partitionable group. What is delivered from here to the next view is held by these members, who go
    /// there together, but perhaps not by others; they may deliver something else. (The transitional configuration of
    /// extended virtual synchrony.)
    Transitional(Vec<MemberId>),
    /// Messages are delivered.
    Messages(Messages),
    /// Members have joined with this view that need the state as it is at its beginning: take a snapshot at this point
    /// of the event stream, answer with [`Input::State`].
    StateRequested {
        /// The view.
        view: ViewId,
    },
    /// A part of the state, in order. The first (`index` 0) also says: forget what you have.
    StateChunk {
        /// The view at whose beginning this is the state.
        view: ViewId,
        /// Counts from 0.
        index: u64,
        /// Whether it is the last one; messages of the view follow.
        last: bool,
        /// The chunk, as [`Snapshot::chunk`] gave it at the donor.
        data: Bytes,
    },
    /// The answer to [`Input::ForcePrimary`]. Ok: the group's history ends here for this process, and another one begins. What
    /// it still holds of the old view follows, then a view of a new epoch, in which it is alone. Whoever of the old epoch
    /// hears of the new one comes over as a new incarnation, and receives the state.
    Forced(Result<(), ForceError>),
    /// No contact with a quorum: nothing is agreed until [`Event::Resumed`] or the next view.
    Blocked,
    /// Contact with a quorum again, in the same view.
    Resumed,
    /// This process can act as the owner of what it owns until then (a time of its own clock). Moves forward, until it is
    /// [`Time::ZERO`]: this process leaves, and owns nothing any more.
    Lease(Time),
    /// Whether messages can be cast without piling up.
    Writable(bool),
    /// A process whose liveness is to be watched (true), or no longer (false). For the driver.
    Watch(MemberId, bool),
    /// No longer in the group; the last event.
    Left(LeaveReason),
}

/// What an endpoint wants done, in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Datagrams to send.
    pub transmits: Vec<Transmit>,
    /// Events for the application (and some for the driver).
    pub events: Vec<Event>,
}

/// Counters, since the endpoint's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that were neither frames nor control messages of this version.
    pub garbage: u64,
    /// Frames and control messages of other groups.
    pub other_group: u64,
    /// Frames of views that are not installed here.
    pub other_view: u64,
    /// Frames that did not come from the member that they name.
    pub forged: u64,
    /// Control messages that could not be decoded or made no sense.
    pub malformed: u64,
    /// Datagrams of strangers, in groups with keys.
    pub refused: u64,
    /// Control messages that were repeated, in groups with keys.
    pub replayed: u64,
    /// View changes.
    pub views: u64,
    /// Frames sent and received.
    pub frames_sent: u64,
    /// Frames received and passed to the stack.
    pub frames_received: u64,
    /// Bytes of frames sent, once for each destination.
    pub bytes_sent: u64,
    /// Bytes of frames received and passed to the stack.
    pub bytes_received: u64,
    /// Frames that were sent again, because a member had asked for them.
    pub repaired: u64,
    /// Messages that the application has cast.
    pub cast: u64,
    /// Their bytes.
    pub cast_bytes: u64,
    /// Messages delivered to the application, its own included.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// How often casts had to wait for credit.
    pub credit_waits: u64,
    /// How often this member began to suspect another one of silence.
    pub suspected: u64,
    /// Members whose process was found gone.
    pub gone: u64,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { .. } => f.write_str("Start"),
            Self::Datagrams(d) => write!(f, "Datagrams({})", d.len()),
            Self::Cast(c) => write!(f, "Cast({})", c.count()),
            Self::Gone(m) => write!(f, "Gone({m})"),
            Self::Leave => f.write_str("Leave"),
            Self::State { view, .. } => write!(f, "State({view})"),
            Self::Contacts(c) => write!(f, "Contacts({c:?})"),
            Self::ForcePrimary { .. } => f.write_str("ForcePrimary"),
            Self::Renew => f.write_str("Renew"),
            Self::Congested(c) => write!(f, "Congested({c})"),
            Self::Tick => f.write_str("Tick"),
        }
    }
}
