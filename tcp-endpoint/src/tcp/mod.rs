//! The TCP machine (RFC 9293): a value that consumes segments, time and the application's calls, and emits segments.
//!
//! Sans-IO and deterministic: the same inputs give the same segments, on every replica. Time is handed in and is only
//! looked at there. Whatever it keeps can be serialised.

mod chunks;
mod config;
mod connection;
mod cubic;
mod flight;
mod host;
mod rack;
mod receiver;
mod rtt;
mod segment;
mod sender;
mod seq;

pub use config::{Config, KeepAlive, MIN_MSS};
pub use connection::{Reason, State};
pub use host::{ConnectError, Counters, Event, Frozen, Host, Id, SnapshotError, Thaw};
pub use segment::{Options, Payload, Segment};
pub use seq::Seq;
