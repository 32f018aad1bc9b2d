//! Introductions, as they travel: `docs/wire.md`.

use crate::{
    guard::MAGIC_SEALED,
    id::{GroupTag, MemberId},
    wire::{Id, Malformed},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

/// The version of introductions and sealed control messages.
pub(super) const VERSION: u8 = 1;
/// The third byte of an introduction.
pub(super) const INTRODUCTION: u8 = 1;
/// The third byte of a sealed control message.
pub(super) const SEALED: u8 = 2;
/// The length of what stands before the protocol buffer.
pub(super) const PREFIX: usize = 4;

/// Who a process is, and the proof of it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Introduction {
    /// The group's tag.
    #[prost(fixed64, tag = "1")]
    pub(super) group: u64,
    /// Who.
    #[prost(message, optional, tag = "2")]
    pub(super) from: Option<Id>,
    /// Its public key in this incarnation.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) key: Bytes,
    /// Of all the above.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) proof: Bytes,
    /// What the proof is to be checked with, if it is a signature.
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) certificate: Bytes,
    /// Whether it wants to know who the receiver is.
    #[prost(bool, tag = "6")]
    pub(super) asks: bool,
}

impl Introduction {
    pub(super) fn encode_datagram(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(PREFIX + self.encoded_len());
        buf.put_slice(&[MAGIC_SEALED, VERSION, INTRODUCTION, 0]);
        // `BytesMut` grows as needed: encoding cannot fail.
        let _ = self.encode(&mut buf);
        buf.freeze()
    }

    /// From what follows the prefix.
    pub(super) fn decode_body(body: &[u8]) -> Result<(Self, MemberId, [u8; 32]), Malformed> {
        let introduction = Self::decode(body).map_err(|_| Malformed)?;
        let from = MemberId::try_from(introduction.from.as_ref().ok_or(Malformed)?)?;
        let key = <[u8; 32]>::try_from(&introduction.key[..]).map_err(|_| Malformed)?;
        Ok((introduction, from, key))
    }
}

/// What is proved: that this process, in this incarnation, has this key.
pub(super) fn claim(group: GroupTag, from: MemberId, key: &[u8; 32]) -> Vec<u8> {
    let mut claim = b"gcs introduction 1 ".to_vec();
    claim.extend_from_slice(&group.0.to_le_bytes());
    claim.extend_from_slice(&from.incarnation.0.to_le_bytes());
    claim.extend_from_slice(key);
    // The only part without a fixed length comes last.
    claim.extend_from_slice(from.addr.to_string().as_bytes());
    claim
}
