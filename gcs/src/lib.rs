//! gcs: process groups for services that must not stop.

pub mod blocks;
