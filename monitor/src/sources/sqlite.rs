//! Attributes from a query of a SQLite file.
//!
//! The file is opened to be read only, anew for each reading: it may have been replaced, and nobody is kept from anything in between.

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, OpenFlags, limits::Limit, types::ValueRef};

use super::{
    blocking::Worker,
    clock::Clock,
    config, limits,
    name::Name,
    poll::{Read, ReadError, Reading, Said},
};
use crate::value::Value;

/// Steps of SQLite's machine between two looks at the clock; some tens of microseconds.
const STEPS: i32 = 1_000;

/// A query of a file.
#[derive(Debug)]
pub(super) struct Source {
    worker: Worker,
    config: Arc<config::Sqlite>,
}

impl Source {
    pub(super) fn new(config: config::Sqlite) -> Self {
        Self { worker: Worker::default(), config: Arc::new(config) }
    }
}

impl Read for Source {
    async fn read(&mut self) -> Reading {
        let config = self.config.clone();
        let values = self
            .worker
            .run(move || query(&config.path, &config.query, config.attributes.len(), config.timeout));
        let values = values.await??;
        let names: Vec<Name> = self.config.attributes.clone();
        Ok((names.into_iter().zip(values).map(|(name, value)| Said::new(name, value)).collect(), None))
    }
}

/// The values of the first row; all absent if there is none.
fn query(path: &Path, query: &str, wanted: usize, patience: Duration) -> Result<Vec<Value>, ReadError> {
    // Opening would also take a pipe, and wait for somebody to write.
    drop(super::file::open(path)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, limits::DOCUMENT_BYTES as i32)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    let clock = Clock::start();
    let deadline = clock.now() + patience;
    connection.progress_handler(STEPS, Some(move || clock.now() >= deadline))?;
    let mut statement = connection.prepare(query)?;
    let found = statement.column_count();
    if found != wanted {
        return Err(ReadError::Columns { found, wanted });
    }
    let mut rows = statement.query([])?;
    match rows.next()? {
        Some(row) => (0..wanted).map(|at| Ok(value(row.get_ref(at)?))).collect(),
        None => Ok(vec![Value::Null; wanted]),
    }
}

fn value(found: ValueRef<'_>) -> Value {
    match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(int) => Value::Int(int),
        ValueRef::Real(number) => Value::float(number),
        ValueRef::Text(text) => Value::text(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => Value::bytes(bytes),
    }
}
