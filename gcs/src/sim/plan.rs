//! What goes wrong in a simulation, and when: a list of steps. [`super::plan_text`] reads and writes it as text.

use super::network::Disturbance;
use crate::view::Role;
use std::collections::BTreeMap;

/// Something that goes wrong, or is done to the group. Processes are numbered from 0; durations are nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Kill a process. With evidence, its kernel tells those who watch it; silently, the whole host is dead.
    Kill {
        /// Who.
        process: usize,
        /// Whether watchers learn of it.
        evidence: bool,
    },
    /// Kill all processes: the group is gone. Those that start then found it anew.
    StopAll,
    /// Start a process: for the first time, or in a new life after it was killed or has left.
    Start {
        /// Who.
        process: usize,
    },
    /// Stop a process; what it receives meanwhile waits, its timers are late.
    Pause {
        /// Who.
        process: usize,
        /// For how long.
        lasts: u64,
    },
    /// Ask a process to leave the group.
    Leave {
        /// Who.
        process: usize,
    },
    /// The operator tells a process to go on without a quorum.
    Force {
        /// Who.
        process: usize,
    },
    /// A process asks for a new view.
    Renew {
        /// Who.
        process: usize,
    },
    /// The application of a process casts one message.
    Cast {
        /// Who.
        process: usize,
    },
    /// The application takes nothing for a while.
    Congest {
        /// Who.
        process: usize,
        /// For how long.
        lasts: u64,
    },
    /// Nothing arrives on the way from one process to another.
    Cut {
        /// From whom.
        from: usize,
        /// To whom.
        to: usize,
        /// Also the other way.
        both: bool,
        /// For how long; None: until healed.
        lasts: Option<u64>,
    },
    /// Nothing arrives between these processes and the others.
    Partition {
        /// One side.
        side: Vec<usize>,
        /// For how long; None: until healed.
        lasts: Option<u64>,
    },
    /// All cuts and partitions end.
    Heal,
    /// The network disturbs what it carries.
    Disturb {
        /// How.
        what: Disturbance,
        /// How much; the unit is told at [`Disturbance`].
        value: u64,
        /// For how long.
        lasts: u64,
    },
    /// A stranger sends garbage, and truncated and repeated datagrams that it has overheard.
    Stranger {
        /// How many datagrams.
        count: u64,
    },
}

/// When a step is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// At this time, in nanoseconds.
    At(u64),
    /// As soon as a process has sent so many datagrams of a kind, from a time on; the rest of what it was about to do is not done if the
    /// fault kills it.
    Sends {
        /// Who.
        process: usize,
        /// The kind, as the set-up's classifier names it.
        kind: String,
        /// How many, from 1. A datagram to several processes counts for each.
        nth: u32,
        /// What is sent before this time, in nanoseconds, does not count.
        from: u64,
    },
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub when: When,
    /// What.
    pub fault: Fault,
}

/// Everything that goes wrong in one simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The processes that exist; a step may start some of them later.
    pub processes: usize,
    /// The first so many are started at the beginning.
    pub founders: usize,
    /// What processes count for; those that are not listed have one vote and an application.
    pub roles: BTreeMap<usize, Role>,
    /// The steps, in any order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// A plan in which nothing goes wrong with `processes` processes.
    #[must_use]
    pub fn calm(processes: usize) -> Self {
        Self { processes, founders: processes, ..Self::default() }
    }

    /// What a process counts for.
    #[must_use]
    pub fn role(&self, process: usize) -> Role {
        self.roles.get(&process).copied().unwrap_or_default()
    }

    /// The plan with one more step at a time.
    #[must_use]
    pub fn at_ms(mut self, ms: u64, fault: Fault) -> Self {
        self.steps.push(Step { when: When::At(ms * 1_000_000), fault });
        self
    }

    /// The plan with one more step, taken when `process` has sent the `nth` datagram of a kind.
    #[must_use]
    pub fn when_sends(mut self, process: usize, kind: &str, nth: u32, fault: Fault) -> Self {
        self.steps.push(Step { when: When::Sends { process, kind: kind.to_owned(), nth, from: 0 }, fault });
        self
    }
}

impl Fault {
    /// The highest-numbered process that it is about.
    #[must_use]
    pub fn highest(&self) -> Option<usize> {
        match self {
            Self::Kill { process, .. }
            | Self::Start { process }
            | Self::Pause { process, .. }
            | Self::Leave { process }
            | Self::Force { process }
            | Self::Renew { process }
            | Self::Cast { process }
            | Self::Congest { process, .. } => Some(*process),
            Self::Cut { from, to, .. } => Some(*from.max(to)),
            Self::Partition { side, .. } => side.iter().max().copied(),
            Self::StopAll | Self::Heal | Self::Disturb { .. } | Self::Stranger { .. } => None,
        }
    }
}

impl Step {
    /// The highest-numbered process that it is about.
    #[must_use]
    pub fn highest(&self) -> Option<usize> {
        let trigger = match &self.when {
            When::At(_) => None,
            When::Sends { process, .. } => Some(*process),
        };
        self.fault.highest().max(trigger)
    }
}
