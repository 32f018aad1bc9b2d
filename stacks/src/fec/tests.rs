use super::*;
use crate::{
    check::Check,
    heartbeat::Heartbeat,
    reliable::Reliable,
    testkit::{Faults, Net, Plain, scope},
};
use gcs::{
    rng::Rng,
    stack::{Blueprint, Output, Stack},
    time::Time,
    view::Cut,
};
use proptest::prelude::*;
use std::{cell::RefCell, rc::Rc, sync::Arc};

/// The layers' indices in [`layers`].
const FEC: u8 = 1;
const RELIABLE: u8 = 2;
const SLOT_AT: usize = gcs::frame::FIXED_HEADER;

fn layers(fec: Fec) -> Vec<Arc<dyn Protocol>> {
    vec![
        Arc::new(Heartbeat),
        Arc::new(fec),
        Arc::new(Reliable::default()),
        Arc::new(Check::stream()),
        Arc::new(Plain),
    ]
}

/// `loses(from, to, nth)`: whether the `nth` (from 1) covered or parity frame on that way gets lost; all others arrive.
/// Requests for repair are counted.
fn net(n: usize, fec: Fec, loses: impl Fn(usize, usize, u64) -> bool + 'static) -> (Net, Rc<RefCell<u64>>) {
    let mut net = Net::new(1, n, Faults::default(), layers(fec));
    let requests = Rc::new(RefCell::new(0));
    let (count, mut sent) = (Rc::clone(&requests), vec![0; n * n]);
    net.passes = Box::new(move |from, to, f| {
        let nack = f.kind() == RELIABLE && f.payload().first() == Some(&3);
        *count.borrow_mut() += u64::from(nack);
        let covered = f.slot(&(SLOT_AT..SLOT_AT + 8)) != [0; 8];
        if !covered {
            return true;
        }
        sent[n * from + to] += 1;
        !loses(from, to, sent[n * from + to])
    });
    (net, requests)
}

/// Messages of different lengths, also none.
fn text(i: usize, from: usize) -> Vec<u8> {
    format!("{i} of {from};").repeat(i * 7 % 40).into_bytes()
}

