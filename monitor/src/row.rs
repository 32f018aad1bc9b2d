//! One row of a zone's table.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::schema::Schema;
use crate::value::Value;

/// The attribute that says which child a row is about; rows are put in its order first.
pub const ID: &str = "id";

/// The attributes of one child. Cloning one copies two pointers.
#[derive(Debug, Clone)]
pub struct Row {
    schema: Arc<Schema>,
    /// As many as the schema has names, in its order.
    values: Arc<[Value]>,
}

impl Row {
    /// A row of these attributes; of a name that is given twice, the last value counts.
    ///
    /// ```
    /// use gcs_monitor::{row::Row, value::Value};
    /// let row = Row::new([("load", Value::float(0.5)), ("id", "host12".into())]);
    /// assert_eq!(row.get("load"), &Value::float(0.5));
    /// assert_eq!(row.get("unknown"), &Value::Null);
    /// ```
    pub fn new<N: Into<Arc<str>>>(attributes: impl IntoIterator<Item = (N, Value)>) -> Self {
        let attributes: std::collections::BTreeMap<Arc<str>, Value> =
            attributes.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let schema = Schema::new(attributes.keys().cloned());
        Self { schema, values: attributes.into_values().map(Value::normalised).collect() }
    }

    /// A row of a known schema. `None` unless there is a value for each of its names.
    pub fn with_schema(schema: Arc<Schema>, values: impl IntoIterator<Item = Value>) -> Option<Self> {
        let values: Arc<[Value]> = values.into_iter().map(Value::normalised).collect();
        (values.len() == schema.names().len()).then_some(Self { schema, values })
    }

    /// The names of its attributes.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The values, in the order of the schema's names.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The value of an attribute: `Null` if the row has none of this name.
    pub fn get(&self, name: &str) -> &Value {
        self.schema.position(name).map_or(&Value::Null, |at| &self.values[at])
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.schema.names().iter().map(AsRef::as_ref).zip(self.values.iter())
    }

    /// The same row with one attribute set.
    pub fn set(&self, name: &str, value: Value) -> Self {
        let others = self.iter().map(|(name, value)| (Arc::from(name), value.clone()));
        Self::new(others.chain([(Arc::from(name), value)]))
    }

    /// The same values under an equal schema that others use, too.
    pub(crate) fn share(self, schema: Arc<Schema>) -> Self {
        debug_assert_eq!(self.schema, schema);
        Self { schema, values: self.values }
    }

    /// The order of rows in a table: by `id`, then by all names and values. Rows that are equal in it are the same bits, so
    /// that a sorted table is one table, in whatever order its rows arrived.
    pub fn cmp_by_id(&self, other: &Self) -> Ordering {
        self.get(ID).cmp(other.get(ID)).then_with(|| self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.schema, &other.schema) {
            self.values.cmp(&other.values)
        } else {
            self.schema.cmp(&other.schema).then_with(|| self.values.cmp(&other.values))
        }
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Row {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_attributes_does_not_matter() {
        let a = Row::new([("x", Value::Int(1)), ("y", Value::Int(2))]);
        let b = Row::new([("y", Value::Int(2)), ("x", Value::Int(0)), ("x", Value::Int(1))]);
        assert_eq!(a, b);
        assert_eq!(a.set("x", Value::Null).get("x"), &Value::Null);
        assert_eq!(a.get("x"), &Value::Int(1));
    }

    #[test]
    fn rows_are_sorted_by_id_first() {
        let a = Row::new([("id", Value::Int(1)), ("a", Value::Int(9))]);
        let b = Row::new([("id", Value::Int(2)), ("a", Value::Int(0))]);
        assert!(a.cmp_by_id(&b).is_lt());
        assert!(a > b);
    }
}
