//! The replicas of the demo: processes of this machine.

use anyhow::Context as _;
use gcs::net::unused_addr;
use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// What the replicas print: the replica's index and the line.
pub type Lines = mpsc::Receiver<(usize, String)>;

/// The replicas, running or not.
pub struct Cluster {
    /// The program, and what its arguments begin with.
    program: (PathBuf, &'static [&'static str]),
    names: Vec<String>,
    group: Vec<SocketAddr>,
    redis: Vec<SocketAddr>,
    children: Vec<Option<Child>>,
    lines: mpsc::Sender<(usize, String)>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Cluster {
    /// Three replicas called alice, bob and carol, at free addresses of this machine; none is started. Each is this
    /// program again, as `gcs-kv`.
    ///
    /// # Errors
    /// There are no free addresses.
    pub fn new() -> anyhow::Result<(Self, Lines)> {
        Self::of(std::env::current_exe()?, &["gcs-kv"])
    }

    /// The same with another program.
    ///
    /// # Errors
    /// There are no free addresses.
    pub fn of(program: PathBuf, args: &'static [&'static str]) -> anyhow::Result<(Self, Lines)> {
        let names: Vec<_> = ["alice", "bob", "carol"].map(str::to_owned).to_vec();
        let addrs =
            || names.iter().map(|_| unused_addr(Ipv4Addr::LOCALHOST.into())).collect::<Result<_, _>>();
        let (group, redis) = (addrs()?, addrs()?);
        let children = names.iter().map(|_| None).collect();
        let (tx, lines) = mpsc::channel();
        Ok((Self { program: (program, args), names, group, redis, children, lines: tx }, lines))
    }

    /// How many replicas there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// There are always three.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// A replica's name.
    #[must_use]
    pub fn name(&self, i: usize) -> &str {
        &self.names[i]
    }

    /// The replica with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// Where the replicas serve Redis clients.
    #[must_use]
    pub fn redis(&self) -> &[SocketAddr] {
        &self.redis
    }

    /// Starts a replica.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(&mut self, i: usize) -> anyhow::Result<()> {
        let contacts: Vec<_> = self.group.iter().map(ToString::to_string).collect();
        let mut child = Command::new(&self.program.0)
            .args(self.program.1)
            .args(["--group", "demo", "--expect", "3", "--name", &self.names[i]])
            .args(["--bind", &self.group[i].to_string(), "--contact", &contacts.join(",")])
            .args(["--redis", &self.redis[i].to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("a replica cannot be started")?;
        let out = child.stdout.take().context("a replica has no output")?;
        let tx = self.lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = tx.send((i, line));
            }
        });
        self.children[i] = Some(child);
        Ok(())
    }

    /// Sends a replica a signal, by its name as `kill` takes it.
    ///
    /// # Errors
    /// It is not running, or there is no `kill`.
    pub fn signal(&self, i: usize, signal: &str) -> anyhow::Result<()> {
        let child = self.children[i].as_ref().context("the replica is not running")?;
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?;
        Ok(())
    }

    /// Kills a replica with SIGKILL, as `kill -9` does.
    pub fn kill(&mut self, i: usize) {
        if let Some(mut child) = self.children[i].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until a replica prints a line that begins with `wanted`; prints everybody's lines meanwhile.
///
/// # Errors
/// It does not come within the time.
pub fn wait_for(
    lines: &Lines,
    cluster: &Cluster,
    within: Duration,
    mut wanted: impl FnMut(usize, &str) -> bool,
) -> anyhow::Result<()> {
    loop {
        let (i, line) = lines.recv_timeout(within).context("the replicas say nothing: something is wrong")?;
        println!("    {:>5}: {line}", cluster.name(i));
        if wanted(i, &line) {
            return Ok(());
        }
    }
}
