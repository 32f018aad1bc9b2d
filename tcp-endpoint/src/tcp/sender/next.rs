//! Which bytes leave next: lost ones, then new ones.

use std::ops::Range;

use gcs::time::Time;

use super::{Probe, Sender, timestamp};

/// Transmissions on the list: beyond that, small writes wait and leave together.
const ENTRIES: usize = 16_384;

impl Sender {
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
}
