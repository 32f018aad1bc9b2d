//! One connection (RFC 9293, section 3.3.2).
//!
//! ```text
//!   SynSent ──► SynReceived ──► Established ──FIN──► CloseWait ──close──► LastAck ──► gone
//!      └──────────────────────────► │
//!                                 close
//!                                   ▼
//!                               FinWait1 ──ACK──► FinWait2 ──FIN──► remembered (TIME-WAIT)
//!                                   └─FIN──► Closing ──ACK──────────────► │
//! ```
//!
//! - [`input`]: a segment arrives. [`output`]: what leaves. [`time`]: what time alone changes.
//!
//! LISTEN and TIME-WAIT are no states of a connection: the host keeps them, in less memory. Segments change the state; what they cause to
//! leave is decided once for a whole batch, in `poll`. Urgent data is taken for ordinary data.

mod input;
mod output;
mod time;

use std::net::SocketAddr;

use bytes::Bytes;
use gcs::time::Time;
use serde::{Deserialize, Serialize};

pub(crate) use self::input::Outcome;
use super::{
    Config, MIN_MSS, Options, Payload, Segment, Seq,
    chunks::Chunks,
    receiver::Receiver,
    sender::{Impatience, Sender},
};

/// Acknowledgements at the beginning of a connection that do not wait for company: the peer's window is small.
const QUICK: u8 = 16;

/// Smaller packets of the peer count as small, not as what its path carries (RFC 9293, section 3.7.1).
const LEAST_PACKET: u16 = 536;

/// The state of a connection, by its name in RFC 9293.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// We have sent a SYN.
    SynSent,
    /// We have answered a SYN.
    SynReceived,
    /// Both directions are open.
    Established,
    /// We have ended our stream.
    FinWait1,
    /// We have, and the peer knows.
    FinWait2,
    /// The peer has ended its stream.
    CloseWait,
    /// Both have; the peer may not know of ours.
    Closing,
    /// The peer ended first, and may not know of our end.
    LastAck,
    /// Both have ended (CLOSED, or TIME-WAIT): what the application has not read is still there.
    Over,
}

/// Why a connection is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Both streams have ended.
    Ended,
    /// The peer has reset it.
    Reset,
    /// Nobody listens there.
    Refused,
    /// The peer has not answered for too long.
    TimedOut,
    /// The application has given it up.
    Aborted,
}

/// Timestamps of a connection (RFC 7323, section 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamps {
    /// `TS.Recent`, and when it was set.
    recent: u32,
    at: Time,
}

/// Whether an acknowledgement is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Acknowledge {
    No,
    /// When something else leaves, or at this time.
    Later(Time),
    Now,
}

/// What a connection needs of its endpoint while it takes something in.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Time,
    pub(crate) config: &'a Config,
    /// For answers that do not wait for [`Connection::poll`].
    pub(crate) out: &'a mut Vec<Segment>,
}

/// A connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Connection {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    state: State,
    /// We have opened it, the peer's SYN may have crossed ours; otherwise the application does not know of it until it is open.
    active: bool,
    sender: Sender,
    receiver: Receiver,
    /// Shift count of the peer's windows; None until both have offered the option.
    peer_shift: Option<u8>,
    stamps: Option<Stamps>,
    /// Offset of our timestamps.
    offset: u32,
    /// Shift count that our SYN offers.
    offered_shift: u8,
    /// Largest segment that we announced.
    our_mss: u16,
    /// `Last.ACK.sent`.
    last_ack: u64,
    acknowledge: Acknowledge,
    /// The largest packet that came, which is the measure for two of them (RFC 9293, section 3.8.6.3).
    packet: u16,
    /// Bytes that came since the last acknowledgement left.
    unacknowledged: u64,
    quick: u8,
    /// Something is to leave although there is nothing to say: from before the window, so that the peer answers.
    asks: bool,
    /// The last sign of life, and probes since.
    heard: Time,
    probes: u8,
    /// Challenge acknowledgements (RFC 5961) of this second.
    challenges: (Time, u8),
    /// The last answer to an empty segment outside of the window.
    strayed: Time,
    /// The application does not read any more.
    deaf: bool,
    /// Our side is closed, and the peer has until then to close its own.
    until: Option<Time>,
    /// The application could not write all that it wanted, and has to be told when it may go on.
    pub(crate) wants_to_write: bool,
}

