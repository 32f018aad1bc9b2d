//! The server's bounds.

/// What one client, and all of them together, can make the server hold. Its memory is at most about
/// `max_connections` x (2 x `max_request_bytes` + the replies to one batch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more is told so and closed.
    pub max_connections: usize,
    /// Bytes of one request on the wire. A larger one is a protocol error.
    pub max_request_bytes: usize,
    /// Arguments of one command, its name included. More are a protocol error.
    pub max_args: usize,
    /// Commands handed to the backend at a time. Pipelines may be longer: they are answered in several batches.
    pub max_batch: usize,
    /// Bytes of commands handed to the backend at a time (one command may exceed it).
    pub max_batch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_request_bytes: 16 * 1024 * 1024,
            max_args: 128 * 1024,
            max_batch: 1024,
            max_batch_bytes: 1024 * 1024,
        }
    }
}
