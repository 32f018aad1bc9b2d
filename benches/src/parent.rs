//! The process that starts the members of a measurement and puts their figures together.

use crate::{
    member::Settings,
    report::{Figures, Line, wall_ns},
};
use anyhow::Context as _;
use gcs::net::unused_addr;
use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// A member process. Dropping it kills it, and it ends when this process does.
pub struct Process {
    child: Child,
    /// Its name.
    pub name: String,
    lines: mpsc::Receiver<(u64, Line)>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts this program again as a member with these settings.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let exe = std::env::current_exe()?;
        let mut command = match &settings.enter[..] {
            [] => Command::new(exe),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(exe);
                command
            }
        };
        let mut child = command
            .arg("member")
            .arg(serde_json::to_string(settings)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a member cannot be started")?;
        let out = child.stdout.take().context("a member has no output")?;
        let (tx, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Ok(line) = serde_json::from_str(&line) {
                    let _ = tx.send((wall_ns(), line));
                }
            }
        });
        Ok(Self { child, name: settings.name.clone(), lines })
    }

    /// The next line, or an error after `within`.
    ///
    /// # Errors
    /// Nothing came, or the member ended.
    pub fn line(&self, within: Duration) -> anyhow::Result<Line> {
        let (_, line) =
            self.lines.recv_timeout(within).with_context(|| format!("member {} says nothing", self.name))?;
        Ok(line)
    }

    /// Waits for a view with this many members: when it was installed, and the members.
    ///
    /// # Errors
    /// It does not come within the time.
    pub fn view(&self, members: usize, within: Duration) -> anyhow::Result<(u64, Vec<String>)> {
        loop {
            if let Line::View { at, members: names } = self.line(within)?
                && names.len() == members
            {
                return Ok((at, names));
            }
        }
    }

    /// Waits for the figures.
    ///
    /// # Errors
    /// They do not come within the time.
    pub fn figures(&self, within: Duration) -> anyhow::Result<Figures> {
        loop {
            if let Line::Done(figures) = self.line(within)? {
                return Ok(figures);
            }
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `kill` cannot be run.
    pub fn signal(&self, signal: &str) -> anyhow::Result<()> {
        Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        Ok(())
    }
}

/// Other programs. Dropping this kills them.
#[derive(Default)]
pub struct Daemons(Vec<Child>);

impl Drop for Daemons {
    fn drop(&mut self) {
        for d in &mut self.0 {
            let _ = d.kill();
            let _ = d.wait();
        }
    }
}

impl Daemons {
    /// Starts one more; what it prints is lost.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, command: &mut Command) -> anyhow::Result<()> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn();
        self.0
            .push(child.with_context(|| format!("cannot be started: {}", command.get_program().display()))?);
        Ok(())
    }

    /// Their process numbers.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(Child::id)
    }
}

/// Loopback addresses that are free at present.
///
/// # Errors
/// There is none.
pub fn free_addrs(n: usize) -> anyhow::Result<Vec<SocketAddr>> {
    (0..n).map(|_| Ok(unused_addr(Ipv4Addr::LOCALHOST.into())?)).collect()
}
