//! Total order: one member, that of rank 0, says in which order the frames of all senders are delivered.
//!
//! A fixed sequencer (Kaashoek and Tanenbaum, "Group communication in the Amoeba distributed operating system", ICDCS
//! 1991; "UB" in the terms of Défago, Schiper and Urbán, "Total order broadcast and multicast algorithms", ACM Computing
//! Surveys 36(4), 2004). Deviation: there are no global sequence numbers. The order is read off the sequencer's own
//! reliable stream, so it has no messages, repair or acknowledgement of its own: a frame of the sequencer stands where it
//! stands in that stream, and an ORDER frame in it stands for frames of others, cumulatively.
//!
//! ```text
//! sequencer's stream     a1    ORDER(2:3)    a3    ORDER(1:1, 2:4)
//! order of delivery      a1    c1 c2 c3      a3    b1 c4
//! ```
//!
//! * **Needs** reliable, FIFO, virtual synchrony. **Gives** total order (O3). With crashes the order is causal only under
//!   `uniform`: survivors may not hold the ORDER that somebody who crashed went by.
//! * **Events in**: `Up::Frames`, `Up::Closed`, `Down::Wedge`. **Out**: `Up::Frames` in order, with `place` and
//!   `ordered_by` (and `orderer`) set to the position in the sequencer's stream that fixed the frame's place; `Down::Frames` with ORDER.
//! * **Header**: none. ORDER is a reliable control frame: entries of `rank: u16, upto: u64`, little-endian, ranks
//!   ascending: everything of `rank` up to the frame number `upto` that has no place yet comes now.
//! * **Timers**: none. The sequencer sends one ORDER for each batch of frames that it receives: the higher the load, the
//!   larger the batches, the fewer the ORDERs.
//! * **The end of a view**: after `Wedge` no ORDER is made. At `Closed` every survivor has the same frames up to the cut,
//!   and so the same ORDERs. What these name comes first; then what none names, by rank and number. That is a function of
//!   the frames up to the cut alone, hence equal everywhere; and nobody can have delivered anything else before, because
//!   what a survivor delivered is in the cut.
//! * **Invariants**, in `check`: (S1) a frame that is held was not passed on, and those of a sender are in FIFO order;
//!   (S2) the places given to a sender only advance; (S3) after `Closed` nothing is held.
//! * **Bounds**: what flow control lets the members have under way, and an entry of 24 bytes for each run of frames in
//!   it. An ORDER is dropped whole if it is malformed, comes from anybody else or steps back; everybody does the same, as
//!   everybody sees the same stream. One that names frames that never come stops delivery until the view's end.
//! * **Leaves** repair and stability to `reliable`; waiting until an order cannot be lost any more to `uniform`.

use crate::{nonsense::Nonsense, phase::Phase};
use gcs::{
    frame::{Dest, Frame, Frames},
    id::Rank,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    report::Report,
};
use std::collections::VecDeque;

const NAME: &str = "sequencer";

/// The rank of the member that orders, unless [`Adaptive`](crate::Adaptive) says otherwise.
const SEQUENCER: Rank = 0;

/// The length of an entry of ORDER, in bytes.
const ENTRY: usize = 10;

/// Total order by a fixed sequencer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequencer;

impl Protocol for Sequencer {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: NAME,
            version: 1,
            needs: Properties::RELIABLE | Properties::FIFO | Properties::VIRTUAL_SYNCHRONY,
            gives: Properties::TOTAL_ORDER,
            wants: Wants::RECEIVED.and(Wants::CONTROL),
        }
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(SequencerLayer::new(scope.members(), scope.me, SEQUENCER))
    }
}

/// "Everything of `rank` up to frame `upto` that has no place yet comes now", says frame `by` of the sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    rank: Rank,
    upto: u64,
    by: u64,
}

