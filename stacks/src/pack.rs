//! Messages in frames: small ones share a frame, large ones are split. The top of every stack.
//!
//! ```text
//! cast      m1 m2 m3 m4444444444444444444444 m5
//! frames    [WHOLE m1 m2 m3] [FIRST m4444444] [MIDDLE 44444444] [LAST 4444444] [WHOLE m5]
//! ```
//!
//! * **Needs** FIFO, reliable; [`PackWithGaps`] in-order. **Gives** messages.
//! * **Events in**: `Down::Cast`, `Down::Wedge`, `Up::Credit`, `Up::Frames`, `Up::Closed`. **Out**: `Down::Frames`,
//!   `Up::Messages`, `Up::Credit` (whether to cast: there is credit and the queue is short), `Up::Unsent`.
//! * **Header**: one byte, the kind of content. WHOLE (0): messages, each after its length (`u32`, little-endian). FIRST
//!   (1): the length of a message and its beginning. MIDDLE (2), LAST (3): more of it.
//! * **Timers**: `CONTINUE`, at once, when an eighth of the window was sent in one go and there is more: what the layers
//!   below say of credit is known only after the handler. Nothing ever waits for a frame to fill up: what is there is
//!   sent, and frames fill up by themselves when casts come faster than credit.
//! * **The end of a view**: after `Wedge` no frame is made. At `Closed` the messages that are not wholly in frames are
//!   handed back with `Up::Unsent`; receivers forget the parts of one that they have.
//! * **Invariants**, in `check`: (P1) the queue's length is what its parts say; (P2) a message is split only if it is
//!   the queue's first, and not all of it was sent.
//! * **Bounds**: the queue: callers stop casting at `Up::Credit(false)`, which comes when it exceeds a quarter of the
//!   window; it holds that and one more batch. Reassembly: one message for each sender, of `MAX_MESSAGE` at most, and room for
//!   `RESERVE` bytes of it at once, and then as it arrives.
//! * **Leaves** order, repair and the decision when to send to the layers below.
//!
//! A batch that fills most of a frame becomes its payload without being copied; smaller ones are copied into a frame
//! together. On its way up a message is not copied at all, or once if it was split.

use crate::{nonsense::Nonsense, phase::Phase};
use bytes::{Buf, Bytes, BytesMut};
use gcs::{
    frame::{Frame, Frames},
    id::Rank,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    message::{MAX_MESSAGE, Messages, Outgoing},
    properties::Properties,
    report::Report,
};
use std::collections::VecDeque;

const NAME: &str = "pack";

const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const MIDDLE: u8 = 2;
const LAST: u8 = 3;

/// The length of a message's length, in bytes.
const PREFIX: usize = 4;

/// The timer that goes on with the queue.
const CONTINUE: u8 = 0;

/// Batches that queue up are joined until they have this many bytes.
const JOIN_BYTES: usize = 16 << 10;

/// So many bytes go into a frame without being copied.
const SHARE: usize = 2 << 10;

/// Room is made at once for a split message of up to so many bytes; a longer one grows.
const RESERVE: usize = 4 << 20;

/// Messages in frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pack;

/// The same where frames may be missing: a message of which a part is missing is dropped, and the gap is no nonsense.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackWithGaps;

impl Protocol for Pack {
    fn spec(&self) -> LayerSpec {
        spec(NAME, Properties::FIFO | Properties::RELIABLE)
    }

    fn header_len(&self, _members: usize) -> usize {
        1
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(PackLayer::new(scope, false))
    }
}

impl Protocol for PackWithGaps {
    fn spec(&self) -> LayerSpec {
        spec("pack-gaps", Properties::IN_ORDER)
    }

    fn header_len(&self, _members: usize) -> usize {
        1
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(PackLayer::new(scope, true))
    }
}

fn spec(name: &'static str, needs: Properties) -> LayerSpec {
    LayerSpec { name, version: 1, needs, gives: Properties::MESSAGES, wants: Wants::ALL }
}

