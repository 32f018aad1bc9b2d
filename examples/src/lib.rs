//! Shared parts of the example programs.

pub mod demo;
pub mod kv;
