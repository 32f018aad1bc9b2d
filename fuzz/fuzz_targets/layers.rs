//! Every layer of every named stack gets arbitrary frames from its peers.
#![no_main]

use bytes::Bytes;
use gcs::{
    frame::{FIXED_HEADER, MAGIC_FRAME, OLDEST_VERSION},
    guard::Secret,
    id::{GroupTag, Incarnation, MemberId},
    layer::{Scope, Watch},
    stack::Output,
    time::Time,
    view::{Member, View, ViewId},
};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let Some((first, mut rest)) = data.split_first() else { return };
    let names: Vec<_> = gcs_stacks::catalogue::names().collect();
    let Ok(blueprint) = gcs_stacks::catalogue::named(names[usize::from(*first) % names.len()]) else { return };
    let member = |i: u16| {
        let addr = ([127, 0, 0, 1], 1 + i).into();
        Member::new(MemberId { addr, incarnation: Incarnation(1) }, format!("m{i}"))
    };
    let id = ViewId { epoch: 1, number: 1 };
    let group = GroupTag(0);
    let mut stack = blueprint.build(Scope {
        view: View { id, members: (0..3).map(member).collect() },
        me: u16::from(*first) % 3,
        group,
        version: OLDEST_VERSION,
        now: Time::ZERO,
        mtu: 1400,
        window_bytes: 1 << 20,
        window_max: 1 << 20,
        watch: Watch::default(),
        arrangement: 0,
        partitionable: false,
        secret: Some(Secret([7; 32])),
        signer: None,
        seed: 1,
    });
    let mut out = Output::default();
    stack.start(Time::ZERO, &mut out);
    let mut now = Time::from_ms(1);
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let (one, tail) = tail.split_at(tail.len().min(usize::from(head[0])));
        let mut bytes = vec![0; FIXED_HEADER];
        bytes[0] = MAGIC_FRAME;
        bytes[1] = OLDEST_VERSION;
        bytes[2] = if head[1] & 0x80 == 0 { head[1] % 8 } else { 0xff };
        bytes[3] = head[1] & 1;
        bytes[4] = head[2] % 3;
        bytes[8..16].copy_from_slice(&1_u64.to_le_bytes());
        bytes[16..24].copy_from_slice(&1_u64.to_le_bytes());
        bytes.extend_from_slice(one);
        now = now + Duration::from_millis(u64::from(head[3]));
        if let Ok(mut frame) = stack.parse(Bytes::from(bytes)) {
            frame.via = u16::from(head[2] / 4) % 3;
            stack.receive(now, vec![frame], &mut out);
        }
        stack.tick(now, &mut out);
        stack.check();
        out.frames.clear();
        out.events.clear();
        rest = tail;
    }
});
