//! A TCP endpoint that outlives its host (Birman et al., "Adding high availability and autonomic behavior to Web
//! services", ICSE 2004, section 5.2): the connections are deterministic state machines, replicated over a process group.
//!
//! - [`tcp`]: the machine; sans-IO, deterministic, serialisable.
//! - [`service`]: what stands on the connections: deterministic, like them.
//! - [`http`]: one of them: a server of files.
//! - [`proxy`]: another one: connections go on to back ends.
//! - [`ReplicatedListener`]: all of it, for who has a service.
//! - [`replica`]: batches of what arrives, agreed by the group; who leads; takeover.
//! - [`packet`]: bytes to segments and back.
//! - [`link`]: ARP, neighbour discovery, announcements of the virtual addresses; sans-IO.
//! - [`net`]: network interfaces: what touches the world.
//! - [`playground`]: hosts to try it on, in namespaces.

pub mod http;
pub mod link;
mod listener;
pub mod net;
pub mod packet;
pub mod playground;
pub mod proxy;
pub mod replica;
pub mod service;
pub mod tcp;

pub use listener::{ReplicatedListener, ServeError};
