//! Three `gcs-kv` replicas under load, killed and restarted, with every acknowledged write accounted for.

pub mod cluster;
pub mod load;
pub mod verify;
