//! Probes: who looks at an instance again and again, and reports what he finds.
//!
//! | File | What it is |
//! |---|---|
//! | `streak.rs` | when a finding is worth reporting: not at the first miss (sans-IO) |
//! | `look.rs` | one look: a port, a page, a command |
//! | `process.rs` | the end of a process, at once |
//! | `run.rs` | looks on schedule, and reports |

mod look;
mod process;
mod run;
mod streak;

pub use look::{Look, LookError, Looked};
pub use process::{Process, ProcessError};
pub use run::{Plan, ProbeError, run};
pub use streak::{Streak, Thresholds};
