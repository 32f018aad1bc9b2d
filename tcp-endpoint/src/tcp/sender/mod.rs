//! The sending half of a connection (RFC 9293, section 3.8; RFC 8985 with tail loss probes; RFC 6582 for peers without SACK): what an
//! acknowledgement says. [`next`]: which bytes leave. [`patience`]: what time alone changes.
//!
//! ```text
//!   acknowledgement ─► flight (what arrived) ─► rack (what is lost) ─► cubic (how much may be under way)
//!                                                                         │
//!   deadline: reordering │ tail loss probe │ timeout │ window probe   next: lost bytes, then new ones
//! ```
//!
//! A window probe carries nothing (as Linux has always done; RFC 9293, section 3.8.6.1 has it carry a byte): it lies before the window, and
//! every receiver answers that.

mod next;
mod patience;

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use gcs::time::Time;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

pub(crate) use self::patience::Impatience;
use super::{
    MIN_MSS, Seq,
    chunks::Chunks,
    cubic::{self, Cubic, Phase},
    flight::Flight,
    rack::Rack,
    rtt::Rtt,
    seq,
};

/// Duplicate acknowledgements that mean a loss, from a peer without SACK (RFC 5681).
const DUPLICATES: u8 = 3;

/// The sending half of a connection. Invariants: `queue` begins at the first unacknowledged byte; the flight ends at or before the
/// queue's end, plus one for the FIN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sender {
    isn: Seq,
    flight: Flight,
    queue: Chunks,
    /// The stream ends behind the queue.
    fin: bool,
    window: Window,
    mss: u16,
    /// The peer reports what arrives out of order.
    pub(crate) sack: bool,
    congestion: Cubic,
    rtt: Rtt,
    rack: Rack,
    /// When something may turn out to be lost, not just late.
    reordering: Option<Time>,
    /// A tail loss probe that has not been answered.
    probe: Option<Probe>,
    /// One is to leave now.
    probe_now: bool,
    /// The first packet is to leave now, whatever the congestion window says: the timeout has passed.
    first_now: bool,
    /// Duplicate acknowledgements in a row, from a peer without SACK.
    duplicates: u8,
    /// The congestion window, nothing else, held back what could have been sent.
    limited: bool,
    /// Timestamp of the first retransmission of this recovery.
    stamp: Option<u32>,
    /// The last acknowledgement of something new, or when something left after that.
    since: Time,
    last_sent: Time,
}

/// What the peer is ready to receive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    /// Where it ends, and the largest it has been.
    edge: u64,
    largest: u64,
    /// Sequence and acknowledgement positions of the segment that told (`SND.WL1`, `SND.WL2`).
    told: (u64, u64),
    /// Window probes since it last opened, and when the last one left.
    probes: u8,
    probed: Time,
}

/// A tail loss probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Probe {
    /// Everything before this was sent.
    end: u64,
    /// It was nothing new.
    again: bool,
    at: Time,
}

/// What an acknowledgement says.
pub(crate) struct Feedback<'a> {
    pub(crate) now: Time,
    /// Everything before this position.
    pub(crate) ack: u64,
    /// What has arrived out of order.
    pub(crate) sack: &'a [(Seq, Seq)],
    /// The timestamp it echoes, if the connection has timestamps.
    pub(crate) echo: Option<u32>,
    /// Which timestamp means which time.
    pub(crate) offset: u32,
    /// It brings no data, no FIN and no other window: it may be a duplicate.
    pub(crate) bare: bool,
}

/// The timestamp of `now`: milliseconds, from an offset that is different for each connection (RFC 7323, sections 5.4 and 7.1).
#[expect(clippy::cast_possible_truncation, reason = "modulo 2^32 is what a timestamp is")]
pub(crate) const fn timestamp(now: Time, offset: u32) -> u32 {
    offset.wrapping_add((now.0 / 1_000_000) as u32)
}

impl Sender {
    /// For a stream that begins at `isn`, to a peer that takes segments of `mss` bytes.
    pub(crate) fn new(isn: Seq, mss: u16, now: Time) -> Self {
        Self {
            isn,
            flight: Flight::default(),
            queue: Chunks::new(1),
            fin: false,
            window: Window { edge: 1, ..Window::default() },
            mss,
            sack: false,
            congestion: Cubic::new(u64::from(mss)),
            rtt: Rtt::default(),
            rack: Rack::default(),
            reordering: None,
            probe: None,
            probe_now: false,
            first_now: false,
            duplicates: 0,
            limited: false,
            stamp: None,
            since: now,
            last_sent: now,
        }
    }

    /// The first position that is not acknowledged.
    pub(crate) fn una(&self) -> u64 {
        self.flight.una()
    }

    /// The first position that was never sent.
    pub(crate) fn next_new(&self) -> u64 {
        self.flight.next()
    }

    pub(crate) fn seq(&self, position: u64) -> Seq {
        self.isn.of(position)
    }

