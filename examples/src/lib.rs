//! Shared parts of the example programs.

pub mod cat;
pub mod contacts;
pub mod demo;
pub mod kv;
