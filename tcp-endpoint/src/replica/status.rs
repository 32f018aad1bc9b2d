//! What a replica knows of itself, for its operator.

use std::{collections::VecDeque, fmt, time::Duration};

use gcs::time::Time;

use super::core::Role;
use crate::tcp::{Counters, Host};

/// Stability times that are remembered.
const SAMPLES: usize = 1024;

/// What a replica knows of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    pub(super) role: Role,
    pub(super) batches: u64,
    /// Batches that were cast here and are not delivered, and packets that wait to be cast, in bytes.
    pub(super) under_way: usize,
    pub(super) waiting_bytes: usize,
    connections: usize,
    remembered: usize,
    held: u64,
    counters: Counters,
    stability: VecDeque<Duration>,
}

impl Status {
    /// Takes over how the connections are.
    pub(super) fn of(&mut self, host: &Host) {
        self.connections = host.connections();
        self.remembered = host.remembered();
        self.held = host.held();
        self.counters = host.counters();
    }

    /// A batch that was cast at `from` is delivered.
    pub(super) fn stable(&mut self, from: Time, now: Time) {
        if self.stability.len() == SAMPLES {
            self.stability.pop_front();
        }
        self.stability.push_back(now.since(from));
    }

    /// The median, the 99th percentile and the worst, in microseconds.
    fn stability(&self) -> Option<[u128; 3]> {
        let mut times: Vec<_> = self.stability.iter().map(Duration::as_micros).collect();
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        Some([times[last / 2], times[last * 99 / 100], times[last]])
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counters;
        writeln!(f, "tcp endpoint: {}", self.role)?;
        writeln!(f, "  connections: {} open, {} remembered", self.connections, self.remembered)?;
        writeln!(f, "  bytes held for peers and applications: {}", self.held)?;
        writeln!(f, "  batches: {} applied, {} under way", self.batches, self.under_way)?;
        writeln!(f, "  bytes that wait to be cast: {}", self.waiting_bytes)?;
        if let Some([median, most, worst]) = self.stability() {
            let times = self.stability.len();
            writeln!(
                f,
                "  stable after: median {median} us, p99 {most} us, worst {worst} us (the last {times})"
            )?;
        }
        writeln!(f, "  segments: {} in, {} out", c.segments_in, c.segments_out)?;
        writeln!(f, "  opened: {} by clients, {} to back ends", c.accepted, c.connected)?;
        writeln!(
            f,
            "  turned away: {} segments for nobody, {} SYNs over the limit; {} SYNs answered by cookies",
            c.refused, c.overflow, c.cookies
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_last_batches() {
        let mut status = Status::default();
        assert!(!status.to_string().contains("stable after"));
        for us in 1..=SAMPLES as u64 + 100 {
            status.stable(Time::ZERO, Time(us * 1000));
        }
        let said = status.to_string();
        assert!(said.contains("median 612 us, p99 1113 us, worst 1124 us (the last 1024)"), "{said}");
    }
}
