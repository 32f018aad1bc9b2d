//! A test rig: N stacks on a tiny in-memory transport that keeps the contract of the reliable layer.

use bytes::Bytes;
use gcs::{
    frame::{Dest, FIXED_HEADER, Frame, Frames},
    guard::Secret,
    id::{GroupTag, Incarnation, MemberId, Rank},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Stability, Up, Wants, Watch},
    message::Outgoing,
    properties::Properties,
    rng::Rng,
    stack::{Blueprint, Output, REQUIRED, Stack},
    time::Time,
    view::{Cut, Member, View, ViewId},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// The bottom: numbers frames, hands them back, and tells the others what it holds. Nothing gets lost.
struct Wire;

struct WireLayer {
    me: usize,
    wedged: bool,
    /// By member: what it holds of each stream.
    rows: Vec<Vec<u64>>,
    /// Frames that arrived after the wedge.
    late: Vec<VecDeque<Frame>>,
}

impl Protocol for Wire {
    fn spec(&self) -> LayerSpec {
        let delivery = Properties::RELIABLE | Properties::FIFO | Properties::STABILITY;
        let gives = REQUIRED | delivery | Properties::VIRTUAL_SYNCHRONY;
        LayerSpec { name: "wire", version: 1, needs: Properties::NONE, gives, wants: Wants::ALL }
    }
    fn header_len(&self, _: usize) -> usize {
        8
    }
    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        let n = scope.members();
        Box::new(WireLayer {
            me: scope.me.into(),
            wedged: false,
            rows: vec![vec![0; n]; n],
            late: vec![VecDeque::new(); n],
        })
    }
}

impl Layer for WireLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(mut frames) => {
                let started = frames.iter().any(Frame::is_reliable);
                assert!(!self.wedged || !started, "a frame was started after the wedge");
                let mut own = Frames::new();
                for f in frames.iter_mut().filter(|f| f.is_reliable()) {
                    self.rows[self.me][self.me] += 1;
                    let seq = self.rows[self.me][self.me];
                    f.seq = seq;
                    f.slot_mut(&cx.slot()).copy_from_slice(&seq.to_le_bytes());
                    f.seal();
                    own.push(f.clone());
                }
                cx.down(Down::Frames(frames));
                if !own.is_empty() {
                    cx.up(Up::Frames(own));
                    self.tell(cx);
                }
            }
            Down::Wedge => {
                self.wedged = true;
                cx.up(Up::Wedged(self.rows[self.me].clone()));
            }
            Down::Close(cut) => {
                let mut rest = Frames::new();
                // From the highest rank: no layer may rely on the order between senders.
                for (late, upto) in self.late.iter_mut().zip(&cut.frontier).rev() {
                    rest.extend(late.drain(..).take_while(|f| f.seq <= *upto));
                }
                cx.up(Up::Frames(rest));
                cx.up(Up::Closed);
            }
            Down::Congested(_) | Down::Gone(_) => {}
            other => panic!("out of the bottom: {other:?}"),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        let Up::Frames(frames) = event else { panic!("{event:?} from the transport") };
        let (mut up, mut news) = (Frames::new(), false);
        for mut f in frames {
            let from = usize::from(f.from);
            if f.kind() == cx.kind() {
                let row = f.payload().as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
                self.rows[from].iter_mut().zip(row).for_each(|(old, new)| *old = new.max(*old));
                self.stable(cx);
            } else if !f.is_reliable() {
                up.push(f);
            } else {
                f.seq = u64::from_le_bytes(f.slot(&cx.slot()).try_into().unwrap());
                if f.seq != self.rows[self.me][from] + 1 {
                    continue;
                }
                self.rows[self.me][from] = f.seq;
                self.rows[from][from] = f.seq;
                news = true;
                if self.wedged { self.late[from].push_back(f) } else { up.push(f) }
            }
        }
        if !up.is_empty() {
            cx.up(Up::Frames(up));
        }
        if news {
            self.tell(cx);
        }
    }
}