impl Connection {
    fn new(
        local: SocketAddr,
        remote: SocketAddr,
        state: State,
        now: Time,
        config: &Config,
        secrets: (Seq, u32),
    ) -> Self {
        let our_mss = config.mss(remote.is_ipv6());
        Self {
            local,
            remote,
            state,
            active: false,
            sender: Sender::new(secrets.0, our_mss, now),
            receiver: Receiver::default(),
            peer_shift: None,
            stamps: None,
            offset: secrets.1,
            offered_shift: config.shift(),
            our_mss,
            last_ack: 0,
            acknowledge: Acknowledge::No,
            packet: LEAST_PACKET,
            unacknowledged: 0,
            quick: QUICK,
            asks: false,
            heard: now,
            probes: 0,
            challenges: (Time::ZERO, 0),
            strayed: Time::ZERO,
            deaf: false,
            until: None,
            wants_to_write: false,
        }
    }

    /// A connection that we open. `secrets`: its initial sequence number and its timestamps' offset.
    pub(crate) fn active(
        local: SocketAddr,
        remote: SocketAddr,
        now: Time,
        config: &Config,
        secrets: (Seq, u32),
    ) -> Self {
        let new = Self::new(local, remote, State::SynSent, now, config, secrets);
        Self { active: true, ..new }
    }

    /// A connection that the SYN `syn` opens.
    pub(crate) fn passive(syn: &Segment, now: Time, config: &Config, secrets: (Seq, u32)) -> Self {
        let mut it = Self::new(syn.to, syn.from, State::SynReceived, now, config, secrets);
        it.receiver = Receiver::new(syn.seq, config.shift());
        it.learn(now, &syn.options);
        it
    }

    /// The SYN has been answered already, by a cookie; nobody knows when, so that says nothing about the round-trip time.
    pub(crate) fn answered(&mut self, now: Time, config: &Config) {
        let mut forgotten = Vec::new();
        self.poll(now, config, config.receive_bytes.into(), &mut forgotten);
        self.sender.again();
        self.poll(now, config, config.receive_bytes.into(), &mut forgotten);
    }

    /// Takes the options of the peer's SYN.
    fn learn(&mut self, now: Time, options: &Options) {
        // RFC 9293, section 3.7.1: without the option 536 bytes, or 1220 over IPv6.
        let mss = options.mss.unwrap_or(if self.remote.is_ipv6() { 1220 } else { 536 });
        self.sender.limit_mss(mss.max(MIN_MSS));
        self.sender.opened();
        self.sender.sack = options.sack_permitted;
        self.peer_shift = options.window_scale.map(|s| s.min(14));
        if self.peer_shift.is_none() {
            self.receiver.no_scale();
        }
        self.stamps = options.timestamps.map(|(value, _)| Stamps { recent: value, at: now });
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// A client is opening it, and the application does not know of it yet.
    pub(crate) fn is_knocking(&self) -> bool {
        self.state == State::SynReceived && !self.active
    }

    /// Not both SYNs are acknowledged.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.state, State::SynSent | State::SynReceived)
    }

    /// Bytes in memory.
    pub(crate) fn held(&self) -> u64 {
        self.sender.held() + self.receiver.held()
    }

    /// Bytes that wait for the application; whether the peer's stream has ended behind them.
    pub(crate) fn readable(&self) -> (u64, bool) {
        (self.receiver.unread(), self.receiver.finished())
    }

    /// The next bytes for the application, at most `most`.
    pub(crate) fn read(&mut self, most: u64) -> Payload {
        self.receiver.read(most)
    }

    /// How many bytes may be written now.
    pub(crate) fn room(&self, config: &Config) -> u64 {
        if !self.may_write() { 0 } else { u64::from(config.send_bytes).saturating_sub(self.sender.held()) }
    }

    /// Whether our stream has no end yet, and somebody to go to.
    pub(crate) fn may_write(&self) -> bool {
        !self.sender.ends() && self.state != State::Over
    }

    /// Nobody reads any more.
    pub(crate) fn deaf(&self) -> bool {
        self.deaf
    }

    /// Appends to our stream.
    pub(crate) fn write(&mut self, bytes: Bytes) {
        self.sender.write(bytes);
    }

    /// Ends our stream behind what was written (half-close).
    pub(crate) fn finish(&mut self) {
        if self.sender.ends() {
            return;
        }
        self.sender.finish();
        self.state = match self.state {
            State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            // Whose SYN is not acknowledged yet comes there once it is.
            other => other,
        };
    }

