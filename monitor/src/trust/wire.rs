//! Bytes out of parts, and parts out of bytes: postcard, one part after the other, so that no length is believed before it is there.

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// Of the form of everything here.
pub(super) const VERSION: u8 = 1;
/// Bytes of the name of a client, of a function, and of a prefix of attributes' names.
pub const LABEL_BYTES: usize = 64;

/// Appends a part.
pub(super) fn put(out: Vec<u8>, part: &impl Serialize) -> Vec<u8> {
    // Nothing here can fail to be written, and a vector takes whatever comes.
    postcard::to_extend(part, out).unwrap_or_default()
}

/// What is left to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Reads what this version has written.
    pub(super) fn versioned(bytes: &'a [u8], most: usize) -> Result<Self, Refusal> {
        let mut reader = Self(bytes);
        if bytes.len() > most || reader.take::<u8>()? != VERSION {
            return Err(Refusal::Malformed);
        }
        Ok(reader)
    }

    /// The next part.
    pub(super) fn take<T: Deserialize<'a>>(&mut self) -> Result<T, Refusal> {
        let (part, rest) = postcard::take_from_bytes(self.0).map_err(|_| Refusal::Malformed)?;
        self.0 = rest;
        Ok(part)
    }
}

/// Numbers can be written in more than one way. Only what we would write counts, so that one thing has one form, and one id.
pub(super) fn canonical<T>(value: T, bytes: &[u8], encode: impl Fn(&T) -> Vec<u8>) -> Result<T, Refusal> {
    if encode(&value) == bytes { Ok(value) } else { Err(Refusal::Malformed) }
}

/// Whether a name can be shown, and is no longer than [`LABEL_BYTES`].
pub(super) fn is_label(text: &str) -> bool {
    let shown = |c: char| !c.is_whitespace() && !c.is_control() && c != ',';
    (1..=LABEL_BYTES).contains(&text.len()) && text.chars().all(shown)
}
