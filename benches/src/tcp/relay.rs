//! A long and lossy cable between a host of the playground and its switch (what `netem` does where the kernel has it).
//!
//! ```text
//!   host: eth0 (TAP) ⇄ one thread: a line with delay and loss for each direction ⇄ far0 (TAP), a port of br0
//! ```
//!
//! The TAPs offer no offload: the kernel cuts super-packets into frames of the MTU and fills in checksums before they come here, so a
//! lost frame is a lost packet. Each frame is lost with the same probability in either direction, acknowledgements as well as data, by a
//! seeded generator for each direction. Delay is constant, order is kept.
//!
//! Bound: a direction holds back `HELD` frames; what finds it full is dropped and counted.

#![expect(clippy::disallowed_methods, reason = "real frames are held back for a real time")]

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use gcs::rng::Rng;
use gcs_tcp_endpoint::{
    link::{Frame, Packet, Received},
    net::{Interface as _, Tap},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smallvec::SmallVec;
use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Frames that a direction holds back: 24 MB with an MTU of 1500, six times the largest window of either side.
const HELD: usize = 16_384;
/// Frames that wait in the kernel until they are taken.
const QUEUE: u32 = 8_192;
/// Of so many frames `lost` are lost.
const SCALE: u64 = 1_000_000;
const ETHERNET: usize = 14;

/// How bad the cable is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// The delay in each direction.
    delay: Duration,
    /// Frames lost in each direction, of a million.
    lost: u64,
    /// Of the losses.
    seed: u64,
}

/// What has become of the frames of both directions.
#[derive(Debug, Default)]
pub struct Carried {
    /// Came out at the other end.
    pub carried: AtomicU64,
    /// Were lost on purpose.
    pub lost: AtomicU64,
    /// Found the line full, or were refused at its end.
    pub full: AtomicU64,
}

/// Gives `host` the interface `eth0` with `address`, over a cable to the bridge `br0`, for packets of `mtu` bytes. Frames pass as long as
/// this process lives.
///
/// # Errors
/// There is no privilege to make interfaces.
pub fn connect(host: &str, address: Ipv4Addr, mtu: usize, path: Path) -> anyhow::Result<Arc<Carried>> {
    let open = |name| Tap::open(name, mtu, false).context("an end of the cable");
    let (near, far) = (open("near0")?, open("far0")?);
    let queue = QUEUE.to_string();
    for line in [
        format!("link set far0 txqueuelen {queue} master br0"),
        format!("link set near0 txqueuelen {queue} netns {host}"),
        format!("-n {host} link set near0 name eth0"),
        format!("-n {host} addr add {address}/24 dev eth0"),
        format!("-n {host} link set eth0 mtu {mtu} up"),
    ] {
        let done = Command::new("ip").args(line.split(' ')).status()?;
        ensure!(done.success(), "failed: ip {line}");
    }
    let counts = Arc::new(Carried::default());
    let mut relay = Relay { ends: [near, far], lines: path.lines(), counts: counts.clone() };
    thread::spawn(move || {
        // Whoever measures sees that nothing arrives any more.
        if let Err(e) = relay.run() {
            eprintln!("the cable is broken: {e}");
        }
    });
    Ok(counts)
}

impl Path {
    /// One of `delay_ms` milliseconds and `loss` percent.
    ///
    /// # Errors
    /// The delay is not between 0 and 10 s, or the loss not between 0 and 100 %.
    pub fn new(delay_ms: f64, loss: f64, seed: u64) -> anyhow::Result<Self> {
        ensure!((0.0..=10_000.0).contains(&delay_ms), "the delay is not between 0 and 10,000 ms: {delay_ms}");
        ensure!((0.0..=100.0).contains(&loss), "the loss is not between 0 and 100 %: {loss}");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the scale"
        )]
        let lost = (loss / 100.0 * SCALE as f64).round() as u64;
        Ok(Self { delay: Duration::from_secs_f64(delay_ms / 1e3), lost, seed })
    }

    fn lines(self) -> [Line; 2] {
        let mut rng = Rng::new(self.seed);
        std::array::from_fn(|_| Line { path: self, rng: rng.fork(), held: VecDeque::new() })
    }
}

