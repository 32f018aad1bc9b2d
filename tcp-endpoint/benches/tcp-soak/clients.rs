//! Clients that come and go, stream and idle while hosts fail. Each compares what it gets with what it should get.

use std::{
    io::{Read, Write as _},
    net::{Shutdown, TcpStream},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Scope, ScopedJoinHandle},
    time::{Duration, Instant},
};

use crate::cluster::{VIPS, connect, hosts::Hosts, noise};

/// Nothing may take longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a stream reads at once, and how often: about 8 MB/s.
const PIECE: usize = 32 * 1024;
const PAUSE: Duration = Duration::from_millis(4);
/// So little is received ahead that a stream feels when nothing comes.
const AHEAD: usize = 64 * 1024;
/// How many bytes an upload has.
const UPLOAD: usize = 3_000_000;
/// What an echoing stream says each time.
const TICK: usize = 1000;

/// What clients share with those who let hosts fail.
pub(crate) struct World {
    hosts: Arc<Hosts>,
    /// The file that is served.
    file: Vec<u8>,
    stopped: AtomicBool,
    takeovers: AtomicU64,
    /// One for each of the addresses.
    streams: [Mutex<Stream>; 2],
}

/// How a stream does.
struct Stream {
    last: Instant,
    /// Reads that took long: when they ended, and how long they took.
    waits: Vec<(Instant, Duration)>,
}

type Outcome = Result<(), String>;
type Clients<'s> = Vec<ScopedJoinHandle<'s, Outcome>>;

impl World {
    pub(crate) fn new(hosts: Arc<Hosts>, file: Vec<u8>) -> Self {
        let stream = || Mutex::new(Stream { last: Instant::now(), waits: Vec::new() });
        Self {
            hosts,
            file,
            stopped: AtomicBool::new(false),
            takeovers: AtomicU64::new(0),
            streams: [stream(), stream()],
        }
    }

    /// Clients end what they have begun.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn taken_over(&self) {
        self.takeovers.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until all streams go on, and says how many milliseconds each has stood still at most since then.
    pub(crate) fn stalls(&self, since: Instant) -> Vec<u64> {
        let now = Instant::now();
        let stall = |stream: &Mutex<Stream>| {
            loop {
                let mut stream = stream.lock().expect("no panic");
                if stream.last > now {
                    let waits = std::mem::take(&mut stream.waits);
                    let longest = waits.iter().filter(|(end, _)| *end > since).map(|(_, wait)| *wait).max();
                    return u64::try_from(longest.unwrap_or_default().as_millis()).expect("short");
                }
                drop(stream);
                assert!(now.elapsed() < PATIENCE, "a stream does not go on");
                thread::sleep(Duration::from_millis(1));
            }
        };
        self.streams.iter().map(stall).collect()
    }

    fn connect(&self, vip: &str) -> Result<TcpStream, String> {
        connect(&self.hosts, vip, Some(AHEAD)).map_err(|e| format!("connecting to {vip}: {e}"))
    }
}

/// Until the world ends.
fn again<'s>(
    scope: &'s Scope<'s, '_>,
    world: &'s World,
    what: impl Fn() -> Outcome + Send + 's,
) -> ScopedJoinHandle<'s, Outcome> {
    scope.spawn(move || {
        while world.goes_on() {
            what()?;
        }
        Ok(())
    })
}

/// Clients of a server of files.
pub(crate) fn of_files<'s>(scope: &'s Scope<'s, '_>, world: &'s World) -> Clients<'s> {
    let each = VIPS.iter().enumerate().map(|(i, vip)| {
        [
            again(scope, world, move || download(world, vip)),
            again(scope, world, move || stream(world, i)),
            again(scope, world, move || idle(world, vip, get)),
        ]
    });
    each.flatten().collect()
}

/// Clients of an echo.
pub(crate) fn of_echo<'s>(scope: &'s Scope<'s, '_>, world: &'s World) -> Clients<'s> {
    let each = VIPS.iter().enumerate().map(|(i, vip)| {
        [
            again(scope, world, move || upload(world, vip)),
            again(scope, world, move || ticks(world, i)),
            again(scope, world, move || idle(world, vip, say)),
        ]
    });
    each.flatten().collect()
}

/// Reads what should come next.
fn expect(from: &mut impl Read, should: &[u8], who: &str) -> Outcome {
    let mut got = vec![0; should.len()];
    from.read_exact(&mut got).map_err(|e| format!("{who}: {e}"))?;
    if got == should { Ok(()) } else { Err(format!("{who}: other bytes than expected")) }
}

