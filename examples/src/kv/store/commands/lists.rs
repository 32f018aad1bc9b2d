//! Lists.

use super::{Call, integer};
use crate::kv::store::fault::Fault;
use crate::kv::store::keyspace::Keyspace;
use crate::kv::store::list::{End, List};
use crate::kv::store::reply;
use bytes::Bytes;

fn list<'k>(keyspace: &'k Keyspace, call: &Call<'_>) -> Result<Option<&'k List>, Fault> {
    keyspace.collection(call.key(), call.at)
}

pub(crate) fn lpush(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    push(keyspace, call, End::Left)
}

pub(crate) fn rpush(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    push(keyspace, call, End::Right)
}

fn push(keyspace: &mut Keyspace, call: &Call<'_>, end: End) -> Result<Bytes, Fault> {
    let length = keyspace.change_or_create(call.key(), call.at, |list: &mut List| {
        call.args[2..].iter().for_each(|element| list.push(end, element));
        list.len()
    })?;
    Ok(reply::count(length))
}

pub(crate) fn lpop(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    pop(keyspace, call, End::Left)
}

pub(crate) fn rpop(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    pop(keyspace, call, End::Right)
}

/// One element, or with a count an array of up to that many.
fn pop(keyspace: &mut Keyspace, call: &Call<'_>, end: End) -> Result<Bytes, Fault> {
    let Some(count) = call.args.get(2) else {
        let element = keyspace.change(call.key(), call.at, |list: &mut List| list.pop(end))?;
        return Ok(reply::bulk_or_nil(element.flatten().as_deref()));
    };
    if call.args.len() > 3 {
        return Err(Fault::Arguments(call.name));
    }
    let count =
        integer(count).ok().and_then(|count| usize::try_from(count).ok()).ok_or(Fault::NotPositive)?;
    let Some(length) = list(keyspace, call)?.map(List::len) else { return Ok(reply::nil_array()) };
    let count = count.min(length);
    if count == 0 {
        return Ok(reply::Array::new(0).finish());
    }
    let popped = keyspace.change(call.key(), call.at, |list: &mut List| {
        let array = reply::Array::new(count);
        (0..count).filter_map(|_| list.pop(end)).fold(array, |array, element| array.bulk(&element)).finish()
    })?;
    Ok(popped.unwrap_or_else(reply::nil_array))
}

pub(crate) fn lrange(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let (start, stop) = (integer(call.args[2])?, integer(call.args[3])?);
    let Some(list) = list(keyspace, call)? else { return Ok(reply::Array::new(0).finish()) };
    let start = place(start, list.len()).max(0);
    let stop = place(stop, list.len()).min(list.len() as i64 - 1);
    let count = usize::try_from(stop - start + 1).unwrap_or(0);
    let elements = list.range(start as usize, count);
    Ok(elements.fold(reply::Array::new(count), |array, element| array.bulk(element)).finish())
}

pub(crate) fn lindex(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let index = integer(call.args[2])?;
    let Some(list) = list(keyspace, call)? else { return Ok(reply::nil()) };
    let element =
        usize::try_from(place(index, list.len())).ok().and_then(|place| list.range(place, 1).next());
    Ok(reply::bulk_or_nil(element.map(|element| &**element)))
}

pub(crate) fn llen(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    Ok(reply::count(list(keyspace, call)?.map_or(0, List::len)))
}

/// An index counted from the left; below 0 if it is before the first element.
fn place(index: i64, length: usize) -> i64 {
    let length = length as i64;
    if index < 0 { index.saturating_add(length) } else { index.min(length) }
}
