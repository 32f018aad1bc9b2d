use super::*;
use crate::{
    check::Check,
    heartbeat::Heartbeat,
    reliable::Reliable,
    testkit::{Faults, Net, Plain, scope},
};
use gcs::frame::FIXED_HEADER;
use proptest::prelude::*;
use std::{cell::RefCell, rc::Rc, sync::Arc};

/// The layers' indices in [`layers`].
const LATERAL: u8 = 1;
const RELIABLE: u8 = 2;
const SLOT_LEN: usize = 37;

fn layers(lateral: Lateral) -> Vec<Arc<dyn Protocol>> {
    vec![
        Arc::new(Heartbeat),
        Arc::new(lateral),
        Arc::new(Reliable::default()),
        Arc::new(Check::stream()),
        Arc::new(Plain),
    ]
}

fn text(i: usize, from: usize) -> Vec<u8> {
    format!("{i} of {from};").repeat(i * 7 % 40).into_bytes()
}

fn delivered(net: &Net, at: usize, from: usize) -> Vec<Vec<u8>> {
    net.nodes[at].delivered[from].iter().map(|m| m.to_vec()).collect()
}

/// Loses what `loses` says of data frames; counts the requests for repair.
fn net(
    n: usize,
    lateral: Lateral,
    loses: impl Fn(usize, usize, u64) -> bool + 'static,
) -> (Net, Rc<RefCell<u64>>) {
    let mut net = Net::new(1, n, Faults::default(), layers(lateral));
    let requests = Rc::new(RefCell::new(0));
    let (count, mut sent) = (Rc::clone(&requests), vec![0; n * n]);
    net.passes = Box::new(move |from, to, f| {
        *count.borrow_mut() += u64::from(f.kind() == RELIABLE && f.payload().first() == Some(&3));
        if f.kind() != Frame::DATA {
            return true;
        }
        sent[n * from + to] += 1;
        !loses(from, to, sent[n * from + to])
    });
    (net, requests)
}

#[test]
fn what_one_receiver_lacks_another_one_gives() {
    // Four senders, one frame each: the others of a repair are of other senders. One of them never reaches member 3.
    let lateral = Lateral { r: 4, c: 3, delay_us: 300 };
    let (mut net, requests) = net(5, lateral, |from, to, nth| from == 0 && to == 3 && nth % 2 == 1);
    for i in 0..20 {
        (0..4).for_each(|from| net.cast(from, &[&text(i, from)]));
        net.run_ms(5);
        assert_eq!(delivered(&net, 3, 0).len(), i + 1);
    }
    assert_eq!(*requests.borrow(), 0);
    for from in 0..4 {
        assert_eq!(delivered(&net, 3, from), (0..20).map(|i| text(i, from)).collect::<Vec<_>>());
    }
}

#[test]
fn a_repair_that_lacks_two_waits_for_one_of_them() {
    // Member 2 loses two frames of member 0; the one repair of both is of use when the other one is there.
    let lateral = Lateral { r: 2, c: 1, delay_us: 100_000 };
    let (mut net, _) = net(3, lateral, |_, to, nth| to == 2 && nth <= 2);
    net.cast(0, &[&text(1, 0), &text(2, 0)]);
    net.run_ms(1);
    let waits = |net: &Net| {
        let mut report = Report::default();
        net.nodes[2].stack.report(&mut report);
        report.to_string()
    };
    assert!(waits(&net).contains("lack"), "{}", waits(&net));
    net.run_ms(200);
    assert_eq!(delivered(&net, 2, 0), [text(1, 0), text(2, 0)]);
}

#[test]
fn repairs_go_to_c_others_and_not_to_who_has_sent_it_all() {
    for (n, c, repairs) in [(5, 2, 2), (5, 9, 3), (3, 5, 1), (2, 5, 0)] {
        let (mut net, _) = net(n, Lateral { r: 3, c, delay_us: 500 }, |_, _, _| false);
        net.cast(0, &[b"1", b"2", b"3"]);
        net.run_ms(3);
        let sent: Vec<_> = net.nodes[1].sent.iter().filter(|(_, _, kind)| *kind == LATERAL).collect();
        assert_eq!(sent.len(), repairs, "{n} members, c {c}");
        assert!(sent.iter().all(|(_, to, _)| *to != Dest::One(0) && *to != Dest::One(1)), "{sent:?}");
    }
}

