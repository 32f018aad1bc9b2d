//! A client's bytes into commands.
//!
//! A request is either an array of bulk strings or a line of words (`inline.rs`). Arrays are measured here first, going on
//! where the last bytes ended, and decoded by `redis-protocol` once they are whole: that decoder starts over at each
//! call and goes one call deeper for every nested array, so bytes from strangers must not reach it unchecked.
//!
//! Bounds: a request's bytes and arguments ([`Limits`]), a line's bytes ([`MAX_LINE`]).

use super::inline;
use super::limits::Limits;
use crate::kv::argv;
use bytes::{Buf, Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

/// The longest inline command, in bytes. Length lines are bounded by the same.
const MAX_LINE: usize = 64 * 1024;

/// The client does not speak RESP2. It is told and the connection is closed: where the next request starts is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::kv) enum ProtocolError {
    #[error("ERR Protocol error: too big inline request")]
    LineTooLong,
    #[error("ERR Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    #[error("ERR Protocol error: invalid multibulk length")]
    BadCount,
    #[error("ERR Protocol error: invalid bulk length")]
    BadLength,
    #[error("ERR Protocol error: expected '$', got '{0}'")]
    NotABulk(char),
    #[error("ERR Protocol error: the request is larger than {0} bytes")]
    TooLarge(usize),
    #[error("ERR Protocol error: a bulk string does not end where it says")]
    BadEnd,
}

/// How far the array at the front of the buffer was measured.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Bulk strings still to come; `None` before the array's own line.
    left: Option<usize>,
    /// Bytes seen to be in order.
    at: usize,
}

const NOTHING: Measured = Measured { left: None, at: 0 };

/// Takes requests off a buffer.
#[derive(Debug)]
pub(in crate::kv) struct Requests {
    limits: Limits,
    measured: Measured,
}

impl Requests {
    pub(in crate::kv) fn new(limits: Limits) -> Self {
        Self { limits, measured: NOTHING }
    }

    /// Takes the next whole request off `buffer`, in the argv encoding. `None`: more bytes are needed.
    pub(in crate::kv) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, ProtocolError> {
        loop {
            let taken = match buffer.first() {
                None => return Ok(None),
                Some(b'*') => self.array(buffer)?,
                Some(_) => line(buffer)?,
            };
            match taken {
                Taken::Request(argv) => return Ok(Some(argv)),
                Taken::Nothing => {}
                Taken::Incomplete => return Ok(None),
            }
        }
    }

    fn array(&mut self, buffer: &mut BytesMut) -> Result<Taken, ProtocolError> {
        let Some(end) = self.measure(buffer)? else { return Ok(Taken::Incomplete) };
        self.measured = NOTHING;
        let argv = decode(&buffer[..end])?;
        buffer.advance(end);
        Ok(argv.map_or(Taken::Nothing, Taken::Request))
    }

    /// The length of the array at the front of `buffer`, once it is all there.
    fn measure(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let mut left = match self.measured.left {
            Some(left) => left,
            None => {
                let Some((count, at)) = number(buffer, 1, ProtocolError::BadCount)? else { return Ok(None) };
                // Redis takes empty and absent arrays for no request at all.
                let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
                if count > self.limits.max_args.min(argv::MAX_ARGS) {
                    return Err(ProtocolError::BadCount);
                }
                self.measured = Measured { left: Some(count), at };
                count
            }
        };
        while left > 0 {
            let start = self.measured.at;
            match buffer.get(start) {
                None => return Ok(None),
                Some(b'$') => {}
                Some(other) => return Err(ProtocolError::NotABulk(char::from(*other))),
            }
            let Some((length, at)) = number(buffer, start + 1, ProtocolError::BadLength)? else {
                return Ok(None);
            };
            let length = usize::try_from(length).map_err(|_| ProtocolError::BadLength)?;
            if length > self.limits.max_request_bytes {
                return Err(ProtocolError::BadLength);
            }
            let end = at + length;
            if end + 2 > self.limits.max_request_bytes {
                return Err(ProtocolError::TooLarge(self.limits.max_request_bytes));
            }
            match buffer.get(end..end + 2) {
                None => return Ok(None),
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError::BadEnd),
            }
            left -= 1;
            self.measured = Measured { left: Some(left), at: end + 2 };
        }
        Ok(Some(self.measured.at))
    }
}

enum Taken {
    Request(Bytes),
    /// Bytes that ask for nothing, such as an empty line.
    Nothing,
    Incomplete,
}

/// A line's number from `start` on, and where the next line starts. `None`: the line is not all there.
fn number(buffer: &[u8], start: usize, error: ProtocolError) -> Result<Option<(i64, usize)>, ProtocolError> {
    // A sign, 19 digits and the line's end; more cannot be a length.
    const LONGEST: usize = 22;
    let line = &buffer[start.min(buffer.len())..];
    let line = &line[..line.len().min(LONGEST)];
    let Some(length) = line.windows(2).position(|end| end == b"\r\n") else {
        return if line.len() == LONGEST { Err(error) } else { Ok(None) };
    };
    let number = str::from_utf8(&line[..length]).ok().and_then(|text| text.parse().ok()).ok_or(error)?;
    Ok(Some((number, start + length + 2)))
}