pub(crate) struct SequencerLayer {
    phase: Phase,
    orders: bool,
    /// The member that orders.
    sequencer: Rank,
    /// By sender: frames that were not passed on yet.
    held: Vec<VecDeque<Frame>>,
    /// The order as far as it is known and not passed on.
    order: VecDeque<Place>,
    /// By sender: the last frame that has a place.
    placed: Vec<u64>,
    /// By sender: the last frame passed on.
    passed: Vec<u64>,
    /// By sender: the last frame received; at the sequencer.
    received: Vec<u64>,
    /// By sender: the last frame that an ORDER was sent for; at the sequencer.
    ordered: Vec<u64>,
    nonsense: Nonsense,
}

impl SequencerLayer {
    pub(crate) fn new(members: usize, me: Rank, sequencer: Rank) -> Self {
        Self {
            phase: Phase::Open,
            orders: me == sequencer,
            sequencer,
            held: vec![VecDeque::new(); members],
            order: VecDeque::new(),
            placed: vec![0; members],
            passed: vec![0; members],
            received: vec![0; members],
            ordered: vec![0; members],
            nonsense: Nonsense::default(),
        }
    }
}

impl Layer for SequencerLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        self.phase.note(&event);
        cx.down(event);
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_frames(frames, cx),
            Up::Closed => self.on_closed(cx),
            other => cx.up(other),
        }
    }

    fn check(&self) {
        for (rank, held) in self.held.iter().enumerate() {
            let fifo = held.iter().is_sorted_by(|a, b| a.seq < b.seq);
            let fresh = held.front().is_none_or(|f| f.seq > self.passed[rank]);
            assert!(fifo && fresh, "S1: a frame of {rank} is held out of order or was passed on already");
            let mut places = self.order.iter().filter(|p| usize::from(p.rank) == rank).map(|p| p.upto);
            assert!(places.clone().is_sorted_by(|a, b| a < b), "S2: the places of {rank} step back");
            assert!(places.all(|p| p <= self.placed[rank]), "S2: a place of {rank} is not accounted for");
        }
        if self.phase == Phase::Closed {
            assert_eq!(self.held_bytes(), 0, "S3: frames are held after the view was closed");
        }
    }

    fn report(&self, to: &mut Report) {
        to.say("orders", self.orders);
        let held: Vec<_> = self.held.iter().map(VecDeque::len).collect();
        to.say("frames that wait for their place, by sender", format_args!("{held:?}"));
        to.say("frames passed on, by sender", format_args!("{:?}", self.passed));
        self.nonsense.report(to);
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().flatten().map(Frame::len).sum()
    }
}

impl SequencerLayer {
    fn on_frames(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let mut ready = Frames::with_capacity(frames.len());
        let kind = cx.kind();
        for frame in frames {
            if frame.kind() == kind {
                self.on_order(&frame);
            } else if frame.seq == 0 {
                ready.push(frame);
            } else {
                self.hold(frame);
            }
        }
        self.release(&mut ready);
        if !ready.is_empty() {
            cx.up(Up::Frames(ready));
        }
        if self.orders && self.phase == Phase::Open {
            self.send_order(cx);
        }
    }

    fn on_closed(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Closed;
        let mut rest = Frames::new();
        while let Some(place) = self.order.pop_front() {
            self.take(place, &mut rest);
        }
        for (held, passed) in self.held.iter_mut().zip(&mut self.passed) {
            *passed = held.back().map_or(*passed, |f| f.seq);
            rest.extend(held.drain(..));
        }
        if !rest.is_empty() {
            cx.up(Up::Frames(rest));
        }
        cx.up(Up::Closed);
    }

    /// Learns the places that an ORDER gives.
    fn on_order(&mut self, frame: &Frame) {
        if frame.from != self.sequencer || frame.seq == 0 {
            self.nonsense.note(NAME, frame.from, "an ORDER, but not from the sequencer's stream");
            return;
        }
        if !self.makes_sense(frame.payload()) {
            self.nonsense.note(NAME, frame.from, "a malformed ORDER");
            return;
        }
        for (rank, upto) in entries(frame.payload()) {
            self.placed[usize::from(rank)] = upto;
            self.order.push_back(Place { rank, upto, by: frame.seq });
        }
    }

