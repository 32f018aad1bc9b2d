//! Connections that outlive the host that holds them: every replica consumes the same batches.
//!
//! ```text
//!   leader:   packets, due timers ─► batch (stamped with a time) ─► cast, total order + uniform ─► delivered ─► apply ─► emit
//!   follower:                                                                               delivered ─► apply ─► discard
//! ```
//!
//! A uniform delivery means that a quorum holds the batch: whatever leaves after it can be said again by whoever comes next. The leader is the
//! first member of a primary view; it emits only while its lease is valid. A new leader casts a *kick* first: when that is
//! delivered it takes the addresses, and every connection sends again what is not acknowledged.
//!
//! Every batch says how far its leader had come, with a digest of what it had done. A replica that had done something else by
//! then ends: what clients have seen is what the leader did.
//!
//! | file | |
//! |---|---|
//! | `batch` | what is cast, as bytes |
//! | `core` | [`Replica`]: who leads, what is cast and what is let out; a value |
//! | `endpoint` | [`Endpoint`]: connections and a service, moved by batches |
//! | `mirror` | what a follower hears of clients |
//! | `runtime` | [`run`]: an interface, a group, and a replica |
//! | `status` | what a replica knows of itself |

mod batch;
mod core;
mod endpoint;
mod mirror;
mod runtime;
mod status;

pub use self::core::{About, Change, Replica, ReplicaError, Role};
pub use batch::{Batch, BatchError, Mark};
pub use endpoint::{Applied, ApplyError, Endpoint, Frozen, ThawError};
pub use runtime::{RunError, run};
