//! Deadlines, by agreed time.

use super::{Call, integer};
use crate::kv::store::entry::Deadline;
use crate::kv::store::fault::Fault;
use crate::kv::store::keyspace::Keyspace;
use crate::kv::store::reply;
use bytes::Bytes;

/// The deadline that an option of SET and its kin gives: `time` in seconds or milliseconds, from now or since the
/// Unix epoch. It has to be positive.
pub(super) fn deadline(
    call: &Call<'_>,
    time: &[u8],
    seconds: bool,
    relative: bool,
) -> Result<Deadline, Fault> {
    let time = integer(time)?;
    if time <= 0 {
        return Err(Fault::ExpireTime(call.name));
    }
    let ms = absolute(call, time, seconds, relative)?;
    Ok(Deadline::at_ms(ms.unsigned_abs()))
}

/// In milliseconds since the Unix epoch; may be in the past or even negative.
fn absolute(call: &Call<'_>, time: i64, seconds: bool, relative: bool) -> Result<i64, Fault> {
    let now = if relative { i64::try_from(call.at.0).unwrap_or(i64::MAX) } else { 0 };
    let ms = if seconds { time.checked_mul(1000) } else { Some(time) };
    ms.and_then(|ms| ms.checked_add(now)).ok_or(Fault::ExpireTime(call.name))
}

pub(crate) fn expire(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    set_deadline(keyspace, call, true, true)
}

pub(crate) fn pexpire(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    set_deadline(keyspace, call, false, true)
}

pub(crate) fn expireat(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    set_deadline(keyspace, call, true, false)
}

pub(crate) fn pexpireat(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    set_deadline(keyspace, call, false, false)
}

/// When EXPIRE is to go ahead.
#[derive(Debug, Default)]
struct Conditions {
    without: bool,
    with: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    fn parse(options: &[&[u8]]) -> Result<Self, Fault> {
        let mut conditions = Self::default();
        for option in options {
            match option.to_ascii_uppercase().as_slice() {
                b"NX" => conditions.without = true,
                b"XX" => conditions.with = true,
                b"GT" => conditions.later = true,
                b"LT" => conditions.earlier = true,
                _ => {
                    let shown = &option[..option.len().min(64)];
                    return Err(Fault::ExpireOption(String::from_utf8_lossy(shown).into_owned()));
                }
            }
        }
        if conditions.without && (conditions.with || conditions.later || conditions.earlier) {
            return Err(Fault::ExpireConditions);
        }
        if conditions.later && conditions.earlier {
            return Err(Fault::ExpireGtLt);
        }
        Ok(conditions)
    }

    /// No deadline counts as later than any.
    fn allow(&self, old: Deadline, new: Deadline) -> bool {
        let has_one = old != Deadline::NEVER;
        !(self.without && has_one
            || self.with && !has_one
            || self.later && new <= old
            || self.earlier && new >= old)
    }
}

fn set_deadline(
    keyspace: &mut Keyspace,
    call: &Call<'_>,
    seconds: bool,
    relative: bool,
) -> Result<Bytes, Fault> {
    let conditions = Conditions::parse(&call.args[3..])?;
    let ms = absolute(call, integer(call.args[2])?, seconds, relative)?;
    // Before the epoch is past as well.
    let new = Deadline::at_ms(u64::try_from(ms).unwrap_or(0));
    let Some(entry) = keyspace.find(call.key(), call.at) else { return Ok(reply::integer(0)) };
    if !conditions.allow(entry.deadline, new) {
        return Ok(reply::integer(0));
    }
    if new.has_passed(call.at) {
        keyspace.take(call.key(), call.at);
    } else {
        keyspace.set_deadline(call.key(), new, call.at);
    }
    Ok(reply::integer(1))
}

pub(crate) fn persist(keyspace: &mut Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let entry = keyspace.find(call.key(), call.at);
    if entry.is_none_or(|entry| entry.deadline == Deadline::NEVER) {
        return Ok(reply::integer(0));
    }
    keyspace.set_deadline(call.key(), Deadline::NEVER, call.at);
    Ok(reply::integer(1))
}

pub(crate) fn pttl(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    Ok(reply::integer(left_ms(keyspace, call)))
}

/// To the nearest second, as Redis does.
pub(crate) fn ttl(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let ms = left_ms(keyspace, call);
    Ok(reply::integer(if ms < 0 { ms } else { ms.saturating_add(500) / 1000 }))
}

/// -2 without the key, -1 without a deadline.
fn left_ms(keyspace: &Keyspace, call: &Call<'_>) -> i64 {
    let Some(entry) = keyspace.find(call.key(), call.at) else { return -2 };
    let Some(ms) = entry.deadline.ms() else { return -1 };
    i64::try_from(ms.saturating_sub(call.at.0)).unwrap_or(i64::MAX)
}
