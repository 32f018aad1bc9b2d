//! SQLite, asked about generated rows.

use gcs_monitor::row::Row;
use gcs_monitor::value::Value;
use rusqlite::Connection;
use rusqlite::types::{Value as Sqlite, ValueRef};

use crate::tables::COLUMNS;

pub(crate) struct Oracle {
    connection: Connection,
}

/// What it said.
pub(crate) enum Said {
    Rows(Vec<Vec<Value>>),
    /// An integer overflowed somewhere, and there is no answer at all.
    Overflow,
    Error(String),
}

impl Oracle {
    pub(crate) fn new() -> Self {
        let connection = Connection::open_in_memory().expect("memory");
        // Columns without types: nothing is converted when it is stored or compared.
        connection.execute_batch(&format!("CREATE TABLE t ({})", COLUMNS.join(", "))).expect("a table");
        Self { connection }
    }

    pub(crate) fn ask(&self, query: &str, rows: &[Row]) -> Said {
        self.fill(rows);
        match self.read(query) {
            Ok(rows) => Said::Rows(rows),
            Err(e) if e.to_string().contains("integer overflow") => Said::Overflow,
            Err(e) => Said::Error(e.to_string()),
        }
    }

    /// The one text that a query answers with.
    pub(crate) fn text(&self, query: &str) -> String {
        self.connection.query_row(query, [], |row| row.get(0)).expect("a text")
    }

    fn fill(&self, rows: &[Row]) {
        self.connection.execute("DELETE FROM t", []).expect("an empty table");
        let mut insert = self.connection.prepare("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)").expect("columns");
        for row in rows {
            insert.execute(COLUMNS.map(|name| sqlite(row.get(name)))).expect("a row");
        }
    }

    fn read(&self, query: &str) -> rusqlite::Result<Vec<Vec<Value>>> {
        let mut statement = self.connection.prepare(query)?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|n| row.get_ref(n).map(ours)).collect())?;
        rows.collect()
    }
}

fn sqlite(value: &Value) -> Sqlite {
    match value {
        Value::Null | Value::List(_) => Sqlite::Null,
        Value::Int(int) => Sqlite::Integer(*int),
        Value::Float(float) => Sqlite::Real(*float),
        Value::Text(text) => Sqlite::Text(text.to_string()),
        Value::Bytes(bytes) => Sqlite::Blob(bytes.to_vec()),
    }
}

fn ours(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(int) => Value::Int(int),
        ValueRef::Real(float) => Value::float(float),
        ValueRef::Text(text) => Value::text(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => Value::bytes(bytes),
    }
}
