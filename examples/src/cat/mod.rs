//! Netcat for groups: lines in are multicasts, what the group delivers comes out as lines.
//!
//! ```text
//! stdin ──thread──► two batches ──task──► Group          a full group stops the reading
//! stdout ◄──────── main thread ◄───────── Events         a full pipe slows the group down
//! signals ──task──► end of input, leave; once more: stop
//! ```
//! Bounds: [`input::CHUNK`] bytes and one line a batch of input, a line is at most a message
//! ([`gcs::message::MAX_MESSAGE`]); the rest is bounded by the group.

pub mod args;
pub mod input;
pub mod metrics;
pub mod output;
mod run;

pub use run::main;
