//! Total order by slots: the frames of all senders are delivered by round, and within a round by rank.
//!
//! After the round-robin order of Derecho (Jha, Behrens, Gkountouvas et al., "Derecho: Fast State Machine Replication for
//! Cloud Services", ACM TOCS 36(2), 2019, §3), with rounds that jump like Lamport's clocks ("Time, Clocks, and the Ordering
//! of Events in a Distributed System", CACM 21(7), 1978; "communication history" in the terms of Défago, Schiper and
//! Urbán, ACM Computing Surveys 36(4), 2004). Deviations: there are no null messages, one SKIP passes over any number of
//! rounds; and an idle member skips ahead of the others, ever further, so that they do not wait for it.
//!
//! ```text
//! round          1    2    3    4    5   …   18
//! rank 0         a1   a2   a3   a4   a5              a5 waits: rank 2 may still send something in round 4
//! rank 1         ── SKIP(18) ───────────────► b1     b1 waits for what ranks 0 and 2 do up to round 18
//! rank 2         c1   SKIP(4) ►
//! delivered      a1 c1 a2 a3 a4
//! ```
//!
//! * **Needs** reliable, FIFO, virtual synchrony. **Gives** total order (O3). With crashes the order is causal only under
//!   `uniform`: survivors may not hold a frame that somebody who crashed had seen.
//! * **Events in**: `Down::Frames`, `Down::Wedge`, `Up::Frames`, `Up::Closed`. **Out**: `Down::Frames`, with SKIP, too;
//!   `Up::Frames` in order, with `place` set to the round. `ordered_by` stays 0: a place is read off nothing but the frame.
//! * **Header**: `round: u64`, little-endian: the frame's own, or 0 for the sender's next one (frames of layers below).
//!   SKIP is a reliable control frame without payload: its sender's next frame has this round or a later one.
//! * **Which round**: the one after the sender's last, or the first whose slot is behind all slots seen, if that is later.
//!   A frame is a slot: it carries hundreds of messages, and whatever is sent skips all rounds before it.
//! * **When to skip**: at the end of a batch in which there was a frame behind this member's next slot, as everybody waits
//!   for that. Nobody waits for it otherwise, so in an idle group nothing is sent; and members that keep pace with each
//!   other skip nothing. A member that has sent no frame since its last SKIP skips beyond what is needed, twice as far
//!   each time: for N frames of others at most log2 N + N / 1024 SKIPs, and a lone sender waits for nobody. SKIPs are
//!   patient: whatever they let go stands where it stands without them, so `uniform` does not wait for them.
//! * **Timers**: none.
//! * **The end of a view**: after `Wedge` nothing is skipped. At `Closed` every survivor has the same frames up to the cut,
//!   delivers those that are left by round and rank, and gets the same order as everybody, whenever they began to wait:
//!   if somebody had delivered a frame before, it held all frames of earlier slots, as those of each sender come with
//!   rising rounds. What the dead would have sent or skipped is no matter. If that somebody is no survivor, `uniform` has
//!   seen to it that the frame, and each one delivered before it, is in the cut.
//! * **Invariants**, in `check`: (L1) the frames held of a sender are in the order of their rounds, which are not promised
//!   to be passed over; (L2) the slots of what was passed on only advance; (L3) while the view is open, the first slot
//!   that is neither skipped nor passed on is empty; (L4) after `Closed` nothing is held.
//! * **Bounds**: what flow control lets the members have under way. A round that steps back, or is more than 2^32 ahead,
//!   stands for its sender's next one; such a SKIP is dropped. Everybody does the same, as everybody sees the same stream.
//! * **Leaves** repair and stability to `reliable`; waiting until a frame cannot be lost any more to `uniform`.

use crate::{nonsense::Nonsense, phase::Phase};
use gcs::{
    frame::{Dest, Frame, Frames},
    id::Rank,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    report::Report,
};
use std::{collections::VecDeque, ops::Range};

const NAME: &str = "slots";

/// The length of the header, in bytes.
const ROUND: usize = 8;

/// The most rounds that an idle member passes over beyond what the others need.
const AHEAD_MAX: u64 = 1023;

/// The most rounds that are passed over at a time.
const JUMP_MAX: u64 = 1 << 32;

/// Total order by slots.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slots;

impl Protocol for Slots {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: NAME,
            version: 1,
            needs: Properties::RELIABLE | Properties::FIFO | Properties::VIRTUAL_SYNCHRONY,
            gives: Properties::TOTAL_ORDER,
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        ROUND
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(SlotsLayer {
            phase: Phase::Open,
            me: scope.me,
            next: 1,
            ahead: 0,
            seen: (0, 0),
            promised: vec![1; scope.members()],
            held: vec![VecDeque::new(); scope.members()],
            passed: (0, 0),
            nonsense: Nonsense::default(),
        })
    }
}