    fn makes_sense(&self, order: &[u8]) -> bool {
        !order.is_empty()
            && order.len().is_multiple_of(ENTRY)
            && entries(order).is_sorted_by(|a, b| a.0 < b.0)
            && entries(order).all(|(rank, upto)| {
                rank != self.sequencer
                    && self.placed.get(usize::from(rank)).is_some_and(|placed| *placed < upto)
            })
    }

    /// Keeps a frame until its turn; the sequencer's own have their place at once.
    fn hold(&mut self, frame: Frame) {
        let (rank, seq) = (frame.from, frame.seq);
        let Some(held) = self.held.get_mut(usize::from(rank)) else { return };
        debug_assert!(held.back().is_none_or(|f| f.seq < seq), "S1: frames of {rank} arrive out of order");
        held.push_back(frame);
        self.received[usize::from(rank)] = seq;
        if rank == self.sequencer {
            self.placed[usize::from(rank)] = seq;
            match self.order.back_mut() {
                Some(last) if last.rank == rank => last.upto = seq,
                _ => self.order.push_back(Place { rank, upto: seq, by: seq }),
            }
        }
    }

    /// Takes the frames whose turn it is, up to the first one that has not arrived.
    fn release(&mut self, ready: &mut Frames) {
        while let Some(place) = self.order.front().copied() {
            self.take(place, ready);
            if self.passed[usize::from(place.rank)] < place.upto {
                break;
            }
            self.order.pop_front();
        }
    }

    /// Takes the held frames that have this place.
    fn take(&mut self, place: Place, ready: &mut Frames) {
        let rank = usize::from(place.rank);
        while let Some(mut frame) = self.held[rank].pop_front_if(|f| f.seq <= place.upto) {
            self.passed[rank] = frame.seq;
            // Consecutive frames of the sequencer share an entry; each is its own witness.
            frame.ordered_by = if place.rank == self.sequencer { frame.seq } else { place.by };
            frame.orderer = self.sequencer;
            frame.place = frame.ordered_by;
            ready.push(frame);
        }
    }

    /// Gives what has been received and has no place the next one.
    fn send_order(&mut self, cx: &mut Context<'_>) {
        let (mut order, sequencer) = (Vec::new(), self.sequencer);
        for (rank, (received, ordered)) in (0..).zip(self.received.iter().zip(&mut self.ordered)) {
            let rank: Rank = rank;
            if rank != sequencer && received > ordered {
                *ordered = *received;
                order.extend_from_slice(&rank.to_le_bytes());
                order.extend_from_slice(&received.to_le_bytes());
            }
        }
        let most = cx.payload_max() / ENTRY * ENTRY;
        let frames: Frames =
            order.chunks(most).map(|entries| cx.control_frame(Dest::Others, true, entries)).collect();
        if !frames.is_empty() {
            cx.down(Down::Frames(frames));
        }
    }
}

