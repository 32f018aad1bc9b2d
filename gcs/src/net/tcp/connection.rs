//! One connection: frames behind their lengths, and the queue of those that wait to be sent.

use super::READ;
use crate::{endpoint::Datagram, frame::Packet, id::Incarnation, net::TransportStats};
use bytes::{Buf as _, BytesMut};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    net::SocketAddr,
    task::{Context, Poll},
};
use tokio::net::TcpStream;

/// The longest datagram; longer ones are garbage.
pub(super) const LARGEST: usize = 64 << 10;
const PREFIX: usize = 4;
/// Received bytes come into buffers of this size. A datagram that the program keeps, keeps one.
const BUFFER: usize = 256 << 10;
/// How many pieces one system call sends.
const PIECES: usize = 128;

/// Datagrams that wait to be sent, each behind its length.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<([u8; PREFIX], Packet)>,
    bytes: usize,
    /// How much of the first one is sent already.
    sent: usize,
}

impl Queue {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The caller has checked that it is no longer than [`LARGEST`].
    pub(super) fn push(&mut self, payload: Packet) {
        self.bytes += payload.len();
        let length = u32::try_from(payload.len()).unwrap_or(0).to_le_bytes();
        self.waiting.push_back((length, payload));
    }

    /// Forgets all; how many those were.
    pub(super) fn clear(&mut self) -> u64 {
        let count = self.waiting.len() as u64;
        *self = Self::default();
        count
    }

    /// What is half sent begins again.
    pub(super) fn restart(&mut self) {
        self.sent = 0;
    }

    /// As many pieces as one call sends.
    fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(PIECES);
        let mut skip = self.sent;
        for (length, payload) in &self.waiting {
            if pieces.len() + 3 > PIECES {
                break;
            }
            for part in [&length[..]].into_iter().chain(payload.parts()) {
                let from = skip.min(part.len());
                skip -= from;
                if from < part.len() {
                    pieces.push(IoSlice::new(&part[from..]));
                }
            }
        }
        pieces
    }

    /// So many bytes were sent; how many datagrams are done with that.
    fn advance(&mut self, bytes: usize) -> u64 {
        self.sent += bytes;
        let mut done = 0;
        while let Some((_, payload)) = self.waiting.front() {
            let length = PREFIX + payload.len();
            if self.sent < length {
                break;
            }
            self.sent -= length;
            self.bytes -= payload.len();
            self.waiting.pop_front();
            done += 1;
        }
        done
    }
}

/// A connection after both hellos.
pub(super) struct Connection {
    stream: TcpStream,
    /// Of the process at the other end.
    pub(super) incarnation: Incarnation,
    /// This process has made it.
    pub(super) mine: bool,
    received: BytesMut,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, incarnation: Incarnation, mine: bool) -> Self {
        Self { stream, incarnation, mine, received: BytesMut::new() }
    }

    /// Sends from the queue until it is empty or the system takes no more.
    pub(super) fn write(&mut self, queue: &mut Queue, stats: &mut TransportStats) -> io::Result<()> {
        while !queue.is_empty() {
            stats.send_calls += 1;
            match self.stream.try_write_vectored(&queue.pieces()) {
                Ok(n) => stats.sent += queue.advance(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Sends and receives what is possible; the task is woken up when there is more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: SocketAddr,
        queue: &mut Queue,
        batch: &mut Vec<Datagram>,
        stats: &mut TransportStats,
    ) -> io::Result<()> {
        while !queue.is_empty() {
            let Poll::Ready(ready) = self.stream.poll_write_ready(cx) else { break };
            ready?;
            self.write(queue, stats)?;
        }
        let mut bytes = 0;
        while bytes < READ {
            let Poll::Ready(ready) = self.stream.poll_read_ready(cx) else { break };
            ready?;
            bytes += self.read(from, batch, stats)?;
        }
        Ok(())
    }

    /// Receives once, and appends the datagrams that are complete.
    fn read(
        &mut self,
        from: SocketAddr,
        batch: &mut Vec<Datagram>,
        stats: &mut TransportStats,
    ) -> io::Result<usize> {
        let wanted = self.received.first_chunk().map_or(0, |l| u32::from_le_bytes(*l) as usize);
        if self.received.capacity() - self.received.len() < BUFFER / 8
            || self.received.capacity() < PREFIX + wanted
        {
            self.received.reserve(BUFFER);
        }
        stats.recv_calls += 1;
        let bytes = match self.stream.try_read_buf(&mut self.received) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(e) => return Err(e),
        };
        while let Some(prefix) = self.received.first_chunk() {
            let length = u32::from_le_bytes(*prefix) as usize;
            if length == 0 || length > LARGEST {
                stats.refused += 1;
                tracing::warn!(peer = %from, length, "what comes over this connection are no frames; it is closed");
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.received.len() < PREFIX + length {
                break;
            }
            self.received.advance(PREFIX);
            batch.push(Datagram { from, payload: self.received.split_to(length).into() });
            stats.received += 1;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_queue_goes_on_where_the_system_has_stopped_whatever_it_takes_at_a_time() {
        let texts = ["a", "bcd", "", "efghij"];
        let whole: Vec<u8> =
            texts.iter().flat_map(|t| (t.len() as u32).to_le_bytes().into_iter().chain(t.bytes())).collect();
        for step in 1..whole.len() + 1 {
            let mut queue = Queue::default();
            texts.iter().for_each(|t| queue.push(Bytes::from_static(t.as_bytes()).into()));
            assert_eq!(queue.bytes(), 10);
            let (mut out, mut done) = (Vec::new(), 0);
            while !queue.is_empty() {
                let now: Vec<u8> = queue.pieces().iter().flat_map(|p| p.to_vec()).collect();
                let taken = step.min(now.len());
                out.extend_from_slice(&now[..taken]);
                done += queue.advance(taken);
            }
            assert_eq!((out, done, queue.bytes()), (whole.clone(), 4, 0), "step {step}");
        }
    }
}
