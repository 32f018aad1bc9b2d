//! What a key can hold.

use super::list::List;
use super::sorted::Sorted;
use std::sync::Arc;

/// Bytes that a snapshot shares with the living state. Half the size of `Bytes`, and never a slice of something
/// larger that it would keep alive.
pub(crate) type Blob = Arc<[u8]>;
pub(crate) type Hash = Sorted<Blob>;
pub(crate) type Set = Sorted<()>;

/// A value. Cloning shares; the collections copy on write, segment by segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    String(Blob),
    Hash(Arc<Hash>),
    List(Arc<List>),
    Set(Arc<Set>),
}

impl Value {
    /// The name TYPE answers.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Hash(_) => "hash",
            Self::List(_) => "list",
            Self::Set(_) => "set",
        }
    }
}

/// A value type with elements. A key whose collection becomes empty goes away.
pub(crate) trait Collection: Clone + Default {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Arc<Self>>;
    fn wrap(self) -> Value;
    fn len(&self) -> usize;
}

macro_rules! collection {
    ($type:ty, $variant:ident) => {
        impl Collection for $type {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }

            fn of_mut(value: &mut Value) -> Option<&mut Arc<Self>> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }

            fn wrap(self) -> Value {
                Value::$variant(Arc::new(self))
            }

            fn len(&self) -> usize {
                self.len()
            }
        }
    };
}

collection!(Hash, Hash);
collection!(List, List);
collection!(Set, Set);
