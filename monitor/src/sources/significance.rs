//! Which changes of an attribute are worth telling everybody.
//!
//! ```text
//!   noticeable (both thresholds are reached), or not a number ──► reported, at the earliest `pause` after the last report
//!   any other change                                          ──► reported `refresh` after the last report
//! ```
//! Values are rounded first: what only the last digits show is no change at all.

use std::time::Duration;

use gcs::time::Time;

use crate::value::Value;

/// When a changed value is reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Significance {
    /// By so much, in the unit of the attribute, a number has to differ from what was reported.
    pub absolute: f64,
    /// And by such a share of what was reported.
    pub relative: f64,
    /// Digits of numbers that are not integers, from the first that is not zero; 1 to 17.
    pub digits: u8,
    /// After so long a smaller change is reported, too.
    pub refresh: Duration,
    /// Two reports are at least so far apart.
    pub pause: Duration,
}

impl Default for Significance {
    /// A change by 1 %, at once; smaller ones after a minute; reports are a second apart; four digits.
    fn default() -> Self {
        Self {
            absolute: 0.0,
            relative: 0.01,
            digits: 4,
            refresh: Duration::from_secs(60),
            pause: Duration::from_secs(1),
        }
    }
}

impl Significance {
    /// The value with no more digits than are to be told.
    pub fn round(&self, value: Value) -> Value {
        match value {
            Value::Float(number) => Value::float(rounded(number, self.digits)),
            Value::List(values) => Value::list(values.iter().cloned().map(|v| self.round(v))),
            other => other,
        }
    }

    /// When `value` is to be reported, after `reported` was reported at `at`; `None` if it is the same.
    pub fn due(&self, reported: &Value, at: Time, value: &Value) -> Option<Time> {
        if reported == value {
            return None;
        }
        Some(at + if self.is_noticeable(reported, value) { self.pause } else { self.refresh.max(self.pause) })
    }

    fn is_noticeable(&self, reported: &Value, value: &Value) -> bool {
        let (Some(before), Some(now)) = (reported.as_f64(), value.as_f64()) else { return true };
        // An infinite difference, or one that is not a number, is a noticeable one.
        let difference = (now - before).abs();
        !(difference < self.absolute || difference < self.relative * before.abs()) || difference.is_infinite()
    }
}

/// The nearest number with so many digits.
fn rounded(number: f64, digits: u8) -> f64 {
    let digits = usize::from(digits.clamp(1, 17)) - 1;
    format!("{number:.digits$e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: Time = Time(5_000_000_000);

    fn cpu() -> Significance {
        Significance { absolute: 5.0, relative: 0.1, digits: 3, ..Significance::default() }
    }

    fn wait(of: &Significance, reported: impl Into<Value>, value: impl Into<Value>) -> Option<u64> {
        of.due(&reported.into(), AT, &value.into()).map(|due| due.since(AT).as_secs())
    }

    #[test]
    fn what_is_noticeable_is_reported_soon_and_the_rest_later() {
        assert_eq!(wait(&cpu(), 20.0, 20.0), None);
        assert_eq!(wait(&cpu(), 20.0, 24.9), Some(60));
        assert_eq!(wait(&cpu(), 20.0, 25.0), Some(1));
        assert_eq!(wait(&cpu(), 20.0, 15.0), Some(1));
        assert_eq!(wait(&cpu(), 80.0, 86.0), Some(60), "5 points, but not 10 %");
        assert_eq!(wait(&cpu(), 80.0, 88.0), Some(1));
        assert_eq!(wait(&cpu(), -80.0, -86.0), Some(60), "a share of the size, whatever the sign");
    }

    #[test]
    fn integers_and_numbers_are_numbers_and_the_rest_changes_altogether() {
        let exact = Significance { relative: 0.0, ..Significance::default() };
        assert_eq!(wait(&exact, 1_000_000i64, 1_000_001i64), Some(1));
        assert_eq!(wait(&Significance::default(), 1_000_000i64, 1_000_001i64), Some(60));
        assert_eq!(wait(&Significance::default(), 0i64, 1i64), Some(1));
        assert_eq!(wait(&cpu(), "6.1", "6.2"), Some(1));
        assert_eq!(wait(&cpu(), 20.0, Value::Null), Some(1), "absence is news");
        assert_eq!(wait(&cpu(), Value::Null, 20.0), Some(1));
        assert_eq!(wait(&cpu(), 20.0, f64::INFINITY), Some(1));
        assert_eq!(wait(&cpu(), f64::INFINITY, 20.0), Some(1));
    }

    #[test]
    fn digits_beyond_those_that_count_are_no_change() {
        assert_eq!(cpu().round(Value::float(12.3449)), Value::float(12.3));
        assert_eq!(cpu().round(Value::float(-0.000_123_456)), Value::float(-0.000_123));
        assert_eq!(cpu().round(Value::Int(123_456)), Value::Int(123_456));
        assert_eq!(cpu().round(Value::list([Value::float(1.2345)])), Value::list([Value::float(1.23)]));
        assert_eq!(cpu().round(Value::float(f64::INFINITY)), Value::float(f64::INFINITY));
    }

    proptest! {
        #[test]
        fn rounding_twice_is_rounding_once_and_changes_little(number in any::<f64>(), digits in 0..30u8) {
            let once = rounded(number, digits);
            prop_assert!(once.is_nan() == number.is_nan());
            if !once.is_nan() {
                prop_assert_eq!(rounded(once, digits), once);
                let wrong = ((once - number) / number).abs();
                prop_assert!(number == 0.0 || !number.is_normal() || once == number || wrong <= 0.51 || once.is_infinite());
            }
        }

        #[test]
        fn reports_are_a_pause_apart(before in any::<f64>(), now in any::<f64>()) {
            let (before, now) = (Value::float(before), Value::float(now));
            match cpu().due(&before, AT, &now) {
                Some(due) => prop_assert!(due >= AT + cpu().pause && due <= AT + cpu().refresh),
                None => prop_assert_eq!(before, now),
            }
        }
    }
}
