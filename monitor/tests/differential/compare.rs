//! When two answers are the same.

use gcs_monitor::value::Value;

use crate::queries::Generated;

/// Whether both say the same; otherwise what they say.
pub(crate) fn rows(ours: &[Box<[Value]>], theirs: &[Vec<Value>], query: &Generated) -> Result<(), String> {
    let same = ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(ours, theirs)| {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| equal(a, b, query.strict))
        });
    if same { Ok(()) } else { Err(format!("ours:   {ours:?}\ntheirs: {theirs:?}")) }
}

fn equal(a: &Value, b: &Value, strict: bool) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => near(*a, *b),
        (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => !strict && near(*a as f64, *b),
        _ => a == b,
    }
}

/// Sums of floats depend on the order of their addends in the last bits, and SQLite takes rows as they come.
fn near(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}
