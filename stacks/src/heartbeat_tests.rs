use super::*;
use crate::{
    reliable::Reliable,
    testkit::{Faults, Net, Plain, scope},
};
use gcs::{
    stack::{Blueprint, Output},
    view::Cut,
};
use proptest::prelude::*;
use std::sync::Arc;

fn layers() -> Vec<Arc<dyn Protocol>> {
    vec![Arc::new(Heartbeat), Arc::new(Reliable::default()), Arc::new(Plain)]
}

fn net(n: usize) -> Net {
    Net::new(1, n, Faults::default(), layers())
}

fn word(net: &Net, node: usize) -> Suspicions {
    net.nodes[node].last(|e| if let Up::Suspicions(s) = e { Some(**s) } else { None }).unwrap_or_default()
}

fn contact(net: &Net, node: usize) -> Contact {
    net.nodes[node].last(|e| if let Up::Contact(c) = e { Some(c.clone()) } else { None }).unwrap_or_default()
}

#[test]
fn a_silent_member_is_suspected_in_time_and_by_all() {
    let mut net = net(3);
    net.run_ms(500);
    net.crash(2);
    net.run_ms(540);
    assert_eq!((word(&net, 0).silent[0], word(&net, 1).silent[1]), (0, 0), "not before silence_ms");
    net.run_ms(180);
    for node in [0, 1] {
        assert_eq!(word(&net, node).silent[..3], [4, 4, 0], "everybody knows what everybody thinks");
        assert_eq!(word(&net, node).gone, 0);
    }
}

#[test]
fn suspicion_ends_when_the_member_is_heard() {
    let mut net = net(2);
    net.passes = Box::new(|from, _, _| from != 1);
    net.run_ms(800);
    assert_eq!(
        (word(&net, 0).silent[..2].to_vec(), word(&net, 1).silent[..2].to_vec()),
        (vec![2, 0], vec![2, 0])
    );
    net.passes = Box::new(|_, _, _| true);
    net.run_ms(60);
    assert_eq!((word(&net, 0).silent[0], word(&net, 1).silent[0]), (0, 0));
}

#[test]
fn any_frame_is_a_sign_of_life() {
    let mut net = net(2);
    net.passes = Box::new(|from, _, f| from != 1 || f.kind() == Frame::DATA);
    for _ in 0..10 {
        net.run_ms(100);
        net.cast(1, &[b"busy"]);
    }
    assert_eq!(word(&net, 0).silent[0], 0);
}

#[test]
fn who_was_stopped_does_not_accuse() {
    let mut net = net(3);
    net.run_ms(500);
    // All stop for long, and wake together: whoever runs first has heard nothing yet.
    let wake = net.now + Duration::from_secs(5);
    net.nodes.iter_mut().for_each(|n| n.stopped_until = wake);
    net.faults.loss_per_mille = 500;
    net.run_ms(8000);
    for node in &net.nodes {
        assert_eq!(node.count(|e| matches!(e, Up::Suspicions(_))), 0, "nobody is accused");
    }
}

#[test]
fn who_was_stopped_suspects_the_dead_in_the_end() {
    let mut net = net(3);
    net.run_ms(500);
    net.nodes[0].stopped_until = net.now + Duration::from_secs(5);
    net.crash(2);
    net.run_ms(5_000);
    assert_eq!(word(&net, 1).silent[1], 0b101, "the other saw both stop");
    net.run_ms(60);
    assert_eq!(word(&net, 0).silent[0], 0, "grace");
    assert_eq!(word(&net, 1).silent[1], 0b100, "it is back");
    net.run_ms(1500);
    assert_eq!(word(&net, 0).silent[0], 0b100);
}

#[test]
fn evidence_spreads_at_once_and_stays() {
    let mut net = net(3);
    net.run_ms(60);
    net.down(0, Down::Gone(2));
    net.run_ms(1);
    assert_eq!((word(&net, 0).gone, word(&net, 1).gone), (4, 4));
    net.run_ms(200);
    assert_eq!((word(&net, 0).gone, word(&net, 1).gone), (4, 4));
    // The accused hears of it, but a rank never lists itself.
    assert_eq!(word(&net, 2).gone, 0);
}

#[test]
fn beats_go_out_together() {
    let mut net = net(3);
    net.run_ms(2_000);
    let mut sent: Vec<Time> = net.nodes.iter().flat_map(|n| n.sent.iter().map(|s| s.0)).collect();
    sent.sort();
    let rounds = 1 + sent.windows(2).filter(|w| w[1].since(w[0]).as_millis() > 10).count();
    assert!((38..45).contains(&rounds), "{rounds} rounds in 2 s");
    assert!(sent.len() == 3 * rounds, "{} beats in {rounds} rounds", sent.len());
}

#[test]
fn contact_of_a_pair() {
    let mut net = net(2);
    net.run_ms(500);
    let age = |net: &Net, node| net.now.since(contact(net, node).quorum_at).as_millis();
    assert!(age(&net, 0) <= 60 && age(&net, 1) <= 120, "{} {}", age(&net, 0), age(&net, 1));
    // The first of a pair is half of it with the first: a quorum by itself. The second is not.
    net.passes = Box::new(|from, _, _| from != 0);
    let cut_off = net.now;
    net.run_ms(300);
    assert!(age(&net, 0) <= 60);
    assert!(contact(&net, 1).quorum_at <= cut_off);
    assert!(
        contact(&net, 1).quorum_at <= contact(&net, 0).answered_at[1],
        "the first knows how long at most"
    );
    // The first hears the second and answers (in vain), unless none of its beats has come between two of its own.
    assert!(net.now.since(contact(&net, 0).answered_at[1]).as_millis() <= 110);
    assert!(contact(&net, 1).answered_at[0] <= cut_off + Duration::from_millis(60));
}