/// The entries of an ORDER. What is left over at the end is ignored.
fn entries(order: &[u8]) -> impl Iterator<Item = (Rank, u64)> {
    order.as_chunks::<ENTRY>().0.iter().map(|e| {
        let [r0, r1, upto @ ..] = *e;
        (Rank::from_le_bytes([r0, r1]), u64::from_le_bytes(upto))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Check,
        rig::{Raw, Rig},
    };
    use gcs::view::Cut;
    use std::sync::Arc;

    fn rig(n: usize, seed: u64) -> Rig {
        let above: Vec<Arc<dyn Protocol>> =
            vec![Arc::new(Sequencer), Arc::new(Check::order()), Arc::new(Raw)];
        Rig::new(above, n, 600, 1 << 20, seed)
    }

    /// The index of the sequencer's layer in the rig's stacks.
    const KIND: u8 = 1;

    #[test]
    fn one_order_frame_for_a_batch() {
        let mut rig = rig(3, 1);
        rig.cast(1, &[b"b1", b"b2", b"b3", b"b4"]);
        rig.cast(0, &[b"a1"]);
        assert_eq!(rig.frames(0), [(0, b"a1".to_vec())], "the sequencer's own frames wait for nobody");
        rig.settle();
        let order: Vec<_> = rig.frames(2).into_iter().map(|f| f.1).collect();
        assert_eq!(order, [b"a1", b"b1", b"b2", b"b3", b"b4"]);
        assert!(rig.sent[usize::from(KIND)] <= 4);
    }

    #[test]
    fn alone() {
        let mut rig = rig(1, 1);
        rig.cast(0, &[b"x", b"y"]);
        assert_eq!(rig.frames(0).len(), 2);
        rig.close();
        assert_eq!(rig.sent[usize::from(KIND)], 0);
    }

    #[test]
    fn malformed_orders_are_dropped() {
        let entry = |rank: Rank, upto: u64| [&rank.to_le_bytes()[..], &upto.to_le_bytes()].concat();
        let bad: [&[u8]; 7] = [
            b"",
            b"short",
            &entry(0, 1),
            &entry(3, 1),
            &entry(1, 0),
            &[entry(2, 1), entry(1, 1)].concat(),
            &[entry(1, 1), b"x".to_vec()].concat(),
        ];
        let mut rig = rig(3, 1);
        rig.cast(1, &[b"b1"]);
        for (seq, payload) in (1..).zip(bad) {
            rig.receive(2, vec![rig.forge(KIND, 0, seq, payload)]);
            rig.receive(2, vec![rig.forge(KIND, 1, seq, &entry(1, 1))]);
        }
        rig.receive(2, vec![rig.forge(KIND, 0, 0, &entry(1, 1))]);
        assert_eq!(rig.frames(2), []);
        rig.receive(2, vec![rig.forge(KIND, 1, 8, &entry(1, 1)), rig.forge(0xff, 0, 8, b"a8")]);
        assert_eq!(rig.frames(2), [(0, b"a8".to_vec())]);
    }

    #[test]
    fn an_order_waits_for_the_frames_that_it_names() {
        let mut rig = rig(3, 1);
        let entry = |rank: Rank, upto: u64| [&rank.to_le_bytes()[..], &upto.to_le_bytes()].concat();
        rig.receive(2, vec![rig.forge(KIND, 0, 1, &entry(1, 2)), rig.forge(0xff, 0, 2, b"a2")]);
        rig.receive(2, vec![rig.forge(0xff, 1, 1, b"b1")]);
        assert_eq!(rig.frames(2), [(1, b"b1".to_vec())]);
        rig.receive(2, vec![rig.forge(0xff, 1, 2, b"b2"), rig.forge(0xff, 1, 3, b"b3")]);
        assert_eq!(rig.frames(2)[1..], [(1, b"b2".to_vec()), (0, b"a2".to_vec())]);
    }

    #[test]
    fn at_the_end_what_is_ordered_comes_before_what_is_not() {
        let mut rig = rig(3, 1);
        let entry = |rank: Rank, upto: u64| [&rank.to_le_bytes()[..], &upto.to_le_bytes()].concat();
        rig.cast(2, &[b"c1", b"c2"]);
        // The first ORDER names a frame that is lost with its sender.
        let (first, second) = (rig.forge(KIND, 0, 1, &entry(1, 1)), rig.forge(KIND, 0, 2, &entry(2, 1)));
        rig.receive(2, vec![first, second, rig.forge(0xff, 0, 3, b"a3")]);
        assert_eq!(rig.frames(2), []);
        let frontier = rig.wedge(2);
        rig.down(2, Down::Close(Arc::new(Cut { frontier, holder: vec![2; 3] })));
        let order: Vec<_> = rig.frames(2).into_iter().map(|f| f.1).collect();
        assert_eq!(order, [b"c1", b"a3", b"c2"]);
    }
}
