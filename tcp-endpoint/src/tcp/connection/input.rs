//! A segment arrives (RFC 9293, section 3.10.7, with RFC 5961 against forged ones and RFC 7323 against old ones).

use std::time::Duration;

use gcs::time::Time;

use super::{Acknowledge, Connection, Reason, Stamps, State, Surroundings};
use crate::tcp::{Segment, receiver::Receiver, segment::Payload, sender::Feedback, seq};

/// Challenge acknowledgements of a connection in a second (RFC 5961, section 7).
const CHALLENGES: u8 = 10;
/// Empty segments outside of the window are answered this often: two who do not agree must not answer each other for ever.
const STRAYS: Duration = Duration::from_millis(500);
/// `TS.Recent` is not believed after so long (RFC 7323, section 5.5).
const STAMPS_LAST: Duration = Duration::from_secs(24 * 24 * 3600);

/// What has become of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stays,
    /// It is over, and remembered for a while.
    Remembered,
    Gone(Reason),
}

impl Stamps {
    /// Protection against wrapped sequences (RFC 7323, section 5.3).
    fn make_old(&self, now: Time, value: u32) -> bool {
        seq::earlier(value, self.recent) && now.since(self.at) < STAMPS_LAST
    }
}

impl Connection {
    /// Takes a segment of this connection.
    pub(crate) fn on_segment(&mut self, segment: &Segment, host: &mut Surroundings<'_>) -> Outcome {
        if self.state == State::SynSent {
            return self.on_answer_to_syn(segment, host);
        }
        let now = host.now;
        let start = self.receiver.position(segment.seq);
        if self.state == State::SynReceived && segment.syn && start == Some(0) {
            return self.on_syn_again(now, segment);
        }
        match (&self.stamps, segment.options.timestamps) {
            (Some(_), None) if !segment.rst && !segment.syn => return Outcome::Stays,
            (Some(stamps), Some((value, _))) if !segment.rst && stamps.make_old(now, value) => {
                self.answer_stray(now, segment);
                return Outcome::Stays;
            }
            _ => {}
        }
        let Some(start) = start.filter(|at| self.within(*at, segment)) else {
            if let (false, Some(at)) = (segment.rst, start) {
                self.receiver.again(at, segment.payload_len() as u64);
            }
            self.answer_stray(now, segment);
            return Outcome::Stays;
        };
        if segment.rst {
            return self.on_reset(now, start);
        }
        if segment.syn {
            self.challenge(now);
            return Outcome::Stays;
        }
        let Some(ack) = segment.ack else { return Outcome::Stays };
        let Some(ack) = self.sender.position(ack).filter(|at| self.sender.acceptable(*at)) else {
            if self.state == State::SynReceived {
                host.out.extend(segment.refusal());
            } else {
                self.challenge(now);
            }
            return Outcome::Stays;
        };
        if self.state == State::SynReceived && ack == 0 {
            host.out.extend(segment.refusal());
            return Outcome::Stays;
        }
        self.heard = now;
        self.probes = 0;
        self.remember_stamp(now, segment, start);
        self.on_ack(now, segment, start, ack);
        let finished = self.sender.finished();
        match self.state {
            State::SynReceived => self.opens(),
            State::FinWait1 if finished => self.state = State::FinWait2,
            State::Closing if finished => return Outcome::Remembered,
            State::LastAck if finished => return Outcome::Gone(Reason::Ended),
            _ => {}
        }
        self.linger(now, host.config);
        self.on_bytes(segment, start, host)
    }

    /// Whether a segment brings bytes, an end, or an acknowledgement that are new; in doubt it does.
    pub(crate) fn awaits(&self, segment: &Segment) -> bool {
        let bytes = self.receiver.position(segment.seq);
        let ack = segment.ack.and_then(|ack| self.sender.position(ack));
        self.is_opening()
            || segment.rst
            || bytes.is_none_or(|at| at + segment.seq_len() > self.receiver.next())
            || ack.is_none_or(|at| at > self.sender.una())
    }

    /// RFC 9293, section 3.10.7.3.
    fn on_answer_to_syn(&mut self, segment: &Segment, host: &mut Surroundings<'_>) -> Outcome {
        let ack = segment.ack.map(|ack| self.sender.position(ack));
        if let Some(at) = ack
            && at != Some(1)
        {
            host.out.extend(segment.refusal());
            return Outcome::Stays;
        }
        if segment.rst {
            return if ack.is_some() { Outcome::Gone(Reason::Refused) } else { Outcome::Stays };
        }
        if !segment.syn {
            return Outcome::Stays;
        }
        let receive = host.config.receive_bytes;
        self.receiver = Receiver::new(segment.seq, host.config.shift());
        self.learn(host.now, &segment.options);
        if ack.is_none() {
            // Both open at the same time: our SYN leaves again, with an acknowledgement.
            self.heard = host.now;
            self.state = State::SynReceived;
            self.sender.kick(host.now);
            return Outcome::Stays;
        }
        self.receiver.announce(receive.min(u16::MAX.into()).into(), self.our_mss.into(), false);
        self.on_our_syn_acknowledged(host.now, segment);
        Outcome::Stays
    }

