//! A replica of a TCP endpoint applies batches of arbitrary entries: packets above all.
#![no_main]

use bytes::Bytes;
use gcs::time::Time;
use gcs_tcp_endpoint::{
    replica::{Batch, Endpoint, Mark},
    service::Echo,
    tcp::Config,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let listen = vec!["10.0.0.100:80".parse().expect("an address"), "[fd00::100]:80".parse().expect("an address")];
    let mut endpoint = Endpoint::new(Config::default(), listen, Echo);
    let mut out = Vec::new();
    let mut first = Batch::new(Time::from_ms(1), Mark::default());
    first.secret(&[7; 32]);
    endpoint.apply(&first.to_bytes(), &mut out).expect("a good batch");
    let mut rest = data;
    let mut now = 1;
    while let Some((&[ms, len], tail)) = rest.split_first_chunk::<2>() {
        let (entries, tail) = tail.split_at(tail.len().min(usize::from(len) * 4));
        rest = tail;
        now += u64::from(ms);
        let batch = Batch::new(Time::from_ms(now), endpoint.mark());
        let batch = [&batch.to_bytes()[..], entries].concat();
        if endpoint.apply(&Bytes::from(batch), &mut out).is_err() {
            return;
        }
        let _ = endpoint.deadline();
        out.clear();
    }
});
