//! Keys of any type.

use super::Call;
use crate::kv::store::fault::Fault;
use crate::kv::store::keyspace::Keyspace;
use crate::kv::store::reply;
use bytes::Bytes;

pub(crate) fn del(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let removed = call.args[1..].iter().filter(|key| keyspace.take(key, call.at).is_some()).count();
    Ok(reply::count(removed))
}

/// A key named twice counts twice.
pub(crate) fn exists(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let there = call.args[1..].iter().filter(|key| keyspace.find(key, call.at).is_some()).count();
    Ok(reply::count(there))
}

pub(crate) fn type_of(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let entry = keyspace.find(call.key(), call.at);
    Ok(reply::simple(entry.map_or("none", |entry| entry.value.type_name())))
}

/// Counts keys that expired but were not swept yet, as Redis does.
pub(crate) fn dbsize(keyspace: &Keyspace, _: &Call<'_>) -> Result<Bytes, Fault> {
    Ok(reply::count(keyspace.len()))
}

pub(crate) fn flush(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let plain = match &call.args[1..] {
        [] => true,
        [how] => how.eq_ignore_ascii_case(b"ASYNC") || how.eq_ignore_ascii_case(b"SYNC"),
        _ => false,
    };
    if !plain {
        return Err(Fault::Syntax);
    }
    keyspace.clear();
    Ok(reply::ok())
}
