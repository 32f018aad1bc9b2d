//! Microprotocols.

pub mod heartbeat;
pub mod reliable;
#[cfg(test)]
mod testkit;
