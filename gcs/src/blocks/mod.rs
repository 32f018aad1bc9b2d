//! Building blocks on top of a group.
//!
//! | block | for |
//! |---|---|
//! | [`rsm`] | a deterministic program on several processes, exactly once, with linearizable reads |
//! | [`map`] | shared data |

mod machine;
#[cfg(feature = "runtime")]
pub mod map;
#[cfg(feature = "runtime")]
pub mod rsm;
#[cfg(feature = "runtime")]
mod wire;

pub use machine::{AgreedTime, RestoreError, Snapshot, StateMachine};
#[cfg(feature = "runtime")]
pub use rsm::{ExecuteError, Replicated};
