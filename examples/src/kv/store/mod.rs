//! The replicated keyspace: strings, hashes, lists and sets with Redis' commands, as a state machine.
//!
//! ```text
//!   machine ──► table ──► commands/* ──► keyspace ──► shard ──► entry ──► value, sorted, list
//!                                            └──► snapshot
//! ```
//!
//! - `machine`: [`Store`], the [`gcs::blocks::StateMachine`].
//! - [`table`]: every command's name, arity, kind and handler; the server asks it too.
//! - `commands`: the handlers, one file a data type.
//! - `keyspace`, `shard`, `entry`, `value`, `sorted`, `list`: the state, copied on write in small parts.
//! - `snapshot`: the frozen state in chunks.
//! - [`reply`], `fault`, `glob`: RESP2 replies, errors in Redis' words, patterns.

mod commands;
mod entry;
mod fault;
pub(crate) mod glob;
mod keyspace;
mod list;
mod machine;
pub mod reply;
mod shard;
mod snapshot;
mod sorted;
pub mod table;
mod value;

pub(crate) use fault::Fault;
pub use machine::Store;
