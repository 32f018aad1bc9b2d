//! The time of a measurement: a second to get going, then so long as was asked for.

use super::{Settings, System};
use crate::report::{Figures, usage, wall_ns};
use std::time::Duration;

pub(super) struct Span {
    begin: u64,
    end: u64,
    /// This process, and the daemon that works for it.
    processes: Vec<String>,
    /// When the measurement began, and the CPU seconds until then.
    from: Option<(u64, f64)>,
}

impl Span {
    pub(super) fn new(settings: &Settings) -> Self {
        let begin = wall_ns() + 1_000_000_000;
        let mut processes = vec!["self".to_owned()];
        if let System::Cpg { daemon } = settings.system {
            processes.push(daemon.to_string());
        }
        Self { begin, end: begin + (settings.seconds * 1e9) as u64, processes, from: None }
    }

    /// Whether the measurement begins now: what was counted so far does not count. True once.
    pub(super) fn begins(&mut self, now: u64) -> bool {
        let begins = self.from.is_none() && now >= self.begin;
        if begins {
            self.from = Some((now, self.usage().0));
        }
        begins
    }

    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.end
    }

    /// How long until it begins or ends.
    pub(super) fn left(&self, now: u64) -> Duration {
        let until = if self.from.is_none() { self.begin } else { self.end };
        Duration::from_nanos(until.saturating_sub(now))
    }

    /// CPU seconds of all processes so far, and the largest resident memory of all together.
    fn usage(&self) -> (f64, f64) {
        self.processes.iter().map(|p| usage(p)).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1))
    }

    /// How long it was, CPU time and memory; the rest is zero.
    pub(super) fn figures(&self) -> Figures {
        let (cpu, rss_mib) = self.usage();
        let (since, before) = self.from.unwrap_or((self.begin, cpu));
        let seconds = wall_ns().saturating_sub(since) as f64 / 1e9;
        Figures { seconds, cpu: cpu - before, rss_mib, ..Figures::default() }
    }
}
