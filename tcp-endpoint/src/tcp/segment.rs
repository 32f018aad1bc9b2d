//! Segments as values: what arrives and what leaves, without checksums and link addresses.

use std::net::SocketAddr;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Seq;

/// Pieces of a payload, in order. None of them is empty.
pub type Payload = SmallVec<[Bytes; 2]>;

/// One segment. It may be longer than the path carries (up to 64 KiB): then it stands for the packets of
/// [`packet_bytes`](Self::packet_bytes) payload each that the interface cuts it into (or has put together).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who sends it.
    pub from: SocketAddr,
    /// Who is to receive it.
    pub to: SocketAddr,
    /// Number of the first byte, or of the SYN.
    pub seq: Seq,
    /// The next number that the sender expects; None without the ACK flag.
    pub ack: Option<Seq>,
    /// SYN flag.
    pub syn: bool,
    /// FIN flag: behind the last byte.
    pub fin: bool,
    /// RST flag.
    pub rst: bool,
    /// PSH flag; of no meaning to the machine, but looked for by tools.
    pub psh: bool,
    /// The window field, as it stands in the header: not scaled.
    pub window: u16,
    /// The options.
    pub options: Options,
    /// The bytes.
    pub payload: Payload,
    /// How many bytes of payload one packet carries; 0 when the segment is one packet.
    pub packet_bytes: u16,
}

/// The options that the machine knows (RFC 9293, 7323, 2018). Others are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Largest segment that the sender of this option takes, in bytes of payload and options; in SYNs.
    pub mss: Option<u16>,
    /// Shift count of the sender's window fields; in SYNs.
    pub window_scale: Option<u8>,
    /// The sender understands SACK; in SYNs.
    pub sack_permitted: bool,
    /// `(TSval, TSecr)`.
    pub timestamps: Option<(u32, u32)>,
    /// Blocks that have arrived out of order, `[left, right)`; the first may tell of a duplicate (RFC 2883).
    pub sack: SmallVec<[(Seq, Seq); 4]>,
}

impl Options {
    /// Bytes that the options take in a header, with padding.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let mut len = 0;
        len += if self.mss.is_some() { 4 } else { 0 };
        len += if self.window_scale.is_some() { 3 } else { 0 };
        len += if self.sack_permitted { 2 } else { 0 };
        len += if self.timestamps.is_some() { 10 } else { 0 };
        len += if self.sack.is_empty() { 0 } else { 2 + 8 * self.sack.len() };
        len.next_multiple_of(4)
    }
}

impl Segment {
    /// A segment without flags, options and payload.
    #[must_use]
    pub fn new(from: SocketAddr, to: SocketAddr, seq: Seq, ack: Option<Seq>) -> Self {
        Self {
            from,
            to,
            seq,
            ack,
            syn: false,
            fin: false,
            rst: false,
            psh: false,
            window: 0,
            options: Options::default(),
            payload: Payload::new(),
            packet_bytes: 0,
        }
    }

    /// Bytes of payload.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.payload.iter().map(Bytes::len).sum()
    }

    /// How many sequence numbers it takes: its bytes, its SYN and its FIN.
    #[must_use]
    pub fn seq_len(&self) -> u64 {
        self.payload_len() as u64 + u64::from(self.syn) + u64::from(self.fin)
    }

    /// The answer to a segment that belongs to no connection (RFC 9293, section 3.10.7.1); None for a reset, which is not answered.
    #[must_use]
    pub fn refusal(&self) -> Option<Self> {
        if self.rst {
            return None;
        }
        let mut reset = match self.ack {
            Some(ack) => Self::new(self.to, self.from, ack, None),
            None => Self::new(self.to, self.from, Seq(0), Some(self.seq.of(self.seq_len()))),
        };
        reset.rst = true;
        Some(reset)
    }
}