impl PackLayer {
    fn new(scope: &Scope, gaps: bool) -> Self {
        Self {
            phase: Phase::Open,
            gaps,
            burst: (scope.window_bytes / 8).max(1),
            queue_max: scope.window_bytes / 4,
            credit: true,
            writable: true,
            queue: Queue::default(),
            senders: std::iter::repeat_with(Sender::default).take(scope.members()).collect(),
            split: VecDeque::new(),
            nonsense: Nonsense::default(),
        }
    }
}

struct PackLayer {
    phase: Phase,
    /// Whether frames may be missing.
    gaps: bool,
    /// How many bytes of frames are made in one go.
    burst: usize,
    queue_max: usize,
    credit: bool,
    /// What was last said above.
    writable: bool,
    queue: Queue,
    senders: Vec<Sender>,
    /// This member's own messages that were split and are not delivered yet: they need not be put together again.
    split: VecDeque<Bytes>,
    nonsense: Nonsense,
}

impl Layer for PackLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Cast(messages) if self.phase == Phase::Closed => cx.up(Up::Unsent(messages)),
            Down::Cast(messages) => {
                self.queue.push(messages);
                self.send(cx);
            }
            Down::Wedge => {
                self.wedge(cx);
                cx.down(event);
            }
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Credit(credit) => {
                self.credit = credit;
                self.send(cx);
            }
            Up::Frames(frames) => self.on_frames(frames, cx),
            Up::Closed => self.on_closed(cx),
            other => cx.up(other),
        }
    }

    fn timer(&mut self, _timer: u8, cx: &mut Context<'_>) {
        self.send(cx);
    }

    fn check(&self) {
        let bytes: usize = self.queue.batches.iter().map(Bytes::len).sum();
        assert_eq!(bytes + self.queue.open.len(), self.queue.bytes, "P1: the queue's length is wrong");
        let first = self.queue.batches.front().and_then(|b| message_len(b)).unwrap_or(0);
        let split = self.queue.split_at;
        assert!(split == 0 || split < first, "P2: {split} of {first} bytes of a message were sent");
    }

    fn report(&self, to: &mut Report) {
        to.say("casts are taken", self.writable);
        to.say("bytes of messages that wait for credit", self.queue.bytes);
        let parts = self.senders.iter().map(|s| s.split.as_ref().map_or(0, |s| s.have.len()));
        to.say("bytes of split messages, by sender", format_args!("{:?}", parts.collect::<Vec<_>>()));
        self.nonsense.report(to);
    }

    fn held_bytes(&self) -> usize {
        self.queue.bytes
            + self.split.iter().map(Bytes::len).sum::<usize>()
            + self.senders.iter().filter_map(|s| s.split.as_ref()).map(|s| s.have.len()).sum::<usize>()
    }
}

impl PackLayer {
    /// Makes frames of the queue, as far as credit goes and not more than a burst.
    fn send(&mut self, cx: &mut Context<'_>) {
        if self.phase == Phase::Open && self.credit && self.queue.bytes > 0 {
            let (slot, max) = (cx.slot(), cx.payload_max());
            let (mut frames, mut bytes) = (Frames::new(), 0);
            while self.queue.bytes > 0 && bytes < self.burst {
                let (mut frame, content) = match self.queue.share(max) {
                    Some((payload, content)) => {
                        if content == FIRST {
                            self.split.extend(self.queue.first());
                        }
                        (cx.data_frame_of(payload), content)
                    }
                    None => {
                        let mut frame = cx.data_frame(max.min(self.queue.bytes));
                        self.queue.fill(frame.writable(), max);
                        (frame, WHOLE)
                    }
                };
                frame.slot_mut(&slot)[0] = content;
                bytes += frame.len();
                frames.push(frame);
            }
            cx.down(Down::Frames(frames));
            if self.queue.bytes > 0 {
                cx.set_timer(CONTINUE, cx.now);
            }
        }
        // From one to the other only over a distance.
        let short = self.queue.bytes <= if self.writable { self.queue_max } else { self.queue_max / 2 };
        if self.writable != (self.credit && short) {
            self.writable = !self.writable;
            cx.up(Up::Credit(self.writable));
        }
    }

