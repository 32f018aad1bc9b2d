//! Lateral error correction: receivers repair each other's losses, with combinations of what they have received from everybody.
//!
//! Balakrishnan, Birman, Phanishayee and Pleisch, "Ricochet: Lateral Error Correction for Time-Critical Multicast" (NSDI 2007),
//! for one group: there is one region, that of all receivers. Deviations: a repair is also sent when its first frame
//! has waited for `delay_us`; senders are receivers of each other's frames, and keep their own to read repairs with; and
//! the receivers' repair protocol above goes on as if this were not here.
//!
//! ```text
//! A  ──a1────a2────a3──▶                  C has seen r frames, whoever sent them: their exclusive-or
//! B  ────b1────b2──────▶                  goes to c others, by chance
//! C    a1 b1 a2 b2 ── a1 ⊕ b1 ⊕ a2 ⊕ b2 ──▶ D
//! D    a1 b1 x  b2  ◀─ lacks one of them: a2 = (a1 ⊕ b1 ⊕ a2 ⊕ b2) ⊕ a1 ⊕ b1 ⊕ b2
//! ```
//!
//! * **Needs** nothing. **Gives** lateral correction. Its place is directly below `reliable` (or `bimodal`): that takes what
//!   is computed for what was received. Of use with three members or more; the more senders, the sooner repairs come.
//! * **Events in**: `Down::Frames`, `Down::Wedge`, `Down::Close`, `Up::Frames`. **Out**: the same. Covered are new reliable
//!   frames for everybody; repeated ones, acknowledgements and the like pass.
//! * **Header**: 5 + 4 `r` bytes, 8 at least. In covered frames `seq: u64`, the frame's number among its sender's covered ones,
//!   from 1; 0 in others. A repair is of this layer's kind, unreliable, and has in this slot `n: u8 | n × id: u32` (the rank in
//!   the highest 8 bits, the number's lowest 24 in the others), at the slot's end the combined first 4 bytes of the shards, and
//!   the rest of the combination behind it, in place of slots and payload: see `shard.rs`.
//! * **Timers**: `SEND`, `delay_us` after the first frame of a repair.
//! * **Chance**: whom a repair goes to, from `scope.rng()`; not to a member that has sent all frames of it.
//! * **The end of a view**: at `Wedge` the open repair is sent. Receivers compute frames until `Close`.
//! * **Invariants**, in `check`: (L1) what is held is counted and within its bounds; (L2) a repair that is not sent has
//!   fewer than `r` frames; (L3) nothing is held after `Close`.
//! * **Bounds**: of each sender the last 256 covered frames and a window of bytes; 32 repairs that lack more than one frame.
//!   Every frame costs each receiver `c / r` frames.
//! * **Leaves** to `reliable` what nobody else has received, or more than repairs cover.

mod held;
#[cfg(test)]
mod tests;

use crate::{nonsense::Nonsense, shard};
use gcs::{
    frame::{Dest, Frame, Frames},
    id::Rank,
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants},
    properties::Properties,
    report::Report,
    rng::Rng,
};
use held::{Held, Ids, Known, decode_ids, encode_ids};
use std::{collections::VecDeque, time::Duration};

const NAME: &str = "lateral";

/// The timer of the open repair.
const SEND: u8 = 0;

/// The most frames in a repair.
const R_MAX: u8 = 32;

/// Repairs that lack more than one frame, of all members.
const PENDING_MAX: usize = 32;

/// Repairs among receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateral {
    /// A repair combines so many frames: 1 to 32. The same at all members.
    pub r: u8,
    /// It is sent to so many other receivers. Each member's own.
    pub c: u8,
    /// It is sent so long after its first frame, in microseconds, at the latest. Each member's own.
    pub delay_us: u32,
}

impl Default for Lateral {
    fn default() -> Self {
        Self { r: 8, c: 5, delay_us: 1000 }
    }
}

impl Lateral {
    fn r(self) -> usize {
        self.r.clamp(1, R_MAX).into()
    }
}

impl Protocol for Lateral {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: NAME,
            version: 1,
            needs: Properties::NONE,
            gives: Properties::LATERAL_CORRECTION,
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, _members: usize) -> usize {
        (1 + 4 * self.r() + shard::HEAD).max(8)
    }

    fn parameters(&self) -> String {
        format!("r={}", self.r())
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(LateralLayer {
            r: self.r(),
            c: self.c.into(),
            delay: Duration::from_micros(self.delay_us.into()),
            open: true,
            sent: 0,
            held: (0..scope.members()).map(|_| Held::new(scope.window_max)).collect(),
            bin: Bin::default(),
            pending: VecDeque::new(),
            rng: scope.rng(),
            repairs_sent: 0,
            restored: 0,
            nonsense: Nonsense::default(),
        })
    }
}