#[test]
fn what_a_member_takes_for_contact_is_known_to_those_who_gave_it() {
    for seed in 0..10 {
        let mut net = Net::new(seed, 3, Faults { loss_per_mille: 300, ..Faults::default() }, layers());
        for round in 0..40 {
            if round == 20 {
                net.passes = Box::new(|from, to, _| from != 2 && to != 2);
            }
            net.run_ms(25);
            for r in 0..3 {
                let quorum_at = contact(&net, r).quorum_at;
                let gave =
                    (0..3).filter(|q| *q != r && contact(&net, *q).answered_at[r] >= quorum_at).count();
                assert!(quorum_at == Time::ZERO || gave >= 1, "two of three are a quorum");
            }
        }
        // Who died is answered no more, though beats go on.
        assert!(net.now.since(contact(&net, 0).answered_at[2]).as_millis() >= 400);
    }
}

#[test]
fn alone_is_a_quorum() {
    let mut net = net(1);
    net.run_ms(500);
    assert!(net.now.since(contact(&net, 0).quorum_at).as_millis() <= 60);
    assert!(net.nodes[0].sent.is_empty());
}

#[test]
fn wedge_does_not_silence_but_close_does() {
    let mut net = net(2);
    net.down(0, Down::Wedge);
    net.nodes[0].sent.clear();
    net.run_ms(200);
    assert!(net.nodes[0].sent.len() >= 3);
    net.down(0, Down::Close(Arc::new(Cut { frontier: vec![0, 0], holder: vec![0, 0] })));
    net.nodes[0].sent.clear();
    net.down(0, Down::Gone(1));
    net.run_ms(1000);
    assert!(net.nodes[0].sent.is_empty());
    assert_eq!(net.nodes[0].count(|e| matches!(e, Up::Suspicions(_))), 0);
}

#[test]
fn gaps_that_were_longer_are_tolerated() {
    let ms = Duration::from_millis;
    let fresh = Peer {
        heard_at: Time::ZERO,
        beat_at: Time::ZERO,
        mean: ms(50),
        deviation: ms(0),
        latest: Time::ZERO,
        echoed: Time::ZERO,
        answered: Time::ZERO,
    };
    assert_eq!(fresh.timeout(ms(600), 0), ms(600));
    assert_eq!(fresh.timeout(ms(600), 2), ms(1800), "self-doubt");
    let mut slow = fresh;
    let mut at = Time::from_ms(1);
    for i in 0..50 {
        slow.on_beat(at, ms(2400));
        at = at + ms(if i % 5 == 0 { 900 } else { 50 });
    }
    assert!(slow.timeout(ms(600), 0) > ms(900));
    assert!(slow.timeout(ms(600), 0) <= ms(2400));
}

#[test]
fn answers_to_what_was_never_sent_are_no_contact() {
    let blueprint = Blueprint::new("test", layers()).expect("layers fit");
    let (mut stack, mut out) = (blueprint.build(scope(1, 2)), Output::default());
    let now = scope(1, 2).now;
    stack.start(now, &mut out);
    let mut frame = out.frames.pop().expect("a first beat");
    for echo in [Time(1), now + Duration::from_nanos(1), Time::NEVER] {
        let beat = Beat { sent_at: now, suspects: 0, gone: 0, echo: SmallVec::from_slice(&[now, echo]) };
        (frame.from, frame.via) = (0, 0);
        frame.replace_payload(&beat.encode());
        stack.receive(now, vec![frame.clone()], &mut out);
        stack.check();
    }
    assert!(!out.events.iter().any(|e| matches!(e, Up::Contact(c) if c.quorum_at > Time::ZERO)));
    let echo = SmallVec::from_slice(&[now, now]);
    frame.replace_payload(&Beat { sent_at: now, suspects: 0, gone: 0, echo }.encode());
    frame.via = 1;
    stack.receive(now, vec![frame.clone()], &mut out);
    let in_contact =
        |out: &Output| out.events.iter().any(|e| matches!(e, Up::Contact(c) if c.quorum_at == now));
    assert!(!in_contact(&out), "nobody beats for another");
    frame.via = 0;
    stack.receive(now, vec![frame], &mut out);
    assert!(in_contact(&out));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn beats_come_back(sent_at: u64, suspects: u64, gone: u64, echo in prop::collection::vec(any::<u64>(), 0..64)) {
        let echo: SmallVec<[Time; 8]> = echo.into_iter().map(Time).collect();
        let beat = Beat { sent_at: Time(sent_at), suspects, gone, echo };
        prop_assert_eq!(Beat::decode(&beat.encode(), beat.echo.len()), Some(beat.clone()));
        prop_assert_eq!(Beat::decode(&beat.encode(), beat.echo.len() + 1), None);
    }

    #[test]
    fn nothing_that_arrives_panics(
        words in prop::collection::vec(prop_oneof![0..8_u64, any::<u64>()], 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..2),
        from in prop_oneof![0..4_u16, any::<u16>()],
        via in prop_oneof![0..4_u16, any::<u16>()],
    ) {
        let mut net = net(3);
        let s = scope(0, 3);
        let mut frame = Frame::new(0, false, 1, s.group, s.view.id, 24 + 32, 0);
        frame.writable().extend_from_slice(&[TAG]);
        words.iter().for_each(|w| frame.writable().extend_from_slice(&w.to_le_bytes()));
        frame.writable().extend_from_slice(&tail);
        (frame.from, frame.via) = (from, via);
        net.inject(0, frame);
        net.run_ms(100);
    }
}