    fn wedge(&mut self, cx: &mut Context<'_>) {
        if self.phase == Phase::Open {
            self.phase = Phase::Wedged;
            cx.cancel_timer(CONTINUE);
        }
    }

    fn on_closed(&mut self, cx: &mut Context<'_>) {
        self.wedge(cx);
        self.phase = Phase::Closed;
        let unsent = std::mem::take(&mut self.queue).into_messages();
        self.senders.iter_mut().for_each(|s| s.split = None);
        self.split.clear();
        if !unsent.is_empty() {
            cx.up(Up::Unsent(unsent));
        }
        cx.up(Up::Closed);
    }

    fn on_frames(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let slot = cx.slot();
        let mut others = Frames::new();
        for mut frame in frames {
            if frame.kind() != Frame::DATA {
                others.push(frame);
                continue;
            }
            let Some(sender) = self.senders.get_mut(usize::from(frame.from)) else { continue };
            let content = frame.slot(&slot)[0];
            if self.gaps && frame.from != cx.scope().me && !sender.is_whole(content, frame.seq) {
                continue;
            }
            let received = if frame.from == cx.scope().me && content != WHOLE {
                let whole = (content == LAST).then(|| self.split.pop_front()).flatten();
                Ok(whole.map(|m| sender.single(frame.from, m)))
            } else {
                sender.receive(content, &mut frame)
            };
            match received {
                Ok(Some(messages)) => cx.up(Up::Messages(messages)),
                Ok(None) => {}
                Err(what) => self.nonsense.note(NAME, frame.from, what),
            }
        }
        if !others.is_empty() {
            cx.up(Up::Frames(others));
        }
    }
}

/// Messages that are not wholly in frames, in the form of [`Outgoing`].
#[derive(Default)]
struct Queue {
    /// Whole messages each, none is empty.
    batches: VecDeque<Bytes>,
    /// More whole messages, after those: small batches are joined.
    open: BytesMut,
    /// How many bytes there are, those of a split message included until all of it is in frames.
    bytes: usize,
    /// How many bytes of the first message (its length included) are in frames.
    split_at: usize,
}

impl Queue {
    fn push(&mut self, messages: Outgoing) {
        let batch = messages.into_bytes();
        self.bytes += batch.len();
        if !self.open.is_empty() && self.open.len() + batch.len() <= JOIN_BYTES {
            self.open.extend_from_slice(&batch);
        } else {
            self.close();
            self.open = batch;
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.batches.push_back(std::mem::take(&mut self.open).freeze());
        }
    }

    /// The batch with the first message.
    fn front(&mut self) -> Option<&Bytes> {
        if self.batches.is_empty() {
            self.close();
        }
        self.batches.front()
    }

    /// The next frame's content as a slice of a batch, at most `max` bytes, and what it is. None where copying costs less, or
    /// fills the frame better: see [`Self::fill`].
    fn share(&mut self, max: usize) -> Option<(Bytes, u8)> {
        let split_at = self.split_at;
        let batch = self.front()?;
        let first = message_len(batch)?;
        if first > max {
            let end = first.min(split_at + max);
            let part = batch.slice(split_at..end);
            return Some((part, self.split_to(first, end)));
        }
        let run = run_len(batch, max);
        if run < SHARE {
            return None;
        }
        let (payload, whole) = (batch.slice(..run), run == batch.len());
        let more = self.batches.len() > 1 || !self.open.is_empty();
        if whole && more && run < max / 2 {
            return None;
        }
        self.drop_first(run);
        Some((payload, WHOLE))
    }

    /// The first message.
    fn first(&self) -> Option<Bytes> {
        self.batches.front().and_then(|b| Some(b.slice(PREFIX..message_len(b)?)))
    }

    /// A part of the first message, up to `end`, is in a frame: what is it?
    fn split_to(&mut self, first: usize, end: usize) -> u8 {
        let at = std::mem::replace(&mut self.split_at, end);
        if end == first {
            self.split_at = 0;
            self.drop_first(first);
            LAST
        } else if at == 0 {
            FIRST
        } else {
            MIDDLE
        }
    }

