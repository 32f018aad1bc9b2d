//! gcs-kv: a replicated server that speaks the Redis protocol.
//!
//! ```text
//!   client ──RESP2──► server ──argv batches──► Backend ──total order──► Store (one per replica)
//! ```
//!
//! - [`argv`]: how one command travels from the server to the replicas.
//! - [`store`]: the keyspace as a [`gcs::blocks::StateMachine`]; replies are RESP2, ready for the wire.

pub mod argv;
pub mod store;
mod varint;
