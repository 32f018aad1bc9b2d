//! A member of a group gets arbitrary datagrams from its peers' addresses and from strangers.
#![no_main]

use bytes::Bytes;
use gcs::{
    endpoint::{Bootstrap, Config, Datagram, Effects, Endpoint, Input},
    id::{Incarnation, MemberId},
    time::Time,
};
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;

fuzz_target!(|data: &[u8]| {
    let addr = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(stack) = gcs_stacks::catalogue::named("total+uniform") else { return };
    let mut config = Config::new("fuzz", "a", stack);
    config.bootstrap = Bootstrap::Found;
    config.partitionable = data.len() % 2 == 1;
    let me = MemberId { addr: addr(1), incarnation: Incarnation(1) };
    let Ok(mut endpoint) = Endpoint::new(config, me, 1400, 1) else { return };
    let mut effects = Effects::default();
    endpoint.handle(Time::ZERO, Input::Start { wall_ns: 1 }, &mut effects);
    let mut rest = data;
    let mut now = Time::from_ms(1);
    while let Some((head, tail)) = rest.split_first_chunk::<3>() {
        let (one, tail) = tail.split_at(tail.len().min(usize::from(head[0])));
        let mut payload = vec![if head[1] & 1 == 0 { gcs::frame::MAGIC_CONTROL } else { gcs::frame::MAGIC_FRAME }, 1];
        payload.extend_from_slice(one);
        now = now + std::time::Duration::from_millis(u64::from(head[2]));
        let datagram = Datagram { from: addr(u16::from(head[1] % 4)), payload: Bytes::from(payload).into() };
        endpoint.handle(now, Input::Datagrams(vec![datagram]), &mut effects);
        endpoint.check();
        effects.transmits.clear();
        effects.events.clear();
        rest = tail;
    }
});
