//! Building blocks on top of a group.

mod machine;

pub use machine::{AgreedTime, RestoreError, Snapshot, StateMachine};
