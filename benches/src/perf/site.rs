//! Where members run: here, or in network namespaces of their own that a bridge joins, which needs root.
//!
//! [`playground`] has the namespaces.

use crate::{
    member::{Settings, System, cpg},
    parent::Daemons,
};
use anyhow::bail;
use gcs_tcp_endpoint::playground;
use std::{
    fmt::Write as _,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
};

/// The interfaces' limit: what Corosync and many data centres use.
pub(super) const MTU: usize = 9000;
const CONFIG: &str = "/run/corosync.conf";

/// Where members run, and what carries their messages.
#[derive(Clone, Debug, Default)]
pub enum Site {
    /// As processes of this machine over its loopback interface.
    #[default]
    Here,
    /// Each in a network namespace, joined by a bridge.
    Bridge,
    /// The same, as clients of Corosync daemons with these process numbers.
    Corosync(Vec<u32>),
    /// Over loopback, with nothing but datagrams of this size.
    Udp(usize),
}

impl Site {
    /// Changes the settings of members that were to run here.
    pub(super) fn adapt(&self, settings: &mut [Settings]) {
        static PORT: AtomicU16 = AtomicU16::new(7400);
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        let addrs: Vec<_> =
            (0..settings.len()).map(|i| SocketAddr::new(playground::address(i).into(), port)).collect();
        for (i, s) in settings.iter_mut().enumerate() {
            let words = match self {
                Self::Here => continue,
                Self::Udp(datagram) => {
                    s.system = System::Udp { datagram: *datagram };
                    continue;
                }
                Self::Bridge => format!("ip netns exec {}", node(i)),
                Self::Corosync(daemons) => {
                    s.system = System::Cpg { daemon: daemons[i] };
                    format!("nsenter --target {} --mount --net --ipc", daemons[i])
                }
            };
            s.enter = words.split(' ').map(str::to_owned).collect();
            s.bind = addrs[i];
            s.mtu = Some(MTU);
            s.contacts.clone_from(&addrs);
        }
    }
}

/// The name of a node.
pub(super) fn node(i: usize) -> String {
    format!("n{i}")
}

/// Sets up so many nodes.
///
/// # Errors
/// A command fails.
pub(super) fn build(nodes: usize, mtu: usize) -> anyhow::Result<()> {
    Ok(playground::build(&(0..nodes).map(node).collect::<Vec<_>>(), mtu)?)
}

/// Corosync daemons, one in each namespace. Dropping them kills them.
pub(super) struct Corosync(Daemons);

impl Corosync {
    /// What is missing on this machine, if anything is.
    pub(super) fn missing() -> Option<&'static str> {
        let daemon = Command::new("corosync").arg("-v").stdout(Stdio::null()).status();
        if daemon.is_err() {
            return Some("Corosync is not installed (package corosync)");
        }
        (!cpg::is_installed()).then_some("Corosync's library is not installed (package libcpg4)")
    }

    /// Starts the daemons, with real-time priority (as is their default) or without.
    ///
    /// # Errors
    /// One cannot be started.
    pub(super) fn start(nodes: usize, realtime: bool) -> anyhow::Result<Self> {
        // Each has its own shared memory, run-time files and state; sockets are those of its network namespace.
        let script = format!(
            "mount -t tmpfs -o size=1g tmpfs /dev/shm && mount -t tmpfs tmpfs /run && \
             mount -t tmpfs tmpfs /var/lib/corosync && printf %s \"$0\" >{CONFIG} && exec corosync -f -c {CONFIG}"
        );
        let config = config(nodes, realtime);
        let mut all = Daemons::default();
        for i in 0..nodes {
            let mut ip = Command::new("ip");
            ip.args(["netns", "exec", &node(i), "unshare", "--mount", "--ipc"]);
            all.start(ip.args(["sh", "-c", &script, &config]))?;
        }
        // Once a daemon has its own name its namespaces are complete.
        for id in all.ids() {
            let file = format!("/proc/{id}/comm");
            let up = || std::fs::read_to_string(&file).is_ok_and(|name| name.trim() == "corosync");
            let mut tries = 0;
            while !up() {
                tries += 1;
                if tries > 500 {
                    bail!("a Corosync daemon does not start");
                }
                thread::park_timeout(std::time::Duration::from_millis(20));
            }
        }
        Ok(Self(all))
    }

    pub(super) fn site(&self) -> Site {
        Site::Corosync(self.0.ids().collect())
    }
}

/// Its defaults, apart from what is said here: unicast, no encryption, frames as large as the interfaces take.
fn config(nodes: usize, realtime: bool) -> String {
    let sched = if realtime { "yes" } else { "no" };
    let mut text = format!(
        "totem {{
 version: 2
 cluster_name: perf
 transport: udpu
 netmtu: 8900
 crypto_cipher: none
 crypto_hash: none
}}
system {{
 sched_rr: {sched}
}}
logging {{
 to_syslog: no
 to_stderr: yes
}}
nodelist {{
"
    );
    for i in 0..nodes {
        let (ip, id) = (playground::address(i), i + 1);
        let _ = writeln!(text, " node {{\n  ring0_addr: {ip}\n  nodeid: {id}\n  name: n{i}\n }}");
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_every_node_and_balanced_braces() {
        let text = config(3, false);
        assert!(text.contains("ring0_addr: 10.77.0.3\n  nodeid: 3"), "{text}");
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        // Corosync takes nothing after an opening brace.
        assert!(text.lines().all(|l| !l.contains('{') || l.ends_with('{')));
    }
}
