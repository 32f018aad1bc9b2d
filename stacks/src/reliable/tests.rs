use super::*;
use crate::{
    heartbeat::Heartbeat,
    testkit::{Faults, Net, Plain, scope},
};
use bytes::Bytes;
use gcs::{
    frame::{Dest, Frame, Frames},
    layer::{Down, Stability, Up},
    stack::{Blueprint, Output, Stack},
    view::Cut,
};
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};

/// The index of the reliable layer.
const KIND: u8 = 1;
/// Where its slot is.
const SLOT: usize = gcs::frame::FIXED_HEADER;

fn layers(prompt: bool) -> Vec<Arc<dyn Protocol>> {
    vec![Arc::new(Heartbeat), Arc::new(Reliable { prompt }), Arc::new(Plain)]
}

fn net(seed: u64, n: usize, faults: Faults, prompt: bool) -> Net {
    Net::new(seed, n, faults, layers(prompt))
}

fn lossy() -> Faults {
    Faults {
        loss_per_mille: 300,
        dup_per_mille: 100,
        delay: (Duration::from_micros(50), Duration::from_micros(4000)),
    }
}

fn text(m: u64, i: usize) -> Vec<u8> {
    format!("{i}:{m}").into_bytes()
}

fn frontier(net: &Net, node: usize) -> Vec<u64> {
    let wedged = |e: &Up| if let Up::Wedged(f) = e { Some(f.clone()) } else { None };
    net.nodes[node].last(wedged).expect("wedged")
}

fn stable(net: &Net, node: usize) -> Stability {
    let stable = |e: &Up| if let Up::Stable(s) = e { Some(Stability::clone(s)) } else { None };
    net.nodes[node].last(stable).unwrap_or_default()
}

fn holds_cut(net: &Net, node: usize) -> bool {
    net.nodes[node].count(|e| matches!(e, Up::CutHeld(_))) > 0
}

/// The union of what the survivors hold.
fn union(net: &Net, survivors: &[usize]) -> Arc<Cut> {
    let n = net.nodes.len();
    let best = |s: usize| survivors.iter().max_by_key(|m| frontier(net, **m)[s]).copied().expect("survivors");
    Arc::new(Cut {
        frontier: (0..n).map(|s| frontier(net, best(s))[s]).collect(),
        holder: (0..n).map(|s| rows::rank(best(s))).collect(),
    })
}

fn end_view(net: &mut Net, survivors: &[usize]) -> Arc<Cut> {
    survivors.iter().for_each(|m| net.down(*m, Down::Wedge));
    net.run_ms(5);
    let cut = union(net, survivors);
    survivors.iter().for_each(|m| net.down(*m, Down::Fetch(cut.clone())));
    net.run_ms(3000);
    for m in survivors {
        assert!(holds_cut(net, *m), "member {m} got what it lacked");
        net.down(*m, Down::Close(cut.clone()));
        assert_eq!(net.nodes[*m].count(|e| matches!(e, Up::Closed)), 1);
        let delivered: Vec<_> = net.nodes[*m].delivered.iter().map(|d| d.len() as u64).collect();
        assert_eq!(delivered, cut.frontier, "R5: member {m} delivered exactly the cut");
        assert_eq!(net.nodes[*m].delivered, net.nodes[survivors[0]].delivered, "all deliver the same");
    }
    cut
}

fn cast_all(net: &mut Net, rounds: u64) {
    for round in 0..rounds {
        for i in 0..net.nodes.len() {
            net.cast(i, &[&text(2 * round, i), &text(2 * round + 1, i)]);
        }
        net.run_ms(1);
    }
}

fn expected(rounds: u64, i: usize) -> Vec<Bytes> {
    (0..2 * rounds).map(|m| Bytes::from(text(m, i))).collect()
}

#[test]
fn everything_arrives_in_order_in_spite_of_loss() {
    for seed in 0..20 {
        for prompt in [false, true] {
            let mut net = net(seed, 4, lossy(), prompt);
            cast_all(&mut net, 50);
            net.run_ms(2000);
            for node in &net.nodes {
                for (i, from) in node.delivered.iter().enumerate() {
                    assert_eq!(*from, expected(50, i), "seed {seed}");
                }
            }
        }
    }
}

