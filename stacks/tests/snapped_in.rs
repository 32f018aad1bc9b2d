//! Layers that are not in every stack, over real sockets: members whose frames are compressed and paced, and get lost, come
//! twice and late, deliver the same all the same.

#![expect(clippy::unwrap_used, reason = "a test panics where something is wrong")]

mod hub;

use gcs::{endpoint::Event, group::Events, layer::Protocol, stack::Blueprint};
use gcs_stacks::{Compress, Flow, Heartbeat, Inject, Pace, Pack, Reliable, Sequencer, Trace, Uniform};
use std::sync::Arc;

const MEMBERS: usize = 3;
const CASTS: usize = 100;

fn stack() -> Blueprint {
    let faults = Inject {
        drop_per_mille: 50,
        duplicate_per_mille: 50,
        delay_per_mille: 50,
        reorder_per_mille: 50,
        delay_ms: 20,
    };
    let layers: Vec<Arc<dyn Protocol>> = vec![
        Arc::new(faults),
        Arc::new(Heartbeat),
        Arc::new(Reliable { prompt: true }),
        Arc::new(Sequencer),
        Arc::new(Uniform),
        Arc::new(Pace::new(1_000_000)),
        Arc::new(Compress::default()),
        Arc::new(Flow::default()),
        Arc::new(Pack),
        Arc::new(Trace::default()),
    ];
    Blueprint::new("snapped in", layers).unwrap()
}

fn message(member: usize, k: usize) -> Vec<u8> {
    format!("{k} of {member}; ").repeat(k * k).into_bytes()
}

/// The messages delivered until there are `MEMBERS * CASTS`.
async fn delivered(mut events: Events) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    while all.len() < MEMBERS * CASTS {
        if let Event::Messages(m) = events.next().await.unwrap() {
            all.extend(m.iter().map(<[u8]>::to_vec));
        }
    }
    all
}

async fn everybody_delivers_the_same() {
    let (mut groups, mut members) = (Vec::new(), Vec::new());
    for (seed, builder) in (1..).zip(hub::founders("snapped in", MEMBERS)) {
        let (group, events) = builder.stack(stack()).seed(seed).start().await.unwrap();
        groups.push(group);
        members.push(tokio::spawn(delivered(events)));
    }
    for k in 1..=CASTS {
        for (i, group) in groups.iter().enumerate() {
            group.cast(&message(i, k)).await.unwrap();
        }
    }
    let mut orders = Vec::new();
    for member in members {
        orders.push(member.await.unwrap());
    }
    assert!(orders.iter().all(|o| *o == orders[0]), "one order");
    for i in 0..MEMBERS {
        let own: Vec<_> = (1..=CASTS).map(|k| message(i, k)).collect();
        let got: Vec<_> = orders[0].iter().filter(|m| own.contains(m)).cloned().collect();
        assert_eq!(got, own, "all of member {i}, in order");
    }
    for group in &groups {
        group.leave().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_faults_everybody_delivers_the_same() {
    hub::soon("all messages", everybody_delivers_the_same()).await;
}