    /// Copies whole messages while they fit, each run of them with one copy.
    fn fill(&mut self, frame: &mut BytesMut, max: usize) {
        let mut room = max;
        while let Some(batch) = self.front() {
            let (run, len) = (run_len(batch, room), batch.len());
            frame.extend_from_slice(&batch[..run]);
            room -= run;
            self.drop_first(run);
            if run < len {
                break;
            }
        }
    }

    /// Forgets the first `len` bytes, which are in one batch.
    fn drop_first(&mut self, len: usize) {
        self.bytes -= len;
        if let Some(batch) = self.batches.front_mut() {
            batch.advance(len);
            if batch.is_empty() {
                self.batches.pop_front();
            }
        }
    }

    fn into_messages(mut self) -> Outgoing {
        self.close();
        let mut out = Outgoing::new();
        for batch in &self.batches {
            let mut rest = &batch[..];
            while let Some((message, tail)) = message_len(rest).and_then(|len| rest.split_at_checked(len)) {
                out.push(&message[PREFIX..]);
                rest = tail;
            }
        }
        out
    }
}

/// How many bytes the messages at the beginning have that fit into `room`.
fn run_len(batch: &[u8], room: usize) -> usize {
    let mut run = 0;
    while let Some(len) = message_len(&batch[run..]).filter(|len| run + len <= room) {
        run += len;
    }
    run
}

/// The length of the message at the beginning, with its length; none at the end.
fn message_len(batch: &[u8]) -> Option<usize> {
    batch
        .first_chunk::<PREFIX>()
        .map(|len| PREFIX + usize::try_from(u32::from_le_bytes(*len)).unwrap_or(MAX_MESSAGE))
}

/// A member as a sender.
#[derive(Default)]
struct Sender {
    /// How many of its messages were delivered in this view.
    messages: u64,
    /// The number of its last frame, where frames may be missing.
    last: u64,
    split: Option<Split>,
}

/// A message of which a part has arrived.
struct Split {
    len: usize,
    have: BytesMut,
}

impl Sender {
    /// Takes note of the next frame, and of what is missing before it: false if it belongs to a message of which a part is.
    fn is_whole(&mut self, content: u8, seq: u64) -> bool {
        if std::mem::replace(&mut self.last, seq).checked_add(1) != Some(seq) {
            self.split = None;
        }
        self.split.is_some() || !matches!(content, MIDDLE | LAST)
    }

