//! Uniform delivery: what one member delivers, even one that crashes right after, all survivors deliver.
//!
//! A frame waits until a majority of the view holds it, and holds what its place in the total order is read off
//! (`Frame::ordered_by`; under `sequencer` an ORDER, under `slots` nothing but the frame). The next view
//! is agreed by a majority of this one, so at least one of those takes part and brings the frame into the cut. (The
//! "uniform" of Chandra and Toueg; "safe" in Totem and Transis, where it means all members, not a majority: deviation.)
//! In a partitionable group, where a minority goes on, too, it waits until all members hold it: then it is in every part's
//! cut.
//!
//! ```text
//! from below      a1 b1 a2 c1 …                     in the order given there
//! held by most    a1 --- a2                         b1 is not: with total order a2 waits behind it
//! passed on       a1
//! ```
//!
//! * **Needs** reliable, FIFO, stability, virtual synchrony. **Gives** uniform (O4, O5). Its place is above the layer that
//!   orders. It keeps a total order, and the order of each sender otherwise; an order between these two (causal) it does
//!   not keep.
//! * **Events in**: `Up::Frames`, `Up::Stable`, `Up::Closed`, `Down::Wedge`. **Out**: `Up::Frames`.
//! * **Header**: none. **Timers**: none.
//! * **The end of a view**: after `Wedge` nothing is passed on, whatever becomes stable. At `Closed` everything left is
//!   passed on, in order: the cut was accepted by a majority that holds it.
//! * **Invariants**, in `check`: (U1) while the view is open, the first frame of a queue is not held by a majority yet;
//!   (U2) after `Closed` nothing is held.
//! * **Bounds**: holds what flow control lets the members have under way.
//! * **Leaves** the knowledge of who holds what to `reliable`, which should acknowledge at once
//!   (`Reliable { prompt: true }`): delivery waits for it.

use crate::phase::Phase;
use gcs::{
    frame::{Frame, Frames},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Stability, Up, Wants},
    properties::Properties,
    report::Report,
};
use std::{collections::VecDeque, sync::Arc};

/// Uniform delivery by majority.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uniform;

impl Protocol for Uniform {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "uniform",
            version: 1,
            needs: Properties::RELIABLE
                | Properties::FIFO
                | Properties::STABILITY
                | Properties::VIRTUAL_SYNCHRONY,
            gives: Properties::UNIFORM,
            wants: Wants::RECEIVED.and(Wants::CONTROL),
        }
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(UniformLayer {
            phase: Phase::Open,
            total: VecDeque::new(),
            fifo: vec![VecDeque::new(); scope.members()],
            rest: VecDeque::new(),
            stable: Arc::default(),
            everybody: scope.partitionable,
        })
    }
}

struct UniformLayer {
    phase: Phase,
    /// Frames with a place in the total order, in that order.
    total: VecDeque<Frame>,
    /// By sender: frames without.
    fifo: Vec<VecDeque<Frame>>,
    /// Whatever arrives after `Wedge`, in the order of arrival.
    rest: VecDeque<Frame>,
    stable: Arc<Stability>,
    /// Not a majority has to hold a frame, but all.
    everybody: bool,
}

impl Layer for UniformLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        self.phase.note(&event);
        cx.down(event);
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_frames(frames, cx),
            Up::Stable(stable) => self.on_stable(stable, cx),
            Up::Closed => self.on_closed(cx),
            other => cx.up(other),
        }
    }

    fn check(&self) {
        if self.phase == Phase::Open {
            for queue in self.fifo.iter().chain([&self.total]) {
                let waits = queue.front().is_none_or(|f| !is_held(self.held(), f));
                assert!(waits, "U1: a frame that a majority holds was not passed on");
            }
        }
        if self.phase == Phase::Closed {
            assert_eq!(self.held_bytes(), 0, "U2: frames are held after the view was closed");
        }
    }

    fn report(&self, to: &mut Report) {
        to.say("frames that wait for a majority, in order", self.total.len());
        let held: Vec<_> = self.fifo.iter().map(VecDeque::len).collect();
        to.say("others that wait, by sender", format_args!("{held:?}"));
    }

    fn held_bytes(&self) -> usize {
        self.total.iter().chain(self.fifo.iter().flatten()).chain(&self.rest).map(Frame::len).sum()
    }
}

impl UniformLayer {
    fn on_frames(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let mut ready = Frames::with_capacity(frames.len());
        for frame in frames {
            if frame.seq == 0 {
                ready.push(frame);
            } else if self.phase != Phase::Open {
                self.rest.push_back(frame);
            } else if frame.place > 0 {
                self.total.push_back(frame);
            } else if let Some(queue) = self.fifo.get_mut(usize::from(frame.from)) {
                queue.push_back(frame);
            }
        }
        self.release(ready, cx);
    }

    fn on_stable(&mut self, stable: Arc<Stability>, cx: &mut Context<'_>) {
        self.stable = stable.clone();
        self.release(Frames::new(), cx);
        cx.up(Up::Stable(stable));
    }

