//! A member process of a measurement.

pub(crate) mod cpg;
mod lossy;
mod replica;
mod rpc;
mod span;
mod udp;

use lossy::Lossy;
pub(crate) use replica::VALUE;
pub use rpc::Wanted;
use span::Span;

use crate::report::{Figures, Gap, Line, Percentiles, histogram, print, wall_ns};
use anyhow::Context as _;
use gcs::{
    endpoint::Event,
    group::{Builder, Group},
    guard::Keys,
    keys::PreShared,
    sim::certified,
};
use gcs_tcp_endpoint::playground;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::{
    net::{SocketAddr, SocketAddrV4},
    sync::Arc,
    thread,
    time::Duration,
};

/// The shortest time without a delivery that is noted, in nanoseconds.
pub(crate) const SMALLEST_GAP: u64 = 200_000;
/// How many are noted; later ones are not.
const MOST_GAPS: usize = 20_000;

/// A thread that sleeps for less wakes up later than it should, and spends a core on that.
const SHORTEST_SLEEP: u64 = 100_000;

/// About how many latencies of each sender are noted a second, in open loop.
const SAMPLES_PER_SECOND: u64 = 50_000;

/// What a member does once all are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Cast as fast as the group takes it.
    Flood,
    /// Cast one message, wait for it, cast the next.
    PingPong,
    /// Cast `rate` messages a second.
    Steady {
        /// Messages a second.
        rate: u64,
    },
    /// Only receive.
    Listen,
    /// Serve requests to the group, and call it with so many calls under way.
    Call {
        /// How many replies a call waits for.
        wanted: Wanted,
        /// Calls under way; 0: only serve.
        in_flight: usize,
    },
    /// Do not even look at what was delivered.
    Ignore,
    /// Be a replica of a map. The first fills it; then all write.
    Replica {
        /// The size of the state in MiB; 0 at the others than the first.
        fill: u64,
        /// Writes a second.
        rate: u64,
    },
}

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum System {
    /// A group of this toolkit.
    Gcs,
    /// Corosync's closed process groups.
    Cpg {
        /// The process number of the daemon of this member.
        daemon: u32,
    },
    /// Datagrams, from the first member to the others.
    Udp {
        /// Their size in bytes.
        datagram: usize,
    },
}

/// A member's settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// What carries the messages.
    pub system: System,
    /// The command that starts this program where the member is to run; nothing: here.
    #[serde(skip)]
    pub enter: Vec<String>,
    /// Its address.
    pub bind: SocketAddr,
    /// Everybody's addresses.
    pub contacts: Vec<SocketAddr>,
    /// How many members found the group; 0: join one that exists.
    pub expect: usize,
    /// The stack.
    pub stack: String,
    /// What to do.
    pub job: Job,
    /// Message size in bytes, at least 8.
    pub payload: usize,
    /// How long to measure.
    pub seconds: f64,
    /// Poll instead of sleeping.
    pub busy_poll: bool,
    /// Whether the endpoint has a thread of its own.
    pub own_thread: bool,
    /// The window of a sender, in KiB.
    pub window: Option<usize>,
    /// What carries the datagrams: `udp`, `tcp` or `both`.
    pub transport: String,
    /// Where to multicast.
    pub multicast: Option<SocketAddrV4>,
    /// The network's MTU, if it is not the usual one.
    pub mtu: Option<usize>,
    /// How many of 100 datagrams get lost.
    pub loss: f64,
}

impl Settings {
    fn builder(&self) -> anyhow::Result<Builder> {
        let builder = Group::builder("gcs-perf")
            .member_name(&self.name)
            .bind(self.bind)
            .contacts(self.contacts.clone())
            .keys(keys_for(&self.stack, &self.name)?)
            .stack(gcs_stacks::named(&self.stack)?)
            .busy_poll(self.busy_poll)
            .own_thread(self.own_thread)
            .carrier(self.transport.parse()?)
            .multicast(self.multicast)
            .mtu(self.mtu);
        let builder =
            if self.loss > 0.0 { builder.transport(Lossy::bind(self.bind, self.loss)?) } else { builder };
        let builder = match self.window {
            Some(kib) => builder.window_bytes(kib << 10),
            None => builder,
        };
        Ok(if self.expect > 0 { builder.expect(self.expect) } else { builder.join() })
    }
}

