//! What member processes print, a JSON object a line, and the clock that they share with their parent.

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A line of a member's output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// A view was installed, `at` nanoseconds on the machine's wall clock.
    View {
        /// When.
        at: u64,
        /// The members' names in rank order.
        members: Vec<String>,
    },
    /// The state has its size: writes begin.
    Filled,
    /// The state has arrived, `at` nanoseconds on the machine's wall clock.
    Ready {
        /// When.
        at: u64,
        /// Keys in it.
        keys: u64,
    },
    /// The measurement is over.
    Done(Figures),
}

/// What one member measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Messages delivered during the measurement.
    pub delivered: u64,
    /// Their length in seconds.
    pub seconds: f64,
    /// CPU seconds of the process during the measurement, user and system.
    pub cpu: f64,
    /// Round trips in microseconds: count, p50, p99, p99.9, max.
    pub latency_us: Option<Percentiles>,
    /// The same, once a member more is there, where that is what is measured.
    pub later_us: Option<Percentiles>,
    /// Views after the first.
    pub views: u64,
    /// The longest time between two deliveries, in milliseconds.
    pub longest_gap_ms: f64,
    /// Long times between two deliveries.
    pub gaps: Vec<Gap>,
    /// The largest resident memory, in MiB.
    pub rss_mib: f64,
}

/// A time between two deliveries.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Gap {
    /// When it ended, in nanoseconds on the machine's wall clock.
    pub end: u64,
    /// Its length in nanoseconds.
    pub ns: u64,
}

/// A histogram in five numbers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

impl Percentiles {
    /// Of a histogram of nanoseconds, in microseconds.
    #[must_use]
    pub fn of(h: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1000.0;
        Self {
            count: h.len(),
            p50: us(h.value_at_quantile(0.5)),
            p99: us(h.value_at_quantile(0.99)),
            p999: us(h.value_at_quantile(0.999)),
            max: us(h.max()),
        }
    }
}

/// An empty histogram of nanoseconds, up to a minute.
///
/// # Errors
/// None in practice: the bounds are fixed.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).context("histogram bounds")
}

/// Nanoseconds on the machine's wall clock: comparable between processes of one machine.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a benchmark reads clocks")]
pub fn wall_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// CPU seconds of a process (`self`, or its number) so far, and its largest resident memory in MiB.
#[must_use]
pub fn usage(process: &str) -> (f64, f64) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
    let status = read("status");
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib: f64 = peak.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0.0);
    // Two lower bounds: one in ticks of 10 ms, one in nanoseconds without the threads that have ended.
    ((ticks(&read("stat")) / 100.0).max(nanoseconds(process) / 1e9), kib / 1024.0)
}

/// Fields 14 and 15 of `stat`, counted after the command's closing parenthesis: user and system time.
fn ticks(stat: &str) -> f64 {
    let after = stat.rsplit(')').next().unwrap_or("");
    after.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum()
}

fn nanoseconds(process: &str) -> f64 {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return 0.0 };
    let of = |dir: std::path::PathBuf| {
        let line = std::fs::read_to_string(dir.join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    threads.filter_map(|t| of(t.ok()?.path())).sum()
}

/// Prints a line for the parent.
pub fn print(line: &Line) {
    if let Ok(text) = serde_json::to_string(line) {
        println!("{text}");
    }
}
