//! [`Tables`]: what an agent can be asked by standing queries, row by row. Read only when a query is to be looked at.
//!
//! | table | rows |
//! |---|---|
//! | `processes` | the processes of the host |
//! | `connections` | its TCP connections, and what listens |
//! | `groups` | members of gcs groups on this host |
//! | `log` | lines that were written to files since the query was looked at last |
//! | `attributes` | one: what the agent says of itself |
//! | others | what applications have put there |

mod application;
mod connections;
mod log;
mod processes;

use std::{path::PathBuf, sync::Arc};

use self::{log::Log, processes::Processes};
use super::conditions::Due;
use crate::{row::Row, sources::groups, value::Value};
pub use application::{Application, BYTES, ROWS, Refused, TABLES};

/// The most rows that are looked at in a table of the system.
pub const ROWS_MAX: usize = 32_768;
/// Names that applications cannot take.
pub const SYSTEM: [&str; 5] = ["attributes", "connections", "groups", "log", "processes"];

/// The tables of one agent.
#[derive(Debug)]
pub struct Tables {
    processes: Processes,
    log: Log,
    groups: PathBuf,
    application: Arc<Application>,
}

impl Tables {
    /// Tables of this host, of lines of these files, of members of groups with their control sockets in this folder, and of applications.
    #[must_use]
    pub fn new(logs: Vec<PathBuf>, groups: PathBuf, application: Arc<Application>) -> Self {
        Self { processes: Processes::default(), log: Log::new(logs), groups, application }
    }

    /// The rows that a query asks for that is due; `attributes` are the agent's own. None of a table that is not there: another agent may have
    /// it.
    pub fn read(&mut self, due: &Due, attributes: &Row) -> Vec<Row> {
        match due.query.table().unwrap_or_default() {
            "attributes" => vec![attributes.clone()],
            "processes" => self.processes.read(),
            "connections" => connections::read(),
            "groups" => groups::rows(&self.groups),
            "log" => self.log.read(&due.name),
            name => self.application.rows(name),
        }
    }

    /// Forgets what was kept for queries that do not stand any more, and everything that nobody asks for.
    pub fn keep<'a>(&mut self, standing: impl Iterator<Item = &'a Due>) {
        let (mut names, mut processes) = (Vec::new(), false);
        for due in standing {
            names.push(due.name.clone());
            processes |= due.query.table() == Some("processes");
        }
        self.log.keep(&names);
        if !processes {
            self.processes = Processes::default();
        }
    }
}

fn text(text: impl AsRef<str>) -> Value {
    Value::text(text.as_ref())
}