    fn on_closed(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Closed;
        let queues = [&mut self.total].into_iter().chain(&mut self.fifo).chain([&mut self.rest]);
        let left: Frames = queues.flat_map(|q| q.drain(..)).collect();
        if !left.is_empty() {
            cx.up(Up::Frames(left));
        }
        cx.up(Up::Closed);
    }

    /// By sender: what is held by as many as it takes.
    fn held(&self) -> &[u64] {
        if self.everybody { &self.stable.all } else { &self.stable.majority }
    }

    /// Passes on `ready` and everything whose waiting is over.
    fn release(&mut self, mut ready: Frames, cx: &mut Context<'_>) {
        if self.phase == Phase::Open {
            let held = if self.everybody { &self.stable.all } else { &self.stable.majority };
            for queue in self.fifo.iter_mut().chain([&mut self.total]) {
                while let Some(frame) = queue.pop_front_if(|f| is_held(held, f)) {
                    ready.push(frame);
                }
            }
        }
        if !ready.is_empty() {
            cx.up(Up::Frames(ready));
        }
    }
}

/// Whether `held`, by sender, covers the frame and, if there is one, the frame of the orderer without which its place is
/// not known.
fn is_held(held: &[u64], frame: &Frame) -> bool {
    let held = |rank: usize| held.get(rank).copied().unwrap_or(0);
    held(usize::from(frame.from)) >= frame.seq && held(usize::from(frame.orderer)) >= frame.ordered_by
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Check,
        rig::{Raw, Rig},
        sequencer::Sequencer,
        slots::Slots,
    };
    use gcs::rng::Rng;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Order {
        None,
        Sequencer,
        Slots,
    }

    const ORDERS: [Order; 3] = [Order::None, Order::Sequencer, Order::Slots];

    fn rig(n: usize, order: Order, seed: u64) -> Rig {
        let mut above: Vec<Arc<dyn Protocol>> = vec![Arc::new(Check::stream())];
        match order {
            Order::None => {}
            Order::Sequencer => above.push(Arc::new(Sequencer)),
            Order::Slots => above.push(Arc::new(Slots)),
        }
        above.push(Arc::new(Uniform));
        if order != Order::None {
            above.push(Arc::new(Check::order()));
        }
        above.push(Arc::new(Raw));
        Rig::new(above, n, 600, 1 << 20, seed)
    }

    #[test]
    fn waits_for_a_majority() {
        let mut rig = rig(4, Order::None, 1);
        rig.cast(1, &[b"x"]);
        assert_eq!(rig.frames(1), []);
        // Two of four are no majority.
        rig.dead = 0b1100;
        rig.settle();
        assert_eq!(rig.frames(0), []);
        assert!(rig.stacks[1].held_bytes() > 0);
        rig.dead = 0b1000;
        rig.settle();
        for r in 0..3 {
            assert_eq!(rig.frames(r), [(1, b"x".to_vec())]);
        }
    }

    #[test]
    fn what_is_left_comes_at_the_end_in_order() {
        for order in ORDERS {
            let mut rig = rig(5, order, 1);
            rig.dead = 0b11100;
            rig.cast(1, &[b"b1", b"b2"]);
            rig.cast(0, &[b"a1"]);
            rig.settle();
            assert_eq!(rig.frames(0), []);
            rig.dead = 0b11000;
            // The checks see to it that what becomes stable after the wedge does not come before the end.
            rig.close();
            assert_eq!(rig.frames(0), rig.frames(1));
            assert_eq!(rig.frames(0).len(), 3);
            assert_eq!(rig.frames(0)[0].1, b"a1");
        }
    }

    #[test]
    fn frames_outside_of_the_streams_do_not_wait() {
        let mut rig = rig(3, Order::None, 1);
        rig.receive(2, vec![rig.forge(4, 0, 0, b"now")]);
        assert!(matches!(&rig.out[2][..], [Up::Frames(f)] if f.len() == 1));
    }

    proptest! {
        #[test]
        fn what_one_delivers_all_survivors_deliver(
            seed: u64, n in 1_usize..6, moves in 1_usize..300, order in 0_usize..3,
        ) {
            let (mut rig, mut rng) = (rig(n, ORDERS[order], seed), Rng::new(seed));
            for i in 0..moves {
                if rng.chance(150) {
                    let text = format!("{i}");
                    rig.cast(rng.below(n as u64) as usize, &[text.as_bytes()]);
                } else {
                    rig.step(&mut rng);
                    rig.tick();
                }
            }
            let before: Vec<_> = (0..n).map(|r| rig.frames(r)).collect();
            // A minority dies.
            while (rig.dead.count_ones() as usize) < (n - 1) / 2 {
                rig.dead |= 1 << rng.below(n as u64);
            }
            rig.close();
            let alive = rig.alive();
            for r in &alive {
                let after = rig.frames(*r);
                for before in &before {
                    if order > 0 {
                        prop_assert!(after.starts_with(before));
                    } else {
                        prop_assert!(before.iter().all(|f| after.contains(f)));
                    }
                }
                prop_assert_eq!(after.len(), rig.frames(alive[0]).len());
            }
        }
    }
}
