//! The last bytes of a stream, by position: what is said again has to be the same.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Bytes that are kept: more than an endpoint may have to say again (`Config::send_bytes`).
const KEPT: usize = 6 << 20;

#[derive(Default)]
pub(crate) struct Stream {
    /// They do not overlap.
    pieces: BTreeMap<u64, Bytes>,
    held: usize,
}

impl Stream {
    /// What was seen at `at`. How many of the bytes are new; an error is the first position that had another byte before.
    pub(crate) fn put(&mut self, at: u64, bytes: &Bytes) -> Result<usize, u64> {
        let end = at + bytes.len() as u64;
        let part = |from: u64, to: u64| (from - at) as usize..(to - at) as usize;
        let first = self.pieces.range(..=at).next_back().map_or(at, |(start, _)| *start);
        let (mut next, mut new) = (at, Vec::new());
        for (&start, piece) in self.pieces.range(first..end) {
            let (from, to) = (start.max(at), end.min(start + piece.len() as u64));
            if from >= to {
                continue;
            }
            let before = &piece[(from - start) as usize..(to - start) as usize];
            let now = &bytes[part(from, to)];
            if before != now {
                let same = before.iter().zip(now).take_while(|(a, b)| a == b).count();
                return Err(from + same as u64);
            }
            new.push((next, from));
            next = to;
        }
        new.push((next, end));
        let before = self.held;
        for (from, to) in new.into_iter().filter(|(from, to)| from < to) {
            self.held += (to - from) as usize;
            self.pieces.insert(from, bytes.slice(part(from, to)));
        }
        let count = self.held - before;
        while self.held > KEPT
            && let Some((_, piece)) = self.pieces.pop_first()
        {
            self.held -= piece.len();
        }
        Ok(count)
    }
}
