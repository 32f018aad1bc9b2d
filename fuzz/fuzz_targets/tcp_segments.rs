//! A TCP endpoint gets arbitrary segments, from peers that know the numbers of their connections and from strangers.
#![no_main]

use bytes::Bytes;
use gcs::time::Time;
use gcs_tcp_endpoint::tcp::{Config, Event, Host, Segment, Seq};
use libfuzzer_sys::fuzz_target;
use std::{net::SocketAddr, time::Duration};

/// Bytes of a connection's buffers, in each direction.
const BUFFER: u32 = 20_000;
const CONNECTIONS: u32 = 4;

fuzz_target!(|data: &[u8]| {
    let config = Config {
        connections: CONNECTIONS,
        opening: 2,
        remembered: 2,
        send_bytes: BUFFER,
        receive_bytes: BUFFER,
        ..Config::default()
    };
    let server = SocketAddr::from(([10, 0, 0, 100], 80));
    let mut host = Host::new(config, [7; 32]);
    host.listen(server);
    let mut now = Time::from_ms(1);
    // What each peer knows: its next number, and ours.
    let mut known = [(1_u32, 0_u32); 8];
    let mut rest = data;
    while let Some((op, tail)) = rest.split_first_chunk::<11>() {
        rest = tail;
        let [flags, peer, ms, s0, s1, a0, a1, len, window, options, times] = *op;
        let peer = usize::from(peer) % known.len();
        let client = SocketAddr::from(([10, 0, 0, 1], 4000 + u16::try_from(peer).expect("small")));
        let near = |number: u32, low, high| Seq(number.wrapping_add_signed(i16::from_le_bytes([low, high]).into()));
        let (seq, ack) = (near(known[peer].0, s0, s1), near(known[peer].1, a0, a1));
        let mut segment = Segment::new(client, server, seq, (flags & 1 == 0).then_some(ack));
        (segment.syn, segment.fin, segment.rst) = (flags & 2 != 0, flags & 4 != 0, flags & 8 != 0);
        segment.window = u16::from(window) << 8;
        if len > 0 {
            segment.payload.push(Bytes::from(vec![len; usize::from(len) * 8]));
        }
        segment.options.timestamps = (options & 1 != 0).then_some((u32::from(ms) << 4, u32::from(times)));
        segment.options.sack_permitted = options & 2 != 0;
        segment.options.window_scale = (options & 4 != 0).then_some(options >> 4);
        segment.options.mss = (options & 8 != 0).then_some(u16::from(times) << 4);
        for i in 0..u32::from(options >> 5 & 3) {
            segment.options.sack.push((Seq(ack.0.wrapping_add(i * 50)), Seq(ack.0.wrapping_add(i * 70))));
        }
        now = now + Duration::from_millis(u64::from(ms) << (times & 7));
        host.begin(now);
        host.segment(&segment);
        while let Some(event) = host.event() {
            match event {
                Event::Readable(id) => {
                    for mut bytes in host.read(id, host.room(id)) {
                        host.write(id, &mut bytes);
                    }
                }
                Event::Finished(id) => host.shutdown(id),
                _ => {}
            }
        }
        let mut out = Vec::new();
        host.finish(&mut out);
        for s in out {
            if let Some(known) = known.get_mut(usize::from(s.to.port()).wrapping_sub(4000)) {
                let len = u32::try_from(s.payload_len()).expect("a segment");
                let next = s.seq.0.wrapping_add(len).wrapping_add(u32::from(s.syn) + u32::from(s.fin));
                *known = (s.ack.map_or(known.0, |a| a.0), next);
            }
        }
        assert!(host.connections() <= CONNECTIONS as usize + 2);
        // What has been announced to a peer may come after its stream was read into the other buffer.
        assert!(host.held() <= u64::from(BUFFER) * 3 * u64::from(CONNECTIONS + 2));
        let _ = host.deadline();
    }
});
