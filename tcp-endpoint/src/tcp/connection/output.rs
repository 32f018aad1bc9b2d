//! What leaves, once for everything that a batch has brought.

use std::ops::Range;

use gcs::time::Time;

use super::{Acknowledge, Connection, State};
use crate::tcp::{Config, Options, Payload, Segment, sender::timestamp};

/// An IP packet has 65,535 bytes with its headers.
const SUPER_SEGMENT: u64 = 65_000;

impl Connection {
    /// Emits what is to leave now. `limit`: how many bytes may wait for the application.
    pub(crate) fn poll(&mut self, now: Time, config: &Config, limit: u64, out: &mut Vec<Segment>) {
        if self.state == State::Over {
            return;
        }
        let options = self.options(now);
        let packet = u64::from(self.sender.mss()).saturating_sub(options.wire_len() as u64).max(1);
        let burst = (u64::from(config.super_segment_bytes).min(SUPER_SEGMENT) / packet).max(1) * packet;
        let before = out.len();
        while let Some(range) = self.sender.next(now, packet, burst, config.nagle, self.offset) {
            let segment = self.segment(now, range, packet, limit, &options);
            out.push(segment);
        }
        if std::mem::take(&mut self.asks) && out.len() == before {
            let at = self.sender.una().saturating_sub(1);
            let segment = self.empty(at, limit, &options);
            out.push(segment);
        }
        let opened = !self.is_opening() && self.receiver.opened(limit, self.our_mss.into());
        if self.state != State::SynSent && (self.acknowledge == Acknowledge::Now || opened) {
            let segment = self.empty(self.sender.next_new(), limit, &options);
            out.push(segment);
        }
    }

    /// The options of everything but SYNs.
    fn options(&mut self, now: Time) -> Options {
        let mut options = Options::default();
        if let Some(stamps) = &self.stamps {
            options.timestamps = Some((timestamp(now, self.offset), stamps.recent));
        }
        if self.sender.sack {
            self.receiver.report(&mut options, if self.stamps.is_some() { 3 } else { 4 });
        }
        options
    }

    fn options_of_syn(&self, now: Time, config_shift: u8) -> Options {
        let answers = self.state != State::SynSent;
        Options {
            mss: Some(self.our_mss),
            window_scale: (!answers || self.peer_shift.is_some()).then_some(config_shift),
            sack_permitted: !answers || self.sender.sack,
            timestamps: (!answers || self.stamps.is_some())
                .then(|| (timestamp(now, self.offset), self.stamps.as_ref().map_or(0, |s| s.recent))),
            sack: <_>::default(),
        }
    }

    /// The segment with the bytes at `range`, which count as sent.
    fn segment(
        &mut self,
        now: Time,
        range: Range<u64>,
        packet: u64,
        limit: u64,
        options: &Options,
    ) -> Segment {
        let mut payload = Payload::new();
        let (syn, fin) = self.sender.bytes(&range, &mut payload);
        let mut segment = self.empty(range.start, limit, options);
        if syn {
            let shift = if self.state == State::SynSent { self.offered_shift } else { self.receiver.shift() };
            segment.options = self.options_of_syn(now, shift);
            segment.window = u16::try_from(limit).unwrap_or(u16::MAX);
            if self.state == State::SynSent {
                segment.ack = None;
            } else {
                segment.window =
                    self.receiver.announce(limit.min(u16::MAX.into()), self.our_mss.into(), false);
            }
        }
        segment.syn = syn;
        segment.fin = fin;
        segment.psh = !payload.is_empty() && range.end >= self.sender.written();
        let len: usize = payload.iter().map(bytes::Bytes::len).sum();
        if len as u64 > packet {
            segment.packet_bytes = u16::try_from(packet).expect("at most the MSS");
        }
        segment.payload = payload;
        segment
    }

    /// A segment without bytes, which acknowledges.
    fn empty(&mut self, position: u64, limit: u64, options: &Options) -> Segment {
        self.acknowledge = Acknowledge::No;
        self.unacknowledged = 0;
        self.quick = self.quick.saturating_sub(1);
        self.last_ack = self.receiver.next();
        let mut segment =
            Segment::new(self.local, self.remote, self.sender.seq(position), Some(self.receiver.ack()));
        // A SYN says it without a scale, and no more than that is promised until it is acknowledged.
        if !(self.is_opening() && position == 0) {
            let limit = if self.is_opening() { limit.min(u16::MAX.into()) } else { limit };
            segment.window = self.receiver.announce(limit, self.our_mss.into(), true);
        }
        segment.options = options.clone();
        segment
    }
}
