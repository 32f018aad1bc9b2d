//! Many seeds on several threads.

use super::{report::Report, run::run, setup::Setup};
use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What many simulations found out.
#[derive(Clone, Debug)]
pub struct Soaked {
    /// How many ran.
    pub runs: u64,
    /// How many of them ended with a group that goes on; the others had lost their quorum or their state.
    pub progressed: u64,
    /// Those that broke a promise, by seed, at most as many as were asked for.
    pub failures: Vec<Report>,
    /// How much virtual time passed in them, in nanoseconds.
    pub virtual_ns: u128,
    /// How long it took.
    pub took: Duration,
}

impl Soaked {
    /// Simulations a second.
    #[must_use]
    pub fn runs_per_second(&self) -> f64 {
        self.runs as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Runs one simulation for each seed on `threads` threads. Stops after `max_failures` broken promises.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "measures how long simulations take; they themselves read no clock"
)]
pub fn soak(seeds: Range<u64>, threads: usize, max_failures: usize, setup: &Setup) -> Soaked {
    let begun = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Soaked {
        runs: 0,
        progressed: 0,
        failures: Vec::new(),
        virtual_ns: 0,
        took: Duration::ZERO,
    });
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = run(seed, setup);
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            total.runs += 1;
            total.progressed += u64::from(report.progress);
            total.virtual_ns += u128::from(report.virtual_ns);
            if !report.is_ok() {
                total.failures.push(report);
                if total.failures.len() >= max_failures {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.failures.sort_by_key(|r| r.seed);
    total.took = begun.elapsed();
    total
}