/// Runs a member to the end of its measurement.
///
/// # Errors
/// The group cannot be started, or this process is out of it before the end.
pub fn main(settings: &Settings) -> anyhow::Result<()> {
    playground::end_with_parent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match settings.system {
        System::Cpg { .. } => return cpg::run(settings),
        System::Udp { datagram } => return runtime.block_on(udp::run(settings, datagram)),
        System::Gcs => {}
    }
    match settings.job {
        Job::Replica { fill, rate } => runtime.block_on(replica::run(settings, fill, rate)),
        Job::Call { wanted, in_flight } => runtime.block_on(rpc::run(settings, wanted, in_flight)),
        _ => runtime.block_on(run(settings)),
    }
}

struct Meter {
    delivered: u64,
    last: u64,
    longest: u64,
    gaps: Vec<Gap>,
    latency: Histogram<u64>,
    /// The latency of one in so many messages is noted; 0: of the first of each batch.
    stride: usize,
    /// How many to pass over until then.
    pass: usize,
    mine: u64,
    views: u64,
    /// In the view that the last event told of.
    members: usize,
}

async fn run(args: &Settings) -> anyhow::Result<()> {
    let (group, mut events) = args.builder()?.start().await?;
    let stride = match args.job {
        Job::Steady { rate } => usize::try_from(rate / SAMPLES_PER_SECOND)?.max(1),
        _ => 0,
    };
    let mut m = Meter {
        delivered: 0,
        last: 0,
        longest: 0,
        gaps: Vec::new(),
        latency: histogram()?,
        stride,
        pass: 0,
        mine: 0,
        views: 0,
        members: 0,
    };
    while m.views == 0 || m.members < args.expect {
        let event = events.next().await.context("the group ended")?;
        m.take(&event);
    }
    m.views = 0;
    match args.job {
        Job::Flood => {
            tokio::spawn(flood(group.clone(), args.payload));
        }
        Job::Steady { rate } => steady(group.clone(), args.payload, rate),
        _ => {}
    }
    let mut span = Span::new(args);
    let mut batch = Vec::new();
    match args.job {
        Job::PingPong => ping(&group, args.payload).await?,
        Job::Ignore => {
            tokio::time::sleep(span.left(wall_ns())).await;
            span.begins(wall_ns());
            tokio::time::sleep(span.left(wall_ns())).await;
        }
        _ => {}
    }
    loop {
        batch.clear();
        let now = wall_ns();
        if span.is_over(now) {
            break;
        }
        if span.begins(now) {
            (m.delivered, m.longest, m.last) = (0, 0, 0);
            m.latency.reset();
            m.gaps.clear();
        }
        let wait = tokio::time::timeout(span.left(now), events.next_batch(&mut batch)).await;
        if let Ok(more) = wait {
            anyhow::ensure!(more, "the group ended");
        }
        let mine = m.mine;
        batch.iter().for_each(|e| m.take(e));
        if args.job == Job::PingPong && m.mine > mine {
            ping(&group, args.payload).await?;
        }
    }
    let figures = Figures {
        delivered: m.delivered,
        latency_us: (!m.latency.is_empty()).then(|| Percentiles::of(&m.latency)),
        views: m.views,
        longest_gap_ms: m.longest as f64 / 1e6,
        gaps: m.gaps,
        ..span.figures()
    };
    print(&Line::Done(figures));
    // The others measure to their own end: go on receiving until the parent ends this process.
    while events.next().await.is_some() {}
    Ok(())
}

/// A message that says when it was due.
fn message(payload: usize, due: u64) -> Vec<u8> {
    let mut message = vec![0; payload];
    stamp(&mut message, due);
    message
}

fn stamp(message: &mut [u8], due: u64) {
    message[..8].copy_from_slice(&due.to_le_bytes());
}

