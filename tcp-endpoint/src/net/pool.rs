//! Receive buffers: frames are slices of large ones, which are used again when nobody has a slice of them any more.
//!
//! Who keeps a slice for long keeps 512 KiB, so it copies what it wants to keep. Bounds: `windows` buffers in use and
//! [`RETIRED`] that wait for their last slice to go.

use super::sys;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// A receive buffer; many frames fit.
const SLOT: usize = 512 << 10;
/// The most that one receive can bring: joined segments, and their headers.
pub(super) const WINDOW: usize = (64 << 10) + 256;
const RETIRED: usize = 32;

/// Buffers of one interface.
pub(super) struct Pool {
    slots: Vec<BytesMut>,
    retired: VecDeque<BytesMut>,
}

impl Pool {
    /// One with room for `windows` frames at once.
    pub(super) fn new(windows: usize) -> Self {
        Self { slots: vec![BytesMut::new(); windows], retired: VecDeque::new() }
    }

    /// Room for frames, [`WINDOW`] bytes each.
    pub(super) fn windows(&mut self) -> impl Iterator<Item = &mut [u8]> {
        for slot in &mut self.slots {
            if slot.len() < WINDOW {
                let used = std::mem::take(slot);
                *slot = fresh(&mut self.retired, used);
            }
        }
        self.slots.iter_mut().map(|s| &mut s[..WINDOW])
    }

    /// The first `len` bytes of a window are a frame.
    pub(super) fn take(&mut self, window: usize, len: usize) -> Bytes {
        self.slots[window].split_to(len).freeze()
    }
}

/// A buffer in exchange for a used-up one.
fn fresh(retired: &mut VecDeque<BytesMut>, mut used: BytesMut) -> BytesMut {
    used.clear();
    if used.capacity() > 0 {
        retired.push_back(used);
    }
    let again = retired.front_mut().is_some_and(|b| b.try_reclaim(SLOT));
    match retired.pop_front() {
        Some(mut buffer) if again => {
            sys::assume_initialised(&mut buffer, SLOT);
            return buffer;
        }
        // Still in use: it waits, unless too many do; then its last slice frees it.
        Some(buffer) if retired.len() < RETIRED => retired.push_back(buffer),
        _ => {}
    }
    BytesMut::zeroed(SLOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_slices_stay_what_they_are() {
        let mut pool = Pool::new(2);
        let mut kept = Vec::new();
        for round in 0..200_u8 {
            let windows = pool.windows().map(|w| w.fill(round)).count();
            assert_eq!(windows, 2);
            let _ = pool.take(0, 60_000);
            kept.push(pool.take(1, 60_000));
            if kept.len() > 20 {
                let oldest = kept.remove(0);
                assert!(oldest.iter().all(|b| *b == round - 20));
            }
            assert!(pool.retired.len() <= RETIRED);
        }
    }
}
