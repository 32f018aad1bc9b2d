//! Who answers a request.

use super::local;
use crate::kv::argv::Argv;
use crate::kv::store::Fault;
use crate::kv::store::table::{self, Kind};
use bytes::Bytes;

/// What becomes of a request.
pub(in crate::kv) enum Answer {
    /// This is its reply.
    Known(Bytes),
    /// The client says goodbye, and is told OK.
    Quit,
    /// The keyspace answers; whether it may change.
    Ask { write: bool },
}

/// Looks at a request of connection `id`, in the argv encoding. `info` gives the sections of INFO behind the server's own.
pub(in crate::kv) fn dispatch(request: &[u8], id: u64, info: impl FnOnce() -> String) -> Answer {
    let argv = match Argv::decode(request) {
        Ok(argv) => argv,
        Err(error) => return Answer::Known(Fault::from(error).reply()),
    };
    let command = match table::find(&argv) {
        Ok(command) => command,
        Err(fault) => return Answer::Known(fault.reply()),
    };
    match command.kind() {
        Kind::Local if command.name == "quit" => Answer::Quit,
        Kind::Local => Answer::Known(local::answer(command, &argv, id, info)),
        kind => Answer::Ask { write: kind == Kind::Write },
    }
}
