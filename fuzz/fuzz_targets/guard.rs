//! A guard that knows another process gets arbitrary introductions and sealed messages from it, and from strangers.
#![no_main]

use gcs::{
    guard::{Guard, Keys, MAGIC_SEALED, Opened},
    id::{GroupTag, Incarnation, MemberId},
    keys::PreShared,
    time::Time,
};
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;

fn member(n: u8) -> MemberId {
    MemberId { addr: SocketAddr::from(([127, 0, 0, 1], u16::from(n))), incarnation: Incarnation(u64::from(n)) }
}

fn guard(n: u8) -> Option<Box<dyn Guard>> {
    let mut guard = PreShared::new(&[7; 32]).ok()?.repeatable().guard(u64::from(n));
    guard.begin(Time::ZERO, GroupTag::of("fuzz"), member(n), 1).ok()?;
    Some(guard)
}

fuzz_target!(|data: &[u8]| {
    let (Some(mut a), Some(mut b)) = (guard(1), guard(2)) else { return };
    let mut reply = None;
    for hello in a.seal(Time::ZERO, member(2).addr, b"x") {
        let _ = b.open(Time::ZERO, member(1).addr, &hello, &mut reply);
    }
    let mut rest = data;
    while let Some(([kind, from, len], tail)) = rest.split_first_chunk::<3>() {
        let (one, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        let datagram = [&[MAGIC_SEALED, 1, 1 + kind % 2, 0], one].concat();
        let opened = b.open(Time::from_ms(1), member(from % 4).addr, &datagram, &mut reply);
        assert!(!matches!(opened, Opened::Control(..)), "nobody can seal without the keys");
        rest = tail;
    }
});
