//! What one connection has promised its client so far.

use bytes::Bytes;
use gcs_tcp_endpoint::tcp::Seq;

use super::{Tcp, stream::Stream};

/// What the virtual address did to a connection that it must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A reset, although it was open.
    Reset,
    /// Another initial sequence number than before.
    Begins { before: Seq, now: Seq },
    /// Other bytes than before at this position.
    Differs { at: u64 },
    /// Its stream ends elsewhere than before, or goes on behind its end.
    Ends { before: u64, now: u64 },
    /// It acknowledges less than before.
    AckBack { before: u64, now: u64 },
    /// It acknowledges what the client has not sent.
    AckAhead { sent: u64, now: u64 },
    /// The right edge of its window has moved back.
    EdgeBack { before: u64, now: u64 },
}

/// Positions are those of [`Seq::position`]: 0 is the SYN.
pub(crate) struct Connection {
    /// The client's stream: where it begins, how far it was sent, where it ends.
    client: (Seq, u64, Option<u64>),
    /// The same of ours.
    vip: Option<(Seq, u64, Option<u64>)>,
    /// The client's handshake is complete.
    open: bool,
    /// Somebody has given it up.
    over: bool,
    shift: u8,
    acked: u64,
    edge: u64,
    said: Stream,
    /// The emitter that was last heard here, as a number.
    heard: usize,
}

impl Connection {
    /// A SYN of the client's, while `emitter` emits.
    pub(crate) fn new(isn: Seq, emitter: usize) -> Self {
        Self {
            client: (isn, 1, None),
            vip: None,
            open: false,
            over: false,
            shift: 0,
            acked: 0,
            edge: 0,
            said: Stream::default(),
            heard: emitter,
        }
    }

    /// `emitter` is heard. Whether it is a new one, on an open connection.
    pub(crate) fn hears(&mut self, emitter: usize) -> bool {
        std::mem::replace(&mut self.heard, emitter) != emitter && self.is_open()
    }

    pub(crate) fn isn(&self) -> Seq {
        self.client.0
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open && !self.is_over()
    }

    /// Nothing is promised any more.
    fn is_over(&self) -> bool {
        let ends = self.client.2.is_some() && self.vip.is_some_and(|v| v.2.is_some());
        self.over || ends
    }

    /// The client has sent a segment. How many bytes of its stream are new.
    pub(crate) fn client_sends(&mut self, tcp: &Tcp) -> u64 {
        let (isn, sent, end) = &mut self.client;
        self.open |= self.vip.is_some() && tcp.ack.is_some();
        self.over |= tcp.rst;
        let Some(at) = isn.position(tcp.seq, *sent) else { return 0 };
        let to = at + tcp.payload.len() as u64;
        if tcp.fin {
            *end = Some(to);
        }
        let new = (to + u64::from(tcp.fin)).saturating_sub(*sent);
        *sent += new;
        new
    }

    /// The virtual address has sent a segment. How many bytes of its stream are new.
    pub(crate) fn vip_sends(&mut self, tcp: &Tcp) -> Result<u64, Broken> {
        if self.is_over() {
            return Ok(0);
        }
        if tcp.rst {
            self.over = true;
            return if self.open { Err(Broken::Reset) } else { Ok(0) };
        }
        if self.vip.is_none() && !tcp.syn {
            return Ok(0);
        }
        let (isn, next, _) = *self.vip.get_or_insert((tcp.seq, 1, None));
        if tcp.syn {
            if isn != tcp.seq {
                return Err(Broken::Begins { before: isn, now: tcp.seq });
            }
            self.shift = tcp.shift.unwrap_or(0);
        }
        if let Some(ack) = tcp.ack {
            self.acknowledges(ack, u64::from(tcp.window) << if tcp.syn { 0 } else { self.shift })?;
        }
        match isn.position(tcp.seq, next) {
            Some(at) if tcp.fin || !tcp.payload.is_empty() => self.says(at, &tcp.payload, tcp.fin),
            _ => Ok(0),
        }
    }

    fn acknowledges(&mut self, ack: Seq, window: u64) -> Result<(), Broken> {
        let (isn, sent, end) = self.client;
        let Some(now) = isn.position(ack, self.acked) else {
            return Err(Broken::AckBack { before: self.acked, now: 0 });
        };
        if now < self.acked {
            return Err(Broken::AckBack { before: self.acked, now });
        }
        if now > sent {
            return Err(Broken::AckAhead { sent, now });
        }
        self.acked = now;
        let edge = now + window;
        // Behind the end of the client's stream a window promises nothing.
        if edge < self.edge && end.is_none_or(|end| now <= end) {
            return Err(Broken::EdgeBack { before: self.edge, now: edge });
        }
        self.edge = self.edge.max(edge);
        Ok(())
    }

    fn says(&mut self, at: u64, bytes: &Bytes, fin: bool) -> Result<u64, Broken> {
        let Some((_, next, end)) = &mut self.vip else { return Ok(0) };
        let to = at + bytes.len() as u64;
        if let Some(before) = *end
            && (to > before || (fin && to != before))
        {
            return Err(Broken::Ends { before, now: to });
        }
        if fin {
            if to < *next {
                return Err(Broken::Ends { before: *next, now: to });
            }
            *end = Some(to);
        }
        *next = to.max(*next);
        self.said.put(at, bytes).map(|new| new as u64).map_err(|at| Broken::Differs { at })
    }
}
