use super::*;
use crate::{
    check::Check,
    heartbeat::Heartbeat,
    pack::PackWithGaps,
    testkit::{Faults, Net, scope},
};
use bytes::Bytes;
use gcs::{frame::FIXED_HEADER, rng::Rng, view::Cut};
use gossip::Run;
use proptest::prelude::*;
use std::sync::Arc;

/// The layer's index in [`layers`].
const KIND: u8 = 1;

fn layers(bimodal: Bimodal) -> Vec<Arc<dyn Protocol>> {
    vec![Arc::new(Heartbeat), Arc::new(bimodal), Arc::new(PackWithGaps), Arc::new(Check::messages())]
}

fn net(seed: u64, n: usize, faults: Faults) -> Net {
    Net::new(seed, n, faults, layers(Bimodal::default()))
}

fn lossy(loss_per_mille: u64) -> Faults {
    let delay = (Duration::from_micros(50), Duration::from_micros(900));
    Faults { loss_per_mille, dup_per_mille: 50, delay }
}

fn message(i: u32) -> Vec<u8> {
    let mut m = vec![i.to_le_bytes()[0]; 40 * (i as usize % 90)];
    m.splice(0..0, i.to_le_bytes());
    m
}

fn numbers(got: &[Bytes]) -> Vec<u32> {
    let number = |m: &Bytes| u32::from_le_bytes([m[0], m[1], m[2], m[3]]);
    got.iter()
        .map(|m| {
            assert_eq!(m, &message(number(m)), "it is as it was sent");
            number(m)
        })
        .collect()
}

#[test]
fn gossip_repairs_what_the_multicast_loses() {
    for seed in 0..10 {
        let mut net = net(seed, 8, lossy(100));
        for i in 0..50 {
            for from in 0..8 {
                net.cast(from, &[&message(i)]);
            }
            net.run_ms(10);
        }
        net.run_ms(1000);
        for (at, node) in net.nodes.iter().enumerate() {
            for (from, got) in node.delivered.iter().enumerate() {
                assert_eq!(numbers(got), (0..50).collect::<Vec<_>>(), "seed {seed}: {at} of {from}");
            }
        }
    }
}

#[test]
fn an_idle_group_is_quiet_and_holds_nothing() {
    let mut net = net(1, 4, lossy(100));
    (0..20).for_each(|i| net.cast(0, &[&message(i)]));
    net.run_ms(1500);
    net.nodes.iter_mut().for_each(|n| n.sent.clear());
    net.run_ms(500);
    for node in &net.nodes {
        assert_eq!(node.stack.held_bytes(), 0);
        assert!(node.sent.iter().all(|(_, _, kind)| *kind == 0), "heartbeats only");
    }
}

#[test]
fn what_nobody_repairs_is_given_up_in_time() {
    let mut net = net(1, 2, Faults::default());
    net.passes = Box::new(|_, _, f| f.kind() != Frame::DATA);
    net.cast(0, &[&message(0)]);
    net.passes = Box::new(|_, _, f| f.kind() != KIND);
    net.cast(0, &[&message(1)]);
    net.run_ms(400);
    assert!(net.nodes[1].delivered[0].is_empty(), "it waits for the first");
    net.run_ms(300);
    assert_eq!(numbers(&net.nodes[1].delivered[0]), [1]);
}