#[test]
fn stability_frees_memory_and_then_all_is_quiet() {
    for (seed, faults) in [(1, Faults::default()), (2, lossy()), (3, lossy())] {
        let mut net = net(seed, 3, faults, false);
        cast_all(&mut net, 20);
        assert!(net.nodes.iter().any(|n| n.stack.held_bytes() > 0));
        net.run_ms(3000);
        for i in 0..3 {
            assert_eq!(net.nodes[i].stack.held_bytes(), 0, "seed {seed}");
            assert_eq!(stable(&net, i), Stability { majority: vec![40; 3], all: vec![40; 3] });
            net.nodes[i].sent.clear();
        }
        net.run_ms(1000);
        assert!(
            net.nodes.iter().all(|n| n.sent.iter().all(|(_, _, kind)| *kind != KIND)),
            "nothing left to say"
        );
    }
}

#[test]
fn own_frames_are_delivered_at_once_and_stable_alone() {
    let mut net = net(1, 1, Faults::default(), false);
    net.cast(0, &[b"a", b"b"]);
    assert_eq!(net.nodes[0].delivered[0], ["a", "b"]);
    assert_eq!(stable(&net, 0), Stability { majority: vec![2], all: vec![2] });
    assert_eq!(net.nodes[0].stack.held_bytes(), 0);
    assert!(net.nodes[0].sent.is_empty());
}

#[test]
fn what_is_silent_for_one_is_not_stable_at_all_but_in_a_majority() {
    let mut net = net(1, 3, Faults::default(), true);
    net.crash(2);
    net.cast(0, &[b"a"]);
    net.run_ms(3);
    assert_eq!(stable(&net, 0), Stability { majority: vec![1, 0, 0], all: vec![0; 3] });
    assert!(net.nodes[0].stack.held_bytes() > 0, "R2: held until all hold it");
}

#[test]
fn patient_frames_wait_for_their_acknowledgement() {
    for (patient, ms) in [(true, 5), (false, 0)] {
        let mut net = net(1, 2, Faults::default(), true);
        let Scope { group, view, .. } = scope(1, 2);
        let header = SLOT + codec::slot_len(2);
        let mut frame = Frame::new(Frame::DATA, true, 0, group, view.id, header, 0);
        frame.slot_mut(&(SLOT..SLOT + 8)).copy_from_slice(&1_u64.to_le_bytes());
        if patient {
            frame.set_patient();
        }
        let sent = net.now;
        net.inject(1, frame);
        net.run_ms(9);
        let ack = net.nodes[1].sent.iter().find(|(_, to, kind)| *kind == KIND && *to == Dest::Others);
        assert_eq!(ack.expect("acknowledged").0.since(sent).as_millis(), ms, "patient {patient}");
    }
}

#[test]
fn prompt_acknowledges_in_the_same_instant_and_lazy_waits() {
    for (prompt, ms) in [(true, 0), (false, 5)] {
        let mut net = net(1, 2, Faults::default(), prompt);
        net.cast(0, &[b"a"]);
        let sent = net.now;
        net.run_ms(9);
        let ack = net.nodes[1].sent.iter().find(|(_, to, kind)| *kind == KIND && *to == Dest::Others);
        let (at, ..) = ack.expect("acknowledged");
        assert_eq!(at.since(sent).as_millis(), ms, "prompt {prompt}");
    }
}

#[test]
fn an_own_frame_carries_the_row_instead() {
    let mut net = net(1, 2, Faults::default(), false);
    net.cast(0, &[b"a"]);
    net.run_ms(1);
    net.cast(1, &[b"b"]);
    net.run_ms(7);
    assert!(net.nodes[1].sent.iter().all(|(_, _, kind)| *kind != KIND));
    assert_eq!(stable(&net, 0).all, [1, 1]);
}

#[test]
fn many_frames_are_acknowledged_sooner() {
    let mut net = net(1, 2, Faults::default(), false);
    net.cast(0, &[&b"a"[..]; 32]);
    net.run_ms(1);
    assert_eq!(stable(&net, 0).all, [32, 0]);
}

