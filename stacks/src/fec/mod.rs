//! Forward error correction: a lost frame is computed from parity frames, before anybody needs to ask for it.
//!
//! Reed and Solomon's code ("Polynomial codes over certain finite fields", 1960), over packets as in Rizzo, "Effective
//! erasure codes for reliable computer communication protocols" (CCR 27(2), 1997). Deviations: blocks have no fixed length, a
//! block of a slow sender ends by time; and the receivers' repair protocol above goes on as if this were not here.
//!
//! ```text
//! sender      f1 f2 f3 … f16 | p1 p2 p3 p4     f17         | p1     the second block ends after `delay_us`
//! receiver    f1 x  f3 … x     p1 x  p3        x             p1
//!             any 16 of the 20 give all of the block ──► f2, f16    f17
//! ```
//!
//! * **Needs** nothing. **Gives** forward correction. Its place is directly below `reliable` (or `bimodal`, `besteffort`):
//!   those take what is computed for what was received.
//! * **Events in**: `Down::Frames`, `Down::Wedge`, `Down::Close`, `Up::Frames`. **Out**: the same. Covered are new reliable
//!   frames for everybody; repeated ones, acknowledgements and the like pass.
//! * **Header**: 16 bytes. In covered frames `seq: u64`, the frame's number among its sender's covered ones, from 1; 0 in
//!   others. A parity frame is of this layer's kind, unreliable, and has in this slot `first: u64 | k: u8 | m: u8 | index:
//!   u8 | tail: u8` and the combined first 4 bytes of the shards, and the rest of the combination behind it, in place of slots and
//!   payload: see `shard.rs`. It is parity number `index` of `m` of the frames `first` to `first + k - 1`. Parity of a block
//!   of one frame is that frame again.
//! * **Timers**: `FLUSH`, `delay_us` after the first frame of a block: the block ends there.
//! * **Parity**: `parity` frames for a block of `block`, proportionally less for a shorter one (rounded up, so one at
//!   least). So a sender of single frames sends everything twice, and a busy one a quarter more with the defaults. Flow control
//!   does not count that.
//! * **The end of a view**: at `Wedge` the block ends. Receivers compute frames until `Close`, which helps to reach the cut.
//! * **Invariants**, in `check`: (F1) what is held is counted and within its bounds; (F2) a block that is not sent is
//!   shorter than `block`; (F3) nothing is held after `Close`.
//! * **Bounds**: of each sender the last `2 × block` covered frames of blocks that are not complete, and parity of 4 blocks, a
//!   window of bytes altogether. Most frames are held by `reliable`, too, and shared with it.
//! * **Leaves** to `reliable` what more than the parity of a block takes away.

mod blocks;

use crate::{nonsense::Nonsense, shard};
use blocks::{About, Sender, decode, encode};
use gcs::{
    frame::{Dest, Frame, Frames},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    report::Report,
};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use std::time::Duration;

const NAME: &str = "fec";

/// The timer that ends a block.
const FLUSH: u8 = 0;

/// The length of the slot, in bytes: what a parity frame says of itself, and the head of a shard.
const SLOT: usize = blocks::ABOUT + shard::HEAD;

/// The largest block, in frames.
const BLOCK_MAX: u8 = 128;

/// Parity for blocks of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fec {
    /// A block has at most so many frames: 1 to 128. The same at all members.
    pub block: u8,
    /// So many parity frames for a full block: 1 to `block`. The same at all members.
    pub parity: u8,
    /// A block ends so long after its first frame, in microseconds. Each member's own.
    pub delay_us: u32,
}

impl Default for Fec {
    fn default() -> Self {
        Self { block: 16, parity: 4, delay_us: 1000 }
    }
}

impl Fec {
    /// The parameters within their limits.
    fn clamped(self) -> Self {
        let block = self.block.clamp(1, BLOCK_MAX);
        Self { block, parity: self.parity.clamp(1, block), ..self }
    }

    /// How many parity frames a block of `k` frames gets.
    fn parity_for(self, k: usize) -> usize {
        (usize::from(self.parity) * k).div_ceil(self.block.into())
    }
}

