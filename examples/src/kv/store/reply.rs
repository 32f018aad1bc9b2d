//! RESP2 replies, ready for the wire.

use bytes::Bytes;
use std::io::Write;

/// `+OK`.
pub fn ok() -> Bytes {
    Bytes::from_static(b"+OK\r\n")
}

/// A bulk string that is not there.
pub fn nil() -> Bytes {
    Bytes::from_static(b"$-1\r\n")
}

/// An array that is not there.
pub fn nil_array() -> Bytes {
    Bytes::from_static(b"*-1\r\n")
}

/// An integer.
pub fn integer(value: i64) -> Bytes {
    match value {
        0 => Bytes::from_static(b":0\r\n"),
        1 => Bytes::from_static(b":1\r\n"),
        _ => {
            let mut out = Vec::with_capacity(24);
            put_number(&mut out, b':', value);
            Bytes::from(out)
        }
    }
}

/// How many of something.
pub fn count(value: usize) -> Bytes {
    integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A short text without line ends, such as the name of a type.
pub fn simple(text: &str) -> Bytes {
    line(b'+', text)
}

/// An error: a code in capitals, then a sentence. Line ends in it become spaces.
pub fn error(text: &str) -> Bytes {
    line(b'-', text)
}

fn line(kind: u8, text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + 3);
    out.push(kind);
    out.extend(text.bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
    Bytes::from(out)
}

/// A bulk string.
pub fn bulk(bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    put_bulk(&mut out, bytes);
    Bytes::from(out)
}

/// A bulk string, or nil.
pub fn bulk_or_nil(bytes: Option<&[u8]>) -> Bytes {
    bytes.map_or_else(nil, bulk)
}

/// An array, whose elements are put one by one.
#[derive(Debug)]
pub struct Array(Vec<u8>);

impl Array {
    /// An array of exactly `len` elements; the caller puts as many.
    pub fn new(len: usize) -> Self {
        let mut out = Vec::with_capacity(16 + len.min(1 << 16) * 16);
        put_number(&mut out, b'*', len as i64);
        Self(out)
    }

    /// The next element is a bulk string.
    pub fn bulk(mut self, bytes: &[u8]) -> Self {
        put_bulk(&mut self.0, bytes);
        self
    }

    /// The next element is nil.
    pub fn nil(mut self) -> Self {
        self.0.extend_from_slice(b"$-1\r\n");
        self
    }

    /// The next element is an integer.
    pub fn integer(mut self, value: i64) -> Self {
        put_number(&mut self.0, b':', value);
        self
    }

    /// The next element is a reply of its own.
    pub fn element(mut self, reply: &[u8]) -> Self {
        self.0.extend_from_slice(reply);
        self
    }

    /// The reply.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }
}

/// An array of bulk strings.
pub fn bulks<'a>(elements: impl ExactSizeIterator<Item = &'a [u8]>) -> Bytes {
    let array = Array::new(elements.len());
    elements.fold(array, Array::bulk).finish()
}

fn put_number(out: &mut Vec<u8>, kind: u8, value: i64) {
    out.push(kind);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}\r\n");
}

fn put_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, b'$', bytes.len() as i64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
