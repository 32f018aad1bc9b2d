//! What an attribute can hold.

use std::sync::Arc;

/// The value of an attribute. Cloning one never copies text, bytes or elements.
///
/// There are no booleans: a condition is `Int(0)`, `Int(1)` or `Null`, as in SQLite. Two values are equal only when they are the
/// same bits ([`crate::order`] says how `Int` and `Float` compare by value).
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Nothing is known.
    #[default]
    Null,
    /// An integer.
    Int(i64),
    /// A number that is neither NaN nor -0.0; use [`Value::float`], which sees to that.
    Float(f64),
    /// UTF-8 text.
    Text(Arc<str>),
    /// Bytes, such as a Bloom filter or a sketch.
    Bytes(Arc<[u8]>),
    /// Scalars, in an order that matters. A list holds no lists; use [`Value::list`], which sees to that.
    List(Arc<[Value]>),
}

impl Value {
    /// A number: NaN becomes `Null` and -0.0 becomes 0.0, because neither has a place in a total order by value.
    pub fn float(number: f64) -> Self {
        if number.is_nan() {
            Self::Null
        } else if number == 0.0 {
            Self::Float(0.0)
        } else {
            Self::Float(number)
        }
    }

    /// Text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Bytes.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// A list of scalars: the elements of lists among `values` take the place of the list they are in.
    pub fn list(values: impl IntoIterator<Item = Value>) -> Self {
        let mut flat = Vec::new();
        for value in values {
            match value {
                Self::List(inner) => flat.extend(inner.iter().filter(|v| !v.is_list()).cloned()),
                scalar => flat.push(scalar),
            }
        }
        Self::List(flat.into())
    }

    /// A condition: 1 or 0.
    pub fn truth(holds: bool) -> Self {
        Self::Int(i64::from(holds))
    }

    /// Whether nothing is known.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this is a list.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The number, if it is one, as the nearest `f64`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// The elements of a list; none for a scalar.
    pub fn elements(&self) -> &[Value] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }

    /// The same value in the one form that the crate promises to hold (see [`Value::float`] and [`Value::list`]).
    pub fn normalised(self) -> Self {
        match self {
            Self::Float(float) => Self::float(float),
            Self::List(values) if values.iter().any(|v| matches!(v, Self::List(_) | Self::Float(_))) => {
                Self::list(values.iter().cloned().map(Self::normalised))
            }
            other => other,
        }
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        Self::float(float)
    }
}

impl From<bool> for Value {
    fn from(holds: bool) -> Self {
        Self::truth(holds)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_place_in_the_order_do_not_arise() {
        assert_eq!(Value::float(f64::NAN), Value::Null);
        let Value::Float(zero) = Value::float(-0.0) else { panic!("a number") };
        assert!(zero.is_sign_positive());
        let list = Value::List(vec![Value::Float(f64::NAN), Value::Int(1)].into()).normalised();
        assert_eq!(list, Value::list([Value::Null, Value::Int(1)]));
    }

    #[test]
    fn lists_do_not_nest() {
        let inner = Value::list([Value::Int(1), Value::Int(2)]);
        assert_eq!(Value::list([inner, Value::Int(3)]).elements().len(), 3);
    }
}