impl Protocol for Fec {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: NAME,
            version: 1,
            needs: Properties::NONE,
            gives: Properties::FORWARD_CORRECTION,
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        SLOT
    }

    fn parameters(&self) -> String {
        let Self { block, parity, .. } = self.clamped();
        format!("block={block},parity={parity}")
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(FecLayer {
            fec: self.clamped(),
            open: true,
            sent: 0,
            block: Vec::new(),
            senders: std::iter::repeat_with(Sender::default).take(scope.members()).collect(),
            held_max: scope.window_max,
            encoder: None,
            decoder: None,
            parity_sent: 0,
            restored: 0,
            nonsense: Nonsense::default(),
        })
    }
}

struct FecLayer {
    fec: Fec,
    /// Until the view is closed.
    open: bool,
    /// How many covered frames this member has sent.
    sent: u64,
    /// The last of them, whose parity is not sent.
    block: Vec<Frame>,
    /// By rank.
    senders: Vec<Sender>,
    /// How many bytes are held of one sender.
    held_max: usize,
    /// Kept for their working space.
    encoder: Option<ReedSolomonEncoder>,
    decoder: Option<ReedSolomonDecoder>,
    parity_sent: u64,
    restored: u64,
    nonsense: Nonsense,
}

impl Layer for FecLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(frames) if self.open => self.on_send(frames, cx),
            Down::Wedge => {
                let mut parity = Frames::new();
                self.end_block(&mut parity, cx);
                if !parity.is_empty() {
                    cx.down(Down::Frames(parity));
                }
                cx.down(event);
            }
            Down::Close(_) => {
                self.open = false;
                self.block.clear();
                cx.cancel_timer(FLUSH);
                self.senders.iter_mut().for_each(|s| *s = Sender::default());
                cx.down(event);
            }
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) => self.on_received(frames, cx),
            other => cx.up(other),
        }
    }

    fn timer(&mut self, _timer: u8, cx: &mut Context<'_>) {
        let mut parity = Frames::new();
        self.end_block(&mut parity, cx);
        if !parity.is_empty() {
            cx.down(Down::Frames(parity));
        }
    }

    fn check(&self) {
        for s in &self.senders {
            assert_eq!(s.held_bytes, s.count_bytes(), "F1: held bytes are counted");
            assert!(s.held_bytes <= self.held_max, "F1: {} bytes are held", s.held_bytes);
            assert!(
                s.frames.len() <= 2 * usize::from(self.fec.block),
                "F1: {} frames are held",
                s.frames.len()
            );
            assert!(s.blocks.len() <= blocks::BLOCKS_MAX, "F1: parity of {} blocks is held", s.blocks.len());
        }
        assert!(self.block.len() < usize::from(self.fec.block), "F2: a full block was not sent");
        assert!(self.open || self.held_bytes() == 0, "F3: {} bytes after Close", self.held_bytes());
    }

    fn held_bytes(&self) -> usize {
        self.senders.iter().map(|s| s.held_bytes).sum::<usize>()
            + self.block.iter().map(Frame::len).sum::<usize>()
    }

    fn report(&self, to: &mut Report) {
        to.say("parity frames sent", self.parity_sent);
        to.say("frames restored", self.restored);
        to.say("frames of the open block", self.block.len());
        self.nonsense.report(to);
    }
}

impl FecLayer {
    fn on_send(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let mut out = Frames::with_capacity(frames.len() + usize::from(self.fec.parity));
        for mut frame in frames {
            if !shard::is_covered(&frame, cx) {
                out.push(frame);
                continue;
            }
            self.sent += 1;
            frame.slot_mut(&cx.slot())[..8].copy_from_slice(&self.sent.to_le_bytes());
            frame.seal();
            if self.block.is_empty() {
                cx.set_timer(FLUSH, cx.now + Duration::from_micros(self.fec.delay_us.into()));
            }
            self.block.push(frame.clone());
            out.push(frame);
            if self.block.len() == usize::from(self.fec.block) {
                self.end_block(&mut out, cx);
            }
        }
        cx.down(Down::Frames(out));
    }

