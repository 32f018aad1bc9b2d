//! Aggregates that keep some of the values: the first, some drawn by lot, the largest.
//!
//! All of them keep different values only, and all merge: what they keep of what they kept of the parts is what they would have
//! kept of the whole.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::EvalError;
use super::Run;
use crate::order::{Key, by_value};
use crate::sketch::hash::hash;
use crate::value::Value;

fn key(value: &Value) -> Key {
    Key([value.clone()].into())
}

/// FIRST(n, x): the first different values, in the order of rows and of the lists in them.
pub(super) fn first(run: &Run<'_, '_>) -> Result<Value, EvalError> {
    let keep = run.call.keep;
    let mut kept: Vec<Value> = Vec::new();
    // Few are kept, mostly three; up to so many, looking at all is faster than keeping them in order, too.
    const FEW: usize = 8;
    let mut seen = BTreeSet::new();
    run.each_scalar(|value| {
        if kept.len() == keep {
            return;
        }
        let new = if keep <= FEW {
            !kept.iter().any(|other| by_value(other, value).is_eq())
        } else {
            seen.insert(key(value))
        };
        if new {
            kept.push(value.clone());
        }
    })?;
    Ok(if kept.is_empty() { Value::Null } else { Value::List(kept.into()) })
}

/// RANDOM(n, x): the values with the smallest hashes. With the same seed on all levels, what comes out at the top is a fair draw from
/// all different values below, however many rows and levels they came through.
pub(super) fn random(run: &Run<'_, '_>) -> Result<Value, EvalError> {
    let mut kept: BTreeMap<(u64, Key), Value> = BTreeMap::new();
    run.each_scalar(|value| {
        let lot = hash(value, run.eval.context.seed);
        if kept.len() == run.call.keep {
            match kept.last_key_value() {
                Some(((highest, _), _)) if lot > *highest => return,
                _ => {}
            }
        }
        kept.entry((lot, key(value))).or_insert_with(|| value.clone());
        if kept.len() > run.call.keep {
            kept.pop_last();
        }
    })?;
    Ok(if kept.is_empty() { Value::Null } else { Value::List(kept.into_values().collect()) })
}

/// TOP(n, by, x): the values with the largest `by`, as a list `by, x, by, x …`; where `x` is such a list, its entries count, and `by`
/// does not. Equal ones in the order of `x`; of a value that comes twice, its largest `by`.
pub(super) fn top(run: &Run<'_, '_>) -> Result<Value, EvalError> {
    let keep = run.call.keep;
    let mut largest: BTreeMap<Key, (Value, Value)> = BTreeMap::new();
    let mut offer = |by: &Value, value: &Value| {
        if by.is_null() || value.is_null() {
            return;
        }
        let known = largest.entry(key(value)).or_insert_with(|| (by.clone(), value.clone()));
        if known.0 < *by {
            known.0 = by.clone();
        }
        // What so many are larger than comes back only by becoming larger itself, so that it can be forgotten meanwhile.
        if largest.len() > 4 * keep + 64 {
            let kept = top_of(std::mem::take(&mut largest), keep);
            largest.extend(kept.into_iter().map(|(by, value)| (key(&value), (by, value))));
        }
    };
    run.each_frame(|frame| {
        let value = run.eval.eval(&run.call.args[1], frame);
        if value.is_list() {
            run.eval.charge(value.elements().len() as u64);
            for entry in value.elements().chunks_exact(2) {
                offer(&entry[0], &entry[1]);
            }
        } else {
            let by = run.eval.eval(&run.call.args[0], frame);
            if !by.is_list() {
                offer(&by, &value);
            }
        }
    })?;
    let entries = top_of(largest, keep).into_iter().flat_map(|(by, value)| [by, value]);
    let entries: Vec<Value> = entries.collect();
    Ok(if entries.is_empty() { Value::Null } else { Value::List(entries.into()) })
}

/// The entries with the largest first parts.
fn top_of(entries: BTreeMap<Key, (Value, Value)>, keep: usize) -> Vec<(Value, Value)> {
    // The map is in the order of the values, which a stable sort keeps among equals.
    let mut entries: Vec<(Value, Value)> = entries.into_values().collect();
    entries.sort_by(|a, b| by_value(&b.0, &a.0));
    entries.truncate(keep);
    entries
}
