//! Version N of the protocol and the one before it in one group. `versions/frozen.rs` is the one before, by hand.

#[path = "versions/frozen.rs"]
mod frozen;

use bytes::Bytes;
use frozen::{Buf, ballot, control, entry, id, value, vid};
use gcs::{
    endpoint::{Effects, Endpoint, Input},
    frame::{Frame, FrameError, OLDEST_VERSION, WIRE_VERSION},
    id::{GroupTag, Incarnation, MemberId},
    sim::{Birth, Fault, Faults, Node, Plan, Setup, Step, When, generate, run_nodes},
    time::Time,
    view::ViewId,
    wire::{self, Body, Control},
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

const GROUP: u64 = 0x1122_3344_5566_7788;
const A: &str = "10.0.0.1:7000";
const B: &str = "[fd00::2]:65535";

fn member(addr: &str, incarnation: u64) -> wire::Id {
    MemberId { addr: addr.parse().expect("an address"), incarnation: Incarnation(incarnation) }.into()
}

/// Every control message: as version 1 writes it, and as this version holds it.
fn all() -> Vec<(Vec<u8>, Body)> {
    let from = || id(A, 7);
    let say = |tag, body| control(GROUP, from(), tag, body);
    let view = Some(wire::Vid { epoch: 99, number: 300 });
    let v = || vid(99, 300);
    let third = Some(wire::Ballot { round: 3, rank: 1 });
    let two =
        || value(&[entry(id(A, 7), "ann", true), entry(id(B, 8), "bob", false)], &[5, 1 << 40], &[0, 1]);
    let said = wire::Value {
        next: [(A, 7, "ann", true), (B, 8, "bob", false)]
            .map(|(addr, n, name, complete)| wire::Entry {
                id: Some(member(addr, n)),
                name: name.to_owned(),
                complete,
                ..Default::default()
            })
            .to_vec(),
        frontier: vec![5, 1 << 40],
        holder: vec![0, 1],
        ..Default::default()
    };
    let join = wire::Join {
        name: "cid".to_owned(),
        stack: "heartbeat/1 pack/1".to_owned(),
        state_transfer: true,
        heard: vec![member(A, 7), member(B, 8)],
        expect: 3,
        candidates: vec![member(B, 8)],
        pledge: Some(member(A, 7)),
        watch: vec![50, 600, 400],
        withdraw: true,
        ..Default::default()
    };
    let join_bytes = Buf::default()
        .bytes(1, b"cid")
        .bytes(2, b"heartbeat/1 pack/1")
        .uint(3, 1)
        .part(4, id(A, 7))
        .part(4, id(B, 8))
        .uint(5, 3)
        .part(6, id(B, 8))
        .part(7, id(A, 7))
        .packed(8, &[50, 600, 400])
        .uint(9, 1);
    let of_view = || Buf::default().part(1, v());
    let in_ballot = || of_view().part(2, ballot(3, 1));
    let promise = wire::Promise {
        view,
        ballot: third,
        accepted_ballot: Some(wire::Ballot { round: 2, rank: 0 }),
        accepted: Some(said.clone()),
        frontier: vec![1, 2, 3],
        complete: true,
        ..Default::default()
    };
    let promise_bytes = in_ballot().part(3, ballot(2, 0)).part(4, two()).packed(5, &[1, 2, 3]).uint(6, 1);
    let list = wire::MemberList { view, members: vec![member(A, 7), member(B, 8)], ..Default::default() };
    let pull = wire::StatePull { view, chunk: 3, piece: 4, count: 16, piece_len: 1300 };
    let piece = wire::StatePiece {
        view,
        chunk: 3,
        chunks: 9,
        chunk_len: 4000,
        piece: 1,
        data: Bytes::from_static(b"state"),
    };
    vec![
        (say(10, join_bytes), Body::Join(join)),
        (say(11, of_view().part(2, id(A, 7)).part(2, id(B, 8))), Body::MemberList(list)),
        (
            say(12, Buf::default().part(1, id(B, 8))),
            Body::MemberJoined(wire::MemberJoined { joiner: Some(member(B, 8)) }),
        ),
        (say(13, Buf::default().bytes(1, b"no")), Body::Refuse(wire::Refuse { reason: "no".to_owned() })),
        (say(14, Buf::default()), Body::Release(wire::Release {})),
        (say(20, in_ballot()), Body::Prepare(wire::Prepare { view, ballot: third })),
        (say(21, promise_bytes), Body::Promise(promise)),
        (say(22, in_ballot()), Body::Reject(wire::Reject { view, promised: third })),
        (
            say(23, in_ballot().part(3, two())),
            Body::Accept(wire::Accept { view, ballot: third, value: Some(said.clone()) }),
        ),
        (say(24, in_ballot()), Body::Accepted(wire::Accepted { view, ballot: third })),
        (say(25, of_view().part(2, two())), Body::Decide(wire::Decide { view, value: Some(said) })),
        (say(26, of_view()), Body::Leave(wire::Leave { view })),
        (say(30, of_view().uint(2, 3).uint(3, 4).uint(4, 16).uint(5, 1300)), Body::StatePull(pull)),
        (
            say(31, of_view().uint(2, 3).uint(3, 9).uint(4, 4000).uint(5, 1).bytes(6, b"state")),
            Body::StatePiece(piece),
        ),
        (say(32, of_view()), Body::StateDone(wire::StateDone { view })),
    ]
}

#[test]
fn this_version_reads_what_the_one_before_writes_and_can_write_the_same() {
    let all = all();
    assert_eq!(all.len(), 15);
    for (bytes, body) in all {
        assert!(frozen::understand(&bytes).is_some(), "the frozen codec reads itself: {body:?}");
        let read = Control::decode_datagram(Bytes::from(bytes.clone())).expect("well-formed");
        assert_eq!((read.group, read.from.as_ref()), (GROUP, Some(&member(A, 7))));
        assert_eq!(read.body.as_ref(), Some(&body));
        assert_eq!(read.encode_datagram(), bytes, "{body:?}");
    }
}

#[test]
fn the_one_before_reads_what_this_version_adds_to_as_if_it_were_not_there() {
    for (bytes, mut body) in all() {
        match &mut body {
            Body::Join(j) => (j.speaks, j.stack_then) = (2, "heartbeat/2 pack/1".to_owned()),
            Body::Promise(p) => p.speaks = 2,
            Body::Decide(d) => {
                let value = d.value.as_mut().expect("it has one");
                value.version = 2;
                value.next[0].speaks = 2;
            }
            _ => continue,
        }
        let mut later = Control { group: GROUP, from: Some(member(A, 7)), body: Some(body) };
        let written = later.encode_datagram();
        assert_ne!(written, bytes);
        assert_eq!(frozen::understand(&written), frozen::understand(&bytes));
        later.restrict(1);
        assert_eq!(later.encode_datagram(), bytes);
    }
}

#[test]
fn frames_of_both_versions_are_read_and_no_others() {
    let (group, view) = (GroupTag(GROUP), ViewId { epoch: 99, number: 300 });
    let header = 24 + 9;
    let old = [frozen::frame(255, 2, 1, GROUP ^ 99, 300), vec![7; 9], b"payload".to_vec()].concat();
    let parse = |b: &[u8]| Frame::parse(Bytes::copy_from_slice(b), group, view, header);
    let frame = parse(&old).expect("a frame of version 1");
    assert_eq!((frame.from, frame.kind(), frame.is_reliable(), frame.is_patient()), (1, 255, true, true));
    assert_eq!((frame.slot(&(24..33)), frame.payload()), (&[7; 9][..], &b"payload"[..]));
    let mut new = Frame::new(Frame::DATA, true, 1, group, view, header, 8);
    new.writable().extend_from_slice(b"payload");
    let new = new.into_packet().into_bytes();
    assert_eq!((new[1], &new[6..8]), (WIRE_VERSION, &[33, 0][..]), "version 2 says how long its header is");
    assert!(parse(&new).is_ok());
    assert_eq!(frozen::read_frame(&new), None, "which version 1 does not read");
    let with = |at: usize, byte: u8| {
        let mut bytes = new.to_vec();
        bytes[at] = byte;
        parse(&bytes).err()
    };
    assert_eq!(with(6, 34), Some(FrameError::Header));
    assert_eq!(with(1, 0), Some(FrameError::Version));
    assert_eq!(with(1, WIRE_VERSION + 1), Some(FrameError::Version));
}

/// What all processes of a run have shown.
#[derive(Default)]
struct Ledger {
    /// The version of each view, and its members.
    views: BTreeMap<ViewId, (u8, Vec<MemberId>)>,
    /// The version of the frames of each view.
    frames: BTreeMap<(u64, u64), u8>,
    /// The best version that each life speaks, by address and incarnation at its beginning.
    speaks: BTreeMap<MemberId, u8>,
}

impl Ledger {
    fn speaks(&self, member: MemberId) -> u8 {
        let lives = self.speaks.range(..=member).rev();
        lives.map(|(m, v)| (m.addr == member.addr, *v)).find(|(same, _)| *same).map_or(0, |(_, v)| v)
    }

    /// The best version that all of these speak.
    fn common(&self, members: &[MemberId]) -> u8 {
        members.iter().map(|m| self.speaks(*m)).min().unwrap_or(0)
    }
}

/// An endpoint whose every word is looked at.
struct Spied {
    endpoint: Endpoint,
    speaks: u8,
    ledger: Rc<RefCell<Ledger>>,
}

impl Spied {
    fn look(&self, effects: &Effects) {
        let mut ledger = self.ledger.borrow_mut();
        for t in &effects.transmits {
            let bytes = t.payload.clone().into_bytes();
            match bytes[0] {
                0xC6 => assert!(
                    frozen::understand(&bytes).is_some(),
                    "version 1 does not understand a {}",
                    wire::kind_name(&bytes)
                ),
                _ => {
                    assert!(bytes[1] <= self.speaks, "it does not speak {}", bytes[1]);
                    assert_eq!(bytes[1] == 1, frozen::read_frame(&bytes).is_some());
                    assert_eq!(
                        bytes[1] == 1,
                        bytes[6..8] == [0, 0],
                        "the header's length came with version 2"
                    );
                    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
                    let version = *ledger.frames.entry((word(8), word(16))).or_insert(bytes[1]);
                    assert_eq!(version, bytes[1], "all frames of a view are of one version");
                }
            }
        }
        if let (Some(view), Some(version)) = (self.endpoint.view(), self.endpoint.protocol()) {
            let members: Vec<_> = view.members.iter().map(|m| m.id).collect();
            let common = ledger.common(&members);
            assert!(version <= common, "{}: {version} is spoken, but not by all", view.id);
            let previous = ViewId { number: view.id.number - 1, ..view.id };
            let known = ledger.views.get(&previous).map(|(v, m)| (*v).min(ledger.common(m)));
            if view.id.number == 1 || known == Some(WIRE_VERSION) {
                assert_eq!(version, common, "{}: the best version that all speak", view.id);
            }
            let first = ledger.views.entry(view.id).or_insert((version, members));
            assert_eq!(first.0, version, "all agree on the version of a view");
        }
    }
}

impl Node for Spied {
    fn handle(&mut self, now: Time, input: Input, effects: &mut Effects) {
        let mut fresh = Effects::default();
        self.endpoint.handle(now, input, &mut fresh);
        self.look(&fresh);
        effects.transmits.append(&mut fresh.transmits);
        effects.events.append(&mut fresh.events);
    }
    fn deadline(&self) -> Time {
        self.endpoint.deadline()
    }
    fn check(&self) {
        self.endpoint.check();
    }
    fn me(&self) -> MemberId {
        self.endpoint.me()
    }
    fn held_bytes(&self) -> usize {
        self.endpoint.held_bytes()
    }
}

fn setup(stack: &str) -> Setup {
    let mut setup = Setup::new(gcs_stacks::named(stack).expect("a name of the catalogue"));
    setup.faults = Faults { strangers: false, ..Faults::all() };
    setup
}

/// Runs a plan in which `speaks` says what each life speaks, and looks at every word.
fn spy(seed: u64, setup: &Setup, plan: &Plan, speaks: impl Fn(&Birth) -> u8 + 'static) -> Ledger {
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let (settings, shared) = (setup.clone(), Rc::clone(&ledger));
    let report = run_nodes(seed, setup, plan, move |birth| {
        let speaks = speaks(birth);
        shared.borrow_mut().speaks.insert(birth.me, speaks);
        Spied { endpoint: settings.endpoint_that_speaks(birth, speaks), speaks, ledger: Rc::clone(&shared) }
    });
    if let Some(violation) = &report.violation {
        panic!("seed {seed}: {violation:?}\n{report}");
    }
    ledger.take()
}

#[test]
fn mixed_groups_keep_their_promises_and_speak_what_all_understand() {
    let (mut old, mut mixed, mut new) = (0, 0, 0);
    for (stack, from) in
        [("total+uniform+check", 40_000), ("total-slots+check", 41_000), ("causal+check", 42_000)]
    {
        let setup = setup(stack);
        for seed in from..from + 60 {
            let plan = generate(seed, setup.members, &setup.faults, setup.safety_ms);
            let settings = setup.clone();
            let ledger = spy(seed, &setup, &plan, move |birth| settings.protocol_max(birth));
            for (version, members) in ledger.views.values() {
                let some_better = members.iter().any(|m| ledger.speaks(*m) == WIRE_VERSION);
                match (*version, some_better) {
                    (OLDEST_VERSION, false) => old += 1,
                    (OLDEST_VERSION, true) => mixed += 1,
                    _ => new += 1,
                }
            }
        }
    }
    assert!(old > 5 && mixed > 100 && new > 100, "{old} {mixed} {new}");
}

#[test]
fn a_group_is_upgraded_process_by_process_and_can_go_back() {
    let mut setup = setup("total+uniform+check");
    setup.safety_ms = 7_000;
    // Every process is of the version before in its first life, and of this one in its second; the last goes back.
    let mut plan = Plan::calm(3);
    for (i, process) in [2, 1, 0].into_iter().enumerate() {
        let at = 800 + 1_000 * i as u64;
        plan = plan.at_ms(at, Fault::Leave { process }).at_ms(at + 400, Fault::Start { process });
    }
    let end = Fault::Kill { process: 0, evidence: true };
    plan = plan.at_ms(5_000, end).at_ms(5_500, Fault::Start { process: 0 });
    let speaks = |b: &Birth| if b.life == 2 { WIRE_VERSION } else { OLDEST_VERSION };
    let ledger = spy(5, &setup, &plan, speaks);
    let versions: Vec<_> = ledger.views.values().map(|(v, m)| (*v, m.len())).collect();
    let expected = [
        (1, 3), // as founded
        (1, 2), // without 2
        (1, 3), // with 2 of this version
        (1, 2),
        (1, 3),
        (1, 2), // without 0: all speak 2, but the one that left did not, and it took part in the decision
        (2, 3), // the last one is back
        (2, 2), // it was killed
        (1, 3), // and is of the version before again
    ];
    assert_eq!(versions, expected);
}

/// Why the members of the view that ends count, too. Process 1, of the version before, leaves, and takes part in deciding on the
/// view of the others; 0 proposes, installs that view, and dies when it has told 1 alone. What 1 has understood of the
/// decision is all that the others learn of it.
#[test]
fn who_leaves_passes_on_all_of_the_decision() {
    let setup = setup("total+uniform+check");
    let speaks = |b: &Birth| if b.process == 1 { OLDEST_VERSION } else { WIRE_VERSION };
    let mut plan = Plan::calm(5).at_ms(800, Fault::Leave { process: 1 });
    let when = When::Sends { process: 0, kind: "decide".to_owned(), nth: 1, from: 800_000_000 };
    plan.steps.push(Step { when, fault: Fault::Kill { process: 0, evidence: true } });
    for seed in 0..10 {
        let ledger = spy(seed, &setup, &plan, speaks);
        let mut views = ledger.views.values();
        let without = views.find(|(_, m)| m.len() == 4 && ledger.common(m) == WIRE_VERSION);
        assert_eq!(
            without.map(|(v, _)| *v),
            Some(OLDEST_VERSION),
            "seed {seed}: one took part that speaks no better"
        );
    }
}
