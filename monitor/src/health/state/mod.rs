//! What all representatives hold: a value that commands, in total order, change in the same way everywhere.
//!
//! ```text
//! Observe ─► opinion of an observer ─┐
//! Tick ────► opinions get old ───────┼─► rule ─► flap ─► verdict, with the next number of its component ─► log
//! ```
//! Time is its own: it goes on with ticks, at most [`limits::TICK_MAX_MS`] with each, so that no clock that leaps lets leases end. Without
//! a quorum it stands still. Bounds are in [`limits`].

mod component;
mod flap;
mod interests;
pub mod limits;
mod replicated;
mod rule;
mod whole;

pub use component::{Component, Opinions};
pub use replicated::{Frozen, Replica, outcome};
pub use whole::State;
