//! Runs stacks of several members against each other, in virtual time and from a seed: for tests of layers, without
//! endpoints. What an endpoint would do with the stack's events, the test does.

use bytes::Bytes;
use gcs::{
    frame::{Dest, Frame, Frames},
    guard::Secret,
    id::{GroupTag, Incarnation, MemberId, Rank},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants, Watch},
    message::{Messages, Outgoing},
    properties::Properties,
    rng::Rng,
    stack::{Blueprint, Output, Stack},
    time::Time,
    view::{Member, View, ViewId},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// A view of `n` members.
pub(crate) fn view(n: usize) -> View {
    let member = |i: usize| {
        let port = 1000 + u16::try_from(i).expect("few members");
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Member::new(MemberId { addr, incarnation: Incarnation(1) }, format!("m{i}"))
    };
    View { id: ViewId { epoch: 1, number: 1 }, members: (0..n).map(member).collect() }
}

/// What a member's stack is built for.
pub(crate) fn scope(me: usize, n: usize) -> Scope {
    Scope {
        view: view(n),
        me: Rank::try_from(me).expect("few members"),
        group: GroupTag::of("test"),
        version: gcs::frame::WIRE_VERSION,
        now: Time::from_ms(1000),
        mtu: 1400,
        window_bytes: 1 << 20,
        window_max: 1 << 20,
        watch: Watch::default(),
        arrangement: 0,
        partitionable: false,
        secret: Some(Secret([7; 32])),
        signer: None,
        seed: me as u64 + 1,
    }
}

/// The top of test stacks: one message, one frame.
pub(crate) struct Plain;

struct PlainLayer {
    /// By sender: the last frame's number, and how many messages were delivered.
    last: Vec<(u64, u64)>,
}

impl Protocol for Plain {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "plain",
            version: 1,
            needs: Properties::RELIABLE,
            gives: Properties::MESSAGES | Properties::BOUNDED,
            wants: Wants::SENT.and(Wants::RECEIVED),
        }
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(PlainLayer { last: vec![(0, 0); scope.members()] })
    }
}

impl Layer for PlainLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        let Down::Cast(out) = event else { return cx.down(event) };
        let bytes = out.into_bytes().freeze();
        let all = Messages::packed(0, 0, bytes).expect("well-formed");
        let frame = |m: &[u8]| {
            let mut frame = cx.data_frame(m.len());
            frame.writable().extend_from_slice(m);
            frame
        };
        let frames = all.iter().map(frame).collect();
        cx.down(Down::Frames(frames));
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        let Up::Frames(frames) = event else { return cx.up(event) };
        for mut frame in frames.into_iter().filter(Frame::is_reliable) {
            let (seq, count) = &mut self.last[usize::from(frame.from)];
            *seq += 1;
            assert_eq!(*seq, frame.seq, "frames come in order and once");
            if frame.kind() == Frame::DATA {
                cx.up(Up::Messages(Messages::single(frame.from, *count, frame.payload_shared())));
                *count += 1;
            }
        }
    }
}

/// What happens to datagrams on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) loss_per_mille: u64,
    pub(crate) dup_per_mille: u64,
    pub(crate) delay: (Duration, Duration),
}

impl Default for Faults {
    fn default() -> Self {
        let delay = (Duration::from_micros(100), Duration::from_micros(200));
        Self { loss_per_mille: 0, dup_per_mille: 0, delay }
    }
}

/// A member under test.
pub(crate) struct Node {
    pub(crate) stack: Stack,
    /// What came out of the top, in order, except messages.
    pub(crate) events: Vec<(Time, Up)>,
    /// Delivered messages by sender.
    pub(crate) delivered: Vec<Vec<Bytes>>,
    /// It neither receives nor runs until then.
    pub(crate) stopped_until: Time,
    /// Its datagrams.
    pub(crate) sent: Vec<(Time, Dest, u8)>,
    waiting: Frames,
}

impl Node {
    /// The last event for which `pick` gives something.
    pub(crate) fn last<T>(&self, pick: impl Fn(&Up) -> Option<T>) -> Option<T> {
        self.events.iter().rev().find_map(|(_, e)| pick(e))
    }

    pub(crate) fn count(&self, pick: impl Fn(&Up) -> bool) -> usize {
        self.events.iter().filter(|(_, e)| pick(e)).count()
    }
}

type Filter = Box<dyn FnMut(usize, usize, &Frame) -> bool>;

