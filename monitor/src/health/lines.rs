//! Lines of JSON on a stream.

use std::io;

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

use super::wire::LINE_MAX;

/// A value as a line with its end.
pub(super) fn to_line(value: &impl Serialize) -> Vec<u8> {
    // What is written here has no maps with odd keys and no numbers that JSON lacks: it can be written.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads the next line into `line`, without its end. False: there is none any more.
pub(super) async fn read_line(
    from: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    line.clear();
    let read = from.take(LINE_MAX as u64).read_until(b'\n', line).await?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(true);
    }
    if read >= LINE_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a line is longer than {LINE_MAX} bytes"),
        ));
    }
    // Half a line of who was cut off says nothing.
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_read_and_long_ones_refused() {
        let mut line = Vec::new();
        let mut from = &b"one\n\ntwo"[..];
        assert!(read_line(&mut from, &mut line).await.unwrap() && line == b"one");
        assert!(read_line(&mut from, &mut line).await.unwrap() && line.is_empty());
        assert!(!read_line(&mut from, &mut line).await.unwrap());
        let long = vec![b'x'; LINE_MAX + 1];
        assert!(read_line(&mut &long[..], &mut line).await.is_err());
    }
}
