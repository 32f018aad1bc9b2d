//! What arrives: frames, rows, control frames; and the answer to requests.

use super::{
    codec,
    codec::Control,
    ending::State,
    layer::{Batch, Nonsense, ReliableLayer},
    store::{Bounds, Put, SENT_AHEAD_MAX},
};
use gcs::{
    frame::{Dest, Frame, Frames},
    id::Rank,
    layer::{Context, Down},
    time::Time,
};
use std::ops::Range;

/// The most that a NACK is answered with.
pub(super) const ANSWER_FRAMES: u32 = 64;
pub(super) const ANSWER_BYTES: usize = 1 << 20;
/// The most frames that are looked up for a NACK.
const ANSWER_LOOKUPS: usize = 4096;

impl ReliableLayer {
    pub(super) fn on_frames(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let (kind, slot) = (cx.kind(), cx.slot());
        let mut batch = Batch { up: Frames::with_capacity(frames.len()), ..Batch::default() };
        for mut frame in frames {
            let mine = frame.kind() == kind;
            if !mine && !frame.is_reliable() {
                batch.up.push(frame);
                continue;
            }
            let (from, via) = (usize::from(frame.from), usize::from(frame.via));
            if from >= self.members || via >= self.members || via == self.me {
                self.drop_from(frame.via, Nonsense::Rank);
            } else if mine && (frame.is_reliable() || from != via) {
                self.drop_from(frame.via, Nonsense::Control);
            } else if mine {
                self.learn_row(from, &frame, &slot, &mut batch);
                self.on_control(from, &frame, &mut batch, cx);
            } else if self.state != State::Closed {
                let seq = codec::read(frame.slot(&slot)).0;
                frame.seq = seq;
                if from == self.me || frame.seq == 0 {
                    self.drop_from(frame.via, Nonsense::Number);
                    continue;
                }
                self.on_reliable(frame, from, &slot, &mut batch, cx.now);
            }
        }
        self.finish(batch, cx);
    }

    fn on_reliable(&mut self, frame: Frame, from: usize, slot: &Range<usize>, batch: &mut Batch, now: Time) {
        let seq = frame.seq;
        let bounds = match self.state.cut() {
            Some(cut) if seq <= cut.frontier[from] => {
                Bounds { ahead_bytes: usize::MAX, held_bytes: usize::MAX }
            }
            _ => self.bounds,
        };
        let put = self.streams[from].put(frame.clone(), bounds);
        self.learn_row(from, &frame, slot, batch);
        batch.seen |= 1 << from;
        if matches!(put, Put::InOrder | Put::Ahead) {
            self.repairs[from].arrived(seq, now);
        }
        if put == Put::InOrder && self.state == State::Open {
            let delivered = batch.up.len();
            let frontier = self.streams[from].frontier;
            self.streams[from].deliver_into(frontier, &mut batch.up);
            self.rows.learn(self.me, from, frontier);
            let news = &batch.up[delivered..];
            self.unacked_frames += news.len();
            self.unacked_urgent |= news.iter().any(|f| !f.is_patient());
            self.unacked_bytes += news.iter().map(Frame::len).sum::<usize>();
        }
    }

    /// A row belongs to the member that made the frame, whoever sent this copy.
    fn learn_row(&mut self, from: usize, frame: &Frame, slot: &Range<usize>, batch: &mut Batch) {
        for (sender, upto) in codec::read(frame.slot(slot)).1.enumerate().take(self.members) {
            if upto <= self.rows.get(from, sender) {
                continue;
            }
            let stream = &mut self.streams[sender];
            if upto <= stream.highest {
                self.rows.learn(from, sender, upto);
                continue;
            }
            let believed = sender != self.me && upto - stream.highest <= SENT_AHEAD_MAX;
            if !believed {
                self.drop_from(frame.via, Nonsense::Row);
                if sender != from {
                    continue;
                }
            }
            // Of its own stream a member knows; but it is followed only so far.
            let stream = &mut self.streams[sender];
            if sender != self.me && stream.note_sent(upto) {
                let news = if sender == from { &mut batch.seen } else { &mut batch.hearsay };
                *news |= 1 << sender;
            }
            self.rows.learn(from, sender, upto.min(self.streams[sender].highest));
        }
    }

    fn on_control(&mut self, from: usize, frame: &Frame, batch: &mut Batch, cx: &mut Context<'_>) {
        match Control::decode(frame.payload()) {
            Some(Control::Ack) => {}
            Some(Control::Sync { wanted }) => {
                if wanted >> self.me & 1 == 1 && self.state != State::Closed {
                    self.send_control(Dest::One(frame.from), &Control::Ack, cx);
                }
            }
            Some(Control::Nack { stream, ranges }) if usize::from(stream) < self.members => {
                self.answer(frame.from, usize::from(stream), &ranges, cx);
            }
            _ => self.drop_from(frame.via, Nonsense::Control),
        }
        batch.seen |= 1 << from;
    }

    /// Sends again what is held of these frames.
    fn answer(&mut self, to: Rank, stream: usize, ranges: &codec::Ranges, cx: &mut Context<'_>) {
        let wanted = ranges.iter().flat_map(|(first, count)| *first..first + u64::from(*count));
        let (mut frames, mut bytes) = (Frames::new(), 0);
        for frame in wanted.take(ANSWER_LOOKUPS).filter_map(|seq| self.streams[stream].get(seq)) {
            bytes += frame.len();
            let mut copy = frame.clone();
            copy.to = Dest::One(to);
            frames.push(copy);
            if bytes >= ANSWER_BYTES || frames.len() >= ANSWER_FRAMES as usize {
                break;
            }
        }
        if !frames.is_empty() {
            cx.down(Down::Frames(frames));
        }
    }
}
