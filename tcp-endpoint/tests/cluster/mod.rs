//! Three replicas, each on a host of its own (a network namespace), and a client, on one Ethernet. Needs root and `ip`.
#![expect(clippy::disallowed_methods, reason = "deadlines of real processes")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hosts; deleted when dropped.
pub(crate) struct Cluster {
    prefix: String,
    words: Vec<String>,
    replicas: [Option<Replica>; 3],
}

struct Replica {
    process: Child,
    lines: Receiver<String>,
}

fn ip(line: &str) -> Result<(), String> {
    match Command::new("ip").args(line.split_whitespace()).output() {
        Ok(o) if o.status.success() => Ok(()),
        Ok(o) => Err(format!("ip {line}: {}", String::from_utf8_lossy(&o.stderr).trim())),
        Err(e) => Err(format!("ip: {e}")),
    }
}

impl Cluster {
    /// Three replicas of `gcs-tcp WORDS`, at 10.9.0.100. None without the privilege, said aloud; under `CI=true` that is a failure.
    pub(crate) fn start(words: &[&str]) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("gcst{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut it = Self {
            prefix,
            words: words.iter().map(|w| (*w).to_owned()).collect(),
            replicas: [None, None, None],
        };
        let switch = it.host("sw");
        if let Err(e) = ip(&format!("netns add {switch}")) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "network namespaces are needed: {e}");
            eprintln!("SKIPPED, needs root and iproute2: {e}");
            return None;
        }
        let must = |line: String| ip(&line).unwrap_or_else(|e| panic!("{e}"));
        must(format!("-n {switch} link add br0 type bridge"));
        must(format!("-n {switch} link set br0 up"));
        for (i, name) in ["r0", "r1", "r2", "client"].into_iter().enumerate() {
            let host = it.host(name);
            must(format!("netns add {host}"));
            must(format!("-n {switch} link add p{i} type veth peer name eth0 netns {host}"));
            must(format!("-n {switch} link set p{i} master br0 up"));
            must(format!("-n {host} addr add 10.9.0.{}/24 dev eth0", i + 1));
            must(format!("-n {host} link set lo up"));
            must(format!("-n {host} link set eth0 up"));
        }
        for i in 0..3 {
            it.launch(i);
        }
        Some(it)
    }

    fn host(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A command on a host.
    pub(crate) fn on(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(host), program]);
        command
    }

    /// Gives the host `client` one more address, for a server.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub(crate) fn address(&self, address: &str) {
        ip(&format!("-n {} addr add {address} dev eth0", self.host("client")))
            .unwrap_or_else(|e| panic!("{e}"));
    }

    /// Starts replica `i`: at first all found the group together, later ones join.
    pub(crate) fn launch(&mut self, i: usize) {
        let mut command = self.on(&format!("r{i}"), env!("CARGO_BIN_EXE_gcs-tcp"));
        command.args(&self.words).args(["--group", "test", "--bind", &format!("10.9.0.{}:4803", i + 1)]);
        command.args(["--contact", "10.9.0.1:4803,10.9.0.2:4803,10.9.0.3:4803", "--expect", "3"]);
        command.args(["--interface", "eth0", "--vip", "10.9.0.100/24"]);
        // A proxy's listeners are in its file.
        if !self.words.iter().any(|w| w == "--config") {
            command.args(["--listen", "80"]);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().expect("starts");
        let (to, lines) = channel();
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        self.replicas[i] = Some(Replica { process, lines });
    }

    /// Waits until replica `i` says `line`.
    pub(crate) fn wait(&self, i: usize, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        let replica = self.replicas[i].as_ref().expect("it runs");
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match replica.lines.recv_timeout(left) {
                Ok(said) if said == line => return,
                Ok(_) => {}
                Err(e) => panic!("replica {i} does not say `{line}`: {e}"),
            }
        }
    }

    /// Waits until replica `i` has said all `lines`, in any order.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub(crate) fn wait_for_all(&self, i: usize, lines: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        let replica = self.replicas[i].as_ref().expect("it runs");
        let mut missing = lines.to_vec();
        while !missing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match replica.lines.recv_timeout(left) {
                Ok(said) => missing.retain(|line| *line != said),
                Err(e) => panic!("replica {i} does not say {missing:?}: {e}"),
            }
        }
    }

    /// Waits until somebody leads, and says who.
    pub(crate) fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for (i, replica) in self.replicas.iter().enumerate() {
                let lines = replica.iter().flat_map(|r| r.lines.recv_timeout(Duration::from_millis(5)));
                if lines.last().is_some_and(|line| line == "leads") {
                    return i;
                }
            }
        }
        panic!("nobody leads");
    }

    /// Kills replica `i` (SIGKILL).
    pub(crate) fn kill(&mut self, i: usize) {
        let mut replica = self.replicas[i].take().expect("it runs");
        replica.process.kill().expect("it runs");
        replica.process.wait().expect("it is a child");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for i in 0..3 {
            if self.replicas[i].is_some() {
                self.kill(i);
            }
        }
        // Servers leave children behind: they would outlive their host.
        let left = Command::new("ip").args(["netns", "pids", &self.host("client")]).output();
        let left = left.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        if !left.is_empty() {
            let _ = Command::new("kill").arg("-9").args(left.split_whitespace()).output();
        }
        for name in ["r0", "r1", "r2", "client", "sw"] {
            let _ = ip(&format!("netns del {}", self.host(name)));
        }
    }
}

/// `len` bytes that do not repeat, in a file.
pub(crate) fn write_file(path: &Path, len: usize) -> Vec<u8> {
    let mut rng = gcs::rng::Rng::new(7);
    let bytes: Vec<u8> =
        std::iter::repeat_with(|| rng.next_u64().to_le_bytes()).flatten().take(len).collect();
    std::fs::write(path, &bytes).expect("a file");
    bytes
}
