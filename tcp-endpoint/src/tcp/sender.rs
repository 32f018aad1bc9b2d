//! What leaves: which bytes to send next, which to send again, and when to become impatient (RFC 9293, section 3.8;
//! RFC 8985 with tail loss probes; RFC 6582 for peers without SACK).
//!
//! ```text
//!   acknowledgement ─► flight (what arrived) ─► rack (what is lost) ─► cubic (how much may be under way)
//!                                                                         │
//!   deadline: reordering │ tail loss probe │ timeout │ window probe   next: lost bytes, then new ones
//! ```
//!
//! The deadline is a function of the state: nothing is armed or cancelled. A window probe carries nothing (as Linux has always done; RFC
//! 9293, section 3.8.6.1 has it carry a byte): it lies before the window, and every receiver answers that.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use gcs::time::Time;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    MIN_MSS, Seq,
    chunks::Chunks,
    cubic::{self, Cubic, Phase},
    flight::{Fate, Flight},
    rack::Rack,
    rtt::Rtt,
    seq,
};

/// Transmissions on the list: beyond that, small writes wait and leave together.
const ENTRIES: usize = 16_384;
/// How long a receiver may hold back the acknowledgement of a single packet (RFC 8985, section 7.2).
const HELD_BACK: Duration = Duration::from_millis(200);
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