#[test]
fn a_sleeping_member_holds_nobody_up_and_catches_up() {
    let mut net = net(1, 5, lossy(50));
    for i in 0..100 {
        if i == 20 {
            net.nodes[4].stopped_until = net.now + Duration::from_millis(300);
        }
        net.cast(0, &[&message(i)]);
        net.run_ms(10);
        // Whoever is awake is at most a few rounds behind.
        if i > 30 {
            for at in 1..4 {
                let last = numbers(&net.nodes[at].delivered[0]).last().copied();
                assert!(last.is_some_and(|l| l + 30 > i), "{last:?} of {i} at {at}");
            }
        }
    }
    net.run_ms(1000);
    assert_eq!(numbers(&net.nodes[4].delivered[0]), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_view_ends_at_once_and_delivers_what_is_held() {
    let mut net = net(1, 2, Faults::default());
    let mut n = 0;
    net.passes = Box::new(move |_, _, f| {
        n += u32::from(f.kind() == Frame::DATA);
        f.kind() == 0 || f.kind() == Frame::DATA && n != 2
    });
    for i in 0..4 {
        net.cast(0, &[&message(i)]);
        net.run_ms(2);
    }
    assert_eq!(numbers(&net.nodes[1].delivered[0]), [0]);
    net.down(1, Down::Wedge);
    net.cast(0, &[&message(4)]);
    net.run_ms(2);
    let cut = Arc::new(Cut { frontier: vec![0; 2], holder: vec![0; 2] });
    net.down(1, Down::Fetch(cut.clone()));
    assert_eq!(net.nodes[1].count(|e| matches!(e, Up::CutHeld(_))), 1);
    assert_eq!(numbers(&net.nodes[1].delivered[0]), [0], "nothing between Wedge and Close");
    net.down(1, Down::Close(cut));
    assert_eq!(numbers(&net.nodes[1].delivered[0]), [0, 2, 3]);
    assert_eq!(net.nodes[1].count(|e| matches!(e, Up::Closed)), 1);
    assert_eq!(net.nodes[1].stack.held_bytes(), 0);
}

// --- the protocol without the layer ---

fn sends<T>(effects: &[Effect<T>]) -> usize {
    effects.iter().filter(|e| matches!(e, Effect::Send { .. })).count()
}

#[test]
fn each_rounds_work_is_bounded() {
    let settings = Settings { asks: 10, answers: 5, digests: 2, ..Settings::default() };
    let mut one: Gossip<u64> = Gossip::new(0, 9, settings);
    let mut out = Vec::new();
    for i in 1..=100 {
        one.cast(i, 1, &mut out);
    }
    let all = [Run { from: 0, first: 1, count: 100 }];
    for round in 1..4 {
        one.round(&mut Rng::new(1), &mut out);
        out.clear();
        (1..9).for_each(|peer| one.on_ask(peer, round, &all, &mut out));
        assert_eq!(sends(&out), 5);
    }
    let mut other: Gossip<u64> = Gossip::new(1, 9, settings);
    for _ in 0..3 {
        out.clear();
        for peer in 2..9 {
            let runs = [Run { from: peer, first: 1, count: 7 }];
            other.on_digest(peer, 1, &runs, &mut out);
        }
        let asked = out.iter().map(|e| match e {
            Effect::Send { what: Said::Ask { runs, .. }, .. } => runs.iter().map(|r| r.count).sum(),
            _ => 0,
        });
        assert_eq!(asked.collect::<Vec<_>>(), [7, 3], "two digests, ten items");
        other.round(&mut Rng::new(1), &mut out);
        other.check();
    }
}

#[test]
fn the_most_recent_are_asked_for_first() {
    let mut g: Gossip<u64> = Gossip::new(1, 3, Settings { asks: 3, ..Settings::default() });
    let mut out = Vec::new();
    g.on_digest(0, 7, &[Run { from: 0, first: 1, count: 10 }], &mut out);
    let runs = vec![Run { from: 0, first: 8, count: 3 }];
    assert_eq!(out, [Effect::Send { to: 0, what: Said::Ask { round: 7, runs } }]);
}

#[test]
fn who_asks_late_is_not_answered() {
    let mut g: Gossip<u64> = Gossip::new(0, 3, Settings::default());
    let mut out = Vec::new();
    g.cast(1, 1, &mut out);
    (0..5).for_each(|_| g.round(&mut Rng::new(1), &mut out));
    out.clear();
    let runs = [Run { from: 0, first: 1, count: 1 }];
    g.on_ask(1, 3, &runs, &mut out);
    assert_eq!(out, []);
    g.on_ask(1, 4, &runs, &mut out);
    assert_eq!(sends(&out), 1);
}

#[test]
fn bytes_are_bounded_and_the_oldest_go_first() {
    let mut g: Gossip<u64> = Gossip::new(0, 2, Settings { bytes: 100, ..Settings::default() });
    let mut out = Vec::new();
    for i in 1..=30 {
        g.cast(i, 10, &mut out);
        g.check();
        g.on_item(1, 2 * i, i, 10, &mut out);
        g.check();
    }
    assert!(g.held_bytes() <= 100);
    let own = out.iter().filter(|e| matches!(e, Effect::Deliver { from: 0, .. })).count();
    assert_eq!(own, 30, "own items are delivered, room or not");
    g.finish(&mut out);
    g.check();
    assert_eq!(g.held_bytes(), 0);
}

proptest! {
    #[test]
    fn anything_may_be_said_to_it(
        said in prop::collection::vec(
            (
                0..4_u8,
                prop_oneof![0..4_u32, any::<u32>()],
                prop_oneof![0..4_u32, any::<u32>()],
                prop_oneof![0..20_u64, any::<u64>()],
                prop_oneof![0..20_u16, any::<u16>()],
                0..300_usize,
            ),
            1..100,
        ),
        ahead in 1_u32..20,
        bytes in 0_usize..1000,
    ) {
        let settings = Settings { ahead, bytes, rounds_kept: 3, ..Settings::default() };
        let mut g: Gossip<usize> = Gossip::new(0, 4, settings);
        let (mut out, mut rng) = (Vec::new(), Rng::new(1));
        for (i, (what, peer, from, first, count, len)) in said.into_iter().enumerate() {
            let runs = [Run { from, first: first.clamp(1, u64::MAX / 2), count: count.max(1) }];
            match what {
                0 => g.on_item(from, first, i, len, &mut out),
                1 => g.on_digest(peer, count.into(), &runs, &mut out),
                2 => g.on_ask(peer, count.into(), &runs, &mut out),
                _ => {
                    g.cast(i, len, &mut out);
                }
            }
            g.check();
            if i % 5 == 0 {
                g.round(&mut rng, &mut out);
                g.check();
            }
        }
        // In the order of each sender, and each once.
        for sender in 0..4 {
            let seqs: Vec<_> = out.iter().filter_map(|e| match e {
                Effect::Deliver { from, seq, .. } if *from == sender => Some(*seq),
                _ => None,
            }).collect();
            prop_assert!(seqs.is_sorted_by(|a, b| a < b));
        }
        g.finish(&mut out);
        g.check();
        prop_assert!(g.is_idle());
    }

    #[test]
    fn nothing_that_arrives_panics(
        frames in prop::collection::vec(
            (
                prop_oneof![Just(KIND), Just(Frame::DATA), any::<u8>()],
                any::<bool>(),
                prop_oneof![0..5_u64, any::<u64>()],
                (1..3_u8, 0..4_u8),
                prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..60),
                prop_oneof![0..4_u16, any::<u16>()],
                prop_oneof![0..4_u16, any::<u16>()],
            ),
            1..40,
        )
    ) {
        let mut net = net(1, 3, Faults::default());
        let s = scope(0, 3);
        for (kind, unreliable, seq, (tag, n), mut payload, from, via) in frames {
            // A layer above checks ranks of what is its own.
            let from = if unreliable && kind != 0 && kind != KIND { 1 } else { from };
            let mut f = Frame::new(kind, !unreliable, from, s.group, s.view.id, FIXED_HEADER + 9, 60);
            f.slot_mut(&(FIXED_HEADER..FIXED_HEADER + 8)).copy_from_slice(&seq.to_le_bytes());
            if payload.len() > 5 {
                payload.resize(6 + 12 * usize::from(n), 1);
                (payload[0], payload[5]) = (tag, n);
            }
            f.writable().extend_from_slice(&payload);
            f.via = via;
            net.inject(0, f);
            net.run_ms(7);
        }
    }
}