async fn ping(group: &Group, payload: usize) -> anyhow::Result<()> {
    Ok(group.cast(&message(payload, wall_ns())).await?)
}

async fn flood(group: Group, payload: usize) -> anyhow::Result<()> {
    let batch = batch_of(payload);
    let mut message = message(payload, 0);
    loop {
        message[..8].copy_from_slice(&wall_ns().to_le_bytes());
        group.cast_batch(&vec![&message; batch]).await?;
    }
}

/// Open loop, on a thread of its own: what is late is stamped with the time at which it was due, and cast with
/// whatever else is.
fn steady(group: Group, payload: usize, rate: u64) {
    let handle = tokio::runtime::Handle::current();
    thread::spawn(move || {
        let mut pace = Pace::new(rate);
        let mut messages = vec![message(payload, 0); batch_of(payload)];
        loop {
            let due = pace.late(messages.len());
            messages.iter_mut().zip(&due).for_each(|(m, due)| stamp(m, *due));
            if handle.block_on(group.cast_batch(&messages[..due.len()])).is_err() {
                return;
            }
        }
    });
}

/// How many messages are cast at a time.
fn batch_of(payload: usize) -> usize {
    (16_384 / payload).clamp(1, 128)
}

/// Times at even distances.
struct Pace {
    start: u64,
    rate: u64,
    count: u64,
}

impl Pace {
    fn new(rate: u64) -> Self {
        Self { start: wall_ns(), rate: rate.max(1), count: 0 }
    }

    fn due(&self) -> u64 {
        self.start + (u128::from(self.count) * 1_000_000_000 / u128::from(self.rate)) as u64
    }

    /// Waits for the next time that something is due, unless it is past, at least [`SHORTEST_SLEEP`]; that time.
    fn next(&mut self) -> u64 {
        let due = self.due();
        self.count += 1;
        let now = wall_ns();
        if due > now {
            thread::park_timeout(Duration::from_nanos((due - now).max(SHORTEST_SLEEP)));
        }
        due
    }

    /// The same, and up to `most` times in all that are past.
    fn late(&mut self, most: usize) -> Vec<u64> {
        let mut due = vec![self.next()];
        let now = wall_ns();
        while due.len() < most && self.due() <= now {
            due.push(self.due());
            self.count += 1;
        }
        due
    }
}

impl Meter {
    fn note(&mut self, message: &[u8], now: u64) {
        if let Some(due) = message.first_chunk() {
            self.latency.saturating_record(now.saturating_sub(u64::from_le_bytes(*due)).max(1));
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::View(v) => {
                let members = v.view.members.iter().map(|m| m.name.to_string()).collect();
                print(&Line::View { at: wall_ns(), members });
                self.mine = 0;
                self.views += 1;
                self.members = v.view.len();
            }
            Event::Messages(messages) => {
                let now = wall_ns();
                let ns = if self.last == 0 { 0 } else { now - self.last };
                self.longest = self.longest.max(ns);
                if ns >= SMALLEST_GAP && self.gaps.len() < MOST_GAPS {
                    self.gaps.push(Gap { end: now, ns });
                }
                self.last = now;
                self.delivered += u64::from(messages.count);
                if self.stride == 0 {
                    messages.iter().take(1).for_each(|m| self.note(m, now));
                } else {
                    let noted = messages.iter().skip(self.pass).step_by(self.stride);
                    noted.for_each(|m| self.note(m, now));
                    let count = messages.count as usize;
                    let over = count.saturating_sub(self.pass).next_multiple_of(self.stride);
                    self.pass = (self.pass + over).saturating_sub(count);
                }
                self.mine += 1;
            }
            _ => {}
        }
    }
}

/// The keys of a member whose group encrypts, or also signs.
fn keys_for(stack: &str, name: &str) -> anyhow::Result<Option<Arc<dyn Keys>>> {
    if stack.contains("signed") {
        return Ok(certified([name.to_owned()]).pop());
    }
    let key = PreShared::new(b"a key that everybody can read here")?;
    Ok(stack.contains("encrypted").then(|| Arc::new(key) as Arc<dyn Keys>))
}
