//! Rows as bytes, and back without trusting them.
//!
//! ```text
//! row     = count, count × (name, value), names strictly ascending     (postcard: varint lengths)
//! value   = 0 | 1 int | 2 float | 3 text | 4 bytes | 5 count, count × scalar
//! ```
//! Bounds: [`RowLimits`] for [`Row::decode`], and [`RowLimits::HARD`] for rows inside of other messages, where serde leads.
//! Text and bytes are borrowed from the input until they are known to be there; lists and rows grow with what is read,
//! never to a length that the input claims. A scalar cannot hold a list, so nothing recurses.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::row::Row;
use crate::schema::{Schema, Schemas};
use crate::value::Value;

/// How large a row from elsewhere may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowLimits {
    /// Bytes of the encoded row.
    pub row_bytes: usize,
    /// Attributes of a row.
    pub attributes: usize,
    /// Bytes of an attribute's name.
    pub name_bytes: usize,
    /// Bytes of a text, or of a value of bytes.
    pub value_bytes: usize,
    /// Elements of a list.
    pub elements: usize,
}

impl RowLimits {
    /// What no row exceeds, whoever reads it.
    pub const HARD: Self =
        Self { row_bytes: 1 << 20, attributes: 1024, name_bytes: 255, value_bytes: 1 << 16, elements: 4096 };
}

impl Default for RowLimits {
    /// 8 KiB, 128 attributes with names of up to 64 bytes, values of up to 4 KiB, lists of up to 256 elements.
    fn default() -> Self {
        Self { row_bytes: 8192, attributes: 128, name_bytes: 64, value_bytes: 4096, elements: 256 }
    }
}

/// Why bytes are no row, or a row is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A part of it is larger than agreed.
    #[error(
        "the row's {what} are {found}, and the limit is {limit}; send less, or raise the limit at every reader"
    )]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        found: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The bytes are not what [`Row::encode`] writes.
    #[error("these bytes are not a row; they are damaged, or of another version")]
    Malformed,
}

/// A size that has to be within its limit.
fn within(what: &'static str, found: usize, limit: usize) -> Result<(), RowError> {
    if found > limit { Err(RowError::TooLarge { what, found, limit }) } else { Ok(()) }
}

impl Row {
    /// The row as bytes, always the same for the same row.
    pub fn encode(&self) -> Vec<u8> {
        let bytes = Vec::with_capacity(self.encoded_len());
        // Nothing in a row can fail to be written, and a vector takes whatever comes.
        postcard::to_extend(self, bytes).unwrap_or_default()
    }

    /// How many bytes [`Row::encode`] makes, without making them.
    pub fn encoded_len(&self) -> usize {
        postcard::serialize_with_flavor(self, postcard::ser_flavors::Size::default()).unwrap_or(usize::MAX)
    }

    /// The row that these bytes say, no larger than `limits`; its schema is the shared one of `schemas`.
    pub fn decode(bytes: &[u8], limits: &RowLimits, schemas: &mut Schemas) -> Result<Self, RowError> {
        within("bytes", bytes.len(), limits.row_bytes)?;
        let (row, rest): (Row, _) = postcard::take_from_bytes(bytes).map_err(|_| RowError::Malformed)?;
        if !rest.is_empty() {
            return Err(RowError::Malformed);
        }
        row.check(limits)?;
        let schema = schemas.intern(row.schema().clone());
        Ok(row.share(schema))
    }

    /// Whether the row is within `limits`.
    pub fn check(&self, limits: &RowLimits) -> Result<(), RowError> {
        within("attributes", self.values().len(), limits.attributes)?;
        for (name, value) in self.iter() {
            within("bytes in a name", name.len(), limits.name_bytes)?;
            within("elements in a list", value.elements().len(), limits.elements)?;
            for scalar in value.elements().iter().chain([value]) {
                let bytes = match scalar {
                    Value::Text(text) => text.len(),
                    Value::Bytes(bytes) => bytes.len(),
                    _ => 0,
                };
                within("bytes in a value", bytes, limits.value_bytes)?;
            }
        }
        within("bytes", self.encoded_len(), limits.row_bytes)
    }
}

/// Bytes that serde takes as such and not as a sequence of numbers.
struct Blob<'a>(&'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NAME: &str = "Value";
        match self {
            Value::Null => serializer.serialize_unit_variant(NAME, 0, "Null"),
            Value::Int(int) => serializer.serialize_newtype_variant(NAME, 1, "Int", int),
            Value::Float(float) => serializer.serialize_newtype_variant(NAME, 2, "Float", float),
            Value::Text(text) => serializer.serialize_newtype_variant(NAME, 3, "Text", &**text),
            Value::Bytes(bytes) => serializer.serialize_newtype_variant(NAME, 4, "Bytes", &Blob(bytes)),
            Value::List(values) => serializer.serialize_newtype_variant(NAME, 5, "List", &**values),
        }
    }
}

/// A value that is no list; the numbers of its variants are those of [`Value`].
#[derive(Deserialize)]
enum Scalar<'a> {
    Null,
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// A value as it is on the wire.
#[derive(Deserialize)]
enum Wire<'a> {
    Null,
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    #[serde(borrow)]
    List(Elements<'a>),
}

/// The elements of a list, read one by one.
struct Elements<'a>(Vec<Scalar<'a>>);

impl<'a> From<Scalar<'a>> for Value {
    fn from(scalar: Scalar<'a>) -> Self {
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Int(int) => Value::Int(int),
            Scalar::Float(float) => Value::float(float),
            Scalar::Text(text) => Value::text(text),
            Scalar::Bytes(bytes) => Value::bytes(bytes),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(
            deserializer.deserialize_seq(Bounded {
                limit: RowLimits::HARD.elements,
                item: std::marker::PhantomData,
            })?,
        ))
    }
}

/// Reads a sequence whose claimed length is not believed.
struct Bounded<T> {
    limit: usize,
    item: std::marker::PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a sequence of at most {} items", self.limit)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == self.limit {
                return Err(A::Error::custom("too many items"));
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// Text and bytes are borrowed while they are read, so this needs a format that keeps its input, such as postcard.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Wire::deserialize(deserializer)? {
            Wire::Null => Value::Null,
            Wire::Int(int) => Value::Int(int),
            Wire::Float(float) => Value::float(float),
            Wire::Text(text) => Value::text(text),
            Wire::Bytes(bytes) => Value::bytes(bytes),
            Wire::List(elements) => Value::List(elements.0.into_iter().map(Value::from).collect()),
        })
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.values().len()))?;
        for attribute in self.iter() {
            seq.serialize_element(&attribute)?;
        }
        seq.end()
    }
}

/// Within [`RowLimits::HARD`]; its schema is its own until [`Schemas::intern`] shares it.
impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bounded = Bounded { limit: RowLimits::HARD.attributes, item: std::marker::PhantomData };
        let attributes: Vec<(&str, Value)> = deserializer.deserialize_seq(bounded)?;
        if !attributes.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(D::Error::custom("names out of order"));
        }
        let schema = Schema::new(attributes.iter().map(|(name, _)| Arc::<str>::from(*name)));
        let row = Row::with_schema(schema, attributes.into_iter().map(|(_, value)| value));
        let row = row.ok_or_else(|| D::Error::custom("a value for each name"))?;
        row.check(&RowLimits::HARD).map_err(D::Error::custom)?;
        Ok(row)
    }
}
