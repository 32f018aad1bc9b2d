//! Building blocks on top of a group.
//!
//! | block | for |
//! |---|---|
//! | [`rsm`] | a deterministic program on several processes, exactly once, with linearizable reads |
//! | [`map`], [`counter`] | shared data |
//! | [`lock`], [`election`] | one owner at a time, with fencing tokens |
//! | [`barrier`] | waiting for each other |
//! | [`rpc`] | asking all members |
//! | [`light`] | thousands of small groups over the members of one |

#[cfg(feature = "runtime")]
pub mod barrier;
#[cfg(feature = "runtime")]
pub mod counter;
#[cfg(feature = "runtime")]
pub mod election;
#[cfg(feature = "runtime")]
pub mod light;
#[cfg(feature = "runtime")]
pub mod lock;
mod machine;
#[cfg(feature = "runtime")]
pub mod map;
#[cfg(feature = "runtime")]
pub mod rpc;
#[cfg(feature = "runtime")]
pub mod rsm;
#[cfg(feature = "runtime")]
mod wire;

pub use machine::{AgreedTime, RestoreError, Snapshot, StateMachine};
#[cfg(feature = "runtime")]
pub use rsm::{ExecuteError, Replicated};
