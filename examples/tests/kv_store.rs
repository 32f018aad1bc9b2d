//! The store as a state machine: determinism, snapshots, expiry, and cursors.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use bytes::Bytes;
use gcs::blocks::{AgreedTime, Snapshot, StateMachine};
use gcs_examples::kv::argv::encode;
use gcs_examples::kv::store::Store;
use proptest::prelude::*;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use std::collections::BTreeSet;

fn command(text: &str) -> Bytes {
    encode(&text.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

fn apply(store: &mut Store, at: u64, text: &str) -> String {
    String::from_utf8(store.apply(&command(text), AgreedTime(at)).to_vec()).unwrap()
}

fn query(store: &Store, at: u64, text: &str) -> String {
    String::from_utf8(store.query(&command(text), AgreedTime(at)).to_vec()).unwrap()
}

fn chunks(snapshot: &dyn Snapshot) -> Vec<Bytes> {
    (0..snapshot.chunks()).map(|index| snapshot.chunk(index)).collect()
}

fn restored(chunks: &[Bytes]) -> Store {
    let mut store = Store::new();
    chunks.iter().for_each(|chunk| store.restore(chunk).unwrap());
    store.check();
    store
}

/// Commands over a few keys of every type, so that they meet; some are wrong on purpose.
fn any_command() -> impl Strategy<Value = String> {
    let key = (0..12u8).prop_map(|n| format!("k{n}"));
    let template = prop::sample::select(vec![
        "SET {k} {v}",
        "SET {k} {v} PX {n}",
        "SET {k} {v} NX GET",
        "SET {k} {v} XX KEEPTTL",
        "GETDEL {k}",
        "DEL {k}",
        "INCR {k}",
        "INCRBY {k} {n}",
        "APPEND {k} {v}",
        "MSET {k} {v} k1 {v}",
        "SETNX {k} {v}",
        "GETSET {k} {v}",
        "HSET {k} {v} {n} f{n} {v}",
        "HDEL {k} {v} f{n}",
        "HINCRBY {k} f {n}",
        "LPUSH {k} {v} {n}",
        "RPUSH {k} {v}",
        "LPOP {k}",
        "RPOP {k} {n}",
        "LRANGE {k} 0 {n}",
        "SADD {k} {v} {n}",
        "SREM {k} {v}",
        "SMEMBERS {k}",
        "PEXPIRE {k} {n}",
        "EXPIRE {k} 1 NX",
        "PERSIST {k}",
        "TTL {k}",
        "TYPE {k}",
        "DBSIZE",
        "KEYS *",
        "SCAN 0 COUNT 3",
        "HGETALL {k}",
        "GET {k}",
        "NONESUCH {k}",
        "GET",
        "MSET {k}",
        "SET {k} {v} PX -{n}",
    ]);
    (template, key, 0..9u8, 0..300u16).prop_map(|(template, key, value, number)| {
        let text = template.replace("{k}", &key).replace("{v}", &format!("v{value}"));
        text.replace("{n}", &number.to_string())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two replicas agree on every reply, also when one of them was restored half-way; the snapshot is of its moment.
    #[test]
    fn replicas_agree(
        steps in prop::collection::vec((any_command(), 0..40u64), 1..400),
        cut in 0..400usize,
    ) {
        let (mut donor, mut twin, mut joiner) = (Store::new(), Store::new(), None);
        let mut frozen = None;
        let mut now = 1_000_000;
        for (number, (text, pause)) in steps.iter().enumerate() {
            now += pause;
            if number == cut {
                let snapshot = donor.snapshot();
                let before = chunks(&*snapshot);
                joiner = Some(restored(&before));
                frozen = Some((snapshot, before));
            }
            let reply = donor.apply(&command(text), AgreedTime(now));
            let (_, length) = decode(&reply).unwrap().expect("a whole reply");
            prop_assert_eq!(length, reply.len(), "one reply to {}", text);
            prop_assert_eq!(&reply, &twin.apply(&command(text), AgreedTime(now)));
            if let Some(joiner) = &mut joiner {
                prop_assert_eq!(&reply, &joiner.apply(&command(text), AgreedTime(now)), "{}", text);
            }
        }
        donor.check();
        let last = chunks(&*donor.snapshot());
        prop_assert_eq!(&last, &chunks(&*twin.snapshot()));
        if let Some(joiner) = joiner {
            joiner.check();
            prop_assert_eq!(&last, &chunks(&*joiner.snapshot()));
        }
        if let Some((snapshot, before)) = frozen {
            prop_assert_eq!(before, chunks(&*snapshot), "later commands do not show in a snapshot");
        }
    }

    /// Whatever a chunk holds, restoring it ends, in an error or not.
    #[test]
    fn a_bad_chunk_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4u8) {
        let _ = Store::new().restore(&bytes);
        let _ = Store::new().restore(&[&[1, kind], &bytes[..]].concat());
    }

    /// Whatever a command is, it is answered.
    #[test]
    fn a_bad_command_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(Store::new().apply(&bytes, AgreedTime(1)).starts_with(b"-ERR"));
    }
}

#[test]
fn a_chunk_cut_short_or_repeated_is_refused() {
    let mut store = Store::new();
    for text in ["SET s v PX 5", "HSET h f v", "RPUSH l a b", "SADD m a b"] {
        apply(&mut store, 1, text);
    }
    let chunk = store.snapshot().chunk(0);
    let mut whole = restored(std::slice::from_ref(&chunk));
    assert!(whole.restore(&chunk).is_err(), "keys came twice");
    let refused = (0..chunk.len()).filter(|&end| Store::new().restore(&chunk[..end]).is_err()).count();
    assert_eq!(refused, chunk.len() - 4, "only cuts between entries pass");
}

#[test]
fn large_states_come_in_chunks_of_bounded_size() {
    let mut store = Store::new();
    let value = vec![b'x'; 300];
    for number in 0..20_000u32 {
        store.apply(&encode(&[b"SET", number.to_string().as_bytes(), &value]), AgreedTime(1));
    }
    // One shard with much in it: the same key is in the same shard, so a large hash and larger strings.
    store.apply(&encode(&[b"SET", b"huge", &vec![b'y'; 3 << 20]]), AgreedTime(1));
    let all = chunks(&*store.snapshot());
    assert!(all.len() > 10, "{} chunks", all.len());
    let (large, usual): (Vec<_>, Vec<_>) = all.iter().partition(|chunk| chunk.len() > 5 << 18);
    assert_eq!(large.len(), 1, "only the one huge key makes a larger chunk");
    assert!(usual.iter().filter(|chunk| chunk.len() < 64 << 10).count() <= 3, "few small ones");
    let copy = restored(&all);
    assert_eq!(copy.len(), 20_001);
    assert_eq!(chunks(&*copy.snapshot()), all);
}

#[test]
fn an_empty_store_has_no_chunks_and_reset_forgets() {
    let mut store = Store::new();
    assert_eq!(store.snapshot().chunks(), 0);
    apply(&mut store, 1, "SET k v PX 100");
    store.reset();
    assert!(store.is_empty());
    store.check();
    assert_eq!(query(&store, 1, "GET k"), "$-1\r\n");
}

#[test]
fn a_key_is_gone_from_its_deadline_on() {
    let mut store = Store::new();
    apply(&mut store, 1000, "SET k v PX 500");
    assert_eq!(query(&store, 1499, "GET k"), "$1\r\nv\r\n");
    assert_eq!(query(&store, 1499, "PTTL k"), ":1\r\n");
    for gone in ["GET k", "STRLEN k", "EXISTS k", "TTL k", "TYPE k", "KEYS *", "SCAN 0"] {
        let reply = query(&store, 1500, gone);
        assert!(
            ["$-1\r\n", ":0\r\n", ":-2\r\n", "+none\r\n", "*0\r\n"].iter().any(|end| reply.ends_with(end)),
            "{gone}"
        );
    }
    assert_eq!(store.len(), 1, "a query removes nothing");
    assert_eq!(
        apply(&mut store, 1500, "PING2"),
        "-ERR unknown command 'PING2', with args beginning with: \r\n"
    );
    assert_eq!(store.len(), 0, "the sweep does");
    store.check();
}

#[test]
fn the_sweep_is_bounded_and_writes_do_not_see_what_it_left() {
    let mut store = Store::new();
    for number in 0..100 {
        apply(&mut store, 1, &format!("RPUSH k{number} old"));
        apply(&mut store, 1, &format!("PEXPIRE k{number} {}", 100 + number));
    }
    assert_eq!(apply(&mut store, 500, "RPUSH k99 new"), ":1\r\n", "a new list");
    assert_eq!(store.len(), 100 - 16);
    assert_eq!(query(&store, 500, "TTL k99"), ":-1\r\n");
    assert_eq!(apply(&mut store, 500, "DEL k98"), ":0\r\n", "expired keys do not count");
    for _ in 0..10 {
        apply(&mut store, 500, "DBSIZE");
    }
    assert_eq!(query(&store, 500, "KEYS *"), "*1\r\n$3\r\nk99\r\n");
    assert_eq!(store.len(), 1);
    store.check();
}

#[test]
fn a_scan_returns_what_is_there_throughout_exactly_once() {
    let mut store = Store::new();
    for number in 0..5000 {
        apply(&mut store, 1, &format!("SET stay{number} v"));
    }
    let (mut cursor, mut calls, mut found) = ("0".to_owned(), 0, Vec::new());
    loop {
        let reply = store.query(&command(&format!("SCAN {cursor} MATCH stay* COUNT 100")), AgreedTime(1));
        let Some((OwnedFrame::Array(parts), _)) = decode(&reply).unwrap() else { panic!("an array") };
        let OwnedFrame::BulkString(next) = &parts[0] else { panic!("a cursor") };
        let OwnedFrame::Array(keys) = &parts[1] else { panic!("keys") };
        found.extend(keys.iter().map(|key| format!("{key:?}")));
        for number in 0..200 {
            apply(&mut store, 1, &format!("SET come{calls}x{number} v"));
            apply(&mut store, 1, &format!("DEL come{}x{number}", calls / 2));
        }
        calls += 1;
        cursor = String::from_utf8(next.clone()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert!((20..100).contains(&calls), "{calls}");
    assert_eq!(found.len(), 5000);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 5000);
}

#[test]
fn queries_change_nothing_and_local_commands_are_not_replicated() {
    let mut store = Store::new();
    assert!(query(&store, 1, "SET k v").starts_with("-ERR 'set' changes the state"));
    assert!(apply(&mut store, 1, "PING").starts_with("-ERR 'ping' is answered by the server"));
    assert!(store.is_empty());
}