#[test]
fn a_lost_tail_is_found_and_repaired() {
    let mut net = net(1, 2, Faults::default(), false);
    net.passes = Box::new(|_, _, f| f.kind() != Frame::DATA);
    net.cast(0, &[b"a", b"b"]);
    net.run_ms(2);
    net.passes = Box::new(|_, _, _| true);
    net.run_ms(30);
    assert_eq!(net.nodes[1].delivered[0], ["a", "b"]);
}

#[test]
fn a_lost_acknowledgement_of_anothers_frame_is_asked_for() {
    let mut net = net(1, 3, Faults::default(), false);
    net.passes = Box::new(|from, to, f| !(from == 1 && to == 2 && f.kind() == KIND));
    net.cast(0, &[b"a"]);
    net.run_ms(8);
    net.passes = Box::new(|_, _, _| true);
    assert_eq!((stable(&net, 0).all[0], stable(&net, 2).all.first()), (1, Some(&0)));
    net.run_ms(200);
    assert_eq!(stable(&net, 2).all[0], 1);
}

#[test]
fn others_repair_what_a_dead_sender_cannot() {
    let mut net = net(1, 3, Faults::default(), false);
    net.passes = Box::new(|from, to, f| !(from == 0 && to == 2 && f.kind() == Frame::DATA));
    net.cast(0, &[b"a", b"b"]);
    net.run_ms(2);
    net.crash(0);
    net.run_ms(300);
    assert_eq!(net.nodes[2].delivered[0], ["a", "b"], "asked in turn");
    let asked_sender = |net: &Net| net.nodes[2].sent.iter().filter(|s| s.1 == Dest::One(0)).count();
    assert!(asked_sender(&net) > 0, "the sender first");
}

#[test]
fn a_gone_sender_is_not_asked() {
    let mut net = net(1, 3, Faults::default(), true);
    net.passes = Box::new(|from, to, f| !(from == 0 && to == 2 && f.kind() == Frame::DATA));
    net.crash(0);
    net.down(2, Down::Gone(0));
    net.cast(0, &[b"a", b"b"]);
    net.run_ms(20);
    assert_eq!(net.nodes[2].delivered[0], ["a", "b"]);
    assert!(net.nodes[2].sent.iter().all(|s| s.2 != KIND || s.1 != Dest::One(0)));
}

#[test]
fn a_cut_that_one_survivor_holds_is_delivered_by_all() {
    for seed in 0..20 {
        let mut net = net(seed, 4, lossy(), seed % 2 == 0);
        cast_all(&mut net, 10);
        net.run_ms(500);
        // The last words of member 3 reach member 1 only.
        net.faults.loss_per_mille = 0;
        net.passes = Box::new(|from, to, _| from != 3 || to == 1);
        net.cast(3, &[b"last", b"words"]);
        net.run_ms(5);
        net.crash(3);
        net.passes = Box::new(|_, _, _| true);
        net.faults = lossy();
        (0..3).for_each(|i| net.cast(i, &[&text(99, i)]));
        let cut = end_view(&mut net, &[0, 1, 2]);
        assert_eq!(cut.frontier, [21, 21, 21, 22]);
        assert_eq!(net.nodes[0].delivered[3][20..], ["last", "words"]);
    }
}

#[test]
fn when_the_holder_dies_another_is_asked() {
    let mut net = net(1, 4, Faults::default(), false);
    net.passes = Box::new(|from, to, _| from != 3 || to != 0);
    net.cast(3, &[b"x"]);
    net.run_ms(1);
    [0, 1, 2].iter().for_each(|m| net.down(*m, Down::Wedge));
    let cut = Arc::new(Cut { frontier: vec![0, 0, 0, 1], holder: vec![0, 0, 0, 1] });
    net.crash(1);
    net.crash(3);
    net.passes = Box::new(|_, _, _| true);
    net.down(0, Down::Fetch(cut.clone()));
    net.run_ms(100);
    assert!(holds_cut(&net, 0));
}