    /// The application will not read any more, either. False if something that it has not read is lost by that: then the connection has to
    /// be reset (RFC 9293, section 3.10.4, and RFC 1122, 4.2.2.13).
    pub(crate) fn close(&mut self, now: Time, config: &Config) -> bool {
        self.deaf = true;
        let (unread, _) = self.readable();
        self.receiver.discard();
        self.finish();
        self.linger(now, config);
        unread == 0
    }

    /// Both streams have ended; the application has yet to read.
    pub(crate) fn over(&mut self) {
        self.state = State::Over;
    }

    /// Both streams may carry bytes: as Established, or already on the way to the end.
    fn opens(&mut self) {
        self.state = if self.sender.ends() { State::FinWait1 } else { State::Established };
    }

    /// In FIN-WAIT-2 nobody waits for ever for a peer, if there is nobody to read.
    fn linger(&mut self, now: Time, config: &Config) {
        if self.deaf && self.state == State::FinWait2 && self.until.is_none() {
            self.until = Some(now + config.linger);
        }
    }

    /// The reset that ends it.
    pub(crate) fn reset(&mut self) -> Segment {
        let seq = self.sender.seq(self.sender.next_new());
        let ack = (self.state != State::SynSent).then(|| self.receiver.ack());
        let mut reset = Segment::new(self.local, self.remote, seq, ack);
        reset.rst = true;
        reset
    }

    /// Packets to the peer carry no more than `mtu` bytes: a router said so about the segment at `seq` (RFC 8201, RFC 5927: only if that is under
    /// way).
    pub(crate) fn path_mtu(&mut self, now: Time, seq: Seq, mtu: u16) {
        let headers = if self.remote.is_ipv6() { 60 } else { 40 };
        let under_way = self
            .sender
            .position(seq)
            .is_some_and(|at| self.sender.una() <= at && at < self.sender.next_new());
        let mss = mtu.saturating_sub(headers).max(MIN_MSS);
        if under_way && mss < self.sender.mss() {
            self.sender.limit_mss(mss);
            self.sender.kick(now);
        }
    }

    /// The host that held the connection is gone: this one sends what the peer may have missed, and says how far it has come.
    pub(crate) fn kick(&mut self, now: Time) {
        self.sender.kick(now);
        if self.is_opening() {
            return;
        }
        self.acknowledge = Acknowledge::Now;
        // That the peer's window has opened may have been said to the host that is gone: what fits into it makes the peer say so again, or a
        // question.
        if self.sender.waits_for_window() {
            self.sender.impatient(now, Impatience::Window, self.offset);
            self.asks = true;
        }
    }

    /// What remains of it after its end: our next number, the peer's, and its last timestamp.
    pub(crate) fn remains(&self) -> Remains {
        Remains {
            next: self.sender.seq(self.sender.next_new()),
            ack: self.receiver.ack(),
            recent: self.stamps.as_ref().map(|s| s.recent),
            offset: self.offset,
        }
    }

    /// Mixes what replicas must agree on into a digest.
    pub(crate) fn digest(&self, mix: &mut impl FnMut(u64)) {
        mix(self.state as u64);
        self.sender.digest(mix);
        mix(self.receiver.next());
        mix(self.receiver.edge());
        mix(self.receiver.held());
        mix(self.stamps.as_ref().map_or(0, |s| s.recent.into()));
        mix(self.last_ack);
    }

    /// What must hold; for values that come from elsewhere, and in tests.
    pub(crate) fn holds(&self) -> bool {
        let opening = self.state == State::SynSent;
        self.sender.holds()
            && (opening || self.receiver.holds())
            && self.local.is_ipv4() == self.remote.is_ipv4()
    }

    /// What is not acknowledged, what has not been read, and what has arrived out of order: what a snapshot has beside the rest.
    pub(crate) fn queues(&mut self) -> (&mut Chunks, &mut Chunks, impl Iterator<Item = (u64, Bytes)>) {
        let (ready, early) = self.receiver.queues();
        (self.sender.queue(), ready, early)
    }

    /// Some bytes had arrived out of order.
    pub(crate) fn thaw_early(&mut self, start: u64, bytes: Bytes) {
        self.receiver.thaw_early(start, bytes);
    }
}

/// What is remembered of a connection in TIME-WAIT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remains {
    pub(crate) next: Seq,
    pub(crate) ack: Seq,
    pub(crate) recent: Option<u32>,
    pub(crate) offset: u32,
}

impl Config {
    /// The shift count with which the largest window fits into 16 bits (RFC 7323, section 2.2).
    pub(crate) fn shift(&self) -> u8 {
        (0..14).find(|s| self.receive_bytes >> s <= u32::from(u16::MAX)).unwrap_or(14)
    }
}
