//! One command as bytes: the argument count, then each argument after its length, all as LEB128 integers.
//!
//! ```text
//!   GET key  =  02 03 'G' 'E' 'T' 03 'k' 'e' 'y'
//! ```
//!
//! Decoding borrows the arguments from the buffer. Bound: [`MAX_ARGS`] arguments; lengths are checked against the
//! bytes that are there before anything is allocated.

use super::varint;
use bytes::Bytes;
use smallvec::SmallVec;
use std::ops::Deref;

/// No command has more arguments than this, its name included (Redis has the same bound).
pub const MAX_ARGS: usize = 1024 * 1024;

/// The arguments of one command, borrowed from its encoding. The name is argument 0: there is at least that one.
#[derive(Debug, PartialEq, Eq)]
pub struct Argv<'a>(SmallVec<[&'a [u8]; 8]>);

/// The bytes are not an encoded command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgvError {
    /// The bytes end inside the command.
    #[error("the command is cut short")]
    CutShort,
    /// There are bytes after the last argument.
    #[error("there are bytes after the last argument")]
    TrailingBytes,
    /// The argument count is 0 or past [`MAX_ARGS`].
    #[error("the argument count is out of bounds")]
    Count,
}

impl<'a> Argv<'a> {
    /// Decodes one command that fills `bytes`, without copying the arguments.
    ///
    /// # Errors
    /// The bytes are not exactly one encoded command.
    ///
    /// ```
    /// use gcs_examples::kv::argv::{Argv, encode};
    /// let bytes = encode(&[b"GET", b"key"]);
    /// assert_eq!(Argv::decode(&bytes).unwrap()[1], *b"key");
    /// ```
    pub fn decode(mut bytes: &'a [u8]) -> Result<Self, ArgvError> {
        let count = varint::take(&mut bytes).ok_or(ArgvError::CutShort)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count == 0 || count > MAX_ARGS {
            return Err(ArgvError::Count);
        }
        let mut args = SmallVec::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            args.push(varint::take_bytes(&mut bytes).ok_or(ArgvError::CutShort)?);
        }
        if bytes.is_empty() { Ok(Self(args)) } else { Err(ArgvError::TrailingBytes) }
    }

    /// The command's name as it was sent, in any case.
    pub fn name(&self) -> &'a [u8] {
        self.0[0]
    }
}

impl<'a> Deref for Argv<'a> {
    type Target = [&'a [u8]];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Encodes one command; `args[0]` is its name.
///
/// # Panics
/// If `args` is empty.
pub fn encode(args: &[&[u8]]) -> Bytes {
    assert!(!args.is_empty(), "a command has at least a name");
    let size = varint::len(args.len() as u64) + args.iter().map(|arg| varint::bytes_len(arg)).sum::<usize>();
    let mut out = Vec::with_capacity(size);
    varint::put(&mut out, args.len() as u64);
    for arg in args {
        varint::put_bytes(&mut out, arg);
    }
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_the_round_trip() {
        let long = vec![b'x'; 300];
        let args: [&[u8]; 4] = [b"SET", b"", &long, b"\r\n\0"];
        let bytes = encode(&args);
        assert_eq!(Argv::decode(&bytes).as_deref(), Ok(&args[..]));
        for end in 0..bytes.len() {
            assert_eq!(Argv::decode(&bytes[..end]), Err(ArgvError::CutShort));
        }
    }

    #[test]
    fn nonsense_is_refused_without_allocating_for_it() {
        assert_eq!(Argv::decode(&[0]), Err(ArgvError::Count));
        assert_eq!(Argv::decode(&[1, 1, b'a', b'b']), Err(ArgvError::TrailingBytes));
        assert_eq!(Argv::decode(&[0xff, 0xff, 0x7f]), Err(ArgvError::Count));
        assert_eq!(Argv::decode(&[2, 0xff, 0xff, 0xff, 0xff, 0x0f, b'a']), Err(ArgvError::CutShort));
    }
}
