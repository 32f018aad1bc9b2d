//! Frames: what layers pass to each other and what travels between members of one view.
//!
//! ```text
//! 0      1         2      3       4        6      8            16            24
//! | 0xC5 | version | kind | flags | sender | header | group tag | view number | slots of layers … | payload |
//! ```
//! `header` is the length of the whole header from version 2 on, and zero in version 1. The version is the view's.
//! Integers are little-endian. `kind` is [`Frame::DATA`] or the index of the layer that made the frame and consumes it.
//! The slots have fixed places: the stack computes them when it is built, from the view's size.

use crate::{
    id::{GroupTag, Rank},
    view::ViewId,
};
use bytes::{Bytes, BytesMut};
use std::ops::{Deref, Range};

/// The first byte of every frame.
pub const MAGIC_FRAME: u8 = 0xC5;
/// The first byte of every control message.
pub const MAGIC_CONTROL: u8 = 0xC6;
/// The version of frames that this code speaks best.
pub const WIRE_VERSION: u8 = 2;
/// The oldest version that it speaks, too; control messages say this one. See ADR 011.
pub const OLDEST_VERSION: u8 = 1;
/// The first version whose frames say how long their header is.
const HEADER_LENGTH_SINCE: u8 = 2;
/// The length of the fixed part of the header, in bytes.
pub const FIXED_HEADER: usize = 24;

/// A batch of frames, as layers hand them on.
pub type Frames = Vec<Frame>;

/// Who gets a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dest {
    /// Every member of the view except this one.
    Others,
    /// One member.
    One(Rank),
}

/// A frame on its way through a stack: header slots and payload in one buffer, and what layers say of it to each other.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The member that made it (not one that repeats it).
    pub from: Rank,
    /// The member that sent this copy: `from`, or whoever repaired a loss. Known of received frames.
    pub via: Rank,
    /// Who gets it.
    pub to: Dest,
    /// Position in its sender's reliable stream of this view, from 1; 0 for frames outside of it.
    pub seq: u64,
    /// Its place in the total order: never decreases along it; 0 for frames that the order leaves out, or that got none.
    pub place: u64,
    /// Position, in the stream of [`Self::orderer`], of another frame without which nobody would know the place; 0 if there
    /// is none.
    pub ordered_by: u64,
    /// The member that orders, if there is one.
    pub orderer: Rank,
    buf: Buf,
    payload_at: usize,
    /// If not empty: the payload, and `buf` is the header alone.
    shared: Bytes,
}

/// Bytes that one owner can change where they are, or that are shared. A clone of the former is a copy.
#[derive(Clone, Debug)]
pub enum Buf {
    /// Of one owner.
    Own(BytesMut),
    /// Shared, perhaps.
    Shared(Bytes),
}

impl Buf {
    /// The bytes, to be shared from now on.
    #[inline]
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Own(b) => b.freeze(),
            Self::Shared(b) => b,
        }
    }
}

impl Deref for Buf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(b) => b,
            Self::Shared(b) => b,
        }
    }
}

impl From<Bytes> for Buf {
    #[inline]
    fn from(b: Bytes) -> Self {
        Self::Shared(b)
    }
}

impl From<BytesMut> for Buf {
    fn from(b: BytesMut) -> Self {
        Self::Own(b)
    }
}

const FLAG_UNRELIABLE: u8 = 1;
const FLAG_PATIENT: u8 = 2;

impl Frame {
    /// The kind of frames that carry the application's messages.
    pub const DATA: u8 = 0xff;