    fn receive(&mut self, content: u8, frame: &mut Frame) -> Result<Option<Messages>, &'static str> {
        let split = self.split.take();
        match (content, split) {
            (WHOLE, None) => self.whole(frame).map(Some),
            (FIRST, None) => self.begin(frame.payload()).map(|()| None),
            (MIDDLE | LAST, Some(split)) => self.go_on(content == LAST, split, frame),
            _ => Err("a part of a message that does not fit what came before"),
        }
    }

    fn whole(&mut self, frame: &mut Frame) -> Result<Messages, &'static str> {
        let messages = Messages::packed(frame.from, self.messages, frame.payload_shared())
            .filter(|m| m.count > 0)
            .ok_or("messages whose lengths do not add up")?;
        self.messages += u64::from(messages.count);
        Ok(messages)
    }

    fn begin(&mut self, payload: &[u8]) -> Result<(), &'static str> {
        let Some((len, have)) = payload.split_first_chunk::<PREFIX>() else {
            return Err("the first part of a message, without its length");
        };
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        if len > MAX_MESSAGE || have.len() >= len {
            return Err("the first part of a message of an impossible length");
        }
        let mut whole = BytesMut::with_capacity(len.min(RESERVE));
        whole.extend_from_slice(have);
        self.split = Some(Split { len, have: whole });
        Ok(())
    }

    fn go_on(
        &mut self,
        last: bool,
        mut split: Split,
        frame: &Frame,
    ) -> Result<Option<Messages>, &'static str> {
        let part = frame.payload();
        let len = split.have.len() + part.len();
        if part.is_empty() || len > split.len || (len == split.len) != last {
            return Err("a part of a message of the wrong length");
        }
        split.have.extend_from_slice(part);
        if !last {
            self.split = Some(split);
            return Ok(None);
        }
        Ok(Some(self.single(frame.from, split.have.freeze())))
    }

    fn single(&mut self, from: Rank, message: Bytes) -> Messages {
        self.messages += 1;
        Messages::single(from, self.messages - 1, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Check,
        flow::Flow,
        rig::{Raw, Rig},
    };
    use gcs::{id::Rank, rng::Rng};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn rig(n: usize, mtu: usize, window: usize, seed: u64) -> Rig {
        let above: Vec<Arc<dyn Protocol>> =
            vec![Arc::new(Flow::default()), Arc::new(Pack), Arc::new(Check::messages())];
        Rig::new(above, n, mtu, window, seed)
    }

    fn random_message(rng: &mut Rng, most: u64) -> Vec<u8> {
        let len = if rng.chance(100) { rng.below(most) } else { rng.below(60) };
        (0..len).map(|_| rng.next_u64() as u8).collect()
    }

    #[test]
    fn small_messages_share_a_frame() {
        let mut rig = rig(2, 1000, 1 << 20, 1);
        rig.cast(0, &[&[1; 20][..]; 100]);
        assert_eq!(rig.sent[usize::from(Frame::DATA)], 3, "41 messages of 24 bytes fit");
        rig.settle();
        assert_eq!(rig.messages(1), vec![(0, vec![1; 20]); 100]);
    }

    #[test]
    fn boundaries_of_frames() {
        for len in 900..1100_usize {
            let mut rig = rig(2, 1000, 1 << 20, 1);
            let (a, b) = (vec![1; len], vec![2; 2 * len]);
            rig.cast(0, &[&a, &b, b"", &a]);
            rig.settle();
            assert_eq!(rig.messages(1), [(0, a.clone()), (0, b), (0, vec![]), (0, a)], "length {len}");
        }
    }

    #[test]
    fn a_huge_message_respects_the_window() {
        let mut rig = rig(2, 1000, 16000, 1);
        rig.dead = 0b10;
        let huge = vec![9; 1 << 20];
        rig.cast(0, &[&huge]);
        rig.settle();
        let sent = rig.sent[usize::from(Frame::DATA)] * 1033;
        assert!((16000..16000 + 2000 + 1033).contains(&sent), "{sent} bytes under way");
        assert!(!rig.credit(0));
        rig.dead = 0;
        rig.settle();
        assert_eq!(rig.messages(1), [(0, huge)]);
        assert!(rig.credit(0));
    }

    #[test]
    fn a_long_queue_stops_the_caller() {
        let mut rig = rig(1, 1000, 64000, 1);
        rig.cast(0, &[&[1; 10_000]]);
        assert!(rig.credit(0));
        rig.cast(0, &[&[1; 30_000]]);
        assert!(!rig.credit(0), "there is credit, but the queue is long");
        rig.settle();
        assert!(rig.credit(0));
        assert_eq!(rig.messages(0).len(), 2);
    }

    #[test]
    fn malformed_frames_are_dropped() {
        let above: Vec<Arc<dyn Protocol>> = vec![Arc::new(Pack)];
        let mut rig = Rig::new(above, 2, 1000, 1 << 20, 1);
        // The slot is the last byte of the header, which `forge` leaves at 0: cut the header's end into the payload.
        let mut seq = 0;
        let mut deliver = |rig: &mut Rig, content: u8, payload: &[u8]| {
            seq += 1;
            let mut bytes = rig.forge(Frame::DATA, 1, seq, payload).to_vec();
            let slot = bytes.len() - payload.len() - 1;
            bytes[slot] = content;
            let before = rig.messages(0).len();
            rig.receive(0, vec![bytes.into()]);
            rig.messages(0).len() - before
        };
        let too_long = [&u32::try_from(MAX_MESSAGE + 1).unwrap().to_le_bytes()[..], b"x"].concat();
        for (content, payload) in [
            (WHOLE, &b""[..]),
            (WHOLE, b"\x09\0\0\0short"),
            (MIDDLE, b"x"),
            (LAST, b"x"),
            (FIRST, b"\x01"),
            (FIRST, b"\x03\0\0\0abc"),
            (FIRST, &too_long),
            (7, b"x"),
        ] {
            assert_eq!(deliver(&mut rig, content, payload), 0);
            assert_eq!(rig.stacks[0].held_bytes(), 0);
        }
        for spoiler in
            [(MIDDLE, &b""[..]), (MIDDLE, b"cd"), (LAST, b"c"), (LAST, b"cde"), (FIRST, b"\x09\0\0\0a")]
        {
            assert_eq!(deliver(&mut rig, FIRST, b"\x04\0\0\0ab"), 0);
            assert_eq!(deliver(&mut rig, spoiler.0, spoiler.1), 0);
            assert_eq!(deliver(&mut rig, LAST, b"cd"), 0, "after {spoiler:?}");
        }
        assert_eq!(deliver(&mut rig, FIRST, b"\xff\xff\xff\x03ab"), 0);
        assert_eq!(rig.stacks[0].held_bytes(), 2, "memory only for what has arrived");
        assert_eq!(deliver(&mut rig, WHOLE, b"\0\0\0\0"), 0);
        assert_eq!(deliver(&mut rig, WHOLE, b"\0\0\0\0"), 1);
        let frames = rig.out[0].iter().filter(|e| matches!(e, Up::Messages(m) if m.first == 0)).count();
        assert_eq!(frames, 1);
    }

    #[test]
    fn what_is_above_passes() {
        let mut rig = Rig::new(vec![Arc::new(Pack), Arc::new(Raw)], 2, 1000, 1 << 20, 1);
        rig.receive(0, vec![rig.forge(2, 1, 1, b"x")]);
        assert_eq!(rig.frames(0), [(1, b"x".to_vec())]);
    }

    proptest! {
        #[test]
        fn messages_come_back(seed: u64, n in 1_usize..4, mtu in 512_usize..3000, most in 1_u64..40_000) {
            let (mut rig, mut rng) = (rig(n, mtu, 50_000, seed), Rng::new(seed));
            let mut cast: Vec<Vec<Vec<u8>>> = vec![Vec::new(); n];
            for _ in 0..30 {
                let r = rng.below(n as u64) as usize;
                let batch: Vec<_> = (0..rng.below(20)).map(|_| random_message(&mut rng, most)).collect();
                rig.cast(r, &batch.iter().map(Vec::as_slice).collect::<Vec<_>>());
                cast[r].extend(batch);
                rig.step(&mut rng);
                rig.tick();
            }
            rig.settle();
            for r in 0..n {
                for (from, cast) in (0..).zip(&cast) {
                    let from: Rank = from;
                    let got = rig.messages(r).into_iter().filter(|m| m.0 == from).map(|m| m.1);
                    prop_assert_eq!(&got.collect::<Vec<_>>(), cast);
                }
            }
        }

        #[test]
        fn delivered_and_unsent_are_everything(seed: u64, window in 2000_usize..20_000, ready: bool) {
            let (mut rig, mut rng) = (rig(2, 700, window, seed), Rng::new(seed));
            let mut cast = Vec::new();
            for _ in 0..10 {
                let batch: Vec<_> = (0..rng.below(10)).map(|_| random_message(&mut rng, 6000)).collect();
                rig.cast(0, &batch.iter().map(Vec::as_slice).collect::<Vec<_>>());
                cast.extend(batch);
                if ready {
                    rig.step(&mut rng);
                }
            }
            rig.wedge(0);
            cast.push(b"late".to_vec());
            rig.cast(0, &[b"late"]);
            let stacks = rig.stacks.len();
            rig.close();
            let mut later = rig.unsent(0);
            prop_assert!(later.ends_with(&[b"late".to_vec()]));
            for r in 0..stacks {
                let all: Vec<_> = rig.messages(r).into_iter().map(|m| m.1).chain(later.iter().cloned()).collect();
                prop_assert_eq!(&all, &cast);
            }
            rig.cast(0, &[b"too late"]);
            later.push(b"too late".to_vec());
            prop_assert_eq!(rig.unsent(0), later);
        }
    }
}