    /// The position that an acknowledgement number means.
    pub(crate) fn position(&self, number: Seq) -> Option<u64> {
        self.isn.position(number, self.una())
    }

    pub(crate) fn mss(&self) -> u16 {
        self.mss
    }

    /// The peer or the path takes no larger segments than this.
    pub(crate) fn limit_mss(&mut self, mss: u16) {
        self.mss = self.mss.min(mss.max(MIN_MSS));
    }

    /// The congestion window starts anew, for the segment size that the handshake has brought.
    pub(crate) fn opened(&mut self) {
        self.congestion = Cubic::new(u64::from(self.mss));
    }

    /// Bytes that the application has written, and that are not acknowledged.
    pub(crate) fn held(&self) -> u64 {
        self.queue.len()
    }

    /// The position behind what the application has written.
    pub(crate) fn written(&self) -> u64 {
        self.queue.end()
    }

    /// Appends to the stream.
    pub(crate) fn write(&mut self, bytes: Bytes) {
        debug_assert!(!self.fin);
        self.queue.push(bytes);
    }

    /// Ends the stream behind what was written.
    pub(crate) fn finish(&mut self) {
        self.fin = true;
    }

    /// The FIN is acknowledged.
    pub(crate) fn finished(&self) -> bool {
        self.fin && self.una() == self.end()
    }

    /// Whether the stream has an end.
    pub(crate) fn ends(&self) -> bool {
        self.fin
    }

    fn end(&self) -> u64 {
        self.queue.end() + u64::from(self.fin)
    }

    /// The bytes at `range`; whether it begins with the SYN and ends with the FIN.
    pub(crate) fn bytes(&mut self, range: &Range<u64>, payload: &mut crate::tcp::Payload) -> (bool, bool) {
        self.queue.slice(range.clone(), payload);
        (range.start == 0, self.fin && range.end > self.queue.end())
    }

    /// Whether `ack` is one that a peer could have sent (RFC 5961, section 5.2).
    pub(crate) fn acceptable(&self, ack: u64) -> bool {
        ack + self.window.largest.max(1) >= self.una() && ack <= self.next_new()
    }

    /// The peer has announced a window of `bytes`, in a segment at `seq` that acknowledges `ack` (RFC 9293, section 3.10.7.4). Whether
    /// that was news.
    pub(crate) fn announced(&mut self, bytes: u64, seq: u64, ack: u64) -> bool {
        let window = &mut self.window;
        if (seq, ack) < window.told {
            return false;
        }
        let news = window.edge != ack + bytes;
        window.told = (seq, ack);
        window.edge = ack + bytes;
        window.largest = window.largest.max(bytes);
        if bytes > 0 {
            window.probes = 0;
        }
        news
    }

    fn rtts(&self) -> (Option<Duration>, Option<Duration>) {
        (self.rtt.least(), self.rtt.smoothed())
    }

    /// Takes an acknowledgement.
    pub(crate) fn acknowledged(&mut self, f: &Feedback<'_>) {
        let una = self.una();
        let progress = f.ack > una;
        let mut arrived = 0;
        // The last that was sent, and whether once: what is older may have waited for an acknowledgement that was lost.
        let mut last: Option<(Time, bool)> = None;
        let least = self.rtt.least();
        let (blocks, duplicate) = self.blocks(f);
        let (flight, rack) = (&mut self.flight, &mut self.rack);
        let mut new = |sent: &crate::tcp::flight::Sent| {
            arrived += sent.end - sent.start;
            last = last.max(Some((sent.at, !sent.again)));
            let first_copy =
                sent.again && f.echo.is_some_and(|echo| seq::earlier(echo, timestamp(sent.at, f.offset)));
            rack.arrived(f.now, sent, least, first_copy);
        };
        flight.acknowledge(f.ack, &mut new);
        for block in &blocks {
            flight.selectively(block.clone(), &mut new);
        }
        if let Some((at, true)) = last {
            self.rtt.measured(f.now, f.now.since(at));
        } else if progress
            && !duplicate
            && let Some(echo) = f.echo
        {
            // What came twice was acknowledged before, by something that was lost: that is no round trip.
            let ms = timestamp(f.now, f.offset).wrapping_sub(echo);
            if ms < 1 << 20 {
                self.rtt.measured(f.now, Duration::from_millis(ms.into()));
            }
        }
        if progress && una == 0 {
            self.rtt.opened();
        }
        if progress {
            self.first_now = false;
            self.queue.drop_until(f.ack);
            self.since = f.now;
            self.duplicates = 0;
            self.undo_if_needless(f);
        }
        if duplicate {
            self.rack.duplicate(self.next_new());
        }
        let repaired = self.congestion.repaired(self.una());
        if self.congestion.phase() == Phase::Open {
            self.stamp = None;
        }
        self.rack.acknowledged(f.ack, repaired);
        if self.sack {
            let rtts = self.rtts();
            let repairing = self.congestion.phase() != Phase::Open;
            self.reordering = self.rack.detect(f.now, &mut self.flight, self.mss.into(), repairing, rtts);
        } else {
            arrived += self.count_duplicates(f, progress);
        }
        self.answer_to_probe(f.ack, duplicate);
        self.answer_to_loss();
        let under_way = self.flight.under_way();
        self.congestion.on_ack(&cubic::Ack {
            now: f.now,
            rtt: self.rtt.smoothed().unwrap_or_default(),
            arrived,
            under_way,
            mss: self.mss.into(),
            limited: self.limited,
        });
    }

