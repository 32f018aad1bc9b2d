//! How values compare.
//!
//! Two orders, of which the second refines the first:
//! - [`by_value`]: what SQL sees. Nothing known < numbers < text < bytes < lists; an integer and a float compare by what they
//!   stand for, exactly, so that 1 and 1.0 are the same.
//! - [`Ord`] of [`Value`]: the same, and where the first sees no difference, an integer before a float. Values that are
//!   equal in it are the same bits, so whatever is sorted by it is in one order only, on every machine.

use std::cmp::Ordering;

use crate::value::Value;

/// The place of the kind of a value among the kinds.
fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Int(_) | Value::Float(_) => 1,
        Value::Text(_) => 2,
        Value::Bytes(_) => 3,
        Value::List(_) => 4,
    }
}

/// 2^63, the first float above every `i64`.
const ABOVE_INTS: f64 = 9_223_372_036_854_775_808.0;

/// An integer against a float, without rounding either: above 2^53, `int as f64` would make neighbours equal.
fn int_with_float(int: i64, float: f64) -> Ordering {
    if float.is_nan() || float < -ABOVE_INTS {
        return Ordering::Greater; // NaN does not arise; if it did, it would be below every number.
    }
    if float >= ABOVE_INTS {
        return Ordering::Less;
    }
    // Exact: what is cut off is a fraction, and what is left is a float with the same digits.
    let whole = float as i64;
    int.cmp(&whole).then_with(|| 0.0f64.partial_cmp(&(float - whole as f64)).unwrap_or(Ordering::Equal))
}

/// Two floats by value.
fn floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Compares as SQL does: an integer and a float that stand for the same number are equal.
#[inline]
pub fn by_value(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => floats(*a, *b),
        _ => of_kinds(a, b),
    }
}

/// The same for all kinds.
fn of_kinds(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => floats(*a, *b),
        (Value::Int(a), Value::Float(b)) => int_with_float(*a, *b),
        (Value::Float(a), Value::Int(b)) => int_with_float(*b, *a).reverse(),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => a
            .iter()
            .zip(b.iter())
            .map(|(a, b)| by_value(a, b))
            .find(|o| o.is_ne())
            .unwrap_or(a.len().cmp(&b.len())),
        _ => kind(a).cmp(&kind(b)),
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Int(a), Value::Float(b)) => int_with_float(*a, *b).then(Ordering::Less),
            (Value::Float(a), Value::Int(b)) => int_with_float(*b, *a).reverse().then(Ordering::Greater),
            (Value::List(a), Value::List(b)) => a.cmp(b),
            _ => by_value(self, other),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

/// Values that SQL takes as one when it groups and removes duplicates: compared [`by_value`].
#[derive(Debug, Clone)]
pub struct Key(pub Box<[Value]>);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let pairs = self.0.iter().zip(other.0.iter());
        pairs.map(|(a, b)| by_value(a, b)).find(|o| o.is_ne()).unwrap_or(self.0.len().cmp(&other.0.len()))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = Value> {
        let ints = prop_oneof![any::<i64>(), (-3i64..3), Just(i64::MAX), Just(i64::MIN), Just((1 << 53) + 1)];
        let floats = prop_oneof![
            any::<f64>(),
            Just(ABOVE_INTS),
            Just(-ABOVE_INTS),
            Just(9_007_199_254_740_992.0),
            Just(1.0)
        ];
        prop_oneof![ints.prop_map(Value::Int), floats.prop_map(Value::float)]
    }

    #[test]
    fn kinds_are_in_sqlites_order() {
        let sorted = [Value::Null, Value::Int(9), Value::text(""), Value::bytes([]), Value::list([])];
        assert!(sorted.is_sorted_by(|a, b| by_value(a, b).is_lt()));
    }

    #[test]
    fn a_cast_would_see_no_difference_where_there_is_one() {
        let (int, float) = (Value::Int((1 << 53) + 1), Value::float(9_007_199_254_740_992.0));
        assert!(by_value(&int, &float).is_gt());
        assert!(by_value(&Value::Int(i64::MAX), &Value::float(ABOVE_INTS)).is_lt());
        assert!(by_value(&Value::Int(i64::MIN), &Value::float(-ABOVE_INTS)).is_eq());
        assert!(Value::Int(1) < Value::float(1.0), "the finer order tells them apart");
    }

    proptest! {
        #[test]
        fn the_order_is_total(mut values in prop::collection::vec(number(), 3)) {
            values.sort();
            prop_assert!(values[0] <= values[1] && values[1] <= values[2] && values[0] <= values[2]);
            prop_assert!(by_value(&values[0], &values[2]).is_le());
            prop_assert_eq!(values[0].cmp(&values[2]), values[2].cmp(&values[0]).reverse());
        }
    }
}