#[test]
fn nothing_is_sent_delivered_or_acknowledged_once_wedged() {
    let mut net = net(1, 3, Faults::default(), true);
    net.down(1, Down::Wedge);
    assert_eq!(frontier(&net, 1), [0, 0, 0]);
    net.cast(0, &[b"late"]);
    net.nodes[1].sent.clear();
    net.cast(1, &[b"too late"]);
    assert!(net.nodes[1].sent.is_empty());
    net.run_ms(200);
    assert!(net.nodes[1].delivered.iter().all(Vec::is_empty));
    assert!(net.nodes[0].delivered[1].is_empty());
    assert_eq!(stable(&net, 0).all, [0, 0, 0], "R3: the row does not grow after Wedge");
    net.down(1, Down::Wedge);
    assert_eq!(frontier(&net, 1), [1, 0, 0], "though the frame is stored");
    assert_eq!(stable(&net, 1), Stability::default());
    assert_eq!(end_view(&mut net, &[0, 1, 2]).frontier, [1, 0, 0]);
}

#[test]
fn nothing_beyond_the_cut_is_delivered() {
    let mut net = net(1, 2, Faults::default(), true);
    net.down(0, Down::Wedge);
    net.cast(1, &[b"in", b"out"]);
    net.run_ms(5);
    let cut = Arc::new(Cut { frontier: vec![0, 1], holder: vec![0, 1] });
    net.down(0, Down::Fetch(cut.clone()));
    assert!(holds_cut(&net, 0), "at once");
    net.down(0, Down::Close(cut));
    assert_eq!(net.nodes[0].delivered[1], ["in"]);
}

#[test]
fn a_closed_member_still_answers_requests() {
    // Its acknowledgement is still due when it closes.
    let mut net = net(1, 3, Faults::default(), false);
    net.passes = Box::new(|_, to, _| to != 2);
    net.cast(0, &[b"x"]);
    net.run_ms(3);
    net.crash(0);
    let cut = Arc::new(Cut { frontier: vec![1, 0, 0], holder: vec![1, 0, 0] });
    net.down(1, Down::Wedge);
    net.down(1, Down::Fetch(cut.clone()));
    net.down(1, Down::Close(cut.clone()));
    net.nodes[1].sent.clear();
    net.run_ms(500);
    assert!(net.nodes[1].sent.is_empty(), "no timers, no acknowledgements");
    net.passes = Box::new(|_, _, _| true);
    net.down(2, Down::Wedge);
    net.down(2, Down::Fetch(cut.clone()));
    net.run_ms(50);
    net.down(2, Down::Close(cut));
    assert_eq!(net.nodes[2].delivered[0], ["x"]);
}

#[test]
#[should_panic(expected = "R5")]
fn closing_without_the_cut_is_a_bug() {
    let mut net = net(1, 2, Faults::default(), true);
    net.down(0, Down::Close(Arc::new(Cut { frontier: vec![0, 1], holder: vec![0, 1] })));
}

/// A stack of member 0 of 3, and a frame of member 1 with this slot and payload.
fn alone() -> (Stack, Output) {
    let blueprint = Blueprint::new("test", layers(true)).expect("layers fit");
    (blueprint.build(scope(0, 3)), Output::default())
}

fn crafted(kind: u8, reliable: bool, slot: &[u64], payload: &[u8]) -> Frame {
    let s = scope(0, 3);
    let mut f = Frame::new(kind, reliable, 1, s.group, s.view.id, SLOT + 32, payload.len());
    for (i, word) in slot.iter().enumerate() {
        f.slot_mut(&(SLOT + 8 * i..SLOT + 8 * i + 8)).copy_from_slice(&word.to_le_bytes());
    }
    f.writable().extend_from_slice(payload);
    f
}

#[test]
fn claims_that_cannot_be_are_ignored() {
    let (mut stack, mut out) = alone();
    let now = scope(0, 3).now;
    stack.start(now, &mut out);
    // Member 1 holds a frame of this member that was never sent, and many of member 2 that cannot have been.
    let bad = crafted(Frame::DATA, true, &[1, 7, 1, 1 << 40], b"");
    stack.receive(now, vec![bad], &mut out);
    stack.check();
    let stable = out.events.iter().find_map(|e| if let Up::Stable(s) = e { Some(s.clone()) } else { None });
    assert_eq!(stable.expect("member 1's frame is held by two").majority, [0, 1, 0]);
    out.frames.clear();
    stack.tick(now + Duration::from_millis(10), &mut out);
    let nacks = out.frames.iter().filter(|f| f.kind() == KIND && f.payload().first() == Some(&3)).count();
    assert_eq!(nacks, 0, "nothing is asked for on such a claim");
}