    /// The peer's SYN acknowledges ours. Its window has no scale (RFC 7323, section 2.2).
    fn on_our_syn_acknowledged(&mut self, now: Time, segment: &Segment) {
        self.heard = now;
        self.sender.announced(segment.window.into(), 0, 1);
        self.sender.acknowledged(&self.feedback(now, segment, 1, false));
        self.opens();
        self.acknowledge = Acknowledge::Now;
    }

    /// The peer's SYN again, before ours is acknowledged. If both open at the same time it may acknowledge ours (RFC 9293, figure 7).
    fn on_syn_again(&mut self, now: Time, segment: &Segment) -> Outcome {
        let ack = segment.ack.and_then(|ack| self.sender.position(ack));
        if self.active && ack == Some(1) {
            self.on_our_syn_acknowledged(now, segment);
        } else if segment.ack.is_none() {
            self.sender.again();
        }
        Outcome::Stays
    }

    /// RFC 9293, section 3.10.7.4, first; what is at the edge without bytes is let through as well, for its acknowledgement.
    fn within(&self, start: u64, segment: &Segment) -> bool {
        let next = self.receiver.next();
        start <= self.receiver.edge() && (start >= next || start + segment.seq_len() > next)
    }

    /// Something from outside of the window is answered, so that a peer that has lost track finds out.
    fn answer_stray(&mut self, now: Time, segment: &Segment) {
        if segment.rst {
            return;
        }
        if segment.payload.is_empty() && !segment.fin {
            if now.since(self.strayed) < STRAYS && self.strayed != Time::ZERO {
                return;
            }
            self.strayed = now;
        }
        self.acknowledge = Acknowledge::Now;
    }

    /// RFC 5961, section 3.2: only at exactly the expected number it is believed.
    fn on_reset(&mut self, now: Time, start: u64) -> Outcome {
        if start != self.receiver.next() {
            self.challenge(now);
            return Outcome::Stays;
        }
        match self.state {
            State::Closing | State::LastAck => Outcome::Gone(Reason::Ended),
            State::SynReceived => Outcome::Gone(Reason::Refused),
            _ => Outcome::Gone(Reason::Reset),
        }
    }

    fn challenge(&mut self, now: Time) {
        if now.since(self.challenges.0) >= Duration::from_secs(1) {
            self.challenges = (now, 0);
        }
        if self.challenges.1 < CHALLENGES {
            self.challenges.1 += 1;
            self.acknowledge = Acknowledge::Now;
        }
    }

    /// RFC 7323, section 4.3.
    fn remember_stamp(&mut self, now: Time, segment: &Segment, start: u64) {
        if let (Some(stamps), Some((value, _))) = (&mut self.stamps, segment.options.timestamps)
            && start <= self.last_ack
            && !stamps.make_old(now, value)
        {
            *stamps = Stamps { recent: value, at: now };
        }
    }

    fn feedback<'a>(&self, now: Time, segment: &'a Segment, ack: u64, bare: bool) -> Feedback<'a> {
        let echo =
            self.stamps.is_some().then_some(segment.options.timestamps).flatten().map(|(_, echo)| echo);
        Feedback { now, ack, sack: &segment.options.sack, echo, offset: self.offset, bare }
    }

    fn on_ack(&mut self, now: Time, segment: &Segment, start: u64, ack: u64) {
        if ack < self.sender.una() {
            return;
        }
        let window = u64::from(segment.window) << self.peer_shift.unwrap_or(0);
        let news = self.sender.announced(window, start, ack);
        let bare = !news && segment.payload.is_empty() && !segment.fin;
        let feedback = self.feedback(now, segment, ack, bare);
        self.sender.acknowledged(&feedback);
    }

    /// RFC 9293, section 3.10.7.4, seventh and eighth.
    fn on_bytes(&mut self, segment: &Segment, start: u64, host: &mut Surroundings<'_>) -> Outcome {
        let len = segment.payload_len();
        if len == 0 && !segment.fin {
            return Outcome::Stays;
        }
        let receives = matches!(self.state, State::Established | State::FinWait1 | State::FinWait2);
        if self.deaf && receives && start + len as u64 > self.receiver.next() {
            // Nobody reads this: the peer has to know (RFC 1122, section 4.2.2.13).
            host.out.push(self.reset());
            return Outcome::Gone(Reason::Aborted);
        }
        let had_finished = self.receiver.finished();
        let none = Payload::new();
        let receipt =
            self.receiver.receive(start, if receives { &segment.payload } else { &none }, segment.fin);
        self.unacknowledged += receipt.in_order;
        let finishes = self.receiver.finished() && !had_finished;
        let one = if segment.packet_bytes == 0 { len } else { usize::from(segment.packet_bytes) };
        self.packet = self.packet.max(u16::try_from(one).unwrap_or(u16::MAX).min(self.our_mss));
        let soon = self.unacknowledged >= 2 * u64::from(self.packet) || self.quick > 0;
        if receipt.urgent || finishes || soon {
            self.acknowledge = Acknowledge::Now;
        } else if self.acknowledge == Acknowledge::No {
            self.acknowledge = Acknowledge::Later(host.now + host.config.delayed_ack);
        }
        if finishes {
            match self.state {
                State::Established | State::SynReceived => self.state = State::CloseWait,
                State::FinWait1 => self.state = State::Closing,
                State::FinWait2 => return Outcome::Remembered,
                _ => {}
            }
        }
        Outcome::Stays
    }
}
