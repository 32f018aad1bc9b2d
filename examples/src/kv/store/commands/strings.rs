//! GET, SET and their kin.

use super::{Call, expiry};
use crate::kv::store::entry::Deadline;
use crate::kv::store::fault::Fault;
use crate::kv::store::keyspace::Keyspace;
use crate::kv::store::reply;
use crate::kv::store::value::{Blob, Value};
use bytes::Bytes;

/// The longest string APPEND makes, in bytes. (SET is bounded by the request's size.)
const MAX_STRING_BYTES: usize = 64 * 1024 * 1024;

pub(crate) fn get(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    Ok(reply::bulk_or_nil(keyspace.string(call.key(), call.at)?.map(|string| &**string)))
}

pub(crate) fn strlen(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    Ok(reply::count(keyspace.string(call.key(), call.at)?.map_or(0, |string| string.len())))
}

/// A key of another type is nil, not an error.
pub(crate) fn mget(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let keys = &call.args[1..];
    let replies =
        keys.iter().fold(reply::Array::new(keys.len()), |array, key| match keyspace.string(key, call.at) {
            Ok(Some(string)) => array.bulk(string),
            Ok(None) | Err(_) => array.nil(),
        });
    Ok(replies.finish())
}

pub(crate) fn mset(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    for [key, value] in call.pairs(1)? {
        keyspace.put(key, string(value), Deadline::NEVER);
    }
    Ok(reply::ok())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Absent,
    Present,
}

/// What SET was asked for besides the key and the value.
#[derive(Debug, Default)]
struct SetOptions {
    condition: Option<Condition>,
    /// `None` without an option about it.
    deadline: Option<Deadline>,
    keep_deadline: bool,
    get: bool,
}

impl SetOptions {
    fn parse(call: &Call<'_>) -> Result<Self, Fault> {
        let mut options = Self::default();
        let mut rest = &call.args[3..];
        while let [option, after @ ..] = rest {
            rest = after;
            let has_deadline = options.deadline.is_some() || options.keep_deadline;
            match option.to_ascii_uppercase().as_slice() {
                b"NX" if options.condition.is_none() => options.condition = Some(Condition::Absent),
                b"XX" if options.condition.is_none() => options.condition = Some(Condition::Present),
                b"GET" => options.get = true,
                b"KEEPTTL" if options.deadline.is_none() => options.keep_deadline = true,
                unit @ (b"EX" | b"PX" | b"EXAT" | b"PXAT") if !has_deadline => {
                    let [time, after @ ..] = rest else { return Err(Fault::Syntax) };
                    rest = after;
                    let seconds = unit.starts_with(b"EX");
                    let relative = unit.len() == 2;
                    options.deadline = Some(expiry::deadline(call, time, seconds, relative)?);
                }
                _ => return Err(Fault::Syntax),
            }
        }
        Ok(options)
    }
}

pub(crate) fn set(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    if call.args.len() == 3 {
        keyspace.put(call.key(), string(call.args[2]), Deadline::NEVER);
        return Ok(reply::ok());
    }
    let options = SetOptions::parse(call)?;
    let old = keyspace.find(call.key(), call.at);
    let answer = match old.filter(|_| options.get).map(|entry| &entry.value) {
        None => reply::nil(),
        Some(Value::String(string)) => reply::bulk(string),
        Some(_) => return Err(Fault::WrongType),
    };
    let wanted = match options.condition {
        None => true,
        Some(Condition::Absent) => old.is_none(),
        Some(Condition::Present) => old.is_some(),
    };
    if !wanted {
        return Ok(answer);
    }
    let kept = old.filter(|_| options.keep_deadline).map(|entry| entry.deadline);
    let deadline = options.deadline.or(kept).unwrap_or(Deadline::NEVER);
    keyspace.put(call.key(), string(call.args[2]), deadline);
    Ok(if options.get { answer } else { reply::ok() })
}

pub(crate) fn setnx(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    if keyspace.find(call.key(), call.at).is_some() {
        return Ok(reply::integer(0));
    }
    keyspace.put(call.key(), string(call.args[2]), Deadline::NEVER);
    Ok(reply::integer(1))
}

pub(crate) fn setex(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let deadline = expiry::deadline(call, call.args[2], true, true)?;
    keyspace.put(call.key(), string(call.args[3]), deadline);
    Ok(reply::ok())
}

pub(crate) fn psetex(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let deadline = expiry::deadline(call, call.args[2], false, true)?;
    keyspace.put(call.key(), string(call.args[3]), deadline);
    Ok(reply::ok())
}

pub(crate) fn getset(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let old = get(keyspace, call)?;
    keyspace.put(call.key(), string(call.args[2]), Deadline::NEVER);
    Ok(old)
}

pub(crate) fn getdel(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let old = get(keyspace, call)?;
    keyspace.take(call.key(), call.at);
    Ok(old)
}

/// Copies the string: many appends to a long one are better put as a list.
pub(crate) fn append(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let old = keyspace.string(call.key(), call.at)?.cloned().unwrap_or_default();
    let length = old.len() + call.args[2].len();
    if length > MAX_STRING_BYTES {
        return Err(Fault::StringTooLong);
    }
    let joined = [&old, call.args[2]].concat();
    replace(keyspace, call, string(&joined));
    Ok(reply::count(length))
}

/// Sets the call's key and leaves its deadline as it is.
pub(super) fn replace(keyspace: &mut Keyspace, call: &Call<'_>, value: Value) {
    let deadline = keyspace.find(call.key(), call.at).map_or(Deadline::NEVER, |entry| entry.deadline);
    keyspace.put(call.key(), value, deadline);
}

pub(super) fn string(bytes: &[u8]) -> Value {
    Value::String(Blob::from(bytes))
}