#[test]
fn a_repaired_frame_speaks_for_its_maker() {
    let (mut stack, mut out) = alone();
    let now = scope(0, 3).now;
    stack.start(now, &mut out);
    let mut frame = crafted(Frame::DATA, true, &[1, 0, 1, 0], b"");
    frame.via = 2;
    stack.receive(now, vec![frame.clone()], &mut out);
    let mut again = frame;
    again.via = 1;
    stack.receive(now, vec![again], &mut out);
    let all =
        out.events.iter().filter_map(|e| if let Up::Stable(s) = e { Some(s.all[1]) } else { None }).max();
    assert_eq!(all, Some(0), "member 2 is not known to hold it");
}

#[test]
fn other_layers_frames_pass_in_both_directions() {
    struct Probe;
    struct ProbeLayer;
    impl Protocol for Probe {
        fn spec(&self) -> LayerSpec {
            LayerSpec { name: "probe", wants: Wants::RECEIVED.and(Wants::CONTROL), ..Plain.spec() }
        }
        fn build(&self, _: &Scope) -> Box<dyn Layer> {
            Box::new(ProbeLayer)
        }
    }
    impl Layer for ProbeLayer {
        fn down(&mut self, _: Down, cx: &mut gcs::layer::Context<'_>) {
            let mut frames: Frames = vec![cx.control_frame(Dest::One(1), false, b"hello")];
            frames.push(cx.control_frame(Dest::Others, true, b"numbered"));
            cx.down(Down::Frames(frames));
        }
        fn up(&mut self, event: Up, cx: &mut gcs::layer::Context<'_>) {
            let Up::Frames(frames) = event else { return cx.up(event) };
            for mut f in frames {
                cx.up(Up::Messages(gcs::message::Messages::single(f.from, f.seq, f.payload_shared())));
            }
        }
    }
    let protocols: Vec<Arc<dyn Protocol>> =
        vec![Arc::new(Heartbeat), Arc::new(Reliable::default()), Arc::new(Probe)];
    let mut net = Net::new(1, 3, Faults::default(), protocols);
    net.down(0, Down::Congested(true));
    net.run_ms(2);
    assert_eq!(net.nodes[1].delivered[0].len(), 2);
    assert_eq!(net.nodes[2].delivered[0], ["numbered"]);
    assert_eq!(net.nodes[0].delivered[0], ["numbered"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn nothing_that_arrives_panics(
        frames in prop::collection::vec(
            (
                prop_oneof![Just(KIND), Just(Frame::DATA), Just(0), any::<u8>()],
                any::<bool>(),
                prop::collection::vec(prop_oneof![0..4_u64, 60_000..70_000_u64, any::<u64>()], 0..4),
                (prop_oneof![1..4_u8, any::<u8>()], prop::collection::vec(any::<u8>(), 0..40)),
                prop_oneof![0..4_u16, any::<u16>()],
                prop_oneof![0..4_u16, any::<u16>()],
            ),
            1..20,
        )
    ) {
        let (mut stack, mut out) = alone();
        let mut now = scope(0, 3).now;
        stack.start(now, &mut out);
        for (kind, reliable, slot, (tag, mut payload), from, via) in frames {
            payload.insert(0, tag);
            let mut frame = crafted(kind, reliable, &slot, &payload);
            // A layer above (there is none here that consumes them) checks ranks of what is its own.
            let own = kind == KIND || kind == 0 || reliable;
            (frame.from, frame.via) = if own { (from, via) } else { (1, 1) };
            stack.receive(now, vec![frame], &mut out);
            stack.check();
            now = now + Duration::from_millis(3);
            stack.tick(now, &mut out);
            stack.check();
        }
        prop_assert!(out.frames.len() < 400, "what arrives is not amplified");
    }
}
