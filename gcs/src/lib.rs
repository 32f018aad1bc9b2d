//! gcs: process groups for services that must not stop.
//!
//! Members of a group see the same sequence of *views* (who is alive) and, between two views, the same messages in the
//! same order. The protocol code is sans-IO: inputs and the time go in, effects come out, so that the same code runs in
//! the simulator and over real sockets.

pub mod blocks;
pub mod endpoint;
pub mod frame;
#[cfg(feature = "runtime")]
pub mod group;
pub mod guard;
pub mod id;
#[cfg(feature = "keys")]
pub mod keys;
pub mod layer;
pub mod membership;
pub mod message;
#[cfg(feature = "runtime")]
pub mod net;
pub mod properties;
pub mod report;
pub mod rng;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stack;
pub mod time;
pub mod view;
pub mod wire;
