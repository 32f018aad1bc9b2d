//! The layer: dispatch, sending, acknowledgement, requests.

use super::{
    Reliable, codec,
    codec::Control,
    ending::State,
    receive::{ANSWER_BYTES, ANSWER_FRAMES},
    repair::{HEARSAY_TOLERANCE, Repair, TOLERANCE},
    rows::{Rows, rank, ranks},
    store::{Bounds, Put, Stream},
};
use gcs::{
    frame::{Dest, Frame, Frames},
    id::Rank,
    layer::{Context, Down, Layer, Scope, Up},
    report::Report,
    time::Time,
};
use std::{sync::Arc, time::Duration};

const ACK: u8 = 0;
const REPAIR: u8 = 1;
const SYNC: u8 = 2;

const ACK_DELAY: Duration = Duration::from_millis(5);
const ACK_FRAMES: usize = 32;
const ACK_BYTES: usize = 256 << 10;
const SYNC_OWN: Duration = Duration::from_millis(10);
const SYNC_OTHERS: Duration = Duration::from_millis(50);
const SYNC_MAX: Duration = Duration::from_millis(100);

/// Why something received was dropped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nonsense {
    /// A rank that is not another member's.
    Rank,
    /// A frame without a number, or of one's own stream.
    Number,
    /// A claim to hold or to have sent what cannot be.
    Row,
    /// A control frame that is not well-formed.
    Control,
}

/// What is due at the end of a handler.
#[derive(Default)]
pub(super) struct Batch {
    /// Frames to be delivered or passed on.
    pub(super) up: Frames,
    /// Streams that may have gaps, or none any more: seen in the stream itself, or in what others say.
    pub(super) seen: u64,
    pub(super) hearsay: u64,
}

#[derive(Debug)]
pub(super) struct ReliableLayer {
    pub(super) me: usize,
    pub(super) members: usize,
    prompt: bool,
    pub(super) state: State,
    /// By rank. The one of `me` has no gaps and is delivered as it is sent.
    pub(super) streams: Vec<Stream>,
    pub(super) repairs: Vec<Repair>,
    /// The row of `me` is what others may know: the frontiers, until `Wedge` freezes it.
    pub(super) rows: Rows,
    /// Members whose process is gone.
    pub(super) gone: u64,
    pub(super) unacked_frames: usize,
    pub(super) unacked_bytes: usize,
    /// Whether somebody may wait for the acknowledgement of one of them.
    pub(super) unacked_urgent: bool,
    sync_after: Duration,
    /// The sum of what is held by all when SYNC was last due.
    sync_saw: u64,
    pub(super) bounds: Bounds,
    /// The most frames that are asked for at a time.
    ask_frames: u32,
    pub(super) dropped: [u64; 4],
    traced: [u64; 4],
}

impl ReliableLayer {
    pub(super) fn new(protocol: Reliable, scope: &Scope) -> Self {
        let members = scope.members();
        let me = usize::from(scope.me);
        Self {
            me,
            members,
            prompt: protocol.prompt,
            state: State::Open,
            streams: (0..members).map(|_| Stream::new()).collect(),
            repairs: (0..members).map(|_| Repair::new()).collect(),
            rows: Rows::new(me, scope.view.weights()),
            gone: 0,
            unacked_frames: 0,
            unacked_bytes: 0,
            unacked_urgent: false,
            sync_after: SYNC_OWN,
            sync_saw: 0,
            bounds: Bounds { ahead_bytes: scope.window_max, held_bytes: scope.window_max.saturating_mul(8) },
            ask_frames: u32::try_from(ANSWER_BYTES / scope.mtu.max(1)).unwrap_or(0).clamp(8, ANSWER_FRAMES),
            dropped: [0; 4],
            traced: [0; 4],
        }
    }

    pub(super) fn frontier(&self) -> Vec<u64> {
        self.streams.iter().map(|s| s.frontier).collect()
    }

    pub(super) fn is_gone(&self, member: usize) -> bool {
        self.gone >> member & 1 == 1
    }

    /// Counts what `via` sent; traces the first of each kind from each member.
    pub(super) fn drop_from(&mut self, via: Rank, kind: Nonsense) {
        self.dropped[kind as usize] += 1;
        let bit = 1_u64.checked_shl(via.into()).unwrap_or(0);
        if self.traced[kind as usize] & bit == 0 {
            self.traced[kind as usize] |= bit;
            tracing::debug!(via, ?kind, "dropped what a member sent");
        }
    }

    // --- sending ---

