//! The application's messages, in batches.

use crate::id::Rank;
use bytes::{BufMut, Bytes, BytesMut};

/// The largest message, in bytes.
pub const MAX_MESSAGE: usize = 64 << 20;

/// Messages on their way to the group: each is a 32-bit little-endian length and its bytes, back to back.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    buf: BytesMut,
    count: usize,
}

impl Outgoing {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for so many bytes, lengths included.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { buf: BytesMut::with_capacity(bytes), count: 0 }
    }

    /// Makes room for so many more bytes, lengths included.
    pub fn reserve(&mut self, bytes: usize) {
        self.buf.reserve(bytes);
    }

    /// Adds a message.
    ///
    /// # Panics
    /// If it is longer than [`MAX_MESSAGE`]; callers check.
    pub fn push(&mut self, message: &[u8]) {
        self.begin(message.len());
        self.buf.extend_from_slice(message);
    }

    /// Adds a message that is made of these parts.
    ///
    /// # Panics
    /// If it is longer than [`MAX_MESSAGE`]; callers check.
    pub fn push_parts(&mut self, parts: &[&[u8]]) {
        self.begin(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| self.buf.extend_from_slice(part));
    }

    /// What stands before a message of so many bytes.
    #[inline]
    fn begin(&mut self, len: usize) {
        assert!(len <= MAX_MESSAGE, "message longer than MAX_MESSAGE");
        self.buf.put_u32_le(u32::try_from(len).unwrap_or(u32::MAX));
        self.count += 1;
    }

    /// How many messages there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many bytes they take, lengths included.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.buf.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The messages as they were pushed: length-prefixed, back to back.
    #[must_use]
    pub fn into_bytes(self) -> BytesMut {
        self.buf
    }
}

/// Delivered messages of one sender, in the order in which it sent them, without gaps: slices of one frame.
#[derive(Clone, Debug)]
pub struct Messages {
    /// Who sent them, in the view in which they are delivered.
    pub from: Rank,
    /// The first one's number among the sender's messages of this view, from 0.
    pub first: u64,
    /// How many there are.
    pub count: u32,
    data: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// Length-prefixed, back to back; the layer that made the value checked the lengths.
    Packed(Bytes),
    /// One message.
    Single(Bytes),
}

impl Messages {
    /// Messages in the form of [`Outgoing`]. None if the lengths do not add up.
    #[must_use]
    pub fn packed(from: Rank, first: u64, data: Bytes) -> Option<Self> {
        let (mut rest, mut count) = (&data[..], 0_u32);
        while !rest.is_empty() {
            let (len, tail) = rest.split_first_chunk::<4>()?;
            rest = tail.get(usize::try_from(u32::from_le_bytes(*len)).ok()?..)?;
            count = count.checked_add(1)?;
        }
        Some(Self { from, first, count, data: Content::Packed(data) })
    }

    /// One message.
    #[must_use]
    pub fn single(from: Rank, first: u64, message: Bytes) -> Self {
        Self { from, first, count: 1, data: Content::Single(message) }
    }

    /// The messages, without copying.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let (mut rest, mut single) = match &self.data {
            Content::Packed(b) => (&b[..], None),
            Content::Single(b) => (&[][..], Some(&b[..])),
        };
        std::iter::from_fn(move || {
            if let Some(one) = single.take() {
                return Some(one);
            }
            let (len, tail) = rest.split_first_chunk::<4>()?;
            let (one, tail) = tail.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
            rest = tail;
            Some(one)
        })
    }

    /// The messages as owned slices that share the frame's buffer.
    pub fn iter_shared(&self) -> impl Iterator<Item = Bytes> {
        let whole = match &self.data {
            Content::Packed(b) | Content::Single(b) => b,
        };
        self.iter().map(|m| if m.is_empty() { Bytes::new() } else { whole.slice_ref(m) })
    }

    /// Copies them into memory of their own: they hold on to nothing else.
    pub fn detach(&mut self) {
        match &mut self.data {
            Content::Packed(b) | Content::Single(b) => *b = Bytes::copy_from_slice(b),
        }
    }

    /// How many bytes of memory they hold on to.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match &self.data {
            Content::Packed(b) | Content::Single(b) => b.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_messages_come_back() {
        let mut out = Outgoing::new();
        out.push(b"one");
        out.push(b"");
        out.push(b"three");
        let m = Messages::packed(2, 7, out.into_bytes().freeze()).expect("well-formed");
        assert_eq!(m.count, 3);
        assert_eq!(m.iter().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(m.iter_shared().last().as_deref(), Some(&b"three"[..]));
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        for bad in [&b"\x01"[..], b"\x02\0\0\0x", b"\xff\xff\xff\xff"] {
            assert!(Messages::packed(0, 0, Bytes::copy_from_slice(bad)).is_none());
        }
    }
}