/// Decodes a whole array of bulk strings. `None` if it is empty or absent.
fn decode(request: &[u8]) -> Result<Option<Bytes>, ProtocolError> {
    let frames = match decode_range(request) {
        Ok(Some((RangeFrame::Array(frames), _))) => frames,
        Ok(Some((RangeFrame::Null, _))) => return Ok(None),
        _ => return Err(ProtocolError::BadCount),
    };
    let mut args = smallvec::SmallVec::<[&[u8]; 8]>::with_capacity(frames.len());
    for frame in frames {
        let RangeFrame::BulkString((start, end)) = frame else { return Err(ProtocolError::BadLength) };
        args.push(&request[start..end]);
    }
    Ok((!args.is_empty()).then(|| argv::encode(&args)))
}

fn line(buffer: &mut BytesMut) -> Result<Taken, ProtocolError> {
    let shown = &buffer[..buffer.len().min(MAX_LINE)];
    let Some(length) = shown.iter().position(|&byte| byte == b'\n') else {
        return if shown.len() == MAX_LINE { Err(ProtocolError::LineTooLong) } else { Ok(Taken::Incomplete) };
    };
    let line = shown[..length].strip_suffix(b"\r").unwrap_or(&shown[..length]);
    let words = inline::words(line).ok_or(ProtocolError::UnbalancedQuotes)?;
    buffer.advance(length + 1);
    if words.is_empty() {
        return Ok(Taken::Nothing);
    }
    let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    Ok(Taken::Request(argv::encode(&args)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::argv::Argv;
    use proptest::prelude::*;

    fn limits() -> Limits {
        Limits { max_request_bytes: 1000, max_args: 10, ..Limits::default() }
    }

    /// All requests in `bytes`, arriving in pieces of `piece` bytes; and the error at their end.
    fn all(bytes: &[u8], piece: usize) -> (Vec<String>, Option<ProtocolError>) {
        let (mut requests, mut buffer, mut found) = (Requests::new(limits()), BytesMut::new(), Vec::new());
        for part in bytes.chunks(piece) {
            buffer.extend_from_slice(part);
            loop {
                match requests.next(&mut buffer) {
                    Ok(Some(argv)) => {
                        let args = Argv::decode(&argv).unwrap();
                        found.push(String::from_utf8_lossy(&args.join(&b' ')).into_owned());
                    }
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }

    #[test]
    fn requests_are_found_however_they_arrive() {
        let bytes =
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n\r\n*0\r\n*-1\r\nECHO \"a b\"\n*1\r\n$4\r\nQUIT\r\n";
        for piece in 1..=bytes.len() {
            let (found, error) = all(bytes, piece);
            assert_eq!(found, ["GET k", "PING", "ECHO a b", "QUIT"], "in pieces of {piece}");
            assert_eq!(error, None);
        }
    }

    #[test]
    fn garbage_is_an_error_after_what_came_before_it() {
        let error_of = |bytes: &[u8]| {
            let (found, error) = all(&[b"PING\r\n", bytes].concat(), 7);
            assert_eq!(found, ["PING"]);
            error
        };
        assert_eq!(error_of(b"*x\r\n"), Some(ProtocolError::BadCount));
        assert_eq!(error_of(b"*11\r\n"), Some(ProtocolError::BadCount));
        assert_eq!(error_of(b"*99999999999999999999999999\r\n"), Some(ProtocolError::BadCount));
        assert_eq!(error_of(b"*1\r\n*1\r\n*1\r\n"), Some(ProtocolError::NotABulk('*')));
        assert_eq!(error_of(b"*1\r\n:1\r\n"), Some(ProtocolError::NotABulk(':')));
        assert_eq!(error_of(b"*1\r\n$-1\r\n"), Some(ProtocolError::BadLength));
        assert_eq!(error_of(b"*1\r\n$1001\r\n"), Some(ProtocolError::BadLength));
        assert_eq!(error_of(b"*1\r\n$9223372036854775807\r\n"), Some(ProtocolError::BadLength));
        assert_eq!(error_of(b"*2\r\n$600\r\n"), None, "it may still come");
        let large = [b"*2\r\n$600\r\n", &b"x".repeat(600)[..], b"\r\n$600\r\n"].concat();
        assert_eq!(error_of(&large), Some(ProtocolError::TooLarge(1000)));
        assert_eq!(error_of(b"*1\r\n$1\r\nabc\r\n"), Some(ProtocolError::BadEnd));
        assert_eq!(error_of(b"ECHO \"a\r\n"), Some(ProtocolError::UnbalancedQuotes));
        assert_eq!(error_of(&vec![b'x'; MAX_LINE]), Some(ProtocolError::LineTooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(
            prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'2'), any::<u8>()], 0..200),
            piece in 1..50usize,
        ) {
            let (_, error) = all(&bytes, piece);
            prop_assert_eq!(error, all(&bytes, 1000).1, "the same however they arrive");
        }
    }
}
