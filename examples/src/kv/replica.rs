//! The group behind the server: a [`Backend`] whose store is replicated.

use super::{
    server::{Backend, BackendError},
    store::Store,
};
use bytes::Bytes;
use gcs::blocks::{ExecuteError, Replicated};
use std::fmt::Write as _;

/// A replica of the keyspace.
#[derive(Clone)]
pub struct Replica(pub Replicated<Store>);

impl Backend for Replica {
    async fn write(&self, commands: Vec<Bytes>) -> Result<Vec<Bytes>, BackendError> {
        self.0.execute_all(commands).await.map_err(refusal)
    }

    async fn read(&self, queries: Vec<Bytes>) -> Result<Vec<Bytes>, BackendError> {
        self.0.query_all(queries).await.map_err(refusal)
    }

    fn info(&self) -> String {
        let mut text = String::from("# Group\r\n");
        let lease = self.0.group().lease_valid();
        if let Some(v) = self.0.view() {
            let names: Vec<_> = v.view.members.iter().map(|m| &*m.name).collect();
            let role = if v.rank == 0 { "coordinator" } else { "member" };
            let _ =
                write!(text, "view:{}\r\nmembers:{}\r\ngroup_role:{role}\r\n", v.view.id, names.join(","));
        }
        let _ = write!(text, "quorum:{}\r\n", if lease { "yes" } else { "no" });
        text
    }
}

fn refusal(e: ExecuteError) -> BackendError {
    let why = match e {
        ExecuteError::NoQuorum => "this replica is not in contact with a majority of the group",
        ExecuteError::Unknown => "the group did not confirm it in time",
        ExecuteError::TooLarge => {
            return BackendError::Busy { why: "the batch is too large for one message".to_owned() };
        }
        ExecuteError::Stopped => "this replica has left the group",
    };
    let why = why.to_owned();
    if e == ExecuteError::Unknown {
        BackendError::OutcomeUnknown { why }
    } else {
        BackendError::NoQuorum { why }
    }
}