    /// An empty frame to write. `header` is the whole header's length; layers use [`crate::layer::Context::data_frame`].
    #[must_use]
    pub fn new(
        kind: u8,
        reliable: bool,
        from: Rank,
        group: GroupTag,
        view: ViewId,
        header: usize,
        capacity: usize,
    ) -> Self {
        let mut buf = BytesMut::with_capacity(header + capacity);
        buf.resize(header.max(FIXED_HEADER), 0);
        buf[0] = MAGIC_FRAME;
        buf[1] = WIRE_VERSION;
        buf[2] = kind;
        buf[3] = if reliable { 0 } else { FLAG_UNRELIABLE };
        buf[4..6].copy_from_slice(&from.to_le_bytes());
        buf[8..16].copy_from_slice(&(group.0 ^ view.epoch).to_le_bytes());
        buf[16..24].copy_from_slice(&view.number.to_le_bytes());
        let payload_at = buf.len();
        let length = u16::try_from(payload_at).unwrap_or(u16::MAX);
        buf[6..8].copy_from_slice(&length.to_le_bytes());
        Self {
            from,
            via: from,
            to: Dest::Others,
            seq: 0,
            place: 0,
            ordered_by: 0,
            orderer: 0,
            buf: Buf::Own(buf),
            payload_at,
            shared: Bytes::new(),
        }
    }

    /// Makes it a frame of this version, which has nothing but its header yet.
    pub(crate) fn set_version(&mut self, version: u8) {
        let header = self.header_mut();
        header[1] = version;
        if version < HEADER_LENGTH_SINCE {
            header[6..8].fill(0);
        }
    }

    /// Takes a received datagram for a frame of this group and view with a header of `header` bytes.
    ///
    /// # Errors
    /// Says which check failed; the frame is to be dropped and counted.
    #[inline]
    pub fn parse(
        bytes: impl Into<Buf>,
        group: GroupTag,
        view: ViewId,
        header: usize,
    ) -> Result<Self, FrameError> {
        let bytes = bytes.into();
        let fixed = FixedHeader::parse(&bytes)?;
        if fixed.tag != group.0 ^ view.epoch {
            return Err(FrameError::OtherGroup);
        }
        if fixed.view != view.number {
            return Err(FrameError::OtherView);
        }
        if bytes.len() < header {
            return Err(FrameError::Short);
        }
        if fixed.version >= HEADER_LENGTH_SINCE && usize::from(fixed.header) != header.max(FIXED_HEADER) {
            return Err(FrameError::Header);
        }
        Ok(Self {
            from: fixed.from,
            via: fixed.from,
            to: Dest::Others,
            seq: 0,
            place: 0,
            ordered_by: 0,
            orderer: 0,
            buf: bytes,
            payload_at: header.max(FIXED_HEADER),
            shared: Bytes::new(),
        })
    }

    /// The header, and the payload unless that is shared.
    fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// [`Self::DATA`], or the index of the layer that consumes it.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.bytes()[2]
    }

    /// Whether the reliable layer numbers and repeats it.
    #[must_use]
    pub fn is_reliable(&self) -> bool {
        self.bytes()[3] & FLAG_UNRELIABLE == 0
    }

    /// Whether nobody waits for its acknowledgement.
    #[must_use]
    pub fn is_patient(&self) -> bool {
        self.bytes()[3] & FLAG_PATIENT != 0
    }

    /// Says that nobody waits for its acknowledgement. Copies the frame if somebody shares it.
    pub fn set_patient(&mut self) {
        self.header_mut()[3] |= FLAG_PATIENT;
    }

    /// The length of the whole frame, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().len() + self.shared.len()
    }

    /// A frame is never empty: it has a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        if self.shared.is_empty() { &self.bytes()[self.payload_at..] } else { &self.shared }
    }

    /// The payload, shared with the frame.
    #[must_use]
    pub fn payload_shared(&mut self) -> Bytes {
        if !self.shared.is_empty() {
            return self.shared.clone();
        }
        self.seal();
        match &self.buf {
            Buf::Shared(b) => b.slice(self.payload_at..),
            Buf::Own(b) => Bytes::copy_from_slice(&b[self.payload_at..]),
        }
    }

    /// Replaces the payload (a transform: encryption, compression). Header slots stay as they are.
    pub fn replace_payload(&mut self, payload: &[u8]) {
        let mut buf = BytesMut::with_capacity(self.payload_at + payload.len());
        buf.extend_from_slice(&self.bytes()[..self.payload_at]);
        buf.extend_from_slice(payload);
        self.buf = Buf::Own(buf);
        self.shared = Bytes::new();
    }

    /// Makes `payload` the payload of a frame that has none yet, without copying it.
    pub fn share_payload(&mut self, payload: Bytes) {
        debug_assert!(self.payload().is_empty(), "the frame has a payload");
        self.shared = payload;
    }

    /// The whole header.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.bytes()[..self.payload_at]
    }

    /// A layer's part of the header.
    #[must_use]
    pub fn slot(&self, slot: &Range<usize>) -> &[u8] {
        &self.bytes()[slot.clone()]
    }

    /// A layer's part of the header, for writing. Copies the frame if somebody shares it.
    pub fn slot_mut(&mut self, slot: &Range<usize>) -> &mut [u8] {
        &mut self.header_mut()[slot.clone()]
    }

    /// The buffer, to append payload to. Copies the frame if somebody shares it.
    pub fn writable(&mut self) -> &mut BytesMut {
        if !self.shared.is_empty() {
            let payload = std::mem::take(&mut self.shared);
            self.replace_payload(&payload);
        }
        self.header_mut()
    }

    /// The buffer with the header, and with the payload unless that is shared.
    fn header_mut(&mut self) -> &mut BytesMut {
        if let Buf::Shared(b) = &mut self.buf {
            let bytes = std::mem::take(b);
            self.buf = Buf::Own(bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..])));
        }
        match &mut self.buf {
            Buf::Own(b) => b,
            Buf::Shared(_) => unreachable!("made writable above"),
        }
    }

    /// Freezes the buffer, so that clones of the frame share it instead of copying.
    #[inline]
    pub fn seal(&mut self) {
        if let Buf::Own(b) = &mut self.buf {
            self.buf = Buf::Shared(std::mem::take(b).freeze());
        }
    }

    /// The frame as a datagram.
    #[must_use]
    pub fn into_packet(mut self) -> Packet {
        self.seal();
        Packet { head: self.buf.into_bytes(), tail: self.shared }
    }
}

