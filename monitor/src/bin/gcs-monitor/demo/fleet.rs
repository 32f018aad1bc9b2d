//! The agents of the demo: processes of this machine. They end when the demo does, however it does: their standard input ends then.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::client::Api;

pub(super) const ZONES: [&str; 3] = ["eu", "us", "asia"];
pub(super) const IN_ZONE: usize = 10;
const ROLES: [&str; 3] = ["web", "db", "cache"];
/// A port that is free.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// An agent that has not begun by then does not.
const BEGINS: Duration = Duration::from_secs(60);
/// Bytes of what a process has said when it ended that are passed on.
const LAST_WORDS: u64 = 1000;

/// One machine.
pub(super) struct Member {
    /// Its place in the tree.
    pub(super) name: String,
    /// What it is for.
    pub(super) role: &'static str,
    /// Requests a second, as it says.
    pub(super) requests: i64,
    /// Where it is asked; none while it does not live.
    pub(super) api: Option<Api>,
    contact: Option<SocketAddr>,
    process: Option<Child>,
}

impl Member {
    /// The last part of its name.
    pub(super) fn id(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn zone(&self) -> &str {
        self.name.rsplit_once('/').map_or("/", |(zone, _)| zone)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
    }

    /// As `kill -9` does.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        self.api = None;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// All of them.
pub(super) struct Fleet {
    program: PathBuf,
    pub(super) members: Vec<Member>,
    begun: mpsc::Receiver<(usize, String)>,
    to_begun: mpsc::Sender<(usize, String)>,
}

impl Fleet {
    /// None is started.
    pub(super) fn new() -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| format!("where this program is: {e}"))?;
        let members = (0..ZONES.len() * IN_ZONE).map(|nth| {
            let (zone, host) = (ZONES[nth % ZONES.len()], nth / ZONES.len() + 1);
            Member {
                name: format!("/{zone}/{zone}{host}"),
                role: ROLES[host % ROLES.len()],
                requests: i64::try_from(10 + nth * 7 % 41).unwrap_or(0),
                api: None,
                contact: None,
                process: None,
            }
        });
        let (to_begun, begun) = mpsc::channel();
        Ok(Self { program, members: members.collect(), begun, to_begun })
    }

    /// Starts the first of each zone, one after the other, and then all others: each knows one agent of its own zone from the beginning,
    /// and one of each other.
    pub(super) fn start_all(&mut self) -> Result<(), String> {
        // Where agents are asked who are not told where, unless somebody is there already.
        if self.spawn(0, crate::agent::API).and_then(|()| self.hear()).is_err() {
            self.members[0].kill();
            self.start(0)?;
        }
        for nth in 1..ZONES.len() {
            self.start(nth)?;
        }
        for nth in ZONES.len()..self.members.len() {
            self.spawn(nth, ANY)?;
        }
        for _ in ZONES.len()..self.members.len() {
            self.hear()?;
        }
        Ok(())
    }

    /// Starts one, and waits until it can be asked.
    pub(super) fn start(&mut self, nth: usize) -> Result<(), String> {
        self.spawn(nth, ANY)?;
        self.hear()
    }

    fn spawn(&mut self, nth: usize, api: SocketAddr) -> Result<(), String> {
        let (zone, own) = (nth % ZONES.len(), &self.members[nth]);
        let firsts = (0..ZONES.len()).map(|of| (zone + of) % ZONES.len()).filter(|first| *first != nth);
        let seeds = firsts.filter_map(|first| self.members[first].contact).map(|seed| seed.to_string());
        let mut process = Command::new(&self.program)
            .args(["agent", "--attached", "--name", &own.name, "--listen", "127.0.0.1:0"])
            .args(["--api", &api.to_string(), "--set", &format!("role={}", own.role)])
            .args(seeds.flat_map(|seed| ["--seed".to_owned(), seed]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("an agent cannot be started: {e}"))?;
        let (out, error) = (process.stdout.take(), process.stderr.take());
        self.members[nth].process = Some(process);
        let to = self.to_begun.clone();
        thread::spawn(move || {
            let mut line = first_line(out);
            if line.is_empty() {
                let _ = error.map(|error| error.take(LAST_WORDS).read_to_string(&mut line));
                let _ = to.send((nth, line));
            } else {
                let _ = to.send((nth, line));
                // It may say more as long as it lives.
                let _ = error.map(|mut error| std::io::copy(&mut error, &mut std::io::sink()));
            }
        });
        Ok(())
    }

    /// Waits until an agent says where it is.
    fn hear(&mut self) -> Result<(), String> {
        let (nth, line) = self
            .begun
            .recv_timeout(BEGINS)
            .map_err(|_| format!("an agent has not begun within {} s", BEGINS.as_secs()))?;
        let member = &mut self.members[nth];
        let said = line.trim().strip_prefix(&format!("{} at ", member.name));
        let at = said.and_then(|rest| rest.split_once(", asked at http://"));
        let Some((Ok(contact), Ok(api))) = at.map(|(contact, api)| (contact.parse(), api.parse())) else {
            return Err(format!("the agent {} has ended: {}", member.name, line.trim()));
        };
        (member.contact, member.api) = (Some(contact), Some(Api::at(api)));
        Ok(())
    }

    /// Those that live.
    pub(super) fn living(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.process.is_some())
    }
}

fn first_line(out: Option<ChildStdout>) -> String {
    let mut line = String::new();
    if let Some(out) = out {
        // What cannot be read is not said.
        let _ = BufReader::new(out).read_line(&mut line);
    }
    line
}
