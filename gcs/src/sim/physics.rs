//! How the simulated world behaves when nothing goes wrong in particular.

use crate::view::{Member, ViewId};
use bytes::Bytes;

/// A view that was decided, and its members.
pub type Decided = (ViewId, Vec<Member>);

/// The world's physics.
#[derive(Clone, Debug)]
pub struct Physics {
    /// Datagrams take from so long to so long, in microseconds, and up to 2.5 times that with jitter.
    pub latency_us: (u64, u64),
    /// Clocks are off by at most so many parts per million.
    pub drift_ppm: u64,
    /// A process reads its socket at most so many microseconds after a datagram has arrived.
    pub wake_us: u64,
    /// Answers to state requests come at most so many milliseconds later.
    pub snapshot_ms: u64,
    /// Kills that would take the last quorum are not carried out.
    pub keep_quorum: bool,
    /// The stranger takes the addresses of processes for its own: what it repeats or has changed seems to come from them.
    /// Only groups with keys stand that.
    pub forgers: bool,
    /// The trace keeps so many observations.
    pub trace_keep: usize,
    /// The trace also shows datagrams, except frames.
    pub trace_datagrams: bool,
    /// Names the kind of a datagram, for triggers and the trace.
    pub classify: fn(&[u8]) -> &'static str,
    /// Reads a datagram that says which view was decided, and its members. From then on that view counts when progress
    /// is expected.
    pub decided: fn(&Bytes) -> Option<Decided>,
}

impl Default for Physics {
    fn default() -> Self {
        Self {
            latency_us: (50, 800),
            drift_ppm: 500,
            wake_us: 30,
            snapshot_ms: 5,
            keep_quorum: true,
            forgers: false,
            trace_keep: 200,
            trace_datagrams: false,
            classify: crate::wire::kind_name,
            decided: crate::wire::decided_view,
        }
    }
}
