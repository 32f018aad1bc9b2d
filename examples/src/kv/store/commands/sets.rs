//! Sets. Members are listed in byte order.

use super::Call;
use crate::kv::store::fault::Fault;
use crate::kv::store::keyspace::Keyspace;
use crate::kv::store::reply;
use crate::kv::store::value::Set;
use bytes::Bytes;

fn set<'k>(keyspace: &'k Keyspace, call: &Call<'_>) -> Result<Option<&'k Set>, Fault> {
    keyspace.collection(call.key(), call.at)
}

pub(crate) fn sadd(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let added = keyspace.change_or_create(call.key(), call.at, |set: &mut Set| {
        call.args[2..].iter().filter(|member| set.insert(member, ()).is_none()).count()
    })?;
    Ok(reply::count(added))
}

pub(crate) fn srem(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let removed = keyspace.change(call.key(), call.at, |set: &mut Set| {
        call.args[2..].iter().filter(|member| set.remove(member).is_some()).count()
    })?;
    Ok(reply::count(removed.unwrap_or(0)))
}

pub(crate) fn smembers(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let Some(set) = set(keyspace, call)? else { return Ok(reply::Array::new(0).finish()) };
    let array = reply::Array::new(set.len());
    Ok(set.iter().fold(array, |array, (member, ())| array.bulk(member)).finish())
}

pub(crate) fn sismember(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let there = set(keyspace, call)?.is_some_and(|set| set.get(call.args[2]).is_some());
    Ok(reply::integer(i64::from(there)))
}

pub(crate) fn scard(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    Ok(reply::count(set(keyspace, call)?.map_or(0, Set::len)))
}
