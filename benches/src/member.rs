//! A member process of a measurement.

use crate::report::{Figures, Line, Percentiles, usage, wall_ns};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use gcs::{
    endpoint::Event,
    group::{Events, Group},
};
use hdrhistogram::Histogram;
use std::net::SocketAddr;

/// What a member does once all are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Job {
    /// Cast as fast as the group takes it.
    Flood,
    /// Cast one message, wait for it, cast the next.
    PingPong,
    /// Cast a given number of messages a second.
    Steady,
    /// Only receive.
    Listen,
}

/// A member's settings.
#[derive(Args, Clone, Debug)]
pub struct MemberArgs {
    /// Its name.
    #[arg(long, default_value = "")]
    pub name: String,
    /// Its address.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub bind: SocketAddr,
    /// Everybody's addresses.
    #[arg(long, value_delimiter = ',')]
    pub contact: Vec<SocketAddr>,
    /// How many members found the group; 0: join one that exists.
    #[arg(long, default_value_t = 3)]
    pub expect: usize,
    /// The stack.
    #[arg(long, default_value = "total")]
    pub stack: String,
    /// What to do.
    #[arg(long, value_enum, default_value = "listen")]
    pub job: Job,
    /// Message size in bytes, at least 8.
    #[arg(long, default_value_t = 64)]
    pub payload: usize,
    /// Messages a second, for `steady`.
    #[arg(long, default_value_t = 10_000)]
    pub rate: u64,
    /// How long to measure.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Poll instead of sleeping.
    #[arg(long)]
    pub busy_poll: bool,
}

struct Meter {
    delivered: u64,
    last: u64,
    longest: u64,
    latency: Histogram<u64>,
    mine: u64,
}

/// Runs a member to the end of its measurement.
///
/// # Errors
/// The group cannot be started, or this process is out of it before the end.
pub async fn run(args: MemberArgs) -> anyhow::Result<()> {
    let builder = Group::builder("gcs-perf")
        .member_name(&args.name)
        .bind(args.bind)
        .contacts(args.contact.clone())
        .stack(gcs_stacks::named(&args.stack)?)
        .busy_poll(args.busy_poll);
    let builder = if args.expect > 0 { builder.expect(args.expect) } else { builder.join() };
    let (group, mut events) = builder.start().await?;
    let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).context("histogram bounds")?;
    let mut m = Meter { delivered: 0, last: 0, longest: 0, latency, mine: 0 };
    while group.view().is_none_or(|v| v.view.len() < args.expect) {
        let event = events.next().await.context("the group ended")?;
        m.take(&event);
    }
    let sender = (args.job != Job::Listen && args.job != Job::PingPong)
        .then(|| tokio::spawn(send(group.clone(), args.clone())));
    // A second to get going, then the measurement.
    let begin = wall_ns() + 1_000_000_000;
    let end = begin + (args.seconds * 1e9) as u64;
    let mut cpu = None;
    let mut batch = Vec::new();
    if args.job == Job::PingPong {
        ping(&group, &args).await?;
    }
    loop {
        batch.clear();
        let left = end.saturating_sub(wall_ns());
        if left == 0 {
            break;
        }
        let wait =
            tokio::time::timeout(std::time::Duration::from_nanos(left), next(&mut events, &mut batch)).await;
        if let Ok(more) = wait {
            anyhow::ensure!(more, "the group ended");
        }
        if cpu.is_none() && wall_ns() >= begin {
            cpu = Some((usage().0, wall_ns()));
            (m.delivered, m.longest, m.last) = (0, 0, 0);
            m.latency.reset();
        }
        let mine = m.mine;
        batch.iter().for_each(|e| m.take(e));
        if args.job == Job::PingPong && m.mine > mine {
            ping(&group, &args).await?;
        }
    }
    if let Some(s) = sender {
        s.abort();
    }
    let (cpu0, since) = cpu.unwrap_or((0.0, begin));
    let (cpu1, rss_mib) = usage();
    let figures = Figures {
        delivered: m.delivered,
        seconds: (wall_ns() - since) as f64 / 1e9,
        cpu: cpu1 - cpu0,
        latency_us: (!m.latency.is_empty()).then(|| Percentiles::of(&m.latency)),
        longest_gap_ms: m.longest as f64 / 1e6,
        rss_mib,
    };
    print(&Line::Done(figures));
    // The others measure to their own end: go on receiving until the parent ends this process.
    while events.next().await.is_some() {}
    Ok(())
}

async fn next(events: &mut Events, batch: &mut Vec<Event>) -> bool {
    events.next_batch(batch).await
}

async fn ping(group: &Group, args: &MemberArgs) -> anyhow::Result<()> {
    let mut message = vec![0; args.payload.max(8)];
    message[..8].copy_from_slice(&wall_ns().to_le_bytes());
    group.cast(&message).await?;
    Ok(())
}

async fn send(group: Group, args: MemberArgs) -> anyhow::Result<()> {
    let mut message = vec![0; args.payload.max(8)];
    if args.job == Job::Flood {
        let batch = (16_384 / message.len()).clamp(1, 128);
        loop {
            message[..8].copy_from_slice(&wall_ns().to_le_bytes());
            group.cast_batch(&vec![&message; batch]).await?;
        }
    }
    // Open loop: what is late is stamped with the time at which it was due.
    let start = wall_ns();
    for i in 0_u64.. {
        let due = start + i * 1_000_000_000 / args.rate;
        let now = wall_ns();
        if due > now {
            tokio::time::sleep(std::time::Duration::from_nanos(due - now)).await;
        }
        message[..8].copy_from_slice(&due.to_le_bytes());
        group.cast(&message).await?;
    }
    Ok(())
}

impl Meter {
    fn take(&mut self, event: &Event) {
        match event {
            Event::View(v) => {
                let members = v.view.members.iter().map(|m| m.name.to_string()).collect();
                print(&Line::View { at: wall_ns(), members });
                self.mine = 0;
            }
            Event::Messages(messages) => {
                let now = wall_ns();
                if self.last != 0 {
                    self.longest = self.longest.max(now - self.last);
                }
                self.last = now;
                self.delivered += u64::from(messages.count);
                if let Some(first) = messages.iter().next()
                    && let Some(sent) = first.first_chunk()
                {
                    let _ = self.latency.record(now.saturating_sub(u64::from_le_bytes(*sent)).max(1));
                }
                self.mine += 1;
            }
            _ => {}
        }
    }
}

fn print(line: &Line) {
    if let Ok(text) = serde_json::to_string(line) {
        println!("{text}");
    }
}
