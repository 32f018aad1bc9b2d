//! Counters: strings and hash fields that hold an integer.

use super::{Call, integer, strings};
use crate::kv::store::fault::Fault;
use crate::kv::store::keyspace::Keyspace;
use crate::kv::store::reply;
use crate::kv::store::value::{Blob, Hash};
use bytes::Bytes;

pub(crate) fn incr(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    add(keyspace, call, 1)
}

pub(crate) fn decr(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    add(keyspace, call, -1)
}

pub(crate) fn incrby(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    add(keyspace, call, integer(call.args[2])?)
}

pub(crate) fn decrby(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let by = integer(call.args[2])?.checked_neg().ok_or(Fault::DecrementOverflow)?;
    add(keyspace, call, by)
}

fn add(keyspace: &mut Keyspace, call: &Call<'_>, by: i64) -> Result<Bytes, Fault> {
    let old = keyspace.string(call.key(), call.at)?.map_or(Ok(0), |string| integer(string))?;
    let new = old.checked_add(by).ok_or(Fault::Overflow)?;
    strings::replace(keyspace, call, strings::string(new.to_string().as_bytes()));
    Ok(reply::integer(new))
}

pub(crate) fn hincrby(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let by = integer(call.args[3])?;
    let field = call.args[2];
    let hash = keyspace.collection::<Hash>(call.key(), call.at)?;
    let old = match hash.and_then(|hash| hash.get(field)) {
        Some(value) => integer(value).map_err(|_| Fault::HashNotAnInteger)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Fault::Overflow)?;
    let value = Blob::from(new.to_string().as_bytes());
    keyspace.change_or_create(call.key(), call.at, |hash: &mut Hash| hash.insert(field, value))?;
    Ok(reply::integer(new))
}
