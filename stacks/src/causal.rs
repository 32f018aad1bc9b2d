//! Causal order: a frame is passed on after everything that its sender had seen when it was sent.
//!
//! Vector timestamps (Fidge, 1988; Mattern, 1989) in the form of Birman, Schiper and Stephenson, "Lightweight causal and
//! atomic group multicast", ACM TOCS 9(3), 1991 (CBCAST), on frames: an entry is the number of the last frame of that sender
//! that was passed on, so a timestamp is shared by all messages of a frame. Deviation: what a crash has made impossible to
//! pass on is dropped at the end of the view, by all survivors alike.
//!
//! ```text
//! a      a1 ──────────────►            after(b: 0, c: 0)
//! b           got a1   b1 ────────►    after(a: 1, c: 0)
//! c      got b1 (held: a: 0 < 1)   got a1, passed on   b1, passed on
//! ```
//!
//! * **Needs** reliable, FIFO, virtual synchrony. **Gives** causal order (O2). Its place is above what gives a total order
//!   or uniform delivery: it keeps both. A total order that is uniform is causal by itself.
//! * **Events in**: `Down::Frames`, `Down::Wedge`, `Up::Frames`, `Up::Closed`. **Out**: `Down::Frames` with a timestamp,
//!   `Up::Frames` in causal order.
//! * **Header**: for each member, the low 32 bits of the number of its last frame that was passed on here (`u32`,
//!   little-endian; 0 for the sender itself). They stand for a number within 2^31 of what the receiver knows; flow control
//!   sees to it that they are much closer. Frames of layers above have a timestamp, too; unreliable ones do not wait.
//! * **Timers**: none.
//! * **The end of a view**: nothing arrives between `Wedge` and `Closed`. Up to the cut, a frame is missing only if all
//!   that held it have crashed. What comes after it (of crashed members, too: a survivor has what it had seen) is passed on
//!   by nobody, as everybody has the same frames then.
//! * **Invariants**, in `check`: (C1) the first frame held of a sender waits for one that was not passed on; (C2) after
//!   `Closed` nothing is held.
//! * **Bounds**: what flow control lets the members have under way. A timestamp that names frames that never come holds
//!   its sender's frames back until the view's end.
//! * **Leaves** repair to `reliable`.

use crate::phase::Phase;
use gcs::{
    frame::{Frame, Frames},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    report::Report,
};
use std::{collections::VecDeque, ops::Range};

/// The length of an entry of the timestamp, in bytes.
const ENTRY: usize = 4;

/// Causal order by vector timestamps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Causal;

impl Protocol for Causal {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "causal",
            version: 1,
            needs: Properties::RELIABLE | Properties::FIFO | Properties::VIRTUAL_SYNCHRONY,
            gives: Properties::CAUSAL_ORDER,
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, members: usize) -> usize {
        ENTRY * members
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        let n = scope.members();
        Box::new(CausalLayer {
            me: scope.me.into(),
            phase: Phase::Open,
            slot: 0..0,
            passed: vec![0; n],
            held: vec![VecDeque::new(); n],
            waiting: 0,
        })
    }
}

struct CausalLayer {
    me: usize,
    phase: Phase,
    /// The place of the timestamp in a frame.
    slot: Range<usize>,
    /// By sender: the number of the last frame that was passed on.
    passed: Vec<u64>,
    /// By sender: frames that wait for others.
    held: Vec<VecDeque<Frame>>,
    /// How many they are.
    waiting: usize,
}

impl Layer for CausalLayer {
    fn start(&mut self, cx: &mut Context<'_>) {
        self.slot = cx.slot();
    }

    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        self.phase.note(&event);
        match event {
            Down::Frames(mut frames) => {
                frames.iter_mut().filter(|f| f.is_reliable()).for_each(|f| self.stamp(f));
                cx.down(Down::Frames(frames));
            }
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_frames(frames, cx),
            Up::Closed => {
                self.phase = Phase::Closed;
                if self.waiting > 0 {
                    tracing::debug!(frames = self.waiting, "what these come after was lost with its sender");
                    self.held.iter_mut().for_each(VecDeque::clear);
                    self.waiting = 0;
                }
                cx.up(Up::Closed);
            }
            other => cx.up(other),
        }
    }

    fn check(&self) {
        for first in self.held.iter().filter_map(VecDeque::front) {
            assert!(!self.is_due(first), "C1: frame {} of rank {} waits for nothing", first.seq, first.from);
        }
        let held: usize = self.held.iter().map(VecDeque::len).sum();
        assert_eq!(held, self.waiting, "C1: what is held is counted");
        assert!(self.phase != Phase::Closed || held == 0, "C2: frames are held after the view was closed");
    }

    fn report(&self, to: &mut Report) {
        to.say("frames that wait for others", self.waiting);
        to.say("passed on, by rank", format_args!("{:?}", self.passed));
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().flatten().map(Frame::len).sum()
    }
}

impl CausalLayer {
    fn stamp(&self, frame: &mut Frame) {
        let entries = frame.slot_mut(&self.slot).as_chunks_mut::<ENTRY>().0;
        for (r, (entry, passed)) in entries.iter_mut().zip(&self.passed).enumerate() {
            *entry = if r == self.me { 0 } else { low(*passed) }.to_le_bytes();
        }
    }

