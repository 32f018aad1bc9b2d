//! Sequence numbers, and positions in a byte stream (RFC 9293, section 3.4).
//!
//! On the wire a sequence number wraps every 4 GiB. Inside the machine a stream's positions are `u64` and never wrap: the SYN
//! is at 0, the first byte at 1, the FIN behind the last. Only this file knows both.

use serde::{Deserialize, Serialize};

/// A sequence number as it stands in a header; where a stream begins (its initial sequence number) is one as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq(pub u32);

impl Seq {
    /// The sequence number of `position` in the stream that begins at `self`.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is what a sequence number is")]
    pub const fn of(self, position: u64) -> Self {
        Self(self.0.wrapping_add(position as u32))
    }

    /// The position that `number` means in the stream that begins at `self`: of all possible ones the nearest to `near`.
    /// None when that is before the stream's beginning.
    #[must_use]
    pub fn position(self, number: Self, near: u64) -> Option<u64> {
        let ahead = i64::from(number.0.wrapping_sub(self.of(near).0).cast_signed());
        near.checked_add_signed(ahead)
    }
}

/// Whether timestamp `a` is earlier than `b`, modulo 2^32 (RFC 7323, section 5.2).
pub(crate) const fn earlier(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_go_on_when_numbers_wrap() {
        let isn = Seq(u32::MAX - 1);
        for position in [0, 1, 2, 3, 1 << 32, (7 << 32) + 5] {
            assert_eq!(isn.position(isn.of(position), position), Some(position));
            assert_eq!(isn.position(isn.of(position + 1000), position), Some(position + 1000));
        }
        assert_eq!(isn.position(isn.of(5), 9), Some(5));
        assert_eq!(isn.position(Seq(isn.0 - 1), 3), None, "before the beginning");
        assert_eq!(isn.position(isn.of((1 << 31) + 1), 0), None, "further away than half of the numbers");
    }

    #[test]
    fn timestamps_wrap() {
        assert!(earlier(u32::MAX, 0));
        assert!(!earlier(0, u32::MAX));
        assert!(!earlier(7, 7));
    }
}