struct LateralLayer {
    r: usize,
    c: usize,
    delay: Duration,
    /// Until the view is closed.
    open: bool,
    /// How many covered frames this member has sent.
    sent: u64,
    /// By rank: the latest covered frames, this member's own, too.
    held: Vec<Held>,
    bin: Bin,
    /// Repairs that lack more than one frame, the latest at the end.
    pending: VecDeque<Repair>,
    rng: Rng,
    repairs_sent: u64,
    restored: u64,
    nonsense: Nonsense,
}

/// The repair that this member is about to send.
#[derive(Default)]
struct Bin {
    ids: Ids,
    shard: Vec<u8>,
}

/// A repair that was received.
struct Repair {
    via: Rank,
    ids: Ids,
    shard: Vec<u8>,
}

/// What a repair is good for.
enum Use {
    /// It restores this frame.
    Restores(Rank, u64),
    /// More of its frames are missing.
    Later,
    /// Nothing is missing, or it speaks of frames that were forgotten.
    None,
}

impl Layer for LateralLayer {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        match event {
            Down::Frames(frames) if self.open => self.on_send(frames, cx),
            Down::Wedge => {
                self.send_repair(cx);
                cx.down(event);
            }
            Down::Close(_) => {
                self.open = false;
                cx.cancel_timer(SEND);
                self.held.iter_mut().for_each(Held::clear);
                self.bin = Bin::default();
                self.pending.clear();
                cx.down(event);
            }
            other => cx.down(other),
        }
    }

    fn up(&mut self, event: Up, cx: &mut Context<'_>) {
        match event {
            Up::Frames(frames) if self.open => self.on_received(frames, cx),
            Up::Frames(mut frames) => {
                let kind = cx.kind();
                frames.retain(|f| f.kind() != kind);
                if !frames.is_empty() {
                    cx.up(Up::Frames(frames));
                }
            }
            other => cx.up(other),
        }
    }

    fn timer(&mut self, _timer: u8, cx: &mut Context<'_>) {
        self.send_repair(cx);
    }

    fn check(&self) {
        self.held.iter().for_each(Held::check);
        assert!(self.pending.len() <= PENDING_MAX, "L1: {} repairs are held", self.pending.len());
        assert!(self.bin.ids.len() < self.r, "L2: a full repair was not sent");
        assert!(self.open || self.held_bytes() == 0, "L3: {} bytes after Close", self.held_bytes());
    }

    fn held_bytes(&self) -> usize {
        self.held.iter().map(Held::bytes).sum::<usize>()
            + self.pending.iter().map(|p| p.shard.len()).sum::<usize>()
            + self.bin.shard.len()
    }

    fn report(&self, to: &mut Report) {
        to.say("repairs sent", self.repairs_sent);
        to.say("frames restored", self.restored);
        to.say("repairs that lack more than one frame", self.pending.len());
        self.nonsense.report(to);
    }
}

impl LateralLayer {
    fn on_send(&mut self, mut frames: Frames, cx: &mut Context<'_>) {
        let me = cx.scope().me;
        for frame in frames.iter_mut().filter(|f| shard::is_covered(f, cx)) {
            self.sent += 1;
            frame.slot_mut(&cx.slot())[..8].copy_from_slice(&self.sent.to_le_bytes());
            frame.seal();
            if cx.scope().members() > 2 {
                self.held[usize::from(me)].put(self.sent, frame.clone());
            }
        }
        cx.down(Down::Frames(frames));
    }

    fn on_received(&mut self, frames: Frames, cx: &mut Context<'_>) {
        let (kind, slot, me) = (cx.kind(), cx.slot(), cx.scope().me);
        let mut up = Frames::with_capacity(frames.len());
        for frame in frames {
            if frame.kind() == kind {
                self.on_repair(&frame, &mut up, cx);
                continue;
            }
            let seq = frame.slot(&slot).first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
            let (from, direct) = (frame.from, frame.via == frame.from);
            let covered = seq > 0 && frame.is_reliable() && from != me && cx.scope().members() > 2;
            let new =
                covered && self.held.get_mut(usize::from(from)).is_some_and(|h| h.put(seq, frame.clone()));
            if new && direct {
                self.combine(from, seq, &frame, cx);
            }
            up.push(frame);
            if new {
                self.restore_pending(&mut up, cx);
            }
        }
        if !up.is_empty() {
            cx.up(Up::Frames(up));
        }
    }