    /// Whether everything that the frame comes after was passed on. It does not wait for what its own sender sent before:
    /// that comes before it anyway.
    fn is_due(&self, frame: &Frame) -> bool {
        let entries = frame.slot(&self.slot).as_chunks::<ENTRY>().0;
        let known = entries.iter().zip(&self.passed).enumerate();
        known.filter(|(r, _)| *r != usize::from(frame.from)).all(|(_, (entry, passed))| {
            low(*passed).wrapping_sub(u32::from_le_bytes(*entry)).cast_signed() >= 0
        })
    }

    fn on_frames(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let mut ready = Frames::with_capacity(frames.len());
        for frame in frames {
            let from = usize::from(frame.from);
            if frame.seq == 0 {
                ready.push(frame);
            } else if self.held[from].is_empty() && self.is_due(&frame) {
                self.pass(frame, &mut ready);
                self.release(&mut ready);
            } else {
                self.held[from].push_back(frame);
                self.waiting += 1;
            }
        }
        if !ready.is_empty() {
            cx.up(Up::Frames(ready));
        }
    }

    fn pass(&mut self, frame: Frame, ready: &mut Frames) {
        self.passed[usize::from(frame.from)] = frame.seq;
        ready.push(frame);
    }

    /// Passes on what waits for nothing any more, in an order that follows from what came when and nothing else.
    fn release(&mut self, ready: &mut Frames) {
        let mut r = 0;
        while self.waiting > 0 && r < self.held.len() {
            let due = self.held[r].front().is_some_and(|f| self.is_due(f));
            match self.held[r].pop_front_if(|_| due) {
                Some(frame) => {
                    self.waiting -= 1;
                    self.pass(frame, ready);
                    // Anybody may have waited for it.
                    r = 0;
                }
                None => r += 1,
            }
        }
    }
}

/// The low 32 bits.
fn low(seq: u64) -> u32 {
    (seq & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rig::{Raw, Rig},
        sequencer::Sequencer,
        uniform::Uniform,
    };
    use gcs::rng::Rng;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn rig(n: usize, below: &[&str], seed: u64) -> Rig {
        let mut above: Vec<Arc<dyn Protocol>> = Vec::new();
        for name in below {
            match *name {
                "sequencer" => above.push(Arc::new(Sequencer)),
                _ => above.push(Arc::new(Uniform)),
            }
        }
        above.push(Arc::new(Causal));
        above.push(Arc::new(Raw));
        Rig::new(above, n, 600, 1 << 20, seed)
    }

    #[test]
    fn an_answer_comes_after_what_it_answers() {
        let mut rig = rig(3, &[], 1);
        rig.cut(0, 2);
        rig.cast(0, &[b"question"]);
        rig.settle();
        rig.cast(1, &[b"answer"]);
        rig.settle();
        assert_eq!(rig.frames(2), [], "the question is on its way");
        assert_eq!(rig.frames(1), [(0, b"question".to_vec()), (1, b"answer".to_vec())]);
        rig.heal();
        rig.settle();
        assert_eq!(rig.frames(2), rig.frames(1));
    }

    #[test]
    fn what_knows_of_nothing_waits_for_nothing() {
        let mut rig = rig(3, &[], 1);
        rig.cut(0, 2);
        rig.cast(0, &[b"one"]);
        rig.cast(1, &[b"two"]);
        rig.settle();
        assert_eq!(rig.frames(2), [(1, b"two".to_vec())]);
    }

    #[test]
    fn what_answers_something_lost_is_lost() {
        let mut rig = rig(4, &[], 1);
        rig.cut(0, 2);
        rig.cut(0, 3);
        rig.cast(0, &[b"question"]);
        rig.settle();
        rig.cast(1, &[b"answer"]);
        rig.settle();
        rig.dead = 0b0011;
        rig.close();
        assert_eq!((rig.frames(2), rig.frames(3)), (vec![], vec![]));
    }

    proptest! {
        #[test]
        fn causes_come_first_and_survivors_agree(
            seed: u64, n in 2_usize..6, moves in 1_usize..300, dead in 0_u64..32, stack in 0_usize..4,
        ) {
            let below = [&[][..], &["uniform"], &["sequencer"], &["sequencer", "uniform"]][stack];
            let (mut rig, mut rng) = (rig(n, below, seed), Rng::new(seed));
            // By text: what its sender had seen.
            let mut causes = std::collections::BTreeMap::new();
            for i in 0..moves {
                if rng.chance(150) {
                    let (r, text) = (rng.below(n as u64) as usize, format!("{i}").into_bytes());
                    causes.insert(text.clone(), rig.frames(r));
                    rig.cast(r, &[&text]);
                } else {
                    rig.step(&mut rng);
                    rig.tick();
                }
            }
            let before: Vec<_> = (0..n).map(|r| rig.frames(r)).collect();
            rig.dead = dead & ((1 << n) - 1);
            rig.close();
            let alive = rig.alive();
            for r in 0..n {
                let got = rig.frames(r);
                for (at, frame) in got.iter().enumerate() {
                    let missing = causes[&frame.1].iter().find(|c| !got[..at].contains(c));
                    prop_assert!(missing.is_none(), "{r} has {frame:?} before {missing:?}");
                }
            }
            for r in &alive {
                let (got, first) = (rig.frames(*r), rig.frames(alive[0]));
                prop_assert_eq!(&got[..before[*r].len()], &before[*r][..]);
                if stack >= 2 {
                    prop_assert_eq!(&got, &first, "the total order is kept");
                }
                prop_assert_eq!(got.len(), first.len());
                for sender in &alive {
                    let delivered = got.iter().filter(|f| usize::from(f.0) == *sender).count();
                    prop_assert_eq!(delivered, rig.data_sent(*sender), "nothing of a survivor is lost");
                }
            }
        }
    }
}
