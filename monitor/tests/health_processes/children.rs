//! `gcs-monitor health` children, what they print and when.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// Nothing in a test that passes takes longer, not even on a machine that is busy with other work.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Killed when it is dropped.
pub(crate) struct Kid {
    pub(crate) child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Drop for Kid {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "when a line was printed is measured")]
fn now() -> Instant {
    Instant::now()
}

impl Kid {
    /// `gcs-monitor health` with these words.
    pub(crate) fn start(words: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        command.arg("health").args(words.split_whitespace());
        Self::spawn(command)
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (to, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if to.send((now(), line)).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line that is meant, and when it came.
    pub(crate) fn until(&self, is_it: impl Fn(&str) -> bool) -> (Instant, String) {
        let end = now() + DEADLINE;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(now())) {
                Ok((at, line)) if is_it(&line) => return (at, line),
                Ok((_, line)) => seen.push(line),
                Err(e) => panic!("{e}; seen: {seen:#?}"),
            }
        }
    }

    /// SIGKILL. When.
    pub(crate) fn kill(&mut self) -> Instant {
        let at = now();
        self.child.kill().expect("it was there");
        self.child.wait().expect("it has ended");
        at
    }
}

/// A command that ends.
pub(crate) fn run(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
    command.arg("health").args(words.split_whitespace()).output().expect("it runs")
}

/// The same; it succeeds.
#[track_caller]
pub(crate) fn done(words: &str) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Ports that were free a moment ago, for UDP and TCP.
pub(crate) fn ports(count: usize) -> Vec<SocketAddr> {
    let mut held = Vec::new();
    while held.len() < count {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = tcp.local_addr().expect("its address");
        if let Ok(udp) = UdpSocket::bind(addr) {
            held.push((addr, tcp, udp));
        }
    }
    held.iter().map(|(addr, ..)| *addr).collect()
}

fn list(addrs: &[SocketAddr]) -> String {
    addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Representatives, ready.
pub(crate) struct Representatives {
    pub(crate) kids: Vec<Option<Kid>>,
    words: Vec<String>,
    /// Where clients connect.
    pub(crate) at: Vec<SocketAddr>,
    /// Where the Domain Name System is answered, for `health.example.org`.
    #[cfg(feature = "dns")]
    pub(crate) dns: Vec<SocketAddr>,
}

impl Representatives {
    pub(crate) fn start(group: &str) -> Self {
        let all = ports(9);
        let (binds, at, dns) = (&all[..3], &all[3..6], &all[6..]);
        let extra = |n: usize| {
            if cfg!(feature = "dns") { format!("--dns {} --zone example.org", dns[n]) } else { String::new() }
        };
        let contacts = list(binds);
        let words: Vec<_> = (0..3)
            .map(|n| {
                format!(
                    "serve --group {group} --bind {} --contact {contacts} --expect 3 --listen {} {}",
                    binds[n],
                    at[n],
                    extra(n)
                )
            })
            .collect();
        let kids: Vec<_> = words.iter().map(|words| Some(Kid::start(words))).collect();
        kids.iter().flatten().for_each(|kid| _ = kid.until(|line| line == "ready"));
        Self {
            kids,
            words,
            at: at.to_vec(),
            #[cfg(feature = "dns")]
            dns: dns.to_vec(),
        }
    }

    /// All of them, this one first.
    pub(crate) fn from(&self, first: usize) -> String {
        let mut at = self.at.clone();
        at.rotate_left(first);
        list(&at)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, n: usize) {
        self.kids[n].take().expect("it is there").kill();
    }

    /// Starts it again.
    pub(crate) fn restart(&mut self, n: usize) {
        let kid = Kid::start(&self.words[n]);
        kid.until(|line| line == "ready");
        self.kids[n] = Some(kid);
    }
}

/// Some process.
pub(crate) fn sleeper() -> Kid {
    let mut command = Command::new("sleep");
    command.arg("3600");
    Kid::spawn(command)
}