    /// Adds a frame to the open repair.
    fn combine(&mut self, from: Rank, seq: u64, frame: &Frame, cx: &mut Context<'_>) {
        if self.bin.ids.is_empty() {
            cx.set_timer(SEND, cx.now + self.delay);
        }
        self.bin.ids.push((from, seq));
        exclusive_or(&mut self.bin.shard, frame, cx);
        if self.bin.ids.len() == self.r {
            self.send_repair(cx);
        }
    }

    fn send_repair(&mut self, cx: &mut Context<'_>) {
        cx.cancel_timer(SEND);
        let Bin { ids, shard } = std::mem::take(&mut self.bin);
        let Some((first, _)) = ids.first() else { return };
        let alone = ids.iter().all(|(from, _)| from == first);
        let mut others: Vec<_> = cx.scope().others().filter(|r| !(alone && r == first)).collect();
        let mut repairs = Frames::new();
        while repairs.len() < self.c && !others.is_empty() {
            let i = usize::try_from(self.rng.below(others.len() as u64)).unwrap_or(0);
            let to = others.swap_remove(i);
            repairs.push(shard::repair(Dest::One(to), &encode_ids(&ids), &shard, cx));
        }
        self.repairs_sent += repairs.len() as u64;
        if !repairs.is_empty() {
            cx.down(Down::Frames(repairs));
        }
    }

    fn on_repair(&mut self, frame: &Frame, up: &mut Frames, cx: &Context<'_>) {
        let valid = !frame.is_reliable() && frame.from == frame.via && frame.from != cx.scope().me;
        let ids = decode_ids(frame.slot(&cx.slot()), self.r, |from| {
            self.held.get(usize::from(from)).map(Held::newest)
        });
        let Some(ids) = ids.filter(|_| valid) else {
            return self.nonsense.note(NAME, frame.via, "not a repair");
        };
        let repair = Repair { via: frame.via, ids, shard: shard::carried(frame, cx) };
        match self.good_for(&repair) {
            Use::Restores(..) => {
                self.pending.push_back(repair);
                self.restore_pending(up, cx);
            }
            Use::Later => self.pending.push_back(repair),
            Use::None => {}
        }
        if self.pending.len() > PENDING_MAX {
            self.pending.pop_front();
        }
    }

    fn good_for(&self, repair: &Repair) -> Use {
        let mut missing = None;
        for (from, seq) in &repair.ids {
            match self.held[usize::from(*from)].knows(*seq) {
                Known::Held => {}
                Known::Forgotten => return Use::None,
                Known::Missing if missing.is_some() => return Use::Later,
                Known::Missing => missing = Some((*from, *seq)),
            }
        }
        missing.map_or(Use::None, |(from, seq)| Use::Restores(from, seq))
    }

    /// Restores what the repairs that wait allow now; each restored frame may allow another.
    fn restore_pending(&mut self, up: &mut Frames, cx: &Context<'_>) {
        let mut i = 0;
        while let Some(repair) = self.pending.get(i) {
            let found = match self.good_for(repair) {
                Use::Later => {
                    i += 1;
                    continue;
                }
                Use::Restores(from, seq) => Some((from, seq)),
                Use::None => None,
            };
            let Some(repair) = self.pending.remove(i) else { return };
            if let Some((from, seq)) = found
                && self.restore(repair, from, seq, up, cx)
            {
                i = 0;
            }
        }
    }

    fn restore(&mut self, repair: Repair, from: Rank, seq: u64, up: &mut Frames, cx: &Context<'_>) -> bool {
        let Repair { via, ids, mut shard } = repair;
        for held in ids.iter().filter_map(|(f, s)| self.held[usize::from(*f)].get(*s)) {
            exclusive_or(&mut shard, held, cx);
        }
        let frame = shard::frame(&shard, &seq.to_le_bytes(), from, via, cx);
        let Some(frame) = frame.filter(|_| from != cx.scope().me) else {
            self.nonsense.note(NAME, via, "a repair of a frame that cannot be");
            return false;
        };
        self.restored += 1;
        up.push(frame.clone());
        self.held[usize::from(from)].put(seq, frame)
    }
}

/// Combines the shard with that of a frame.
fn exclusive_or(shard: &mut Vec<u8>, frame: &Frame, cx: &Context<'_>) {
    let mut at = 0;
    shard::pieces(frame, cx, |piece| {
        let end = at + piece.len();
        if shard.len() < end {
            shard.resize(end, 0);
        }
        shard[at..end].iter_mut().zip(piece).for_each(|(a, b)| *a ^= b);
        at = end;
    });
}