    /// Appends the parity of the open block.
    fn end_block(&mut self, out: &mut Frames, cx: &mut Context<'_>) {
        cx.cancel_timer(FLUSH);
        let block = std::mem::take(&mut self.block);
        let k = block.len();
        if k == 0 {
            return;
        }
        let longest = block.iter().map(|f| shard::len_of(f, cx)).max().unwrap_or(0);
        let len = longest.next_multiple_of(2);
        let m = self.fec.parity_for(k);
        let shards = block.iter().map(|f| shard::of(f, len, cx));
        let mut parity: Vec<_> =
            if k == 1 { shards.collect() } else { encode(&mut self.encoder, shards, k, m, len) };
        let byte = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        let first = self.sent + 1 - k as u64;
        for (index, parity) in parity.iter_mut().enumerate() {
            let tail = if longest < len { parity.pop() } else { None };
            let about = About { first, k: byte(k), m: byte(m), index: byte(index), tail: tail.unwrap_or(0) };
            out.push(shard::repair(Dest::Others, &about.encode(), parity, cx));
            self.parity_sent += 1;
        }
    }

    fn on_received(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let (kind, slot) = (cx.kind(), cx.slot());
        let mut up = Frames::with_capacity(frames.len());
        for frame in frames {
            if frame.kind() == kind {
                self.on_parity(&frame, &mut up, cx);
                continue;
            }
            let seq = frame.slot(&slot).first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
            up.push(frame.clone());
            if self.open && seq > 0 && frame.is_reliable() && frame.from != cx.scope().me {
                self.on_covered(seq, frame, &mut up, cx);
            }
        }
        if !up.is_empty() {
            cx.up(Up::Frames(up));
        }
    }

    fn on_covered(&mut self, seq: u64, frame: Frame, up: &mut Frames, cx: &Context<'_>) {
        let from = frame.from;
        let Some(sender) = self.senders.get_mut(usize::from(from)) else { return };
        if !sender.keep(seq, frame, 2 * usize::from(self.fec.block), self.held_max) {
            return;
        }
        let block = sender.blocks.range(..=seq).next_back().filter(|(_, b)| b.about.last() >= seq);
        if let Some(first) = block.map(|(first, _)| *first) {
            self.complete(from, first, up, cx);
        }
    }

    fn on_parity(&mut self, frame: &Frame, up: &mut Frames, cx: &Context<'_>) {
        let (from, fec) = (frame.from, self.fec);
        let known = usize::from(from) < self.senders.len() && from != cx.scope().me;
        let about = About::decode(frame.slot(&cx.slot()), fec);
        let (Some(about), true, false) = (about, known && frame.via == from, frame.is_reliable()) else {
            return self.nonsense.note(NAME, frame.via, "not a parity frame");
        };
        if !self.open {
            return;
        }
        let mut parity = shard::carried(frame, cx);
        if parity.len() % 2 == 1 {
            parity.push(about.tail);
        }
        let sender = &mut self.senders[usize::from(from)];
        if sender.is_done(about.first) {
            return;
        }
        if !sender.keep_parity(about, parity, self.held_max) {
            return self.nonsense.note(NAME, from, "parity that contradicts other parity");
        }
        self.complete(from, about.first, up, cx);
    }

    /// Restores what is missing of a block, if there is enough of it; and forgets the block if all is there.
    fn complete(&mut self, from: u16, first: u64, up: &mut Frames, cx: &Context<'_>) {
        let sender = &mut self.senders[usize::from(from)];
        let Some(block) = sender.blocks.get(&first) else { return };
        let (about, k) = (block.about, usize::from(block.about.k));
        let have = sender.frames.range(first..=about.last()).count();
        if have + block.parity.len() < k {
            return;
        }
        if have < k {
            let restored = if k == 1 {
                block.parity.first().map(|(_, shard)| vec![(0, shard.clone())])
            } else {
                let frames = sender.frames.range(first..=about.last());
                let frames = frames.map(|(seq, f)| ((seq - first) as usize, f));
                decode(&mut self.decoder, block, frames.map(|(i, f)| (i, shard::of(f, block.len, cx))))
            };
            if restored.is_none() {
                self.nonsense.note(NAME, from, "parity that does not fit its frames");
            }
            let frames = restored.iter().flatten().map(|(i, shard)| {
                let seq = first + *i as u64;
                shard::frame(shard, &seq.to_le_bytes(), from, from, cx)
            });
            let before = up.len();
            for frame in frames {
                match frame {
                    Some(frame) => up.push(frame),
                    None => self.nonsense.note(NAME, from, "parity of frames that cannot be"),
                }
            }
            self.restored += (up.len() - before) as u64;
        }
        sender.finish(about);
    }
}

#[cfg(test)]
mod tests;