impl WireLayer {
    fn tell(&self, cx: &mut Context<'_>) {
        let row: Vec<u8> = self.rows[self.me].iter().flat_map(|seq| seq.to_le_bytes()).collect();
        cx.down(Down::Frames(vec![cx.control_frame(Dest::Others, false, &row)]));
        self.stable(cx);
    }

    fn stable(&self, cx: &mut Context<'_>) {
        let n = self.rows.len();
        let mut s = Stability::default();
        for sender in 0..n {
            let mut held: Vec<_> = self.rows.iter().map(|r| r[sender]).collect();
            held.sort_unstable();
            s.all.push(held[0]);
            s.majority.push(held[n - (n / 2 + 1)]);
        }
        cx.up(Up::Stable(Arc::new(s)));
    }
}

/// A top for tests of the layers below `pack`: a frame for each message.
pub(crate) struct Raw;

struct RawLayer;

impl Protocol for Raw {
    fn spec(&self) -> LayerSpec {
        let none = Properties::NONE;
        LayerSpec { name: "raw", version: 1, needs: none, gives: none, wants: Wants::ALL }
    }
    fn build(&self, _: &Scope) -> Box<dyn Layer> {
        Box::new(RawLayer)
    }
}

impl Layer for RawLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        let Down::Cast(out) = event else { return cx.down(event) };
        let (bytes, mut at, mut frames) = (out.into_bytes(), 0, Frames::new());
        while at < bytes.len() {
            let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            let mut f = cx.data_frame(len);
            f.writable().extend_from_slice(&bytes[at + 4..at + 4 + len]);
            frames.push(f);
            at += 4 + len;
        }
        cx.down(Down::Frames(frames));
    }
}

/// The stacks and what is between them.
pub(crate) struct Rig {
    pub(crate) stacks: Vec<Stack>,
    pub(crate) now: Time,
    /// What came out of the tops.
    pub(crate) out: Vec<Vec<Up>>,
    /// How many of a thousand unreliable frames get lost.
    pub(crate) loss: u64,
    /// Members whose process is gone: nothing reaches them, and they do nothing.
    pub(crate) dead: u64,
    /// How many frames went out, by kind.
    pub(crate) sent: Vec<usize>,
    rng: Rng,
    header: usize,
    /// From, to: nothing moves there.
    cuts: Vec<(usize, usize)>,
    /// From, to.
    links: Vec<Vec<VecDeque<Bytes>>>,
    /// By sender: its stream.
    log: Vec<Vec<Bytes>>,
}

const GROUP: GroupTag = GroupTag(7);
const VIEW: ViewId = ViewId { epoch: 1, number: 1 };

impl Rig {
    pub(crate) fn new(above: Vec<Arc<dyn Protocol>>, n: usize, mtu: usize, window: usize, seed: u64) -> Self {
        let mut protocols: Vec<Arc<dyn Protocol>> = vec![Arc::new(Wire)];
        protocols.extend(above);
        let header = FIXED_HEADER + protocols.iter().map(|p| p.header_len(n)).sum::<usize>();
        let blueprint = Blueprint::new("rig", protocols).unwrap();
        let members: Vec<_> = (0..n)
            .map(|i| {
                let addr = ([127, 0, 0, 1], 1 + u16::try_from(i).unwrap()).into();
                Member::new(MemberId { addr, incarnation: Incarnation(1) }, format!("m{i}"))
            })
            .collect();
        let scope = |me| Scope {
            view: View { id: VIEW, members: members.clone().into() },
            me,
            group: GROUP,
            version: gcs::frame::WIRE_VERSION,
            now: Time::ZERO,
            mtu: header + mtu,
            window_bytes: window,
            window_max: window,
            watch: Watch::default(),
            arrangement: 0,
            partitionable: false,
            secret: Some(Secret([7; 32])),
            signer: None,
            seed,
        };
        let mut rig = Self {
            stacks: (0..n).map(|me| blueprint.build(scope(Rank::try_from(me).unwrap()))).collect(),
            now: Time::ZERO,
            out: (0..n).map(|_| Vec::new()).collect(),
            loss: 0,
            dead: 0,
            sent: vec![0; 256],
            rng: Rng::new(seed),
            header,
            cuts: Vec::new(),
            links: vec![vec![VecDeque::new(); n]; n],
            log: vec![Vec::new(); n],
        };
        for r in 0..n {
            rig.act(r, |stack, now, out| stack.start(now, out));
        }
        rig
    }