/// What becomes of a frame that enters a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Held,
    Lost,
    Full,
}

/// One direction.
struct Line<F = Frame> {
    path: Path,
    rng: Rng,
    /// In the order of their times.
    held: VecDeque<(Instant, F)>,
}

impl<F> Line<F> {
    fn enter(&mut self, now: Instant, frame: F) -> Fate {
        if self.rng.below(SCALE) < self.path.lost {
            return Fate::Lost;
        }
        if self.held.len() >= HELD {
            return Fate::Full;
        }
        self.held.push_back((now + self.path.delay, frame));
        Fate::Held
    }

    /// What leaves it at `now`.
    fn leave(&mut self, now: Instant) -> impl Iterator<Item = F> {
        let count = self.held.partition_point(|(at, _)| *at <= now);
        self.held.drain(..count).map(|(_, frame)| frame)
    }
}

struct Relay {
    ends: [Tap; 2],
    /// `lines[i]` begins at `ends[i]`.
    lines: [Line; 2],
    counts: Arc<Carried>,
}

impl Relay {
    fn run(&mut self) -> anyhow::Result<()> {
        let (mut received, mut leaving) = (Vec::new(), Vec::new());
        loop {
            self.wait()?;
            for from in 0..2 {
                self.ends[from].recv(&mut received)?;
                let now = Instant::now();
                for frame in received.drain(..) {
                    let fate = self.lines[from].enter(now, copied(&frame));
                    self.count(fate);
                }
                leaving.extend(self.lines[from].leave(now));
                self.counts.carried.fetch_add(leaving.len() as u64, Ordering::Relaxed);
                self.ends[1 - from].send(&mut leaving, &|| true)?;
            }
        }
    }

    fn count(&self, fate: Fate) {
        let counter = match fate {
            Fate::Held => return,
            Fate::Lost => &self.counts.lost,
            Fate::Full => &self.counts.full,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Until a frame comes, or is to leave.
    fn wait(&self) -> anyhow::Result<()> {
        let first = self.lines.iter().filter_map(|line| line.held.front()).map(|(at, _)| *at).min();
        let timeout = first.map(|at| Timespec::try_from(at.saturating_duration_since(Instant::now())));
        let mut ends = self.ends.each_ref().map(|end| PollFd::from_borrowed_fd(end.poll_fd(), PollFlags::IN));
        match poll(&mut ends, timeout.transpose()?.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e).context("waiting for frames"),
        }
    }
}

/// In memory of its own: what was received is a slice of a large buffer.
fn copied(frame: &Received) -> Frame {
    let (link, rest) = frame.bytes.split_at(frame.bytes.len().min(ETHERNET));
    let packet = Packet { payload: SmallVec::from_iter([Bytes::copy_from_slice(rest)]), ..Packet::default() };
    Frame { link: SmallVec::from_slice(link), packet }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(lost: u64, seed: u64) -> Line<u32> {
        let path = Path { delay: Duration::from_millis(10), lost, seed };
        Line { path, rng: Rng::new(seed), held: VecDeque::new() }
    }

    #[test]
    fn frames_leave_in_order_when_their_time_has_come() {
        let (mut line, start) = (line(0, 1), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for i in 0..3 {
            assert_eq!(line.enter(at(i), u32::try_from(i).unwrap()), Fate::Held);
        }
        assert_eq!(line.leave(at(9)).count(), 0);
        assert_eq!(line.leave(at(11)).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(line.leave(at(20)).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn as_many_are_lost_as_was_asked_for_and_the_same_again_with_the_same_seed() {
        let start = Instant::now();
        let lost = |seed| {
            let mut line = line(10_000, seed);
            (0..100_000)
                .filter(|i| {
                    let fate = line.enter(start, *i);
                    line.held.clear();
                    fate == Fate::Lost
                })
                .collect::<Vec<_>>()
        };
        assert!((900..1100).contains(&lost(1).len()), "{}", lost(1).len());
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    }

    #[test]
    fn a_line_is_bounded() {
        let (mut line, start) = (line(0, 1), Instant::now());
        assert!((0..HELD).all(|_| line.enter(start, 0) == Fate::Held));
        assert_eq!(line.enter(start, 0), Fate::Full);
    }
}