    /// The reported blocks as positions, and whether the first tells of a duplicate (RFC 2883, section 4).
    fn blocks(&self, f: &Feedback<'_>) -> (SmallVec<[Range<u64>; 4]>, bool) {
        let mut blocks = SmallVec::new();
        let mut duplicate = false;
        if !self.sack {
            return (blocks, duplicate);
        }
        for (i, (left, right)) in f.sack.iter().enumerate() {
            let (Some(left), Some(right)) = (self.position(*left), self.position(*right)) else { continue };
            if left >= right || right > self.next_new() {
                continue;
            }
            if i == 0 {
                let within = f.sack.get(1).and_then(|(l, r)| Some(self.position(*l)?..self.position(*r)?));
                duplicate = right <= f.ack || within.is_some_and(|w| w.start <= left && right <= w.end);
            }
            if right > f.ack && !(i == 0 && duplicate) {
                blocks.push(left.max(f.ack)..right);
            }
        }
        (blocks, duplicate)
    }

    /// The first acknowledgement after a retransmission was caused by the original (RFC 3522): the retransmission was needless.
    fn undo_if_needless(&mut self, f: &Feedback<'_>) {
        if let (Some(stamp), Some(echo)) = (self.stamp, f.echo)
            && seq::earlier(echo, stamp)
        {
            self.congestion.undo();
            self.flight.find_again();
            self.stamp = None;
        }
    }

    /// Duplicate acknowledgements stand for packets that arrived, when the peer cannot say which (RFC 6582). How many bytes that is.
    fn count_duplicates(&mut self, f: &Feedback<'_>, progress: bool) -> u64 {
        let mss = u64::from(self.mss);
        if progress {
            if self.congestion.phase() == Phase::Repairing && f.ack < self.congestion.recover() {
                self.flight.lose_first();
            }
            return 0;
        }
        if !f.bare || f.ack != self.una() || self.flight.is_empty() {
            return 0;
        }
        self.duplicates = self.duplicates.saturating_add(1);
        // RFC 6582, section 3.2, step 2: what was sent again needlessly comes back as duplicates as well.
        let anew = self.congestion.phase() == Phase::Open && f.ack > self.congestion.recover();
        if self.duplicates == DUPLICATES && anew {
            self.flight.lose_first();
        }
        mss
    }

    /// What is lost costs the congestion window something, once for each recovery.
    fn answer_to_loss(&mut self) {
        let lost = self.flight.lost();
        if lost > 0 {
            self.congestion.on_loss(self.flight.under_way() + lost, self.next_new(), self.mss.into());
        }
    }

    /// RFC 8985, section 7.4: a loss that only the probe has repaired is one nevertheless.
    fn answer_to_probe(&mut self, ack: u64, duplicate: bool) {
        let Some(Probe { end, again, .. }) = self.probe else { return };
        if ack < end {
            return;
        }
        self.probe = None;
        if again && !duplicate && self.congestion.phase() == Phase::Open {
            let mss = u64::from(self.mss);
            self.congestion.on_loss(self.flight.under_way() + mss, ack, mss);
            self.congestion.repaired(ack);
        }
    }

    /// What is not acknowledged.
    pub(crate) fn queue(&mut self) -> &mut Chunks {
        &mut self.queue
    }

    /// Mixes what replicas must agree on into `digest`.
    pub(crate) fn digest(&self, mix: &mut impl FnMut(u64)) {
        mix(self.una());
        mix(self.next_new());
        mix(self.end());
        mix(self.flight.under_way());
        mix(self.flight.arrived());
        mix(self.congestion.window());
        mix(self.window.edge);
        mix(u64::try_from(self.rtt.timeout().as_nanos()).unwrap_or(u64::MAX));
    }

    /// What must hold; for values that come from elsewhere, and in tests.
    pub(crate) fn holds(&self) -> bool {
        let una = self.una();
        self.flight.holds()
            && self.congestion.holds()
            && self.rtt.holds()
            && self.queue.end() >= 1
            && self.queue.start() == una.clamp(1, self.queue.end())
            && self.next_new() <= self.end()
            && una <= self.end()
            && self.mss >= MIN_MSS
            && self.window.edge < 1 << 62
            && self.window.largest < 1 << 32
    }
}