    fn act(&mut self, r: usize, f: impl FnOnce(&mut Stack, Time, &mut Output)) {
        if self.dead >> r & 1 == 1 {
            return;
        }
        let mut out = Output::default();
        f(&mut self.stacks[r], self.now, &mut out);
        self.stacks[r].check();
        self.out[r].append(&mut out.events);
        for frame in out.frames {
            self.sent[usize::from(frame.kind())] += 1;
            let (to, reliable) = (frame.to, frame.is_reliable());
            let bytes = frame.into_packet().into_bytes();
            if reliable {
                self.log[r].push(bytes.clone());
            }
            for other in (0..self.stacks.len()).filter(|o| *o != r) {
                let lost = !reliable && self.rng.chance(self.loss);
                let meant = to == Dest::Others || to == Dest::One(Rank::try_from(other).unwrap());
                if meant && !lost {
                    self.links[r][other].push_back(bytes.clone());
                }
            }
        }
    }

    pub(crate) fn down(&mut self, r: usize, event: Down) {
        self.act(r, |stack, now, out| stack.down(now, event, out));
    }

    pub(crate) fn cast(&mut self, r: usize, messages: &[&[u8]]) {
        let mut out = Outgoing::new();
        messages.iter().for_each(|m| out.push(m));
        self.down(r, Down::Cast(out));
    }

