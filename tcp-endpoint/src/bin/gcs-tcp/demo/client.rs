//! The clients of the demonstration: ordinary programs on the kernel's TCP.

#![expect(clippy::disallowed_methods, reason = "people wait for it")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::Failed;

/// How often the other client asks.
const PAUSE: Duration = Duration::from_millis(20);
/// The downloading client tells how far it is each time it has so many bytes more.
const TELL: usize = 5_000_000;

/// Downloads `/file` at `rate` bytes a second, and asks on another connection all the while. Prints `at BYTES WAITED` now and then
/// (the longest wait for bytes since it last said so, in microseconds), at the end `digest HEX` and `asked COUNT SLOWEST`.
pub(super) fn run(server: SocketAddr, rate: f64) -> Result<(), Failed> {
    let over = Arc::new(AtomicBool::new(false));
    let conversation = {
        let over = Arc::clone(&over);
        thread::spawn(move || converse(server, &over).map_err(|e| e.to_string()))
    };
    let mut stream = ask(server, "GET")?;
    let length = length_of(&mut stream)?;
    let (mut hash, mut buffer) = (blake3::Hasher::new(), vec![0; 256 << 10]);
    let (began, mut came, mut told, mut longest) = (Instant::now(), 0, 0, Duration::ZERO);
    while came < length {
        let ahead = Duration::from_secs_f64(came as f64 / rate).saturating_sub(began.elapsed());
        thread::sleep(ahead);
        let asked = Instant::now();
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(format!("the download has ended after {came} of {length} bytes").into());
        }
        longest = longest.max(asked.elapsed());
        hash.update(&buffer[..n]);
        came += n;
        if came - told >= TELL {
            println!("at {came} {}", longest.as_micros());
            (told, longest) = (came, Duration::ZERO);
        }
    }
    println!("digest {}", hash.finalize());
    over.store(true, Ordering::Relaxed);
    let (count, slowest) = conversation.join().map_err(|_| "the conversation has failed")??;
    println!("asked {count} {}", slowest.as_micros());
    Ok(())
}

fn ask(server: SocketAddr, method: &str) -> Result<BufReader<TcpStream>, Failed> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    write!(stream, "{method} /file HTTP/1.1\r\nHost: demo\r\n\r\n")?;
    Ok(BufReader::new(stream))
}

/// Reads the head of an answer.
fn length_of(stream: &mut BufReader<TcpStream>) -> Result<usize, Failed> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err("the server has ended the connection".into());
        }
        if line.trim().is_empty() {
            return length.ok_or_else(|| "the server does not say how long the file is".into());
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse()?);
        }
    }
}

/// Asks for the file's length, again and again on one connection: how often, and how long the slowest answer took.
fn converse(server: SocketAddr, over: &AtomicBool) -> Result<(u64, Duration), Failed> {
    let mut stream = ask(server, "HEAD")?;
    length_of(&mut stream)?;
    let (mut count, mut slowest) = (1, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        thread::sleep(PAUSE);
        let asked = Instant::now();
        write!(stream.get_mut(), "HEAD /file HTTP/1.1\r\nHost: demo\r\n\r\n")?;
        length_of(&mut stream)?;
        slowest = slowest.max(asked.elapsed());
        count += 1;
    }
    Ok((count, slowest))
}
