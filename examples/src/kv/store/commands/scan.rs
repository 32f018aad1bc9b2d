//! KEYS and SCAN.
//!
//! A SCAN cursor is the number of a shard. A call returns whole shards until it has seen COUNT keys, so it can return
//! more than that; keys never move between shards, so one that is there throughout is returned, once. At any replica
//! the same: a scan may go on at another one.

use super::{Call, integer};
use crate::kv::store::entry::Entry;
use crate::kv::store::fault::Fault;
use crate::kv::store::glob;
use crate::kv::store::keyspace::Keyspace;
use crate::kv::store::reply;
use bytes::Bytes;

/// COUNT is cut to this: a call holds up writes as long as it takes.
const MAX_COUNT: usize = 10_000;

/// Walks everything, and writes wait as long: SCAN is better on large keyspaces.
pub(crate) fn keys(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let pattern = call.args[1];
    let mut found = Vec::new();
    let mut next = keyspace.next_shard(0);
    while let Some(shard) = next {
        collect(keyspace, shard, &mut found, |entry| {
            shown(entry, call) && glob::matches(pattern, &entry.key)
        });
        next = keyspace.next_shard(shard + 1);
    }
    Ok(reply::bulks(found.into_iter()))
}

/// What SCAN was asked for.
struct Options<'a> {
    cursor: usize,
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    count: usize,
}

impl<'a> Options<'a> {
    fn parse(args: &'a [&'a [u8]]) -> Result<Self, Fault> {
        let cursor =
            str::from_utf8(args[1]).ok().and_then(|text| text.parse::<u64>().ok()).ok_or(Fault::Cursor)?;
        let cursor = usize::try_from(cursor).unwrap_or(usize::MAX);
        let mut options = Self { cursor, pattern: None, kind: None, count: 10 };
        let (pairs, rest) = args[2..].as_chunks::<2>();
        for [option, value] in pairs {
            match option.to_ascii_uppercase().as_slice() {
                b"MATCH" => options.pattern = Some(value),
                b"TYPE" => options.kind = Some(value),
                b"COUNT" => {
                    let count = usize::try_from(integer(value)?).map_err(|_| Fault::Syntax)?;
                    if count == 0 {
                        return Err(Fault::Syntax);
                    }
                    options.count = count.min(MAX_COUNT);
                }
                _ => return Err(Fault::Syntax),
            }
        }
        if rest.is_empty() { Ok(options) } else { Err(Fault::Syntax) }
    }

    fn want(&self, entry: &Entry) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, &entry.key))
            && self.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(entry.value.type_name().as_bytes()))
    }
}

pub(crate) fn scan(keyspace: &Keyspace, call: &Call<'_>) -> Result<Bytes, Fault> {
    let options = Options::parse(call.args)?;
    let mut found = Vec::new();
    let mut seen = 0;
    let mut next = keyspace.next_shard(options.cursor);
    while let Some(shard) = next.filter(|_| seen < options.count) {
        seen += collect(keyspace, shard, &mut found, |entry| shown(entry, call) && options.want(entry));
        next = keyspace.next_shard(shard + 1);
    }
    let cursor = next.unwrap_or(0).to_string();
    let keys = reply::bulks(found.into_iter());
    Ok(reply::Array::new(2).bulk(cursor.as_bytes()).element(&keys).finish())
}

fn shown(entry: &Entry, call: &Call<'_>) -> bool {
    !entry.deadline.has_passed(call.at)
}

/// Adds the wanted keys of a shard, sorted; returns how many it looked at.
fn collect<'k>(
    keyspace: &'k Keyspace,
    shard: usize,
    found: &mut Vec<&'k [u8]>,
    want: impl Fn(&Entry) -> bool,
) -> usize {
    let Some(shard) = keyspace.shard(shard) else { return 0 };
    let entries = shard.sorted();
    found.extend(entries.iter().filter(|entry| want(entry)).map(|entry| &*entry.key));
    entries.len()
}
