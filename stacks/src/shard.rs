//! Frames as bytes that repairs are computed of, for `fec` and `lateral`: a shard of a frame, the frame of a shard, and
//! frames that carry combinations of shards.
//!
//! ```text
//! data frame     | fixed header | slots below | slot            | slots above | payload |
//! its shard                             | len: u16 | kind | flags | slots above | payload | zeros |
//! repair frame   | fixed header | slots below | says of what | combined shards …                 |
//! ```
//! What a repair frame says of itself, and the shards' first four bytes, fit into the layer's slot. So a repair frame is no
//! longer than the longest frame that it repairs, and a combination of payloads lies where payloads lie: a transform below
//! that seals payloads seals it, too (`fec` has one byte of it in its slot when it rounds shards up).

use gcs::{
    frame::{Dest, Frame},
    id::Rank,
    layer::Context,
};

/// The length of a shard's own head, in bytes.
pub(crate) const HEAD: usize = 4;

/// The whole header's length, in bytes.
fn header(cx: &Context<'_>) -> usize {
    cx.scope().mtu - cx.payload_max()
}

/// Whether repairs are computed of this frame on its way down: new frames of one's own stream, for everybody.
pub(crate) fn is_covered(frame: &Frame, cx: &Context<'_>) -> bool {
    frame.is_reliable()
        && frame.to == Dest::Others
        && frame.from == cx.scope().me
        && frame.len() <= usize::from(u16::MAX)
}

/// The length of a frame's shard, in bytes.
pub(crate) fn len_of(frame: &Frame, cx: &Context<'_>) -> usize {
    HEAD + header(cx) - cx.slot().end + frame.payload().len()
}

/// Calls `each` with the pieces of a frame's shard, in order.
pub(crate) fn pieces(frame: &Frame, cx: &Context<'_>, mut each: impl FnMut(&[u8])) {
    let len = u16::try_from(len_of(frame, cx) - HEAD).unwrap_or(u16::MAX);
    each(&len.to_le_bytes());
    // Kind and flags.
    each(frame.slot(&(2..4)));
    each(frame.slot(&(cx.slot().end..header(cx))));
    each(frame.payload());
}

/// A frame's shard, with zeros up to `len`.
pub(crate) fn of(frame: &Frame, len: usize, cx: &Context<'_>) -> Vec<u8> {
    let mut shard = Vec::with_capacity(len);
    pieces(frame, cx, |piece| shard.extend_from_slice(piece));
    shard.resize(len.max(shard.len()), 0);
    shard
}

/// The reliable frame with this shard and this slot of the layer; `via` sent the repair. None if it cannot be.
pub(crate) fn frame(shard: &[u8], slot: &[u8], from: Rank, via: Rank, cx: &Context<'_>) -> Option<Frame> {
    let (head, rest) = shard.split_first_chunk::<HEAD>()?;
    let [low, high, kind, flags] = *head;
    let rest = rest.get(..usize::from(u16::from_le_bytes([low, high])))?;
    let mine = cx.slot();
    let (above, payload) = rest.split_at_checked(header(cx) - mine.end)?;
    let mut frame = cx.frame_of(from, kind, true, payload.len());
    frame.slot_mut(&(3..4))[0] = flags;
    if kind == cx.kind() || !frame.is_reliable() {
        return None;
    }
    frame.slot_mut(&mine)[..slot.len()].copy_from_slice(slot);
    frame.slot_mut(&(mine.end..header(cx))).copy_from_slice(above);
    frame.writable().extend_from_slice(payload);
    frame.via = via;
    frame.seal();
    Some(frame)
}

/// A frame that carries a combination of shards, and says of which.
pub(crate) fn repair(to: Dest, about: &[u8], shard: &[u8], cx: &Context<'_>) -> Frame {
    let slot = cx.slot();
    debug_assert!(about.len() + HEAD <= slot.len(), "what a repair says of itself fits into the slot");
    let above = HEAD + header(cx) - slot.end;
    let mut frame = cx.control_frame(to, false, &shard[above..]);
    frame.slot_mut(&slot)[..about.len()].copy_from_slice(about);
    frame.slot_mut(&(slot.end - HEAD..header(cx))).copy_from_slice(&shard[..above]);
    frame.seal();
    frame
}

/// The combination that a repair frame carries.
pub(crate) fn carried(frame: &Frame, cx: &Context<'_>) -> Vec<u8> {
    let slot = cx.slot();
    [frame.slot(&(slot.end - HEAD..header(cx))), frame.payload()].concat()
}
