//! The clients: on the kernel's TCP, whatever the server is on.

#![expect(clippy::disallowed_methods, reason = "real time is what is measured")]

use super::REQUEST;
use anyhow::bail;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// Connections that are opened and closed at the same time.
const SHORT: usize = 16;
/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// Bytes a second to the client, one connection.
    Down,
    /// Bytes a second to the server, one connection.
    Up,
    /// Connections a second, each for one small request, 16 at a time.
    Short,
    /// The time that a small request takes, one after the other.
    Request,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Bytes or connections or requests a second.
    pub rate: f64,
    /// The median and the 99th percentile of requests, in microseconds.
    pub p50: f64,
    /// As above.
    pub p99: f64,
}

pub(super) fn run(server: SocketAddr, measure: Measure, seconds: f64) -> anyhow::Result<Figure> {
    // Until it answers, nothing is measured.
    let began = Instant::now();
    while let Err(e) = request(server, &mut TcpStream::connect_timeout(&server, Duration::from_secs(1)).ok())
    {
        if began.elapsed() > PATIENCE {
            bail!("{server} does not answer: {e}");
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    let time = Duration::from_secs_f64(seconds);
    match measure {
        Measure::Down => down(server, time),
        Measure::Up => up(server, time),
        Measure::Short => short(server, time),
        Measure::Request => requests(server, time),
    }
}

/// A request on this connection, or on a new one.
fn request(server: SocketAddr, stream: &mut Option<TcpStream>) -> std::io::Result<()> {
    let mut message = [0; REQUEST];
    if stream.is_none() {
        let new = TcpStream::connect(server)?;
        new.set_nodelay(true)?;
        *stream = Some(new);
    }
    let Some(stream) = stream else { return Ok(()) };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut first = [b'e'; REQUEST + 1];
    first[1..].copy_from_slice(&message);
    stream.write_all(&first)?;
    stream.read_exact(&mut message)
}

fn figure(count: u64, time: Duration) -> Figure {
    Figure { rate: count as f64 / time.as_secs_f64(), p50: 0.0, p99: 0.0 }
}

/// Counts what `step` moves, after a tenth of the time for the beginning.
fn count(time: Duration, mut step: impl FnMut() -> std::io::Result<usize>) -> anyhow::Result<Figure> {
    let began = Instant::now();
    while began.elapsed() < time / 10 {
        step()?;
    }
    let (began, mut bytes) = (Instant::now(), 0);
    while began.elapsed() < time {
        bytes += step()? as u64;
    }
    Ok(figure(bytes, began.elapsed()))
}

fn down(server: SocketAddr, time: Duration) -> anyhow::Result<Figure> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(b"d")?;
    let mut buffer = vec![0; 1 << 20];
    count(time, || stream.read(&mut buffer))
}

fn up(server: SocketAddr, time: Duration) -> anyhow::Result<Figure> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(b"u")?;
    let buffer = vec![0; 1 << 20];
    count(time, || stream.write(&buffer))
}

fn short(server: SocketAddr, time: Duration) -> anyhow::Result<Figure> {
    let began = Instant::now();
    let threads: Vec<_> = (0..SHORT)
        .map(|_| {
            thread::spawn(move || {
                let mut count = 0;
                while began.elapsed() < time {
                    request(server, &mut None)?;
                    count += 1;
                }
                std::io::Result::Ok(count)
            })
        })
        .collect();
    let mut total = 0;
    for thread in threads {
        total += thread.join().expect("a client")?;
    }
    Ok(figure(total, began.elapsed()))
}

fn requests(server: SocketAddr, time: Duration) -> anyhow::Result<Figure> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.write_all(b"e")?;
    let mut times = Histogram::<u64>::new(3)?;
    let mut message = [0; REQUEST];
    let began = Instant::now();
    while began.elapsed() < time {
        let asked = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        times.record(u64::try_from(asked.elapsed().as_nanos())?)?;
    }
    let us = |q| times.value_at_quantile(q) as f64 / 1e3;
    Ok(Figure { p50: us(0.5), p99: us(0.99), ..figure(times.len(), began.elapsed()) })
}
