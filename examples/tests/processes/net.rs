//! Hosts of their own: network namespaces on a switch. Needs root, `ip`, and `nft` for one-way cuts.

use super::{Cat, Start};
use std::{
    net::SocketAddr,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Three namespaces `10.77.0.1` to `.3`, on a bridge in a fourth; deleted when dropped.
pub(crate) struct Net {
    prefix: String,
}

fn run(program: &str, line: &str) -> Result<(), String> {
    let out = Command::new(program).args(line.split_whitespace()).output();
    match out {
        Ok(o) if o.status.success() => Ok(()),
        Ok(o) => Err(format!("{program} {line}: {}", String::from_utf8_lossy(&o.stderr).trim())),
        Err(e) => Err(format!("{program}: {e}")),
    }
}

fn ip(line: &str) {
    run("ip", line).unwrap_or_else(|e| panic!("{e}"));
}

impl Net {
    /// None without the privilege, said aloud; under `CI=true` that is a failure.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let net = Self { prefix: format!("gcs{}-{n}", std::process::id()) };
        let switch = net.switch();
        let usable = run("ip", &format!("netns add {switch}"))
            .and_then(|()| run("ip", &format!("-n {switch} link add br0 type bridge")))
            .and_then(|()| run("ip", &format!("netns exec {switch} nft add table inet probe")));
        if let Err(e) = usable {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "network namespaces are needed: {e}");
            eprintln!("SKIPPED, needs root, iproute2 and nftables: {e}");
            return None;
        }
        ip(&format!("-n {switch} link set br0 up"));
        for i in 0..3 {
            let host = net.host(i);
            ip(&format!("netns add {host}"));
            ip(&format!("-n {switch} link add p{i} type veth peer name eth0 netns {host}"));
            ip(&format!("-n {switch} link set p{i} master br0 up"));
            ip(&format!("-n {host} addr add 10.77.0.{}/24 dev eth0", i + 1));
            ip(&format!("-n {host} link set lo up"));
            ip(&format!("-n {host} link set eth0 up"));
        }
        Some(net)
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.prefix)
    }

    pub(crate) fn host(&self, i: usize) -> String {
        format!("{}-h{i}", self.prefix)
    }

    /// How to start a member on a host, with all hosts as its contacts.
    pub(crate) fn start(&self, i: usize, name: &str) -> Start {
        let addrs = [1, 2, 3].map(|i| SocketAddr::from(([10, 77, 0, i], 4803)));
        Start::new("net", name, addrs[i]).contacts(&addrs).inside(&self.host(i))
    }

    /// Three members, a, b and c by rank, one on each host; all have the first view.
    pub(crate) fn three(&self) -> [Cat; 3] {
        self.three_with(&[])
    }

    /// The same, with more words on their command lines.
    pub(crate) fn three_with(&self, words: &[&str]) -> [Cat; 3] {
        let cats = [0, 1, 2].map(|i| self.start(i, ["a", "b", "c"][i]).expect(3).with(words).spawn());
        for cat in &cats {
            cat.wait_view(&["a", "b", "c"]);
        }
        cats
    }

    /// Pulls a host's plug out of the switch.
    pub(crate) fn unplug(&self, i: usize) {
        ip(&format!("-n {} link set p{i} down", self.switch()));
    }

    pub(crate) fn plug(&self, i: usize) {
        ip(&format!("-n {} link set p{i} up", self.switch()));
    }

    /// Gives a host's interface another MTU.
    pub(crate) fn set_mtu(&self, at: usize, bytes: usize) {
        ip(&format!("-n {} link set eth0 mtu {bytes}", self.host(at)));
    }

    /// From now on host `at` hears nothing of `from`, which still hears it.
    pub(crate) fn deafen(&self, at: usize, from: &[usize]) {
        let host = self.host(at);
        let nft = |line: &str| ip(&format!("netns exec {host} nft {line}"));
        nft("add table inet cut");
        nft("add chain inet cut in { type filter hook input priority 0 ; }");
        for i in from {
            nft(&format!("add rule inet cut in ip saddr 10.77.0.{} drop", i + 1));
        }
    }

    /// From now on a host's firewall drops all UDP that comes in and goes out.
    pub(crate) fn drop_udp(&self, at: usize) {
        let host = self.host(at);
        for hook in ["input", "output"] {
            let nft = |line: &str| ip(&format!("netns exec {host} nft {line}"));
            nft("add table inet cut");
            nft(&format!("add chain inet cut {hook} {{ type filter hook {hook} priority 0 ; }}"));
            nft(&format!("add rule inet cut {hook} meta l4proto udp counter drop"));
        }
    }

    /// How many packets a host's firewall has dropped.
    pub(crate) fn dropped(&self, at: usize) -> u64 {
        let list = ["netns", "exec", &self.host(at), "nft", "list", "table", "inet", "cut"];
        let out = Command::new("ip").args(list).output().expect("ip runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut words = text.split_whitespace();
        let mut sum = 0;
        while let Some(word) = words.next() {
            if word == "packets" {
                sum += words.next().and_then(|n| n.parse::<u64>().ok()).expect("a number");
            }
        }
        sum
    }

    /// Undoes [`Self::deafen`] and [`Self::drop_udp`].
    pub(crate) fn undeafen(&self, at: usize) {
        ip(&format!("netns exec {} nft delete table inet cut", self.host(at)));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for i in 0..3 {
            let _ = run("ip", &format!("netns del {}", self.host(i)));
        }
        let _ = run("ip", &format!("netns del {}", self.switch()));
    }
}
