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
//! | file | |
//! |---|---|
//! | `batch` | what is cast, as bytes |
//! | `endpoint` | [`Endpoint`]: connections and a service, moved by batches |
//! | `runtime` | [`run`]: an interface, a group, and an endpoint |

mod batch;
mod endpoint;
mod runtime;

pub use batch::{Batch, BatchError};
pub use endpoint::{Applied, Endpoint, Frozen, ThawError};
pub use runtime::{Change, RunError, run};
