//! A tree of agents in one thread, on virtual time, from one seed: what would happen to a tree of 100,000?
//!
//! [`World`] delivers messages after [`Network::latency_ms`], loses some, and lets agents die or be slow. The same [`Plan`] gives the same
//! trace.

mod changing;
mod fleet;
mod nat;
mod wheel;
mod world;

pub use changing::{Changed, Changing};
pub use fleet::Fleet;
pub use world::{Agents, Network, Plan, Seeds, World, address};
