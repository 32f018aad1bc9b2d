//! Every frame at a client's end of its cable, while a test runs: tcpdump, and an oracle that reads along. Bounds: 6 MiB for each connection.
//!
//! | file | |
//! |---|---|
//! | `oracle` | [`Oracle`]: who emits; frames to connections |
//! | `connection` | what a connection has promised |
//! | `stream` | bytes by position |

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::IpAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use gcs_tcp_endpoint::{link::Mac, tcp::Seq};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use oracle::{Oracle, Seen};

mod connection;
mod oracle;
mod stream;

/// A datagram with these bytes to port 9 (discard) ends a capture.
pub(crate) const MARK: &[u8] = b"the capture ends here";
const FILTER: &str = "tcp or arp or icmp6 or udp port 9";
/// The mark is seen by then, or the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lengths of the headers of a capture and of a frame in it (`pcap-savefile(5)`).
const HEAD: usize = 24;
const RECORD: usize = 16;

/// A segment.
pub(crate) struct Tcp {
    pub(crate) seq: Seq,
    pub(crate) ack: Option<Seq>,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    pub(crate) window: u16,
    /// The shift count that a SYN offers.
    pub(crate) shift: Option<u8>,
    pub(crate) payload: Bytes,
}

/// A capture that runs.
pub(crate) struct Capture {
    tcpdump: Tcpdump,
    stderr: BufReader<ChildStderr>,
    marked: Receiver<()>,
    reader: JoinHandle<Oracle>,
}

impl Capture {
    /// Begins; `tcpdump` is the command that runs it on the client's host. All frames are written to `keep` as well.
    pub(crate) fn start(mut tcpdump: Command, vips: Vec<IpAddr>, keep: Option<&Path>) -> Self {
        tcpdump.args(["-i", "eth0", "-n", "-s", "0", "-B", "65536", "-U", "-Z", "root", "-w", "-", FILTER]);
        let mut tcpdump = tcpdump.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tcpdump");
        let mut stderr = BufReader::new(tcpdump.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(stderr.read_line(&mut line).is_ok_and(|n| n > 0), "tcpdump does not start");
        }
        let from = tcpdump.stdout.take().expect("piped");
        let keep = keep.map(|path| File::create(path).expect("a file"));
        let (mark, marked) = channel();
        let reader = std::thread::spawn(move || read(Tee { from, keep }, Oracle::new(vips), &mark));
        Self { tcpdump: Tcpdump(tcpdump), stderr, marked, reader }
    }

    /// What was seen until the mark, which the client has sent. `leaders`, asked when all frames are read, as in [`Oracle::end`].
    pub(crate) fn end(mut self, leaders: impl FnOnce() -> Vec<Mac>) -> Seen {
        self.marked.recv_timeout(PATIENCE).expect("the mark is seen");
        kill_process(Pid::from_child(&self.tcpdump.0), Signal::TERM).expect("it runs");
        let mut seen = self.reader.join().expect("frames can be read").end(&leaders());
        self.tcpdump.0.wait().expect("it is a child");
        let mut last = String::new();
        self.stderr.read_to_string(&mut last).expect("text");
        let lost = last.lines().find_map(|line| line.strip_suffix(" packets dropped by kernel"));
        if lost != Some("0") {
            seen.violates(format!("frames are missing in the capture: {last}"));
        }
        seen
    }
}

/// Reads a capture to its end; what follows the mark says nothing.
fn read(from: impl Read, mut oracle: Oracle, mark: &Sender<()>) -> Oracle {
    let mut from = BufReader::with_capacity(1 << 20, from);
    let mut whole = true;
    let mut head = [0; HEAD];
    let _ = from.read_exact(&mut head);
    assert_eq!(head[..4], 0xa1b2_c3d4_u32.to_ne_bytes(), "a capture in microseconds");
    let mut record = [0; RECORD];
    while from.read_exact(&mut record).is_ok() {
        let word = |i: usize| u32::from_ne_bytes([record[i], record[i + 1], record[i + 2], record[i + 3]]);
        let at = Duration::from_secs(word(0).into()) + Duration::from_micros(word(4).into());
        let mut frame = vec![0; word(8) as usize];
        if from.read_exact(&mut frame).is_err() {
            break;
        }
        if frame.ends_with(MARK) {
            whole = false;
            let _ = mark.send(());
        } else if whole {
            oracle.frame(at, &frame.into());
        }
    }
    oracle
}

/// Ends with the test, however that ends.
struct Tcpdump(Child);

impl Drop for Tcpdump {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is read is written to a file as well.
struct Tee<R> {
    from: R,
    keep: Option<File>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        if let Some(keep) = &mut self.keep {
            keep.write_all(&into[..n])?;
        }
        Ok(n)
    }
}
