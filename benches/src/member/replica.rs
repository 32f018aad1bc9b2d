//! A member that is a replica of a map and writes at a steady rate.

use super::{Pace, Settings, Span};
use crate::report::{Figures, Line, Percentiles, histogram, print, wall_ns};
use anyhow::Context as _;
use gcs::blocks::map::Map;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, mpsc};

/// Operations under way while the map is filled.
const FILLING: usize = 256;
/// The size of a value.
pub(crate) const VALUE: usize = 1024;

/// A write: when it was due, and how long it took in nanoseconds from then until it was answered.
type Sample = (u64, u64);

pub(super) async fn run(settings: &Settings, fill: u64, rate: u64) -> anyhow::Result<()> {
    let map = Map::start(settings.builder()?).await?;
    map.replica().wait_ready().await?;
    let joined = settings.expect == 0;
    let keys = (fill << 20) / VALUE as u64;
    if keys > 0 {
        write_all(&map, keys).await?;
        print(&Line::Filled);
    }
    if joined {
        print(&Line::Ready { at: wall_ns(), keys: map.len().await? });
        return std::future::pending().await;
    }
    // The one that fills tells the others by a key.
    while map.get(b"filled").await?.is_none() {
        if keys > 0 {
            map.put(b"filled", &keys.to_le_bytes()).await?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let told = map.get(b"filled").await?.context("it was there")?;
    let keys = told.first_chunk().map_or(1, |k| u64::from_le_bytes(*k));
    let samples = write_steadily(map.clone(), keys, rate);
    measure(settings, &map, samples).await
}

/// Fills the map.
async fn write_all(map: &Map, keys: u64) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(FILLING));
    let value = vec![7; VALUE];
    let mut writes = tokio::task::JoinSet::new();
    for key in 0..keys {
        let (map, value) = (map.clone(), value.clone());
        let slot = Arc::clone(&slots).acquire_owned().await?;
        writes.spawn(async move {
            let done = map.put(&key.to_le_bytes(), &value).await;
            drop(slot);
            done
        });
        while let Some(done) = writes.try_join_next() {
            done??;
        }
    }
    while let Some(done) = writes.join_next().await {
        done??;
    }
    Ok(())
}

/// Writes in open loop: a write that waits does not keep the next from being due.
fn write_steadily(map: Map, keys: u64, rate: u64) -> mpsc::UnboundedReceiver<Sample> {
    let (tx, samples) = mpsc::unbounded_channel();
    let handle = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let mut pace = Pace::new(rate);
        let mut key = 1_u64;
        while !tx.is_closed() {
            let due = pace.next();
            // Steps through the keys far apart.
            key = (key + 0x9E37_79B9_7F4A_7C15 % keys.max(2)) % keys.max(1);
            let (map, tx) = (map.clone(), tx.clone());
            handle.spawn(async move {
                if map.put(&key.to_le_bytes(), &[9; VALUE]).await.is_ok() {
                    let _ = tx.send((due, wall_ns() - due));
                }
            });
        }
    });
    samples
}

async fn measure(
    settings: &Settings,
    map: &Map,
    mut samples: mpsc::UnboundedReceiver<Sample>,
) -> anyhow::Result<()> {
    let mut span = Span::new(settings);
    let (mut before, mut later) = (histogram()?, histogram()?);
    let (mut last, mut longest) = (0, 0);
    while let Some((due, took)) = samples.recv().await {
        let now = due + took;
        if span.begins(due) {
            last = due;
        }
        if span.is_over(due) {
            break;
        }
        if last == 0 {
            continue;
        }
        let joined = map.replica().view().is_some_and(|v| v.view.len() > settings.expect);
        let h = if joined { &mut later } else { &mut before };
        h.record(took)?;
        longest = longest.max(now.saturating_sub(last));
        last = now;
    }
    print(&Line::Done(Figures {
        delivered: before.len() + later.len(),
        latency_us: Some(Percentiles::of(&before)),
        later_us: Some(Percentiles::of(&later)),
        views: u64::from(!later.is_empty()),
        longest_gap_ms: longest as f64 / 1e6,
        ..span.figures()
    }));
    std::future::pending().await
}