    /// What `from` sends to `to` waits from now on.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cuts.push((from, to));
    }

    /// Ends all cuts.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Moves one to four frames of some link; false if there are none anywhere.
    pub(crate) fn step(&mut self, rng: &mut Rng) -> bool {
        let n = self.stacks.len();
        let busy: Vec<_> = (0..n * n)
            .map(|i| (i / n, i % n))
            .filter(|(a, b)| !self.links[*a][*b].is_empty() && self.dead >> b & 1 == 0)
            .filter(|link| !self.cuts.contains(link))
            .collect();
        if busy.is_empty() {
            return false;
        }
        let (a, b) = busy[rng.below(busy.len() as u64) as usize];
        let many = (1 + rng.below(4) as usize).min(self.links[a][b].len());
        let datagrams: Vec<_> = self.links[a][b].drain(..many).collect();
        self.receive(b, datagrams);
        true
    }

    pub(crate) fn receive(&mut self, r: usize, datagrams: Vec<Bytes>) {
        self.act(r, |stack, now, out| {
            let frames = datagrams.into_iter().map(|d| stack.parse(d).unwrap()).collect();
            stack.receive(now, frames, out);
        });
    }

    /// Runs the timers that are due.
    pub(crate) fn tick(&mut self) -> bool {
        let due: Vec<_> = (0..self.stacks.len())
            .filter(|r| self.stacks[*r].deadline() <= self.now && self.dead >> r & 1 == 0)
            .collect();
        for r in &due {
            self.act(*r, |stack, now, out| stack.tick(now, out));
        }
        !due.is_empty()
    }

    /// Goes on until nothing is under way and no timer is due.
    pub(crate) fn settle(&mut self) {
        let mut rng = self.rng.fork();
        while self.tick() || self.step(&mut rng) {}
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now + Duration::from_millis(1);
            self.settle();
        }
    }

    /// Some casts and some steps, by chance.
    pub(crate) fn play(&mut self, rng: &mut Rng, moves: usize) {
        let n = self.stacks.len() as u64;
        for i in 0..moves {
            if rng.chance(400) {
                let r = rng.below(n) as usize;
                let messages: Vec<_> = (0..=rng.below(3)).map(|k| format!("{r} {i} {k}")).collect();
                self.cast(r, &messages.iter().map(String::as_bytes).collect::<Vec<_>>());
            } else {
                self.step(rng);
            }
            if rng.chance(700) {
                self.tick();
            }
        }
    }

    /// The members that are not dead.
    pub(crate) fn alive(&self) -> Vec<usize> {
        (0..self.stacks.len()).filter(|r| self.dead >> r & 1 == 0).collect()
    }

    /// Wedges a member, unless it is; what it held then.
    pub(crate) fn wedge(&mut self, r: usize) -> Vec<u64> {
        let held = |rig: &Self| {
            rig.out[r].iter().find_map(|e| match e {
                Up::Wedged(held) => Some(held.clone()),
                _ => None,
            })
        };
        held(self).unwrap_or_else(|| {
            self.down(r, Down::Wedge);
            held(self).unwrap()
        })
    }

    /// Ends the view for those who are not dead.
    pub(crate) fn close(&mut self) {
        let n = self.stacks.len();
        let alive = self.alive();
        let mut cut = Cut { frontier: vec![0; n], holder: vec![0; n] };
        for r in &alive {
            let held = self.wedge(*r);
            cut.frontier.iter_mut().zip(held).for_each(|(c, h)| *c = (*c).max(h));
        }
        // What one holds the others fetch; and they may hear of what others hold meanwhile.
        for r in &alive {
            for (sender, upto) in cut.frontier.clone().into_iter().enumerate().filter(|(s, _)| s != r) {
                self.receive(*r, self.log[sender][..upto as usize].to_vec());
            }
        }
        self.settle();
        let cut = Arc::new(cut);
        for r in alive {
            self.down(r, Down::Close(cut.clone()));
            assert!(matches!(self.out[r].last(), Some(Up::Closed)), "closed at once");
            assert_eq!(self.stacks[r].held_bytes(), 0, "nothing is held after the end");
        }
    }

    /// A frame that a peer made up.
    pub(crate) fn forge(&self, kind: u8, from: Rank, seq: u64, payload: &[u8]) -> Bytes {
        let mut f = Frame::new(kind, seq > 0, from, GROUP, VIEW, self.header, payload.len());
        f.slot_mut(&(FIXED_HEADER..FIXED_HEADER + 8)).copy_from_slice(&seq.to_le_bytes());
        f.writable().extend_from_slice(payload);
        f.into_packet().into_bytes()
    }

    /// The frames that came out of a top, as far as they are in streams: sender and content.
    pub(crate) fn frames(&self, r: usize) -> Vec<(Rank, Vec<u8>)> {
        let frames = self.out[r].iter().filter_map(|e| match e {
            Up::Frames(frames) => Some(frames),
            _ => None,
        });
        frames.flatten().filter(|f| f.seq > 0).map(|f| (f.from, f.payload().to_vec())).collect()
    }

    /// How many data frames a member has sent.
    pub(crate) fn data_sent(&self, r: usize) -> usize {
        self.log[r].iter().filter(|datagram| datagram[2] == Frame::DATA).count()
    }

    /// The lengths of the reliable frames that a member has sent, in bytes.
    pub(crate) fn lengths(&self, r: usize) -> impl Iterator<Item = usize> {
        self.log[r].iter().map(Bytes::len)
    }

    /// The messages that came out of a top.
    pub(crate) fn messages(&self, r: usize) -> Vec<(Rank, Vec<u8>)> {
        let mut all = Vec::new();
        for e in &self.out[r] {
            if let Up::Messages(m) = e {
                all.extend(m.iter().map(|one| (m.from, one.to_vec())));
            }
        }
        all
    }

    /// What was handed back.
    pub(crate) fn unsent(&self, r: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for e in &self.out[r] {
            if let Up::Unsent(out) = e {
                let bytes = out.clone().into_bytes().freeze();
                let messages = gcs::message::Messages::packed(0, 0, bytes).unwrap();
                all.extend(messages.iter().map(<[u8]>::to_vec));
            }
        }
        all
    }

    /// What was last said of credit.
    pub(crate) fn credit(&self, r: usize) -> bool {
        let last = self.out[r].iter().rev().find_map(|e| match e {
            Up::Credit(credit) => Some(*credit),
            _ => None,
        });
        last.unwrap_or(true)
    }
}