/// The bytes of a datagram, in one piece or two.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    head: Bytes,
    tail: Bytes,
}

impl Packet {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces that are not empty, in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        [&self.head[..], &self.tail].into_iter().filter(|p| !p.is_empty())
    }

    /// The bytes in one piece; copies them if they are in two.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.tail.is_empty() {
            return self.head;
        }
        let mut whole = BytesMut::with_capacity(self.len());
        self.parts().for_each(|p| whole.extend_from_slice(p));
        whole.freeze()
    }
}

impl From<Bytes> for Packet {
    fn from(head: Bytes) -> Self {
        Self { head, tail: Bytes::new() }
    }
}

/// The fixed part of a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// The version, one of those that this code speaks.
    pub version: u8,
    /// How long the whole header is; 0 in version 1.
    pub header: u16,
    /// The rank of the member that made the frame.
    pub from: Rank,
    /// Group tag, exclusive-or the view's epoch.
    pub tag: u64,
    /// The view's number.
    pub view: u64,
}

impl FixedHeader {
    /// Reads it.
    ///
    /// # Errors
    /// [`FrameError::Short`] and [`FrameError::Version`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let Some(h) = bytes.first_chunk::<FIXED_HEADER>() else { return Err(FrameError::Short) };
        if h[0] != MAGIC_FRAME || !(OLDEST_VERSION..=WIRE_VERSION).contains(&h[1]) {
            return Err(FrameError::Version);
        }
        let word = |at: usize| {
            let mut w = [0; 8];
            w.copy_from_slice(&h[at..at + 8]);
            u64::from_le_bytes(w)
        };
        Ok(Self {
            version: h[1],
            header: u16::from_le_bytes([h[6], h[7]]),
            from: Rank::from_le_bytes([h[4], h[5]]),
            tag: word(8),
            view: word(16),
        })
    }
}

/// Why a datagram is not a frame for this view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too short for its header.
    #[error("the frame is shorter than its header")]
    Short,
    /// Not a frame, or of another version.
    #[error("not a frame of a version from {OLDEST_VERSION} to {WIRE_VERSION}, or not of the view's")]
    Version,
    /// Its header is not as long as this stack's.
    #[error("the frame was made by another stack: its header has another length")]
    Header,
    /// A frame of another group or another founding of this one.
    #[error("the frame belongs to another group")]
    OtherGroup,
    /// A frame of an earlier or later view.
    #[error("the frame belongs to another view")]
    OtherView,
}
