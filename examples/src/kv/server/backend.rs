//! What the server hands commands to.

use bytes::Bytes;

/// Answers commands in the [`argv`](crate::kv::argv) encoding with RESP2 replies, one each, in order.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Applies commands in this order (others may come between them) and returns their replies. Some may be reads:
    /// they are applied in their place among the writes.
    ///
    /// # Errors
    /// No reply can be given; the error says whether the commands may have been applied.
    fn write(&self, commands: Vec<Bytes>) -> impl Future<Output = Result<Vec<Bytes>, BackendError>> + Send;

    /// Answers queries, none of which changes anything.
    ///
    /// # Errors
    /// No reply can be given.
    fn read(&self, queries: Vec<Bytes>) -> impl Future<Output = Result<Vec<Bytes>, BackendError>> + Send;

    /// Sections for INFO after the server's own: lines of `name:value`, headings after `# `, each ending in CR LF.
    fn info(&self) -> String;
}

/// Why a batch got no replies. The reasons are clauses that end a sentence: `no majority of the group is reachable`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The replica is not in a view that may serve. Nothing was applied; the client may try again elsewhere.
    #[error("no quorum: {why}; nothing was applied, try again or at another replica")]
    NoQuorum {
        /// What is missing.
        why: String,
    },
    /// Too much is under way. Nothing was applied; the client may try again later.
    #[error("too busy: {why}; nothing was applied, try again later")]
    Busy {
        /// What is full.
        why: String,
    },
    /// The commands were handed over, but their outcome did not come back.
    #[error("the write may or may not have been applied: {why}")]
    OutcomeUnknown {
        /// What was lost.
        why: String,
    },
}

impl BackendError {
    /// The first word of the error on the wire, which clients tell errors by.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoQuorum { .. } => "CLUSTERDOWN",
            Self::Busy { .. } => "TRYAGAIN",
            Self::OutcomeUnknown { .. } => "UNKNOWN",
        }
    }
}
