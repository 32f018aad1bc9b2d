//! The names of a row's attributes, shared by all rows that have the same.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The names of a row's attributes: sorted, each once.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Schema {
    names: Box<[Arc<str>]>,
}

impl Schema {
    /// The schema of these names, in whatever order and however often they are given.
    pub fn new<N: Into<Arc<str>>>(names: impl IntoIterator<Item = N>) -> Arc<Self> {
        let names: BTreeSet<Arc<str>> = names.into_iter().map(Into::into).collect();
        Arc::new(Self { names: names.into_iter().collect() })
    }

    /// The names, sorted by their bytes.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Where the value of `name` is in a row, in O(log n).
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|n| n.as_ref().cmp(name)).ok()
    }
}

/// Schemas that were seen, so that rows with the same names share them.
///
/// Bounded: when it is full, schemas that no row uses are forgotten, and if all are in use, new ones are not shared.
#[derive(Debug)]
pub struct Schemas {
    seen: BTreeSet<Arc<Schema>>,
    capacity: usize,
}

impl Default for Schemas {
    fn default() -> Self {
        Self::with_capacity(1024)
    }
}

impl Schemas {
    /// Remembers at most `capacity` schemas.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { seen: BTreeSet::new(), capacity }
    }

    /// The one schema equal to this one.
    pub fn intern(&mut self, schema: Arc<Schema>) -> Arc<Schema> {
        if let Some(known) = self.seen.get(&schema) {
            return known.clone();
        }
        if self.seen.len() >= self.capacity {
            self.seen.retain(|known| Arc::strong_count(known) > 1);
        }
        if self.seen.len() < self.capacity {
            self.seen.insert(schema.clone());
        }
        schema
    }

    /// How many schemas are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_the_same_names_share_a_schema() {
        let mut schemas = Schemas::default();
        let first = schemas.intern(Schema::new(["b", "a", "b"]));
        let second = schemas.intern(Schema::new(["a", "b"]));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(first.position("b"), Some(1));
        assert_eq!(first.position("c"), None);
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let mut schemas = Schemas::with_capacity(2);
        let kept = schemas.intern(Schema::new(["kept"]));
        for n in 0..100 {
            schemas.intern(Schema::new([format!("a{n}")]));
        }
        assert!(schemas.len() <= 2);
        assert!(Arc::ptr_eq(&kept, &schemas.intern(Schema::new(["kept"]))));
    }
}