struct SlotsLayer {
    phase: Phase,
    me: Rank,
    /// The first round that this member has neither used nor passed over.
    next: u64,
    /// How many rounds more than needed the next SKIP passes over.
    ahead: u64,
    /// The last slot of all that others have used.
    seen: (u64, Rank),
    /// By sender: the first round that can still be used, as its stream says.
    promised: Vec<u64>,
    /// By sender: frames that were not passed on yet, with their rounds as places.
    held: Vec<VecDeque<Frame>>,
    /// The slot of the last frame passed on.
    passed: (u64, Rank),
    nonsense: Nonsense,
}

impl Layer for SlotsLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        self.phase.note(&event);
        match event {
            Down::Frames(frames) => self.on_send(frames, cx),
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_frames(frames, cx),
            Up::Closed => self.on_closed(cx),
            other => cx.up(other),
        }
    }

    fn check(&self) {
        for (rank, (held, promised)) in (0..).zip(self.held.iter().zip(&self.promised)) {
            let rising = held.iter().is_sorted_by(|a, b| a.place < b.place);
            let used = held.back().is_none_or(|f| f.place < *promised);
            assert!(rising && used, "L1: frames of {rank} are held out of order, or in rounds still to come");
            let fresh = held.front().is_none_or(|f| (f.place, rank) > self.passed);
            assert!(fresh, "L2: a frame of {rank} stands before {:?}, which was passed on", self.passed);
        }
        if self.phase == Phase::Open {
            assert!(self.first().is_none(), "L3: a frame that waits for nobody was not passed on");
        }
        if self.phase == Phase::Closed {
            assert_eq!(self.held_bytes(), 0, "L4: frames are held after the view was closed");
        }
    }

    fn report(&self, to: &mut Report) {
        to.say("next own round", self.next);
        to.say("first round that can still be used, by sender", format_args!("{:?}", self.promised));
        let held: Vec<_> = self.held.iter().map(VecDeque::len).collect();
        to.say("frames that wait for earlier slots, by sender", format_args!("{held:?}"));
        self.nonsense.report(to);
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().flatten().map(Frame::len).sum()
    }
}

impl SlotsLayer {
    /// Gives frames their rounds.
    fn on_send(&mut self, mut frames: Frames, cx: &mut Context<'_>) {
        let slot = cx.slot();
        for frame in frames.iter_mut().filter(|f| f.is_reliable()) {
            let round = self.next.max(self.needed());
            frame.slot_mut(&slot).copy_from_slice(&round.to_le_bytes());
            (self.next, self.ahead) = (round.saturating_add(1), 0);
        }
        cx.down(Down::Frames(frames));
    }

    fn on_frames(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let (kind, slot) = (cx.kind(), cx.slot());
        let mut ready = Frames::with_capacity(frames.len());
        for frame in frames {
            if frame.kind() == kind {
                self.on_skip(&frame, &slot);
            } else if frame.seq == 0 {
                ready.push(frame);
            } else {
                self.hold(frame, &slot);
            }
        }
        while let Some(rank) = self.first() {
            self.pass(rank, &mut ready);
        }
        if !ready.is_empty() {
            cx.up(Up::Frames(ready));
        }
        if self.next < self.needed() && self.phase == Phase::Open {
            self.skip(cx);
        }
    }

    fn on_closed(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Closed;
        // Nobody sends any more.
        self.promised.fill(u64::MAX);
        let mut rest = Frames::new();
        while let Some(rank) = self.first() {
            self.pass(rank, &mut rest);
        }
        if !rest.is_empty() {
            cx.up(Up::Frames(rest));
        }
        cx.up(Up::Closed);
    }

    /// Learns what a member passes over.
    fn on_skip(&mut self, frame: &Frame, slot: &Range<usize>) {
        let round = round(frame, slot);
        match self.promised.get_mut(usize::from(frame.from)) {
            Some(promised) if frame.seq > 0 && makes_sense(*promised, round) => *promised = round,
            _ => self.nonsense.note(NAME, frame.from, "a SKIP that steps back, or too far ahead"),
        }
    }

