//! When a sender becomes impatient, and what it does then (RFC 6298; RFC 8985). The deadline is a function of the state: nothing is armed or
//! cancelled.

use std::time::Duration;

use gcs::time::Time;

use super::{Phase, Sender, timestamp};
use crate::tcp::flight::Fate;

/// How long a receiver may hold back the acknowledgement of a single packet (RFC 8985, section 7.2).
const HELD_BACK: Duration = Duration::from_millis(200);

/// What to do when a deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Impatience {
    Reordering,
    Probe,
    Timeout,
    Window,
}

impl Sender {
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
                self.answer_to_loss();
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
}
