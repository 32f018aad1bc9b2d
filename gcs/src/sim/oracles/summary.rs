//! How a run ended: what oracles are told for their final word.

use crate::{id::MemberId, sim::envelope::MessageId, view::ViewId};
use std::sync::Arc;

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Whether the group was able to go on: a quorum of the newest view is alive, and with it the state. If not, only
    /// safety is promised.
    pub expect_progress: bool,
    /// By process.
    pub processes: Vec<ProcessSummary>,
    /// Messages that were cast after everything had healed.
    pub probes: Vec<MessageId>,
}

/// How a run ended for one process.
#[derive(Clone, Debug)]
pub struct ProcessSummary {
    /// The process in its present life.
    pub member: MemberId,
    /// Whether it is alive.
    pub alive: bool,
    /// Whether it was asked to leave.
    pub leaving: bool,
    /// Whether it votes only: it takes and delivers no messages.
    pub witness: bool,
    /// Whether it has left the group without having been asked to.
    pub gave_up: bool,
    /// The view it is in.
    pub view: Option<(ViewId, Arc<[MemberId]>)>,
    /// Whether it has no contact with a quorum.
    pub blocked: bool,
    /// Whether it takes messages.
    pub writable: bool,
    /// Whether it waits for the group's state.
    pub awaits_state: bool,
}

impl Summary {
    /// The processes that are alive and want to be in the group.
    pub fn wanted(&self) -> impl Iterator<Item = &ProcessSummary> {
        self.processes.iter().filter(|p| p.alive && !p.leaving)
    }
}