/// Members and the network between them.
pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) faults: Faults,
    /// Whether a frame gets from one member to another, apart from faults.
    pub(crate) passes: Filter,
    rng: Rng,
    flying: BTreeMap<(Time, u64), (usize, usize, Bytes)>,
    count: u64,
}

impl Net {
    /// `n` members with these layers (bottom first), started.
    pub(crate) fn new(seed: u64, n: usize, faults: Faults, layers: Vec<Arc<dyn Protocol>>) -> Self {
        let blueprint = Blueprint::new("test", layers).expect("layers fit");
        let node = |me| Node {
            stack: blueprint.build(scope(me, n)),
            events: Vec::new(),
            delivered: vec![Vec::new(); n],
            stopped_until: Time::ZERO,
            sent: Vec::new(),
            waiting: Frames::new(),
        };
        let mut net = Self {
            now: scope(0, n).now,
            nodes: (0..n).map(node).collect(),
            faults,
            passes: Box::new(|_, _, _| true),
            rng: Rng::new(seed),
            flying: BTreeMap::new(),
            count: 0,
        };
        for i in 0..n {
            net.with(i, |stack, now, out| stack.start(now, out));
        }
        net
    }

    pub(crate) fn down(&mut self, node: usize, event: Down) {
        self.with(node, |stack, now, out| stack.down(now, event, out));
    }

    pub(crate) fn cast(&mut self, node: usize, messages: &[&[u8]]) {
        let mut out = Outgoing::new();
        messages.iter().for_each(|m| out.push(m));
        self.down(node, Down::Cast(out));
    }

    /// Stops a member for good.
    pub(crate) fn crash(&mut self, node: usize) {
        self.nodes[node].stopped_until = Time::NEVER;
    }

    /// A datagram out of nowhere.
    pub(crate) fn inject(&mut self, node: usize, frame: Frame) {
        self.with(node, |stack, now, out| stack.receive(now, vec![frame], out));
    }

    /// Lets time pass.
    pub(crate) fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(next) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn next(&self) -> Option<Time> {
        let awake = |n: &Node| {
            let due = if n.waiting.is_empty() { n.stack.deadline() } else { Time::ZERO };
            Some(due.max(n.stopped_until)).filter(|at| *at != Time::NEVER)
        };
        let timers = self.nodes.iter().filter_map(awake).min();
        self.flying.keys().next().map(|(at, _)| *at).into_iter().chain(timers).min()
    }

    fn step(&mut self) {
        while let Some(entry) = self.flying.first_entry().filter(|e| e.key().0 <= self.now) {
            let (from, to, bytes) = entry.remove();
            let mut frame = self.nodes[to].stack.parse(bytes).expect("frames of this view");
            frame.via = Rank::try_from(from).expect("few members");
            self.nodes[to].waiting.push(frame);
        }
        for i in 0..self.nodes.len() {
            if self.nodes[i].stopped_until > self.now {
                continue;
            }
            let frames = std::mem::take(&mut self.nodes[i].waiting);
            if !frames.is_empty() {
                self.with(i, |stack, now, out| stack.receive(now, frames, out));
            }
            if self.nodes[i].stack.deadline() <= self.now {
                self.with(i, Stack::tick);
            }
        }
    }

    fn with(&mut self, node: usize, f: impl FnOnce(&mut Stack, Time, &mut Output)) {
        let mut out = Output::default();
        let n = &mut self.nodes[node];
        f(&mut n.stack, self.now, &mut out);
        n.stack.check();
        for event in out.events {
            match event {
                Up::Messages(m) => n.delivered[usize::from(m.from)].extend(m.iter_shared()),
                other => n.events.push((self.now, other)),
            }
        }
        for frame in out.frames {
            self.nodes[node].sent.push((self.now, frame.to, frame.kind()));
            self.transmit(node, &frame);
        }
    }

    fn transmit(&mut self, from: usize, frame: &Frame) {
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            let addressed = match frame.to {
                Dest::Others => true,
                Dest::One(rank) => usize::from(rank) == to,
            };
            if !addressed || !(self.passes)(from, to, frame) {
                continue;
            }
            let copies = 1 + u64::from(self.rng.chance(self.faults.dup_per_mille));
            for _ in 0..copies {
                if self.rng.chance(self.faults.loss_per_mille) {
                    continue;
                }
                let (min, max) = self.faults.delay;
                let spread = u64::try_from((max - min).as_nanos()).expect("short");
                let at = self.now + min + Duration::from_nanos(self.rng.below(spread));
                self.count += 1;
                self.flying.insert((at, self.count), (from, to, frame.clone().into_packet().into_bytes()));
            }
        }
    }
}
