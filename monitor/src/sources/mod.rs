//! Sources: where the attributes of an agent's row come from.
//!
//! ```text
//!   host, files, commands, databases, metrics, text files, groups ── read ─────────┐
//!   HTTP, statsd ──────────────────────────────────────────────────────────────────┼─► Store ──► Sources::next ──► the agent's row
//!   Handle::set ───────────────────────────────────────────────────────────────────┘   sans-IO
//! ```
//! A value lives for a time; who does not say it again lets it go, and then it is absent: unknown, never zero and never stale. It is that
//! one rule for a program that died, a file that cannot be read, and a database that hangs. What has not changed noticeably is not
//! reported ([`significance`]), because every report is news that goes through the whole tree.
//!
//! Bounds: [`limits`]. Each source reads in a task of its own, what can hang in a thread of its own, one at a time; no source waits for
//! another. `docs/attributes.md` is for operators.

mod blocking;
mod command;
pub mod config;
mod exposition;
mod extract;
mod file;
pub mod groups;
mod handle;
mod host;
pub mod http;
pub mod limits;
pub mod name;
mod poll;
#[cfg(feature = "postgres")]
mod postgres;
mod prometheus;
mod scalar;
pub mod significance;
#[cfg(feature = "sqlite")]
mod sqlite;
mod start;
mod statsd;
mod status;
mod store;
mod textfile;

use crate::clock;

pub use config::Config;
pub use handle::Handle;
pub use start::{Sources, StartError};
pub use status::{AttributeStatus, SourceStatus, Status};
pub use store::{Refused, Update};
