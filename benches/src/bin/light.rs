//! What light groups cost: joining many of them, and a message in one against a message of a plain group. All endpoints are
//! in this process, each with threads and sockets of its own, on loopback.

use anyhow::{Context as _, bail};
use clap::Parser;
use gcs::{
    blocks::light::{LightEvent, LightEvents, LightGroup, LightGroups},
    endpoint::Event,
    group::{Builder, CastError, Events, Group},
};
use gcs_benches::perf::median;
use serde::Serialize;
use std::{future::Future, net::Ipv4Addr, time::Duration};

/// What light groups cost.
#[derive(Parser, Clone, Serialize)]
struct Args {
    /// Processes.
    #[arg(long, default_value_t = 3)]
    members: usize,
    /// The stack.
    #[arg(long, default_value = "total")]
    stack: String,
    /// Light groups that are joined at once.
    #[arg(long, default_value_t = 10_000)]
    groups: usize,
    /// Light groups that are joined one after the other.
    #[arg(long, default_value_t = 1_000)]
    in_turn: usize,
    /// Messages of one sender.
    #[arg(long, default_value_t = 200_000)]
    messages: usize,
    /// Their size in bytes.
    #[arg(long, default_value_t = 64)]
    payload: usize,
    /// How often plain and light messages are measured, in turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print JSON.
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

/// Seconds for joins, messages a second for casts: medians of the rounds.
#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    args: Args,
    /// One process joins all of them at once.
    join_s: f64,
    /// Another one joins the same.
    join_second_s: f64,
    join_in_turn_us_each: f64,
    plain_per_s: f64,
    /// All processes are in the light group.
    light_per_s: f64,
    /// The sender is alone in it, and delivers; the others discard.
    alone_per_s: f64,
    views: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let f = runtime.block_on(measure(args))?;
    if f.args.json {
        println!("{}", serde_json::to_string(&f)?);
        return Ok(());
    }
    let Args { members, stack, groups, in_turn, payload, .. } = &f.args;
    println!("{members} processes, {stack}, {} views of the processes' group in all", f.views);
    println!(
        "{groups} light groups joined at once: {:.2} s, {:.1} µs each; the same by a second process: {:.2} s",
        f.join_s,
        f.join_s * 1e6 / *groups as f64,
        f.join_second_s
    );
    println!("{in_turn} joined one after the other: {:.0} µs each", f.join_in_turn_us_each);
    println!(
        "{payload} B from one sender, messages/s: plain {:.0}; in a light group of all {:.0} ({:.2}); of the sender alone {:.0} ({:.2})",
        f.plain_per_s,
        f.light_per_s,
        f.light_per_s / f.plain_per_s,
        f.alone_per_s,
        f.alone_per_s / f.plain_per_s
    );
    Ok(())
}

fn builders(args: &Args, group: &str) -> anyhow::Result<Vec<Builder>> {
    let addrs = (0..args.members)
        .map(|_| gcs::net::unused_addr(Ipv4Addr::LOCALHOST.into()))
        .collect::<Result<Vec<_>, _>>()?;
    let stack = gcs_stacks::named(&args.stack)?;
    let builder = |a| Group::builder(group).bind(a).contacts(addrs.clone()).expect(args.members);
    Ok(addrs.iter().map(|a| builder(*a).stack(stack.clone())).collect())
}

async fn whole(group: &Group, members: usize) -> anyhow::Result<()> {
    let mut status = group.status();
    status.wait_for(|s| s.view.as_ref().is_some_and(|v| v.view.len() == members)).await?;
    Ok(())
}

