//! The pure parts of membership: quorums, whom to exclude, the consensus.

mod consensus;
mod quorum;
mod select;

pub use consensus::{Acceptor, Ballot, choose};
pub use quorum::{is_majority, is_quorum};
pub use select::{select_excluded, select_parted};
