//! Lines of the standard input, in batches.

use gcs::message::MAX_MESSAGE;
use std::io::{self, Read};
use tokio::sync::mpsc;

/// How much is read at once, in bytes.
pub const CHUNK: usize = 64 << 10;
/// How many batches wait to be cast.
const AHEAD: usize = 2;

/// Why the input ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system.
    #[error("cannot read the standard input: {0}")]
    Read(#[from] io::Error),
    /// Not a message.
    #[error("line {0} of the input is too long: a message has at most {MAX_MESSAGE} bytes")]
    TooLong(u64),
    /// There is nobody who could send it.
    #[error("a witness sends nothing, and there is input")]
    Witness,
}

/// Whole lines, each with its newline; the last one of the input may be without.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch(Vec<u8>);

impl Batch {
    /// The lines, without their newlines.
    #[must_use]
    pub fn lines(&self) -> Vec<&[u8]> {
        self.0.split_inclusive(|b| *b == b'\n').map(|l| l.strip_suffix(b"\n").unwrap_or(l)).collect()
    }
}

/// Cuts a stream of bytes into batches of lines.
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    /// The beginning of a line.
    rest: Vec<u8>,
    /// Lines returned so far.
    count: u64,
}

impl<R: Read> Lines<R> {
    /// Reads from `from`.
    pub fn new(from: R) -> Self {
        Self { from, rest: Vec::new(), count: 0 }
    }

    /// The next lines, as many as a read brings; None at the end.
    ///
    /// # Errors
    /// [`InputError`].
    pub fn next_batch(&mut self) -> Result<Option<Batch>, InputError> {
        loop {
            let seen = self.rest.len();
            self.rest.resize(seen + CHUNK, 0);
            let n = match self.from.read(&mut self.rest[seen..]) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
                Err(e) => return Err(e.into()),
            };
            self.rest.truncate(seen + n);
            if n == 0 {
                let last = std::mem::take(&mut self.rest);
                return Ok((!last.is_empty()).then_some(Batch(last)));
            }
            let Some(at) = self.rest[seen..].iter().rposition(|b| *b == b'\n') else {
                if self.rest.len() > MAX_MESSAGE {
                    return Err(InputError::TooLong(self.count + 1));
                }
                continue;
            };
            let tail = self.rest.split_off(seen + at + 1);
            let batch = Batch(std::mem::replace(&mut self.rest, tail));
            let lines = batch.lines();
            if let Some(long) = lines.iter().position(|l| l.len() > MAX_MESSAGE) {
                return Err(InputError::TooLong(self.count + 1 + long as u64));
            }
            self.count += lines.len() as u64;
            return Ok(Some(batch));
        }
    }
}

/// Reads lines on a thread of its own, a little ahead of who takes them. The thread ends with the input or the process:
/// a read of a terminal cannot be interrupted.
///
/// # Errors
/// The thread cannot be started.
pub fn spawn(from: impl Read + Send + 'static) -> io::Result<mpsc::Receiver<Result<Batch, InputError>>> {
    let (to, batches) = mpsc::channel(AHEAD);
    let body = move || {
        let mut lines = Lines::new(from);
        while let Some(next) = lines.next_batch().transpose() {
            let failed = next.is_err();
            if to.blocking_send(next).is_err() || failed {
                return;
            }
        }
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(body)?;
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Reads that bring what they are told to.
    struct Pieces(VecDeque<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.pop_front() else { return Ok(0) };
            buf[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn all(pieces: &[&'static [u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(Pieces(pieces.iter().copied().collect()));
        let mut all = Vec::new();
        while let Some(batch) = lines.next_batch().unwrap() {
            all.extend(batch.lines().iter().map(|l| l.to_vec()));
        }
        all
    }

    #[test]
    fn lines_are_whole_wherever_the_reads_end() {
        assert_eq!(all(&[b"on", b"e\ntw", b"o\n", b"three"]), [&b"one"[..], b"two", b"three"]);
        assert_eq!(all(&[b"\n\na\r\n"]), [&b""[..], b"", b"a\r"]);
        assert!(all(&[]).is_empty());
    }

    #[test]
    fn a_line_that_is_no_message_ends_the_input() {
        let long = io::repeat(b'x').take(MAX_MESSAGE as u64 + 1);
        let mut lines = Lines::new((&b"short\n"[..]).chain(long).chain(&b"\n"[..]));
        let mut failed = false;
        loop {
            match lines.next_batch() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(e) => {
                    failed = matches!(e, InputError::TooLong(2));
                    break;
                }
            }
        }
        assert!(failed);
    }
}