    /// Keeps a frame until its turn.
    fn hold(&mut self, mut frame: Frame, slot: &Range<usize>) {
        let (rank, said) = (frame.from, round(&frame, slot));
        let Some(promised) = self.promised.get_mut(usize::from(rank)) else { return };
        frame.place = if makes_sense(*promised, said) { said } else { *promised };
        if said != frame.place && said != 0 {
            self.nonsense.note(
                NAME,
                rank,
                "a round that steps back, or too far ahead; taken for the next one",
            );
        }
        *promised = frame.place.saturating_add(1);
        if rank != self.me {
            self.seen = self.seen.max((frame.place, rank));
        }
        self.held[usize::from(rank)].push_back(frame);
    }

    /// Whose frame is in the first slot that is not passed over; none if that is still empty.
    fn first(&self) -> Option<usize> {
        let slots = self.held.iter().zip(&self.promised);
        let slots =
            slots.map(|(held, promised)| held.front().map_or((*promised, true), |f| (f.place, false)));
        // Of several of the same round the first, which is the one of the lowest rank.
        let (rank, (_, empty)) = slots.enumerate().min_by_key(|(_, (round, _))| *round)?;
        (!empty).then_some(rank)
    }

    fn pass(&mut self, rank: usize, ready: &mut Frames) {
        if let Some(frame) = self.held[rank].pop_front() {
            self.passed = (frame.place, frame.from);
            ready.push(frame);
        }
    }

    /// The first round whose slot is behind all that others have used.
    fn needed(&self) -> u64 {
        let (round, rank) = self.seen;
        let needed = if self.me > rank { round } else { round.saturating_add(1) };
        needed.min(self.next.saturating_add(JUMP_MAX))
    }

    /// Passes over the rounds that others wait for.
    fn skip(&mut self, cx: &mut Context<'_>) {
        self.next = self.needed().saturating_add(self.ahead).min(self.next.saturating_add(JUMP_MAX));
        self.ahead = (2 * self.ahead + 1).min(AHEAD_MAX);
        let mut frame = cx.control_frame(Dest::Others, true, &[]);
        frame.slot_mut(&cx.slot()).copy_from_slice(&self.next.to_le_bytes());
        frame.set_patient();
        cx.down(Down::Frames(vec![frame]));
    }
}

/// The round in a frame's header.
fn round(frame: &Frame, slot: &Range<usize>) -> u64 {
    frame.slot(slot).first_chunk().map_or(0, |round| u64::from_le_bytes(*round))
}

