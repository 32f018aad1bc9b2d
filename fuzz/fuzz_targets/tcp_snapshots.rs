//! A joiner gets a snapshot of connections with arbitrary changes: it is refused, or can be lived with.
#![no_main]

use bytes::Bytes;
use gcs::time::Time;
use gcs_tcp_endpoint::tcp::{Config, Event, Host, Segment, Seq, Thaw};
use libfuzzer_sys::fuzz_target;
use std::{net::SocketAddr, sync::LazyLock};

/// A listener with three connections: one opening, one with bytes both ways, one whose peer has ended.
static SNAPSHOT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let server = SocketAddr::from(([10, 0, 0, 100], 80));
    let mut host = Host::new(Config::default(), [7; 32]);
    host.listen(server);
    for port in 1..=3 {
        let client = SocketAddr::from(([10, 0, 0, 1], port));
        let mut syn = Segment::new(client, server, Seq(1), None);
        (syn.syn, syn.window) = (true, 9000);
        (syn.options.sack_permitted, syn.options.timestamps) = (true, Some((5, 0)));
        let isn = batch(&mut host, u64::from(port), &[syn])[0].seq.0.wrapping_add(1);
        if port == 1 {
            continue;
        }
        let bytes = |seq, len| {
            let mut segment = Segment::new(client, server, Seq(seq), Some(Seq(isn)));
            segment.window = 9000;
            segment.options.timestamps = Some((6, 0));
            segment.payload.push(Bytes::from(vec![b'x'; len]));
            segment
        };
        let mut last = bytes(3002, 1000);
        last.fin = port == 3;
        batch(&mut host, u64::from(port), &[bytes(2, 1000), last]);
    }
    let frozen = host.freeze();
    frozen.chunk(0)
});

fn batch(host: &mut Host, ms: u64, segments: &[Segment]) -> Vec<Segment> {
    let mut out = Vec::new();
    host.begin(Time::from_ms(ms));
    segments.iter().for_each(|s| host.segment(s));
    while let Some(event) = host.event() {
        match event {
            Event::Readable(id) => {
                for mut bytes in host.read(id, 500) {
                    host.write(id, &mut bytes);
                }
            }
            Event::Finished(id) => host.shutdown(id),
            _ => {}
        }
    }
    host.finish(&mut out);
    out
}

fuzz_target!(|data: &[u8]| {
    let mut chunk = SNAPSHOT.clone();
    for change in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % chunk.len();
        chunk[at] ^= change[2];
    }
    let mut thaw = Thaw::new(Config::default());
    if thaw.chunk(&chunk).is_err() {
        return;
    }
    let Ok(mut host) = thaw.finish() else { return };
    for _ in 0..20 {
        let Some(at) = host.deadline() else { return };
        batch(&mut host, at.0 / 1_000_000 + 1, &[]);
    }
    for id in host.ids() {
        host.read(id, u64::MAX);
        host.close(id);
    }
    batch(&mut host, 0, &[]);
    host.kick();
    batch(&mut host, 0, &[]);
});
