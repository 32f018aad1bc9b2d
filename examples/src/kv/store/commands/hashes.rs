//! Hashes. Fields are listed in byte order.

use super::Call;
use crate::kv::store::fault::Fault;
use crate::kv::store::keyspace::Keyspace;
use crate::kv::store::reply;
use crate::kv::store::value::{Blob, Hash};
use bytes::Bytes;

fn hash<'k>(keyspace: &'k Keyspace, call: &Call<'_>) -> Result<Option<&'k Hash>, Fault> {
    keyspace.collection(call.key(), call.at)
}

pub(crate) fn hset(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let pairs = call.pairs(2)?;
    let added = keyspace.change_or_create(call.key(), call.at, |hash: &mut Hash| {
        pairs.iter().filter(|[field, value]| hash.insert(field, Blob::from(*value)).is_none()).count()
    })?;
    Ok(reply::count(added))
}

pub(crate) fn hget(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let value = hash(keyspace, call)?.and_then(|hash| hash.get(call.args[2]));
    Ok(reply::bulk_or_nil(value.map(|value| &**value)))
}

pub(crate) fn hmget(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let hash = hash(keyspace, call)?;
    let fields = &call.args[2..];
    let replies = fields.iter().fold(reply::Array::new(fields.len()), |array, field| {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => array.bulk(value),
            None => array.nil(),
        }
    });
    Ok(replies.finish())
}

pub(crate) fn hdel(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let removed = keyspace.change(call.key(), call.at, |hash: &mut Hash| {
        call.args[2..].iter().filter(|field| hash.remove(field).is_some()).count()
    })?;
    Ok(reply::count(removed.unwrap_or(0)))
}

pub(crate) fn hgetall(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let Some(hash) = hash(keyspace, call)? else { return Ok(reply::Array::new(0).finish()) };
    let array = reply::Array::new(hash.len() * 2);
    Ok(hash.iter().fold(array, |array, (field, value)| array.bulk(field).bulk(value)).finish())
}

pub(crate) fn hkeys(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let Some(hash) = hash(keyspace, call)? else { return Ok(reply::Array::new(0).finish()) };
    let array = reply::Array::new(hash.len());
    Ok(hash.iter().fold(array, |array, (field, _)| array.bulk(field)).finish())
}

pub(crate) fn hvals(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let Some(hash) = hash(keyspace, call)? else { return Ok(reply::Array::new(0).finish()) };
    let array = reply::Array::new(hash.len());
    Ok(hash.iter().fold(array, |array, (_, value)| array.bulk(value)).finish())
}

pub(crate) fn hlen(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    Ok(reply::count(hash(keyspace, call)?.map_or(0, Hash::len)))
}

pub(crate) fn hexists(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let there = hash(keyspace, call)?.is_some_and(|hash| hash.get(call.args[2]).is_some());
    Ok(reply::integer(i64::from(there)))
}
