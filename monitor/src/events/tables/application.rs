//! [`Application`]: tables that applications on this host fill.
//!
//! * **Bounds**: [`TABLES`] tables, [`ROWS`] rows and [`BYTES`] bytes of each.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::Value as Json;
use thiserror::Error;

use super::SYSTEM;
use crate::{
    codec::{RowError, RowLimits},
    display,
    row::Row,
};

/// Tables of all applications.
pub const TABLES: usize = 16;
/// Rows of a table.
pub const ROWS: usize = 4096;
/// Bytes of a table, as JSON.
pub const BYTES: usize = 1 << 20;
/// Bytes of a name.
const NAME: usize = 48;

/// Why a table is not taken.
#[derive(Debug, Error)]
pub enum Refused {
    /// Its name.
    #[error("`{0}` is no name for a table: 1 to {NAME} small letters, digits and _, a letter first")]
    Name(String),
    /// It is one of the system's.
    #[error("`{0}` is a table of the system: choose another name")]
    Taken(String),
    /// There are too many.
    #[error("applications have {TABLES} tables already: delete one")]
    Full,
    /// It is too long.
    #[error("the table has {0} rows, and the limit is {ROWS}")]
    Rows(usize),
    /// It is no table.
    #[error("a table is a list of objects, such as [{{\"id\": 7, \"state\": \"stuck\"}}]")]
    Shape,
    /// One of the rows.
    #[error(transparent)]
    Row(#[from] RowError),
}

/// Those of an agent.
#[derive(Debug, Default)]
pub struct Application(Mutex<BTreeMap<String, Vec<Row>>>);

impl Application {
    /// Puts a table in the place of what was there.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn put(&self, name: &str, table: &Json) -> Result<usize, Refused> {
        let first = name.bytes().next().is_some_and(|c| c.is_ascii_lowercase());
        let shown = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        if !first || name.len() > NAME || !name.bytes().all(shown) {
            return Err(Refused::Name(name.chars().take(NAME).collect()));
        }
        if SYSTEM.contains(&name) {
            return Err(Refused::Taken(name.to_owned()));
        }
        let table = table.as_array().ok_or(Refused::Shape)?;
        if table.len() > ROWS {
            return Err(Refused::Rows(table.len()));
        }
        let rows = table.iter().map(|row| {
            let row = row.as_object().ok_or(Refused::Shape)?;
            let row = Row::new(row.iter().map(|(name, value)| (name.as_str(), display::from_json(value))));
            row.check(&RowLimits::default())?;
            Ok(row)
        });
        let rows = rows.collect::<Result<Vec<Row>, Refused>>()?;
        let mut tables = self.0.lock();
        if tables.len() >= TABLES && !tables.contains_key(name) {
            return Err(Refused::Full);
        }
        let count = rows.len();
        tables.insert(name.to_owned(), rows);
        Ok(count)
    }

    /// Removes a table. Whether there was one.
    pub fn delete(&self, name: &str) -> bool {
        self.0.lock().remove(name).is_some()
    }

    /// The rows of a table; none if there is no such table.
    #[must_use]
    pub fn rows(&self, name: &str) -> Vec<Row> {
        self.0.lock().get(name).cloned().unwrap_or_default()
    }

    /// The tables that there are, and how many rows each has.
    #[must_use]
    pub fn list(&self) -> Vec<(String, usize)> {
        self.0.lock().iter().map(|(name, rows)| (name.clone(), rows.len())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_are_replaced_and_bounded() {
        let tables = Application::default();
        assert_eq!(tables.put("jobs", &json!([{ "id": 1 }, { "id": 2, "x": [1, "a"] }])).unwrap(), 2);
        assert_eq!(tables.put("jobs", &json!([])).unwrap(), 0);
        assert!(tables.rows("jobs").is_empty() && tables.rows("none").is_empty());
        assert!(matches!(tables.put("log", &json!([])), Err(Refused::Taken(_))));
        for name in ["", "A", "1", "a b", &"a".repeat(49)] {
            assert!(matches!(tables.put(name, &json!([])), Err(Refused::Name(_))), "{name}");
        }
        assert!(matches!(tables.put("a", &json!({})), Err(Refused::Shape)));
        assert!(matches!(tables.put("a", &json!([1])), Err(Refused::Shape)));
        assert!(matches!(tables.put("a", &json!([{ "x": "y".repeat(5000) }])), Err(Refused::Row(_))));
        assert!(matches!(tables.put("a", &json!(vec![json!({}); ROWS + 1])), Err(Refused::Rows(_))));
        (1..TABLES).for_each(|n| assert_eq!(tables.put(&format!("t{n}"), &json!([])).unwrap(), 0));
        assert!(matches!(tables.put("one_more", &json!([])), Err(Refused::Full)));
        assert!(tables.delete("jobs") && !tables.delete("jobs"));
        tables.put("one_more", &json!([])).unwrap();
    }
}