    fn on_send(&mut self, mut frames: Frames, cx: &mut Context<'_>) {
        if self.state != State::Open {
            // The next view is for those.
            frames.retain(|f| !f.is_reliable());
        } else if frames.iter().any(Frame::is_reliable) {
            let up = self.number(&mut frames, cx);
            if self.members > 1 {
                cx.down(Down::Frames(frames));
            }
            cx.up(Up::Frames(up));
            self.row_was_sent(cx);
            self.sync_after = SYNC_OWN;
            if self.members > 1 {
                cx.set_timer(SYNC, cx.now + self.sync_after);
            }
            self.advance_stability(cx);
            return;
        }
        if !frames.is_empty() {
            cx.down(Down::Frames(frames));
        }
    }

    /// Gives reliable frames their numbers and rows, stores them, and returns them for delivery.
    fn number(&mut self, frames: &mut Frames, cx: &Context<'_>) -> Frames {
        let slot = cx.slot();
        let mut head = codec::head(self.rows.mine());
        let mut up = Frames::with_capacity(frames.len());
        let own = &mut self.streams[self.me];
        for frame in frames.iter_mut().filter(|f| f.is_reliable()) {
            debug_assert_eq!(usize::from(frame.from), self.me, "frames are sent by those who made them");
            frame.seq = own.frontier + 1;
            frame.to = Dest::Others;
            codec::stamp(&mut head, self.me, frame.seq);
            frame.slot_mut(&slot).copy_from_slice(&head);
            frame.seal();
            let put = own.put(frame.clone(), Bounds { ahead_bytes: 0, held_bytes: usize::MAX });
            debug_assert_eq!(put, Put::InOrder, "own frames have no gaps");
            own.deliver_into(frame.seq, &mut up);
        }
        self.rows.learn(self.me, self.me, own.frontier);
        up
    }

    pub(super) fn send_control(&mut self, to: Dest, control: &Control, cx: &mut Context<'_>) {
        let mut frame = cx.control_frame(to, false, &control.encode());
        frame.slot_mut(&cx.slot()).copy_from_slice(&codec::head(self.rows.mine()));
        cx.down(Down::Frames(vec![frame]));
        if to == Dest::Others {
            self.row_was_sent(cx);
        }
    }

    fn row_was_sent(&mut self, cx: &mut Context<'_>) {
        (self.unacked_frames, self.unacked_bytes, self.unacked_urgent) = (0, 0, false);
        cx.cancel_timer(ACK);
    }

    // --- after every batch ---

    pub(super) fn finish(&mut self, batch: Batch, cx: &mut Context<'_>) {
        if !batch.up.is_empty() {
            cx.up(Up::Frames(batch.up));
        }
        if self.state == State::Closed {
            return;
        }
        self.advance_stability(cx);
        self.report_cut(cx);
        for s in ranks(batch.seen | batch.hearsay) {
            let tolerance = if batch.seen >> s & 1 == 1 { TOLERANCE } else { HEARSAY_TOLERANCE };
            let limit = self.limit(s);
            self.repairs[s].plan(&self.streams[s], limit, cx.now + tolerance);
        }
        self.set_repair_timer(cx);
        if self.unacked_frames > 0 {
            let full = self.unacked_frames >= ACK_FRAMES || self.unacked_bytes >= ACK_BYTES;
            if full || self.prompt && self.unacked_urgent {
                cx.set_timer(ACK, cx.now);
            } else if !cx.timer_is_set(ACK) {
                cx.set_timer(ACK, cx.now + ACK_DELAY);
            }
        }
        if !cx.timer_is_set(SYNC) && self.rows.behind() & !self.gone != 0 {
            self.sync_after = SYNC_OTHERS;
            cx.set_timer(SYNC, cx.now + self.sync_after);
        }
    }

    /// Reports progress of stability, and forgets what all hold.
    fn advance_stability(&mut self, cx: &mut Context<'_>) {
        if self.state != State::Open {
            return;
        }
        let advanced = self.rows.advance();
        if advanced == 0 {
            return;
        }
        for s in ranks(advanced) {
            self.streams[s].free_to(self.rows.stable().all[s]);
        }
        cx.up(Up::Stable(Arc::new(self.rows.stable().clone())));
    }

    // --- timers ---

    pub(super) fn set_repair_timer(&self, cx: &mut Context<'_>) {
        let due = self.repairs.iter().map(Repair::due).min().unwrap_or(Time::NEVER);
        cx.set_timer(REPAIR, due);
    }

