//! gcs-kv: a replicated server that speaks the Redis protocol.
//!
//! ```text
//!   client ──RESP2──► server ──argv batches──► Backend ──total order──► Store (one per replica)
//! ```
//!
//! - [`argv`]: how one command travels from the server to the replicas.
//! - [`store`]: the keyspace as a [`gcs::blocks::StateMachine`]; replies are RESP2, ready for the wire.
//! - [`server`]: the TCP side; it hands batches of commands to a [`server::Backend`] and knows nothing of groups.
//! - [`vip`]: instead of that, the store on connections that outlive the host that holds them.

pub mod argv;
pub mod client;
pub mod program;
pub mod replica;
pub mod server;
pub mod store;
mod varint;
pub mod vip;
