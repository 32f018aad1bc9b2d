//! Reliable FIFO frames with selective repair, stability, and the cut at the end of a view.
//!
//! After Jacobson and Braden (selective acknowledgement, RFC 2018), with negative acknowledgements and repair from any
//! holder as in Birman, *Reliable Distributed Systems* (2005), §16; the cut is that of Birman and Joseph, "Exploiting
//! Virtual Synchrony in Distributed Systems" (SOSP 1987). It deviates in that acknowledgements are rows of cumulative
//! frontiers that ride on every frame, and that the cut is decided outside of the layer.
//!
//! ```text
//! A ──1──▶ ──2──▶ ──3──▶                       ┌─────────┐ Wedge  ┌──────────┐ Close   ┌──────────┐
//!            ╲x                                │  Open   │───────▶│  Wedged  │────────▶│  Closed  │
//! B ◀──1── ······ ◀──3── NACK 2 ─▶ ◀──2──      └─────────┘        └──┬───▲───┘         └──────────┘
//!                                                                    └───┘ Fetch: ask for all up to the cut
//! ```
//!
//! **Needs** nothing. **Gives** `reliable`, `fifo`, `stability`, `virtual-synchrony`, `view-end`.
//!
//! **Events.** Down: reliable `Frames` get their place in this member's stream, are stored, passed on and delivered here
//! in the same batch; all other frames pass. `Wedge` → passed on, `Wedged(frontier)`; `Fetch` → `CutHeld`; `Close` →
//! the frames up to the cut, `Closed`, passed on; `Gone` is noted and passed on. Up: reliable frames are delivered in the
//! order of each stream; all others pass. `Stable` when frames are known to be held by more members, once per event.
//!
//! **Header.** `seq: u64` and the row, `members × u64`: the sender's own frontiers, by rank. See `codec.rs`.
//!
//! **Timers.** ACK: the row is due (at once when `prompt`, unless all frames are patient; else 5 ms after the first frame, sooner after 32 frames or
//! 256 KiB), unless a frame carries it before. REPAIR: see `repair.rs`. SYNC: while frames are not known to be held by
//! all, 10 ms after the last own frame (50 ms if all are others'), then less and less often to every 100 ms: those who
//! are behind are asked for their rows, and learn of frames whose loss nothing else has shown them.
//!
//! **Invariants.**
//! 1. Delivery is in order, without gaps, and never beyond the frontier (`Stream::check`).
//! 2. Frames are held until delivered here and held by all (`Stream::check`, S1 and S6).
//! 3. The row that others learn is never ahead of the frontier, and does not grow after `Wedge`. Otherwise somebody could
//!    take for held by a majority, and deliver, a frame that this member's answer to the view change left out of the cut.
//! 4. `all ≤ majority ≤` what is known to be sent.
//! 5. After `Close` exactly the frames up to the cut have been delivered, by a member that wedged below it.
//!
//! **Bounds.** Of each stream at most 8192 frames and one window of bytes behind a gap, and eight windows altogether
//! (while a cut is fetched: whatever it takes). Own frames are as many as flow control lets through. A NACK lists at most
//! 32 ranges and 64 frames; it is answered with at most 64 frames and 1 MiB. Claims to have sent or to hold more than
//! 65 536 frames beyond what is known here are not believed.
//!
//! **Leaves** to others: flow control, fragmentation, who is alive, which cut.

mod codec;
mod ending;
mod layer;
mod receive;
mod repair;
mod rows;
mod store;
#[cfg(test)]
mod tests;

use gcs::{
    layer::{Layer, LayerSpec, Protocol, Scope, Wants},
    properties::Properties,
};

/// Reliable FIFO frames; see the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reliable {
    /// Acknowledge at the end of every batch of received frames, not after a while: for stacks whose delivery waits for
    /// stability. Patient frames (`Frame::is_patient`) have time all the same.
    pub prompt: bool,
}

impl Protocol for Reliable {
    fn spec(&self) -> LayerSpec {
        LayerSpec {
            name: "reliable",
            version: 1,
            needs: Properties::NONE,
            gives: Properties::RELIABLE
                .and(Properties::FIFO)
                .and(Properties::STABILITY)
                .and(Properties::VIRTUAL_SYNCHRONY)
                .and(Properties::VIEW_END),
            wants: Wants::ALL,
        }
    }

    fn header_len(&self, members: usize) -> usize {
        codec::slot_len(members)
    }

    fn parameters(&self) -> String {
        if self.prompt { "prompt".to_owned() } else { String::new() }
    }

    fn build(&self, scope: &Scope) -> Box<dyn Layer> {
        Box::new(layer::ReliableLayer::new(*self, scope))
    }
}