/// Whether a sender whose next round is `promised` can say that it is at `round`.
fn makes_sense(promised: u64, round: u64) -> bool {
    round.checked_sub(promised).is_some_and(|jump| jump <= JUMP_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Check,
        rig::{Raw, Rig},
    };
    use bytes::Bytes;
    use gcs::{frame::FIXED_HEADER, view::Cut};
    use std::sync::Arc;

    fn rig(n: usize) -> Rig {
        let above: Vec<Arc<dyn Protocol>> = vec![Arc::new(Slots), Arc::new(Check::order()), Arc::new(Raw)];
        Rig::new(above, n, 600, 1 << 20, 1)
    }

    /// The index of the layer in the rig's stacks.
    const KIND: u8 = 1;

    /// A frame that a peer made up; data, or a SKIP.
    fn forge(rig: &Rig, kind: u8, from: Rank, seq: u64, round: u64, payload: &[u8]) -> Bytes {
        let mut bytes = rig.forge(kind, from, seq, payload).to_vec();
        bytes[FIXED_HEADER + 8..FIXED_HEADER + 16].copy_from_slice(&round.to_le_bytes());
        bytes.into()
    }

    fn data(rig: &Rig, from: Rank, seq: u64, round: u64) -> Bytes {
        forge(rig, Frame::DATA, from, seq, round, format!("{from} {seq}").as_bytes())
    }

    fn order(rig: &Rig, r: usize) -> Vec<String> {
        rig.frames(r).into_iter().map(|f| String::from_utf8(f.1).unwrap()).collect()
    }

    #[test]
    fn by_round_and_then_by_rank() {
        let mut rig = rig(3);
        rig.cast(2, &[b"c1", b"c2"]);
        rig.cast(0, &[b"a1", b"a2"]);
        rig.cast(1, &[b"b1", b"b2"]);
        rig.settle();
        for r in 0..3 {
            assert_eq!(order(&rig, r), ["a1", "b1", "c1", "a2", "b2", "c2"]);
        }
        assert_eq!(rig.sent[usize::from(KIND)], 0, "who keeps pace skips nothing");
    }

    #[test]
    fn a_lone_sender_soon_waits_for_nobody() {
        let mut rig = rig(3);
        for _ in 0..3000 {
            rig.cast(1, &[b"b"]);
            rig.settle();
        }
        assert!((0..3).all(|r| rig.frames(r).len() == 3000));
        assert!(rig.sent[usize::from(KIND)] <= 2 * (12 + 3), "each of the others skips further and further");
        rig.cast(1, &[b"b"]);
        assert_eq!(rig.frames(1).len(), 3001, "before anybody has heard of it");
    }

    #[test]
    fn who_speaks_after_a_silence_is_heard() {
        let mut rig = rig(3);
        for _ in 0..100 {
            rig.cast(1, &[b"b"]);
            rig.settle();
        }
        rig.cast(2, &[b"c"]);
        rig.settle();
        rig.cast(1, &[b"b"]);
        rig.settle();
        for r in 0..3 {
            assert_eq!(order(&rig, r)[100..], ["c", "b"]);
        }
    }

    #[test]
    fn in_an_idle_group_nothing_is_sent() {
        let mut rig = rig(3);
        rig.pass_ms(1000);
        assert_eq!(rig.sent.iter().sum::<usize>(), 0);
        rig.cast(0, &[b"a"]);
        rig.settle();
        let sent = rig.sent.clone();
        rig.pass_ms(1000);
        assert_eq!(rig.sent, sent);
    }

    #[test]
    fn alone() {
        let mut rig = rig(1);
        rig.cast(0, &[b"x", b"y"]);
        assert_eq!(order(&rig, 0), ["x", "y"]);
        rig.close();
        assert_eq!(rig.sent[usize::from(KIND)], 0);
    }

    #[test]
    fn rounds_that_make_no_sense_are_the_next_ones() {
        for bad in [1, 5, 7 + JUMP_MAX, u64::MAX, 0] {
            let mut rig = rig(3);
            // The second frame has the next round, 6, in any case; the third one's is right.
            rig.receive(2, vec![data(&rig, 1, 1, 5), data(&rig, 1, 2, bad), data(&rig, 1, 3, 7)]);
            rig.receive(2, vec![data(&rig, 0, 1, 6), data(&rig, 0, 2, 7)]);
            rig.settle();
            assert_eq!(order(&rig, 2), ["1 1", "0 1", "1 2", "0 2", "1 3"], "{bad}");
        }
        // The longest jump, and one more.
        let mut rig = rig(2);
        rig.receive(0, vec![data(&rig, 1, 1, 1 + JUMP_MAX), data(&rig, 1, 2, 3 + 2 * JUMP_MAX)]);
        rig.settle();
        assert_eq!(order(&rig, 0), ["1 1", "1 2"]);
    }

    #[test]
    fn malformed_skips_are_dropped() {
        let mut rig = rig(3);
        rig.cast(2, &[b"c"]);
        rig.receive(2, vec![data(&rig, 0, 1, 1)]);
        assert_eq!(order(&rig, 2), ["0 1"]);
        for (seq, round) in (1..).zip([0, 2 + JUMP_MAX, u64::MAX]) {
            rig.receive(2, vec![forge(&rig, KIND, 1, seq, round, b"")]);
        }
        rig.receive(2, vec![forge(&rig, KIND, 1, 0, 2, b"")]);
        assert_eq!(order(&rig, 2), ["0 1"]);
        rig.receive(2, vec![forge(&rig, KIND, 1, 4, 2, b"whatever")]);
        assert_eq!(order(&rig, 2), ["0 1", "c"]);
    }

    #[test]
    fn at_the_end_by_round_and_rank_whatever_was_awaited() {
        let mut rig = rig(4);
        // Ranks 0 and 1 die; of what 0 sent this member knows, 1 has said nothing yet.
        rig.dead = 0b0011;
        rig.receive(3, vec![data(&rig, 0, 1, 1), data(&rig, 0, 2, 4)]);
        rig.cast(3, &[b"d1", b"d2"]);
        rig.cast(2, &[b"c1"]);
        rig.settle();
        assert_eq!((order(&rig, 2), order(&rig, 3)), (vec![], vec!["0 1".to_owned()]));
        rig.wedge(2);
        let mut frontier = rig.wedge(3);
        frontier[0] = 2;
        let missing = vec![data(&rig, 0, 1, 1), data(&rig, 0, 2, 4)];
        rig.receive(2, missing);
        for r in [2, 3] {
            rig.down(r, Down::Close(Arc::new(Cut { frontier: frontier.clone(), holder: vec![3; 4] })));
            assert_eq!(order(&rig, r), ["0 1", "c1", "0 2", "d1", "d2"]);
        }
    }
}