fn send(to: &mut TcpStream, bytes: &[u8], who: &str) -> Outcome {
    to.write_all(bytes).map_err(|e| format!("{who}: {e}"))
}

/// curl fetches the file.
fn download(world: &World, vip: &str) -> Outcome {
    let mut curl = world.hosts.command("client", "curl");
    curl.args(["--silent", "--show-error", "--fail", "--globoff", "--limit-rate", "3M", "--max-time", "120"]);
    let out = curl.arg(format!("http://{vip}/file")).stdin(Stdio::null()).output().expect("curl");
    if out.status.success() && out.stdout == world.file {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    Err(format!("curl from {vip}: {} after {} bytes: {said}", out.status, out.stdout.len()))
}

/// What is sent comes back, while more is sent.
fn upload(world: &World, vip: &str) -> Outcome {
    let who = format!("upload to {vip}");
    let mut from = world.connect(vip)?;
    let bytes = noise(from.local_addr().expect("it is connected").port().into(), UPLOAD);
    let mut to = from.try_clone().expect("another descriptor");
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for piece in bytes.chunks(PIECE) {
                send(&mut to, piece, &who)?;
                thread::sleep(PAUSE * 2);
            }
            to.shutdown(Shutdown::Write).map_err(|e| format!("{who}: {e}"))
        });
        let got = expect(&mut from, &bytes, &who);
        let end = from.read(&mut [0]).map_err(|e| format!("{who}, at its end: {e}"));
        sender.join().expect("no panic")?;
        got?;
        if end? == 0 { Ok(()) } else { Err(format!("{who}: more comes back than was sent")) }
    })
}

/// Reads, and notes how long that took.
fn listen(world: &World, i: usize, from: &mut TcpStream, should: &[u8]) -> Outcome {
    let began = Instant::now();
    expect(from, should, &format!("stream from {}", VIPS[i]))?;
    let mut stream = world.streams[i].lock().expect("no panic");
    stream.last = Instant::now();
    let wait = stream.last - began;
    if wait > Duration::from_millis(5) {
        let end = stream.last;
        stream.waits.push((end, wait));
    }
    Ok(())
}

fn head(len: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes()
}

/// A download that is read in even pieces, over and over in one connection.
fn stream(world: &World, i: usize) -> Outcome {
    let mut to = world.connect(VIPS[i])?;
    while world.goes_on() {
        send(&mut to, b"GET /file HTTP/1.1\r\n\r\n", "stream")?;
        listen(world, i, &mut to, &head(world.file.len()))?;
        for piece in world.file.chunks(PIECE) {
            listen(world, i, &mut to, piece)?;
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// A stream in both directions: something is said all the time, and comes back.
fn ticks(world: &World, i: usize) -> Outcome {
    let mut from = world.connect(VIPS[i])?;
    let mut to = from.try_clone().expect("another descriptor");
    let word = |n: u64| noise(n, TICK);
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let mut said = 0;
            loop {
                // Who listens may have seen that it goes on after this: one more word is for it.
                let last = !world.goes_on();
                send(&mut to, &word(said), "ticks")?;
                said += 1;
                if last {
                    break;
                }
                thread::sleep(PAUSE);
            }
            to.shutdown(Shutdown::Write).map_err(|e| format!("ticks: {e}"))?;
            Ok(said)
        });
        let mut heard = 0;
        while world.goes_on() {
            listen(world, i, &mut from, &word(heard))?;
            heard += 1;
        }
        let said: Result<u64, String> = sender.join().expect("no panic");
        (heard..said?).try_for_each(|n| expect(&mut from, &word(n), "the last ticks"))
    })
}

/// One exchange, then nothing over two takeovers, then another one.
fn idle(world: &World, vip: &str, exchange: impl Fn(&World, &mut TcpStream) -> Outcome) -> Outcome {
    let mut to = world.connect(vip)?;
    let what = |e| format!("idle connection to {vip}: {e}");
    exchange(world, &mut to).map_err(what)?;
    let until = world.takeovers.load(Ordering::Relaxed) + 2;
    while world.goes_on() && world.takeovers.load(Ordering::Relaxed) < until {
        thread::sleep(Duration::from_millis(20));
    }
    exchange(world, &mut to).map_err(what)
}

fn get(world: &World, to: &mut TcpStream) -> Outcome {
    send(to, b"HEAD /file HTTP/1.1\r\n\r\n", "HEAD")?;
    expect(to, &head(world.file.len()), "HEAD")
}

fn say(_: &World, to: &mut TcpStream) -> Outcome {
    let word = noise(9, TICK);
    send(to, &word, "say")?;
    expect(to, &word, "say")
}
