//! Hosts to play with: network namespaces on one Ethernet, in namespaces of our own. They end with this process.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use super::Failed;

/// The host of clients; the others are `r0`, `r1`, `r2`.
pub(super) const CLIENT: &str = "client";

/// Runs this program again with the same arguments and one more, in namespaces of its own: as root, or as a user who may make them.
pub(super) fn again_inside(argument: &str) -> Result<(), Failed> {
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    unshare.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).arg(argument);
    let status = unshare.status().map_err(|e| format!("unshare(1) of util-linux is needed: {e}"))?;
    if status.success() {
        return Ok(());
    }
    Err("the demonstration has failed; it needs root, or a system that lets users make namespaces (sysctl user.max_user_namespaces)".into())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|o| o.stdout.trim_ascii() == b"0")
}

fn shell(line: &str) -> Result<(), Failed> {
    let output = Command::new("sh").args(["-ec", line]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// The address of replica `i`.
pub(super) fn address(i: usize) -> String {
    format!("10.9.0.{}", i + 1)
}

/// Three hosts for replicas and one for clients, on one Ethernet.
pub(super) fn build() -> Result<(), Failed> {
    shell("command -v ip >/dev/null || { echo 'ip(8) of iproute2 is needed' >&2; exit 1; }")?;
    shell("mount -t tmpfs tmpfs /run; ip link set lo up; ip link add br0 type bridge; ip link set br0 up")?;
    for (i, host) in ["r0", "r1", "r2", CLIENT].into_iter().enumerate() {
        let ip = address(i);
        shell(&format!(
            "ip netns add {host}; ip link add v{i} type veth peer name eth0 netns {host}; ip link set v{i} master br0 up; \
             ip -n {host} addr add {ip}/24 dev eth0; ip -n {host} link set lo up; ip -n {host} link set eth0 up"
        ))?;
    }
    Ok(())
}

/// A process on a host, and the lines that it prints. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    pub(super) lines: Receiver<String>,
}

impl Process {
    /// Starts this program with other arguments.
    pub(super) fn start(host: &str, arguments: &[&str]) -> Result<Self, Failed> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host]).arg(std::env::current_exe()?).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let (to, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| to.send(line))
        });
        Ok(Self { child, lines })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
