//! Members of gcs groups on this host: what they say of themselves at their control sockets, which they have made in one folder.
//!
//! | module | what |
//! |---|---|
//! | `ask` | finds the sockets, and asks all of them at once |
//! | `member` | reads the answers, and makes rows of them |
//! | `source` | makes attributes: of each group, from its members here |
//!
//! Who does not answer is absent. Sockets can be opened only by the user that runs the member, and by root.
//!
//! * **Bounds**: [`SOCKETS`] sockets, of [`limits::DIRECTORY_ENTRIES`] entries; [`ANSWER_BYTES`] of each answer; [`PATIENCE`] for all
//!   together; [`GROUPS`] groups become attributes.

mod ask;
mod member;
mod source;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::limits;
use crate::row::Row;
pub(super) use source::{FACTS, Source, significance};

/// Sockets that are asked: the first by their names.
pub const SOCKETS: usize = 64;
/// Bytes of an answer.
pub const ANSWER_BYTES: usize = 4096;
/// How long all together have to answer.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Groups that become attributes: the first by their names.
pub const GROUPS: usize = 4;

/// Where members make their sockets unless they are told otherwise: `$XDG_RUNTIME_DIR/gcs`, or `/run/gcs`.
#[must_use]
pub fn folder() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    PathBuf::from(own.unwrap_or_else(|| "/run".into())).join("gcs")
}

/// The table of groups: a row for each member whose socket is in the folder and that answers, with the columns `process`, `group_name`,
/// `name`, `address`, `stack`, `state` (`seeks`, `member`, `left`, `stopped`), `epoch`, `view`, `members`, `rank`, `primary`, `blocked`, `lease`,
/// `slow`, `held_bytes`, `pending_bytes`, `queued_bytes`. May take [`PATIENCE`].
pub(crate) fn rows(folder: &Path) -> Vec<Row> {
    let (members, _) = ask::ask(folder).unwrap_or_default();
    members.iter().map(member::Member::row).collect()
}
