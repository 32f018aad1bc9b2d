//! What the commands do, one file a data type. A handler checks everything before it changes anything, so a command
//! that answers an error changed nothing.

pub(crate) mod expiry;
pub(crate) mod hashes;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod numbers;
pub(crate) mod scan;
pub(crate) mod sets;
pub(crate) mod strings;

use super::fault::Fault;
use gcs::blocks::AgreedTime;

/// One command being answered. The table's arity holds.
pub(crate) struct Call<'a> {
    /// In lower case, for errors.
    pub(crate) name: &'static str,
    /// The name as sent, then the arguments.
    pub(crate) args: &'a [&'a [u8]],
    pub(crate) at: AgreedTime,
}

impl<'a> Call<'a> {
    /// The argument every command with a key starts with.
    pub(crate) fn key(&self) -> &'a [u8] {
        self.args[1]
    }

    /// Pairs from argument `from` on.
    pub(crate) fn pairs(&self, from: usize) -> Result<&'a [[&'a [u8]; 2]], Fault> {
        let (pairs, rest) = self.args[from..].as_chunks::<2>();
        if rest.is_empty() { Ok(pairs) } else { Err(Fault::Arguments(self.name)) }
    }
}

/// An integer exactly as Redis writes it: no plus sign, no leading zeros, no spaces.
pub(crate) fn integer(text: &[u8]) -> Result<i64, Fault> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [first, ..] => (b'1'..=b'9').contains(first),
        [] => false,
    };
    let parsed = str::from_utf8(text).ok().filter(|_| canonical).and_then(|text| text.parse().ok());
    parsed.ok_or(Fault::NotAnInteger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_as_strict_as_in_redis() {
        assert_eq!(integer(b"0"), Ok(0));
        assert_eq!(integer(b"-12"), Ok(-12));
        assert_eq!(integer(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(integer(b"-9223372036854775808"), Ok(i64::MIN));
        for text in ["", "-", "+1", "01", "-0", " 1", "1 ", "1x", "9223372036854775808", "0x1", "\u{662}"] {
            assert_eq!(integer(text.as_bytes()), Err(Fault::NotAnInteger), "{text}");
        }
    }
}