/// What to do when a deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Impatience {
    Reordering,
    Probe,
    Timeout,
    Window,
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
    pub(crate) fn bytes(&mut self, range: &Range<u64>, payload: &mut super::Payload) -> (bool, bool) {
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

    /// Takes an acknowledgement. Whether it was of something new.
    pub(crate) fn acknowledged(&mut self, f: &Feedback<'_>) -> bool {
        let (una, phase) = (self.una(), self.congestion.phase());
        let progress = f.ack > una;
        let mut arrived = 0;
        // The last that was sent, and whether once: what is older may have waited for an acknowledgement that was lost.
        let mut last: Option<(Time, bool)> = None;
        let least = self.rtt.least();
        let (blocks, duplicate) = self.blocks(f);
        let (flight, rack) = (&mut self.flight, &mut self.rack);
        let mut new = |sent: &super::flight::Sent| {
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
        self.rack.acknowledged(f.ack, phase != Phase::Open && f.ack >= self.congestion.recover());
        if self.sack {
            let rtts = self.rtts();
            self.reordering =
                self.rack.detect(f.now, &mut self.flight, self.mss.into(), phase != Phase::Open, rtts);
        } else {
            arrived += self.count_duplicates(f, progress);
        }
        self.answer_to_probe(f.ack, duplicate);
        if self.flight.lost() > 0 {
            self.congestion.on_loss(
                self.flight.under_way() + self.flight.lost(),
                self.next_new(),
                self.mss.into(),
            );
        }
        let under_way = self.flight.under_way();
        self.congestion.on_ack(&cubic::Ack {
            now: f.now,
            rtt: self.rtt.smoothed().unwrap_or_default(),
            arrived,
            una: self.una(),
            under_way,
            mss: self.mss.into(),
            limited: self.limited,
        });
        if self.congestion.phase() == Phase::Open {
            self.stamp = None;
        }
        progress
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
        }
    }

    /// When to become impatient, and about what.
    pub(crate) fn deadline(&self) -> Option<(Time, Impatience)> {
        if let Some(at) = self.reordering {
            return Some((at, Impatience::Reordering));
        }
        let Some(first) = self.flight.first() else {
            let waits = self.waits_for_window();
            let patience = self.rtt.timeout() * (1 << self.window.probes.min(8));
            let at = self.since.max(self.window.probed) + patience.min(Duration::from_secs(60));
            return waits.then_some((at, Impatience::Window));
        };
        let base = if first.fate == Fate::Lost { self.since } else { self.since.max(first.at) };
        // RFC 8985, section 7.3: a probe starts the timer anew.
        let base = self.probe.map_or(base, |probe| base.max(probe.at));
        let timeout = base + self.rtt.timeout();
        let calm =
            self.congestion.phase() == Phase::Open && self.flight.lost() == 0 && self.flight.arrived() == 0;
        if self.sack && calm && self.probe.is_none() && self.rtt.backed_off() == 0 && self.una() > 0 {
            let single = self.flight.under_way() <= u64::from(self.mss);
            let patience = self.rtt.smoothed().map_or(Duration::from_secs(1), |srtt| srtt * 2)
                + if single { HELD_BACK } else { Duration::from_millis(2) };
            return Some(((self.since.max(self.last_sent) + patience).min(timeout), Impatience::Probe));
        }
        Some((timeout, Impatience::Timeout))
    }

    /// Since when nothing new has been acknowledged; None if nothing waits for it.
    pub(crate) fn unanswered_since(&self) -> Option<Time> {
        (!self.flight.is_empty()).then_some(self.since)
    }

    /// The peer takes nothing at the moment.
    pub(crate) fn closed_window(&self) -> bool {
        self.window.edge <= self.una()
    }

    /// Nothing is under way although there is something to send.
    pub(crate) fn waits_for_window(&self) -> bool {
        self.flight.is_empty() && self.next_new() < self.end() && self.next_new() > 0
    }

    /// A deadline has passed.
    pub(crate) fn impatient(&mut self, now: Time, about: Impatience, offset: u32) {
        match about {
            Impatience::Reordering => {
                let rtts = self.rtts();
                self.reordering = self.rack.detect(now, &mut self.flight, self.mss.into(), true, rtts);
                if self.flight.lost() > 0 {
                    self.congestion.on_loss(
                        self.flight.under_way() + self.flight.lost(),
                        self.next_new(),
                        self.mss.into(),
                    );
                }
            }
            Impatience::Probe => self.probe_now = true,
            Impatience::Timeout => self.timeout(now, offset),
            Impatience::Window => {
                self.window.probes = self.window.probes.saturating_add(1);
                self.window.probed = now;
            }
        }
    }

    /// RFC 6298, section 5; RFC 8985, section 6.3; RFC 2018, section 8.
    fn timeout(&mut self, now: Time, offset: u32) {
        self.rtt.back_off();
        if self.flight.first().is_some_and(|s| s.fate == Fate::Arrived) {
            self.flight.forget_arrived();
        }
        self.flight.lose_first();
        self.first_now = true;
        let rtts = self.rtts();
        self.rack.timeout(now, &mut self.flight, rtts);
        self.congestion.on_timeout(self.next_new(), self.mss.into());
        self.stamp.get_or_insert(timestamp(now, offset));
        self.probe = None;
        self.duplicates = 0;
        self.reordering = None;
    }

    /// What is under way leaves again, because the peer has asked for it. The patience with it is what it was.
    pub(crate) fn again(&mut self) {
        self.flight.lose(|_| true);
    }

    /// Everything that is not acknowledged is to be sent again, at once: whoever sent it may have died with it.
    pub(crate) fn kick(&mut self, now: Time) {
        self.flight.forget_arrived();
        self.flight.lose(|_| true);
        self.reordering = None;
        self.probe = None;
        self.since = now;
        self.rtt.forget_backoff();
        self.window.probes = 0;
        self.congestion.restart(self.mss.into());
        self.congestion.doubts(self.next_new());
    }

    /// The next bytes to leave, at most `burst` (whole packets of `packet` bytes): lost ones, then new ones. They count as sent.
    pub(crate) fn next(
        &mut self,
        now: Time,
        packet: u64,
        burst: u64,
        nagle: bool,
        offset: u32,
    ) -> Option<Range<u64>> {
        if self.flight.is_empty() && now.since(self.last_sent) > self.rtt.timeout() {
            self.congestion.restart(self.mss.into());
        }
        let room = self.congestion.window().saturating_sub(self.flight.under_way());
        if std::mem::take(&mut self.probe_now) {
            return self.tail_loss_probe(now, packet);
        }
        let range = if let Some(lost) = self.flight.next_lost() {
            let wanted = (lost.end - lost.start).min(burst);
            let mut may = if wanted <= room { wanted } else { room / packet * packet };
            if may == 0 && (self.first_now || self.flight.under_way() == 0) {
                may = wanted.min(packet);
            }
            self.first_now = false;
            if may == 0 {
                self.limited = true;
                return None;
            }
            let range = lost.start..lost.start + may;
            self.flight.resent(&range, packet, now);
            self.stamp.get_or_insert(timestamp(now, offset));
            range
        } else {
            self.new_bytes(now, packet, burst, room, nagle)?
        };
        self.congestion.on_sent(range.end - range.start);
        self.last_sent = now;
        Some(range)
    }

    fn new_bytes(
        &mut self,
        now: Time,
        packet: u64,
        burst: u64,
        room: u64,
        nagle: bool,
    ) -> Option<Range<u64>> {
        let start = self.next_new();
        let available = self.end() - start;
        let ready = self.window.edge.saturating_sub(start);
        self.limited = available > 0 && room < available.min(ready);
        let mut len = available.min(burst).min(ready).min(room);
        if len < available && !self.worth_it(now, len, packet, room) {
            len -= len % packet;
        }
        let small = len < packet && !(self.fin && len == available);
        let waits = nagle && small && !self.flight.is_empty();
        if len == 0 || waits || self.flight.entries() >= ENTRIES {
            return None;
        }
        if self.flight.is_empty() {
            self.since = now;
        }
        self.flight.push(start + len, packet, now);
        Some(start..start + len)
    }

    /// A packet that is not full, though more waits, leaves only when the peer's window is the reason and it is small or long
    /// waited for (RFC 9293, section 3.8.6.2.1).
    fn worth_it(&self, now: Time, len: u64, packet: u64, room: u64) -> bool {
        let ready = self.window.edge.saturating_sub(self.next_new());
        let waited = self.window.probes > 0 && self.window.probed == now;
        len < packet && len == ready && len <= room && (len * 2 >= self.window.largest || waited)
    }

    /// RFC 8985, section 7.3: something new if there is, the last packet otherwise; whatever the congestion window says.
    fn tail_loss_probe(&mut self, now: Time, packet: u64) -> Option<Range<u64>> {
        let start = self.next_new();
        let len = (self.end() - start).min(packet).min(self.window.edge.saturating_sub(start));
        let (range, again) = if len > 0 {
            self.flight.push(start + len, packet, now);
            (start..start + len, false)
        } else {
            let range = self.flight.last(packet)?;
            self.flight.resent(&range, packet, now);
            (range, true)
        };
        self.probe = Some(Probe { end: self.next_new(), again, at: now });
        self.last_sent = now;
        Some(range)
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
            && self.queue.start() == una.clamp(1, self.queue.end())
            && self.next_new() <= self.end()
            && una <= self.end()
            && self.mss >= MIN_MSS
            && self.window.edge < 1 << 62
            && self.window.largest < 1 << 32
    }
}