#[test]
fn a_repair_is_no_longer_than_what_it_covers() {
    let longest = scope(0, 3).mtu - (FIXED_HEADER + SLOT_LEN + 32);
    let (mut net, _) = net(3, Lateral::default(), |_, _, _| false);
    let lengths = Rc::new(RefCell::new([0, 0]));
    let seen = Rc::clone(&lengths);
    net.passes = Box::new(move |_, _, f| {
        let of = &mut seen.borrow_mut()[usize::from(f.kind() == LATERAL)];
        *of = f.len().max(*of);
        true
    });
    net.cast(0, &[&vec![7; longest], b"short"]);
    net.run_ms(5);
    assert_eq!(*lengths.borrow(), [scope(0, 3).mtu; 2]);
}

#[test]
fn what_is_held_is_bounded_and_gone_at_the_end() {
    let (mut net, _) = net(3, Lateral::default(), |_, _, _| false);
    for i in 0..600 {
        net.cast(0, &[&text(i, 0)]);
        net.run_ms(1);
    }
    net.run_ms(200);
    assert!(net.nodes[1].stack.held_bytes() > 0);
    let cut = Arc::new(gcs::view::Cut { frontier: vec![600, 0, 0], holder: vec![0; 3] });
    net.down(1, Down::Wedge);
    net.down(1, Down::Fetch(cut.clone()));
    net.down(1, Down::Close(cut));
    assert_eq!(delivered(&net, 1, 0).len(), 600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn everything_arrives_in_spite_of_loss_and_duplicates(
        seed: u64, n in 2_usize..6, r in 0_u8..12, c in 0_u8..6, delay_us in 0_u32..3000, loss in 0_u64..300,
    ) {
        let delay = (Duration::from_micros(50), Duration::from_micros(900));
        let faults = Faults { loss_per_mille: loss, dup_per_mille: 100, delay };
        let mut net = Net::new(seed, n, faults, layers(Lateral { r, c, delay_us }));
        for round in 0..30 {
            for from in 0..n {
                let all: Vec<_> = (3 * round..3 * round + round % 4).map(|i| text(i, from)).collect();
                net.cast(from, &all.iter().map(Vec::as_slice).collect::<Vec<_>>());
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
                prop_oneof![3 => Just(LATERAL), 1 => Just(Frame::DATA), 1 => any::<u8>()],
                any::<bool>(),
                (0..10_u8, prop::collection::vec((0..4_u8, 0..6_u32), 8)),
                prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..60),
                prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 36),
                prop_oneof![4 => Just((1, 1)), 1 => (0..4_u16, 0..4_u16), 1 => (any::<u16>(), any::<u16>())],
            ),
            1..40,
        )
    ) {
        let mut net = Net::new(1, 3, Faults::default(), layers(Lateral::default()));
        let s = scope(0, 3);
        for (kind, unreliable, (count, ids), payload, rest, (from, via)) in frames {
            // The layers above have tests of their own; here what this one lets through must be of a member.
            let from = if kind == LATERAL || !unreliable { from } else { 1 };
            let mut f = Frame::new(kind, !unreliable, from, s.group, s.view.id, FIXED_HEADER + SLOT_LEN + 32, 60);
            let mut slot = vec![count];
            ids.iter().for_each(|(r, seq)| slot.extend((u32::from(*r) << 24 | seq).to_le_bytes()));
            f.slot_mut(&(FIXED_HEADER..FIXED_HEADER + 33)).copy_from_slice(&slot);
            f.slot_mut(&(FIXED_HEADER + 33..FIXED_HEADER + 69)).copy_from_slice(&rest);
            f.writable().extend_from_slice(&payload);
            f.via = via;
            net.inject(0, f);
            net.run_ms(1);
        }
    }
}
