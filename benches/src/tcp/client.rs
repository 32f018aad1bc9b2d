//! The clients: on the kernel's TCP, whatever the server is on.

#![expect(clippy::disallowed_methods, reason = "real time is what is measured")]

use super::{REQUEST, use_cubic};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Measure {
    /// Bytes a second to the client, one connection.
    Down,
    /// Bytes a second to the server, one connection.
    Up,
    /// Connections a second, each for one small request, 16 at a time.
    Short,
    /// The time that a small request takes, one after the other: the median and the 99th percentile, in microseconds.
    Request,
}

/// One figure, of requests two.
pub(super) fn run(server: SocketAddr, measure: Measure, seconds: f64) -> anyhow::Result<Vec<f64>> {
    // Until it answers, nothing is measured.
    let began = Instant::now();
    while let Err(e) = TcpStream::connect_timeout(&server, Duration::from_secs(1)).and_then(request) {
        if began.elapsed() > PATIENCE {
            bail!("{server} does not answer: {e}");
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    let time = Duration::from_secs_f64(seconds);
    match measure {
        Measure::Down => Ok(vec![down(server, time)?]),
        Measure::Up => Ok(vec![up(server, time)?]),
        Measure::Short => Ok(vec![short(server, time)?]),
        Measure::Request => requests(server, time).map(Vec::from),
    }
}

/// The first request of a connection.
fn request(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[b'e'; 1 + REQUEST])?;
    stream.read_exact(&mut [0; REQUEST])
}

/// Counts what `step` moves, after a tenth of the time for the beginning.
fn count(time: Duration, mut step: impl FnMut() -> std::io::Result<usize>) -> std::io::Result<f64> {
    let began = Instant::now();
    while began.elapsed() < time / 10 {
        step()?;
    }
    let (began, mut bytes) = (Instant::now(), 0);
    while began.elapsed() < time {
        bytes += step()? as u64;
    }
    Ok(bytes as f64 / began.elapsed().as_secs_f64())
}

fn down(server: SocketAddr, time: Duration) -> std::io::Result<f64> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(b"d")?;
    let mut buffer = vec![0; 1 << 20];
    count(time, || stream.read(&mut buffer))
}

fn up(server: SocketAddr, time: Duration) -> std::io::Result<f64> {
    let mut stream = TcpStream::connect(server)?;
    use_cubic(&stream)?;
    stream.write_all(b"u")?;
    let buffer = vec![0; 1 << 20];
    count(time, || stream.write(&buffer))
}

fn short(server: SocketAddr, time: Duration) -> std::io::Result<f64> {
    let began = Instant::now();
    let threads: Vec<_> = (0..SHORT)
        .map(|_| {
            thread::spawn(move || {
                let mut count = 0_u32;
                while began.elapsed() < time {
                    TcpStream::connect(server).and_then(request)?;
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
    Ok(f64::from(total) / began.elapsed().as_secs_f64())
}

fn requests(server: SocketAddr, time: Duration) -> anyhow::Result<[f64; 2]> {
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
    Ok([0.5, 0.99].map(|q| times.value_at_quantile(q) as f64 / 1e3))
}
