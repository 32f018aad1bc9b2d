//! What a simulation found out.

use super::{oracles::Violation, plan::Plan, trace::Observation};
use std::fmt;

/// What a simulation found out. Its `Display` has everything that is needed to repeat and to understand a failure.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What went wrong in it.
    pub plan: Plan,
    /// The broken promise, if one was broken.
    pub violation: Option<Violation>,
    /// Whether the group was able to go on at the end, and did. False without a violation: a quorum or the state was
    /// lost, and only safety was checked.
    pub progress: bool,
    /// A hash over everything that happened.
    pub trace_hash: u64,
    /// The last observations.
    pub tail: Vec<Observation>,
    /// How many observations there were.
    pub observations: u64,
    /// How many messages were delivered, all processes together.
    pub delivered: u64,
    /// How many datagrams were sent.
    pub datagrams: u64,
    /// How many inputs endpoints consumed.
    pub inputs: u64,
    /// How much virtual time passed, in nanoseconds.
    pub virtual_ns: u64,
    /// The most bytes of frames and messages that an endpoint held at a view's beginning.
    pub held_bytes: usize,
}

impl Report {
    /// Whether no promise was broken.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.violation.is_none()
    }

    /// Fails the test that calls it if a promise was broken, with everything that is needed to repeat the run.
    ///
    /// # Panics
    /// If a promise was broken.
    pub fn expect_ok(&self) {
        assert!(self.is_ok(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.violation {
            None => writeln!(f, "seed {}: nothing wrong", self.seed)?,
            Some(v) => writeln!(f, "seed {} breaks {v}", self.seed)?,
        }
        writeln!(
            f,
            "--- plan\n{}--- the last {} of {} observations",
            self.plan,
            self.tail.len(),
            self.observations
        )?;
        self.tail.iter().try_for_each(|o| writeln!(f, "{o}"))?;
        write!(f, "--- trace hash {:016x}", self.trace_hash)
    }
}
