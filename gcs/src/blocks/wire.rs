//! Reading and writing the blocks' messages: little-endian integers, byte strings with a 32-bit length.

use super::{RestoreError, Snapshot};
use crate::id::{Incarnation, MemberId};
use bytes::{BufMut, Bytes};
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// Reads from the front; None when there is not enough. Never allocates more than there is.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|b| b[0])
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    pub(super) fn option(&mut self) -> Option<Option<&'a [u8]>> {
        match self.u8()? {
            0 => Some(None),
            1 => self.bytes().map(Some),
            _ => None,
        }
    }

    pub(super) fn member(&mut self) -> Option<MemberId> {
        let ip = Ipv6Addr::from(self.u128()?).to_canonical();
        let port = self.array().map(u16::from_le_bytes)?;
        Some(MemberId { addr: SocketAddr::new(ip, port), incarnation: Incarnation(self.u64()?) })
    }

    pub(super) fn owner(&mut self) -> Option<Owner> {
        Some(Owner { member: self.member()?, nonce: self.u128()? })
    }

    /// Some if everything has been read.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Who holds or waits for something: a member, and which of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) member: MemberId,
    pub(super) nonce: u128,
}

pub(super) fn put_bytes(buf: &mut Vec<u8>, bytes: &[u8]) {
    buf.put_u32_le(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    buf.extend_from_slice(bytes);
}

pub(super) fn put_option(buf: &mut Vec<u8>, bytes: Option<&[u8]>) {
    buf.push(u8::from(bytes.is_some()));
    if let Some(b) = bytes {
        put_bytes(buf, b);
    }
}

pub(super) fn put_member(buf: &mut Vec<u8>, member: MemberId) {
    let ip = match member.addr.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    buf.put_u128_le(ip.to_bits());
    buf.put_u16_le(member.addr.port());
    buf.put_u64_le(member.incarnation.0);
}

pub(super) fn put_owner(buf: &mut Vec<u8>, owner: Owner) {
    put_member(buf, owner.member);
    buf.put_u128_le(owner.nonce);
}

/// A small state, encoded as a whole: one chunk.
struct Whole(Bytes);

pub(super) fn whole(state: Vec<u8>) -> Arc<dyn Snapshot> {
    Arc::new(Whole(state.into()))
}

impl Snapshot for Whole {
    fn chunks(&self) -> u64 {
        1
    }

    fn chunk(&self, _: u64) -> Bytes {
        self.0.clone()
    }
}

pub(super) fn malformed(what: &str) -> RestoreError {
    RestoreError(format!("a chunk of the {what}'s state is malformed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_short_input_is_refused() {
        let member = MemberId { addr: "10.0.0.1:7".parse().unwrap(), incarnation: Incarnation(3) };
        let owner = Owner { member, nonce: 9 };
        let mut b = Vec::new();
        put_owner(&mut b, owner);
        put_option(&mut b, Some(b"x"));
        put_option(&mut b, None);
        let mut r = Reader(&b);
        assert_eq!(r.owner(), Some(owner));
        assert_eq!(r.option(), Some(Some(&b"x"[..])));
        assert_eq!(r.option(), Some(None));
        assert!(r.end().is_some());
        for n in 0..b.len() {
            let mut r = Reader(&b[..n]);
            assert!(r.owner().and_then(|_| r.option()).and_then(|_| r.option()).is_none());
        }
        assert_eq!(Reader(b"\xff\xff\xff\xffx").bytes(), None);
    }
}