fn cast(net: &mut Net, from: usize, numbers: std::ops::Range<usize>) {
    let all: Vec<_> = numbers.map(|i| text(i, from)).collect();
    net.cast(from, &all.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

fn delivered(net: &Net, at: usize, from: usize) -> Vec<Vec<u8>> {
    net.nodes[at].delivered[from].iter().map(|m| m.to_vec()).collect()
}

fn held(net: &Net) -> usize {
    net.nodes.iter().map(|n| n.stack.held_bytes()).sum()
}

#[test]
fn a_block_survives_the_loss_of_as_many_frames_as_it_has_parity() {
    // 16 frames and 4 of parity: any four may be lost.
    for seed in 0..40 {
        let mut lost: Vec<u64> = (1..=20).collect();
        let mut rng = Rng::new(seed);
        (0..16).for_each(|_| {
            lost.remove(rng.below(lost.len() as u64) as usize);
        });
        let gone = lost.clone();
        let (mut net, requests) =
            net(2, Fec::default(), move |from, _, nth| from == 0 && gone.contains(&nth));
        cast(&mut net, 0, 0..16);
        net.run_ms(100);
        assert_eq!(
            delivered(&net, 1, 0),
            (0..16).map(|i| text(i, 0)).collect::<Vec<_>>(),
            "without {lost:?}"
        );
        assert_eq!(*requests.borrow(), 0, "without {lost:?}");
        assert_eq!(held(&net), 0, "without {lost:?}");
    }
}

#[test]
fn what_parity_does_not_restore_is_asked_for() {
    let (mut net, requests) = net(2, Fec::default(), |_, _, nth| nth <= 5);
    cast(&mut net, 0, 0..16);
    net.run_ms(100);
    assert_eq!(delivered(&net, 1, 0).len(), 16);
    assert!(*requests.borrow() > 0);
}

#[test]
fn a_slow_sender_is_covered_by_time() {
    // Of each frame only the second copy arrives.
    let (mut net, requests) = net(3, Fec::default(), |from, _, nth| from == 0 && nth % 2 == 1);
    for i in 0..20 {
        cast(&mut net, 0, i..i + 1);
        let before = net.now;
        net.run_ms(4);
        for at in 1..3 {
            assert_eq!(delivered(&net, at, 0).len(), i + 1, "within 4 ms of {before:?}");
        }
    }
    assert_eq!(*requests.borrow(), 0);
}

#[test]
fn short_blocks_get_their_share_of_parity() {
    let fec = Fec { block: 16, parity: 4, delay_us: 500 };
    for (frames, parity) in [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (16, 4), (17, 5), (32, 8)] {
        let (mut net, _) = net(2, fec, |_, _, _| false);
        cast(&mut net, 0, 0..frames);
        net.run_ms(1);
        let sent = net.nodes[0].sent.iter().filter(|(_, _, kind)| *kind == FEC).count();
        assert_eq!(sent, parity, "{frames} frames");
    }
}

#[test]
fn a_parity_frame_is_no_longer_than_what_it_covers() {
    let longest = scope(0, 2).mtu - (SLOT_AT + SLOT + 24);
    for payload in [longest, longest - 1] {
        let mut net = Net::new(1, 2, Faults::default(), layers(Fec::default()));
        let lengths = Rc::new(RefCell::new([0, 0]));
        let seen = Rc::clone(&lengths);
        net.passes = Box::new(move |_, _, f| {
            let of = &mut seen.borrow_mut()[usize::from(f.kind() == FEC)];
            *of = f.len().max(*of);
            // The long frame is lost.
            f.kind() != Frame::DATA || f.len() < 1000
        });
        net.cast(0, &[&vec![7; payload], b"short"]);
        net.run_ms(3);
        assert_eq!(*lengths.borrow(), [scope(0, 2).mtu - (longest - payload); 2]);
        assert_eq!(net.nodes[1].delivered[0].len(), 2, "restored");
    }
}

#[test]
fn parity_helps_to_reach_the_cut_and_nothing_is_held_afterwards() {
    // The last frame is lost, and only parity goes to member 1 from then on.
    let (mut net, requests) = net(2, Fec::default(), |_, _, nth| nth == 3);
    cast(&mut net, 0, 0..3);
    net.down(1, Down::Wedge);
    net.down(0, Down::Wedge);
    net.run_ms(1);
    let cut = Arc::new(Cut { frontier: vec![3, 0], holder: vec![0, 0] });
    net.down(1, Down::Fetch(cut.clone()));
    assert_eq!(net.nodes[1].count(|e| matches!(e, Up::CutHeld(_))), 1, "the end of a block came with Wedge");
    net.down(1, Down::Close(cut));
    assert_eq!(delivered(&net, 1, 0).len(), 3);
    assert_eq!(*requests.borrow(), 0);
    assert_eq!(net.nodes[1].events.iter().filter(|(_, e)| matches!(e, Up::Closed)).count(), 1);
}

#[test]
fn what_is_held_of_a_sender_whose_parity_is_lost_is_bounded() {
    // `check`, which runs after every input, asserts the bound.
    let mut rig = Net::new(1, 2, Faults::default(), layers(Fec::default()));
    rig.passes = Box::new(|_, _, f| f.kind() != FEC);
    for i in 0..50 {
        cast(&mut rig, 0, 10 * i..10 * i + 10);
        rig.run_ms(1);
    }
    rig.run_ms(500);
    assert_eq!(delivered(&rig, 1, 0).len(), 500);
    assert!(rig.nodes[1].stack.held_bytes() < 32 * 400, "{}", rig.nodes[1].stack.held_bytes());
}

/// A stack of member 0 of 2, and parity frames as member 1 would send them of frames with these payloads.
fn alone() -> (Stack, Output) {
    let blueprint = Blueprint::new("test", layers(Fec::default())).expect("layers fit");
    (blueprint.build(scope(0, 2)), Output::default())
}

#[test]
fn nonsense_is_dropped() {
    let fec = Fec::default();
    let good = About { first: 1, k: 16, m: 4, index: 3, tail: 0 };
    assert_eq!(About::decode(&good.encode(), fec), Some(good));
    for bad in [
        About { first: 0, ..good },
        About { first: u64::MAX - 3, ..good },
        About { k: 0, m: 0, ..good },
        About { k: 17, ..good },
        About { m: 5, ..good },
        About { k: 4, m: 4, ..good },
        About { index: 4, ..good },
    ] {
        assert_eq!(About::decode(&bad.encode(), fec), None, "{bad:?}");
    }
    assert_eq!(About::decode(&[0; 7], fec), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn everything_arrives_in_spite_of_loss_and_duplicates(
        seed: u64, n in 2_usize..5, block in 1_u8..20, parity in 0_u8..8, delay_us in 0_u32..3000, loss in 0_u64..300,
    ) {
        let delay = (Duration::from_micros(50), Duration::from_micros(900));
        let faults = Faults { loss_per_mille: loss, dup_per_mille: 100, delay };
        let mut net = Net::new(seed, n, faults, layers(Fec { block, parity, delay_us }));
        for round in 0..30 {
            for from in 0..n {
                cast(&mut net, from, 3 * round..3 * round + round % 4);
            }
            net.run_ms(1);
        }
        net.faults = Faults::default();
        net.run_ms(2000);
        for at in 0..n {
            for from in 0..n {
                let all: Vec<_> =
                    (0..30).flat_map(|r| 3 * r..3 * r + r % 4).map(|i| text(i, from)).collect();
                prop_assert_eq!(delivered(&net, at, from), all);
            }
        }
    }

    #[test]
    fn nothing_that_arrives_panics(
        frames in prop::collection::vec(
            (
                prop_oneof![3 => Just(FEC), 1 => Just(Frame::DATA), 1 => any::<u8>()],
                any::<bool>(),
                (prop_oneof![0..40_u64, any::<u64>()], prop_oneof![0..18_u8, any::<u8>()], 0..6_u8, 0..6_u8),
                prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..60),
                prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 28),
                prop_oneof![4 => Just((1, 1)), 1 => (0..4_u16, 0..4_u16), 1 => (any::<u16>(), any::<u16>())],
            ),
            1..40,
        )
    ) {
        let (mut stack, mut out) = alone();
        let mut now = scope(0, 2).now;
        let s = scope(0, 2);
        stack.start(now, &mut out);
        for (kind, unreliable, (first, k, m, index), payload, slots, (from, via)) in frames {
            // The layers above have tests of their own; here what this one lets through must be of a member.
            let from = if kind == FEC || !unreliable { from } else { 1 };
            let mut f = Frame::new(kind, !unreliable, from, s.group, s.view.id, SLOT_AT + SLOT + 24, 60);
            let about = About { first, k, m: if m == 5 { 4 } else { m }, index, tail: 1 };
            f.slot_mut(&(SLOT_AT..SLOT_AT + ABOUT_LEN)).copy_from_slice(&about.encode());
            f.slot_mut(&(SLOT_AT + ABOUT_LEN..SLOT_AT + ABOUT_LEN + 28)).copy_from_slice(&slots);
            f.writable().extend_from_slice(&payload);
            f.via = via;
            stack.receive(now, vec![f], &mut out);
            stack.check();
            now = now + Duration::from_micros(300);
            if stack.deadline() <= now {
                stack.tick(now, &mut out);
            }
            stack.check();
        }
        prop_assert!(now < Time::NEVER);
    }
}

const ABOUT_LEN: usize = blocks::ABOUT;