    fn on_repair_due(&mut self, cx: &mut Context<'_>) {
        let fetching = self.state.cut().is_some();
        for s in 0..self.members {
            let limit = self.limit(s);
            let next = self.repairs[s].next(cx.now, &self.streams[s], limit, fetching, self.ask_frames);
            let Some((ranges, attempt)) = next else { continue };
            if let Some(target) = self.whom_to_ask(s, attempt as usize) {
                let nack = Control::Nack { stream: rank(s), ranges };
                self.send_control(Dest::One(rank(target)), &nack, cx);
            }
        }
        self.set_repair_timer(cx);
    }

    /// The sender first, then whoever is known to hold the next frame that is missing here.
    pub(super) fn whom_to_ask(&self, stream: usize, attempt: usize) -> Option<usize> {
        if let Some(cut) = self.state.cut() {
            return self.whom_to_ask_for_cut(cut, stream, attempt);
        }
        let next = self.streams[stream].frontier + 1;
        let holds = |m: &usize| *m != self.me && !self.is_gone(*m) && self.rows.get(*m, stream) >= next;
        let sender = (!self.is_gone(stream)).then_some(stream);
        let others = || (0..self.members).filter(|m| *m != stream).filter(holds);
        let count = others().count() + usize::from(sender.is_some());
        sender.into_iter().chain(others()).nth(attempt % count.max(1))
    }

    fn on_sync_due(&mut self, cx: &mut Context<'_>) {
        let behind = self.rows.behind() & !self.gone;
        if behind == 0 || self.state == State::Closed {
            return;
        }
        let saw: u64 =
            (0..self.members).map(|s| (0..self.members).map(|m| self.rows.get(m, s)).sum::<u64>()).sum();
        let own = self.streams[self.me].frontier;
        let own_behind = (0..self.members).any(|m| !self.is_gone(m) && self.rows.get(m, self.me) < own);
        // As long as rows grow, others' frames need no reminder.
        if own_behind || saw == self.sync_saw {
            self.send_control(Dest::Others, &Control::Sync { wanted: behind }, cx);
            self.sync_after = (self.sync_after * 2).min(SYNC_MAX);
        }
        self.sync_saw = saw;
        cx.set_timer(SYNC, cx.now + self.sync_after);
    }

    pub(super) fn on_gone(&mut self, member: Rank, cx: &mut Context<'_>) {
        if usize::from(member) < self.members {
            self.gone |= 1 << member;
            if self.state != State::Closed {
                self.repairs[usize::from(member)].give_up_waiting(cx.now);
                self.set_repair_timer(cx);
            }
        }
        cx.down(Down::Gone(member));
    }
}

impl Layer for ReliableLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(frames) => self.on_send(frames, cx),
            Down::Wedge => self.on_wedge(cx),
            Down::Fetch(cut) => self.on_fetch(cut, cx),
            Down::Close(cut) => self.on_close(cut, cx),
            Down::Gone(member) => self.on_gone(member, cx),
            Down::Cast(_) | Down::Congested(_) | Down::Shun(_) => cx.down(event),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_frames(frames, cx),
            other => cx.up(other),
        }
    }

    fn timer(&mut self, timer: u8, cx: &mut Context<'_>) {
        match timer {
            ACK if self.unacked_frames > 0 => self.send_control(Dest::Others, &Control::Ack, cx),
            REPAIR => self.on_repair_due(cx),
            SYNC => self.on_sync_due(cx),
            _ => {}
        }
    }

    fn check(&self) {
        self.streams.iter().for_each(Stream::check);
        let stable = self.rows.stable();
        for (s, stream) in self.streams.iter().enumerate() {
            let announced = self.rows.get(self.me, s);
            assert!(announced <= stream.frontier, "R3: the row is never ahead of the frontier");
            if self.state == State::Open {
                assert_eq!(announced, stream.frontier, "R3: the row follows the frontier until Wedge");
                assert_eq!(stream.delivered, stream.frontier, "R1: what is in order is delivered");
            }
            assert!(
                stable.all[s] <= stable.majority[s] && stable.majority[s] <= stream.highest,
                "R4: stability is in order"
            );
        }
    }

    fn report(&self, to: &mut Report) {
        to.say("received without gaps, by sender", format_args!("{:?}", self.frontier()));
        let highest: Vec<_> = self.streams.iter().map(|s| s.highest).collect();
        to.say("known to be sent", format_args!("{highest:?}"));
        to.say("held by a majority", format_args!("{:?}", self.rows.stable().majority));
        to.say("held by all", format_args!("{:?}", self.rows.stable().all));
        to.say("frames not acknowledged yet", self.unacked_frames);
    }

    fn held_bytes(&self) -> usize {
        self.streams.iter().map(Stream::held_bytes).sum()
    }
}
