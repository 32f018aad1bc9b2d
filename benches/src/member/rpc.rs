//! A member that calls the group and counts the replies, or only serves.

use super::{Settings, Span};
use crate::report::{Figures, Line, Percentiles, histogram, print, wall_ns};
use bytes::Bytes;
use gcs::blocks::rpc::{Replies, Rpc};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// How many replies a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Wanted {
    /// One.
    First,
    /// More than half.
    Majority,
    /// All.
    All,
}

impl From<Wanted> for Replies {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::First => Self::First,
            Wanted::Majority => Self::Majority,
            Wanted::All => Self::All,
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

/// With `in_flight` 0 it only serves; `delivered` counts calls at the caller, served requests at the others.
pub(super) async fn run(settings: &Settings, wanted: Wanted, in_flight: usize) -> anyhow::Result<()> {
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    let serve = move |request: &[u8]| {
        count.fetch_add(1, Ordering::Relaxed);
        Bytes::copy_from_slice(request)
    };
    let rpc = Rpc::start(settings.builder()?, serve).await?;
    while rpc.group().view().is_none_or(|v| v.view.len() < settings.expect) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (tx, mut done) = mpsc::unbounded_channel();
    let request = vec![7; settings.payload];
    for _ in 0..in_flight {
        let (rpc, request, tx) = (rpc.clone(), request.clone(), tx.clone());
        tokio::spawn(async move {
            loop {
                let start = wall_ns();
                match rpc.call(&request, wanted.into(), PATIENCE).await {
                    Ok(_) => {
                        let _ = tx.send(wall_ns() - start);
                    }
                    Err(e) => return eprintln!("a call failed: {e}"),
                }
            }
        });
    }
    let mut span = Span::new(settings);
    let mut latency = histogram()?;
    loop {
        let now = wall_ns();
        if span.is_over(now) {
            break;
        }
        if span.begins(now) {
            latency.reset();
            served.store(0, Ordering::Relaxed);
        }
        if let Ok(Some(took)) = tokio::time::timeout(span.left(now), done.recv()).await {
            latency.saturating_record(took);
        }
    }
    let served = served.load(Ordering::Relaxed);
    print(&Line::Done(Figures {
        delivered: if in_flight > 0 { latency.len() } else { served },
        latency_us: (!latency.is_empty()).then(|| Percentiles::of(&latency)),
        ..span.figures()
    }));
    std::future::pending().await
}
