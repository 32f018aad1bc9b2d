//! The demo's clients: each writes one key after the other and remembers what was acknowledged.

use crate::kv::client::Client;
use redis_protocol::resp2::types::OwnedFrame;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A client that waits longer than this for a reply goes to the next replica.
const PATIENCE: Duration = Duration::from_millis(2000);

/// What one client saw.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The numbers whose write was acknowledged; the key is `demo:<client>:<number>`, the value the number.
    pub acknowledged: Vec<u64>,
    /// Requests that failed or whose outcome is unknown; they were repeated with the next number.
    pub failed: u64,
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    longest_us: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Outcome>>,
}

impl Load {
    /// Starts clients, spread over the replicas.
    #[must_use]
    pub fn start(clients: usize, replicas: &[SocketAddr]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let longest_us = Arc::new(AtomicU64::new(0));
        let spawn = |client: usize| {
            let (stop, count, longest) = (stop.clone(), acknowledged.clone(), longest_us.clone());
            let replicas = replicas.to_vec();
            thread::spawn(move || write(client, &replicas, &stop, &count, &longest))
        };
        let clients = (0..clients).map(spawn).collect();
        Self { stop, acknowledged, longest_us, clients }
    }

    /// Writes acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// The longest that any client waited from one acknowledgement to the next since the last call.
    #[must_use]
    pub fn take_longest_pause(&self) -> Duration {
        Duration::from_micros(self.longest_us.swap(0, Ordering::Relaxed))
    }

    /// Stops the clients and returns what they saw, by client.
    #[must_use]
    pub fn stop(self) -> Vec<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|c| c.join().unwrap_or_default()).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "a client measures how long it waits")]
fn now() -> Instant {
    Instant::now()
}

fn write(
    client: usize,
    replicas: &[SocketAddr],
    stop: &AtomicBool,
    count: &AtomicU64,
    longest: &AtomicU64,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut at = client % replicas.len();
    let mut connection = None;
    let mut last = now();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(c) = connection.as_mut() else {
            match Client::connect(replicas[at], PATIENCE) {
                Ok(c) => connection = Some(c),
                Err(_) => {
                    at = (at + 1) % replicas.len();
                    thread::park_timeout(Duration::from_millis(1));
                }
            }
            continue;
        };
        number += 1;
        let (key, value) = (format!("demo:{client}:{number}"), number.to_string());
        match c.request(&[b"SET", key.as_bytes(), value.as_bytes()]) {
            Ok(OwnedFrame::SimpleString(_)) => {
                outcome.acknowledged.push(number);
                count.fetch_add(1, Ordering::Relaxed);
                let pause = u64::try_from(last.elapsed().as_micros()).unwrap_or(u64::MAX);
                longest.fetch_max(pause, Ordering::Relaxed);
                last = now();
            }
            // The replica died, lost its quorum, or is still joining: another one.
            Ok(_) | Err(_) => {
                outcome.failed += 1;
                connection = None;
                at = (at + 1) % replicas.len();
            }
        }
    }
    outcome
}