async fn measure(args: Args) -> anyhow::Result<Figures> {
    let mut plain = Vec::new();
    for b in builders(&args, "plain")? {
        plain.push(b.start().await?);
    }
    let mut light = Vec::new();
    for b in builders(&args, "light")? {
        light.push(LightGroups::start(b).await?);
    }
    for group in plain.iter().map(|(g, _)| g).chain(light.iter().map(LightGroups::group)) {
        whole(group, args.members).await?;
    }
    let (joined, join_s) = timed(join_all(&light[0], args.groups)).await;
    let first = joined?;
    let (joined, join_second_s) = timed(join_all(&light[1], args.groups)).await;
    let second = joined?;
    let (in_turn, s) = timed(join_in_turn(&light[0], args.in_turn)).await;
    let in_turn = in_turn?;

    // The room of all, and the one in which the sender is alone.
    let mut all = Vec::new();
    for l in &light {
        all.push(l.join("all").await?);
    }
    let (alone, reader) = light[0].join("alone").await?;
    let mut alone_reader = vec![reader];
    let (plain, mut plain_readers): (Vec<_>, Vec<_>) = plain.into_iter().unzip();
    let (all, mut all_readers): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..args.rounds.max(1) {
        rates[0].push(rate(async |m| plain[0].cast(m).await, &mut plain_readers, &args).await?);
        rates[1].push(rate(async |m| all[0].cast(m).await, &mut all_readers, &args).await?);
        rates[2].push(rate(async |m| alone.cast(m).await, &mut alone_reader, &args).await?);
    }
    let [Some(plain_per_s), Some(light_per_s), Some(alone_per_s)] = rates.map(median) else {
        bail!("there was no round")
    };
    let views = light[0].group().stats().endpoint.views;
    drop((first, second, in_turn));
    let join_in_turn_us_each = s * 1e6 / args.in_turn.max(1) as f64;
    Ok(Figures {
        args,
        join_s,
        join_second_s,
        join_in_turn_us_each,
        plain_per_s,
        light_per_s,
        alone_per_s,
        views,
    })
}

type Room = (LightGroup, LightEvents);

async fn join_all(process: &LightGroups, n: usize) -> anyhow::Result<Vec<Room>> {
    let joins: Vec<_> = (0..n)
        .map(|i| {
            let process = process.clone();
            tokio::spawn(async move { process.join(&format!("group/{i}")).await })
        })
        .collect();
    let mut rooms = Vec::with_capacity(n);
    for j in joins {
        rooms.push(j.await??);
    }
    Ok(rooms)
}

async fn join_in_turn(process: &LightGroups, n: usize) -> anyhow::Result<Vec<Room>> {
    let mut rooms = Vec::with_capacity(n);
    for i in 0..n {
        rooms.push(process.join(&format!("in turn/{i}")).await?);
    }
    Ok(rooms)
}

/// A reader of a plain group or of a light one.
trait Reader: Send + 'static {
    /// How many messages the next event brings; None after the last one.
    fn read(&mut self) -> impl Future<Output = Option<usize>> + Send;
}

impl Reader for Events {
    async fn read(&mut self) -> Option<usize> {
        let event = self.next().await?;
        Some(if let Event::Messages(m) = event { m.iter().count() } else { 0 })
    }
}

impl Reader for LightEvents {
    async fn read(&mut self) -> Option<usize> {
        Some(usize::from(matches!(self.next().await?, LightEvent::Message { .. })))
    }
}

/// Messages a second, from the first cast until all readers have all of them.
async fn rate<R: Reader>(
    cast: impl AsyncFn(&[u8]) -> Result<(), CastError>,
    readers: &mut Vec<R>,
    args: &Args,
) -> anyhow::Result<f64> {
    let n = args.messages;
    let run = async {
        let reading: Vec<_> = readers
            .drain(..)
            .map(|mut reader| {
                tokio::spawn(async move {
                    let mut got = 0;
                    while got < n {
                        got += reader.read().await.context("the group has ended")?;
                    }
                    anyhow::Ok(reader)
                })
            })
            .collect();
        let payload = vec![7; args.payload];
        for _ in 0..n {
            cast(&payload).await?;
        }
        for r in reading {
            readers.push(r.await??);
        }
        anyhow::Ok(())
    };
    let (done, s) = timed(run).await;
    done?;
    Ok(n as f64 / s)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
async fn timed<T>(f: impl Future<Output = T>) -> (T, f64) {
    let start = std::time::Instant::now();
    let value = f.await;
    let took: Duration = start.elapsed();
    (value, took.as_secs_f64())
}
