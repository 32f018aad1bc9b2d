//! Attributes from applications that send statsd datagrams.
//!
//! [`line`] reads them, [`totals`] sums up. What is sent to a full socket is lost: that is how statsd is. Bound: so many datagrams are read in
//! a while ([`limits::STATSD_DATAGRAMS`]), and the rest is left to the system to drop.

mod line;
mod totals;

use std::{io, time::Duration};

use tokio::{
    net::UdpSocket,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};

use self::totals::Totals;
use super::{handle::Handle, limits, store::SourceId};

/// Why something that was sent does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Ignored {
    #[error(
        "a line is not as statsd writes it; send name:value|c, |g, |ms, |h, |d or |s, with |@rate if sampled"
    )]
    Line,
    #[error("a datagram has more than {} bytes, or is not UTF-8; send less in one", limits::DATAGRAM_BYTES)]
    Datagram,
    #[error("there are more than {} names; use fewer", limits::STATSD_NAMES)]
    Names,
    #[error("a name is used for two kinds of metrics; use another one")]
    Kind,
    #[error("a gauge is changed by an amount before it had a value; set it first")]
    Delta,
    #[error(
        "more than {} datagrams came within {} ms; the system drops what is more",
        limits::STATSD_DATAGRAMS,
        limits::STATSD_TICK.as_millis()
    )]
    Flood,
}

/// How many datagrams may still be read.
struct Budget {
    left: u32,
    until: Instant,
}

impl Budget {
    fn spend(&mut self, now: Instant, bytes: usize) {
        if now >= self.until {
            *self = Self { left: limits::STATSD_DATAGRAMS, until: now + limits::STATSD_TICK };
        }
        let cost = bytes.div_ceil(limits::STATSD_DATAGRAM).max(1);
        self.left = self.left.saturating_sub(u32::try_from(cost).unwrap_or(u32::MAX));
    }
}

/// Reads datagrams for ever.
pub(super) async fn run(socket: UdpSocket, handle: Handle, every: Duration, life: Duration) {
    let clock = handle.shared.clock;
    let mut totals = Totals::new(clock.now());
    let mut flush = interval_at(Instant::now() + every, every);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut budget = Budget { left: limits::STATSD_DATAGRAMS, until: Instant::now() };
    let mut buffer = vec![0; limits::DATAGRAM_BYTES + 1];
    loop {
        tokio::select! {
            _ = flush.tick() => {
                for said in totals.flush(clock.now(), life) {
                    // What is refused is counted and said by the handle.
                    let _ = handle.put(SourceId::STATSD, said.name.as_str(), said.value, said.life.unwrap_or(life));
                }
            }
            () = sleep_until(budget.until), if budget.left == 0 => {
                handle.refuse(SourceId::STATSD, &Ignored::Flood);
                budget = Budget { left: limits::STATSD_DATAGRAMS, until: Instant::now() + limits::STATSD_TICK };
            }
            ready = socket.readable(), if budget.left > 0 => {
                if ready.is_ok() {
                    read(&socket, &handle, &mut totals, &mut budget, &mut buffer);
                }
            }
        }
    }
}

/// Datagrams that are read in a row; then others have their turn.
const BATCH: usize = 64;

/// Reads what has come, as far as the budget goes.
fn read(socket: &UdpSocket, handle: &Handle, totals: &mut Totals, budget: &mut Budget, buffer: &mut [u8]) {
    let now = handle.shared.clock.now();
    for _ in 0..BATCH {
        if budget.left == 0 {
            return;
        }
        let received = match socket.try_recv(buffer) {
            Ok(received) => received,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            // Of an earlier datagram; the next one can be read.
            Err(_) => 0,
        };
        budget.spend(Instant::now(), received);
        let text = buffer.get(..received).filter(|b| b.len() <= limits::DATAGRAM_BYTES);
        match text.and_then(|bytes| std::str::from_utf8(bytes).ok()) {
            Some(text) => totals.add(now, text, |why| handle.refuse(SourceId::STATSD, &why)),
            None => handle.refuse(SourceId::STATSD, &Ignored::Datagram),
        }
    }
}
