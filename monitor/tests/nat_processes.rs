//! Two sites behind real NATs, with the same addresses, and two agents that can be dialled: network namespaces and masquerading by nftables. Needs root.
//!
//! ```text
//!   a1, a2 ── 192.168.7.0/24 ── ra ─┐                    ┌─ rb ── 192.168.7.0/24 ── b1, b2
//!                                   ├── 198.51.100.0/24 ─┤
//!                              p1 ──┘                    └── p2
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

mod agent_processes;

use agent_processes::{Agent, agent_on};

/// Namespaces. Deleted when dropped.
struct Hosts(String);

const PUBLIC: [(&str, &str); 4] =
    [("p1", "198.51.100.11"), ("p2", "198.51.100.12"), ("ra", "198.51.100.21"), ("rb", "198.51.100.22")];
const INSIDE: [(&str, &str, &str); 4] = [
    ("ra", "a1", "192.168.7.2"),
    ("ra", "a2", "192.168.7.3"),
    ("rb", "b1", "192.168.7.2"),
    ("rb", "b2", "192.168.7.3"),
];
/// Only what was sent out is let in again, and that for half a minute.
const MASQUERADE: &str = "table ip nat {
    chain out {
        type nat hook postrouting priority srcnat
        oifname eth0 masquerade
    }
    chain in {
        type filter hook forward priority filter
        iifname eth0 ct state new drop
    }
}
";

fn run(program: &str, line: &str, input: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(line.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("{program}: {e}"))?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|e| format!("{program}: {e}"))?;
    let out = child.wait_with_output().map_err(|e| format!("{program}: {e}"))?;
    let said = String::from_utf8_lossy(&out.stderr);
    if out.status.success() { Ok(()) } else { Err(format!("{program} {line}: {}", said.trim())) }
}

fn ip(line: &str) {
    run("ip", line, "").unwrap_or_else(|e| panic!("{e}"));
}

impl Hosts {
    /// None without the privilege, said aloud; under `CI=true` that is a failure.
    fn new() -> Option<Self> {
        let hosts = Self(format!("gnat{}", std::process::id()));
        let switch = hosts.name("sw");
        let usable = run("nft", "--version", "")
            .and_then(|()| run("ip", &format!("netns add {switch}"), ""))
            .and_then(|()| run("ip", &format!("-n {switch} link add br0 type bridge"), ""));
        if let Err(e) = usable {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "network namespaces are needed: {e}");
            eprintln!("SKIPPED, needs root, iproute2 and nftables: {e}");
            return None;
        }
        ip(&format!("-n {switch} link set br0 up"));
        for (host, at) in PUBLIC {
            hosts.plug("sw", "br0", host, &format!("{at}/24"));
        }
        for (router, external) in [("ra", "198.51.100.21"), ("rb", "198.51.100.22")] {
            let name = hosts.name(router);
            ip(&format!("-n {name} link add br0 type bridge"));
            ip(&format!("-n {name} addr add 192.168.7.1/24 dev br0"));
            ip(&format!("-n {name} link set br0 up"));
            for flag in [
                "ip_forward=1",
                "netfilter/nf_conntrack_udp_timeout=30",
                "netfilter/nf_conntrack_udp_timeout_stream=30",
            ] {
                let (key, value) = flag.split_once('=').unwrap();
                let under = if key == "ip_forward" { "ipv4/" } else { "" };
                let tee = format!("netns exec {name} tee /proc/sys/net/{under}{key}");
                run("ip", &tee, value).unwrap_or_else(|e| panic!("{e}"));
            }
            run("ip", &format!("netns exec {name} nft -f -"), MASQUERADE)
                .unwrap_or_else(|e| panic!("{external}: {e}"));
        }
        for (router, host, at) in INSIDE {
            hosts.plug(router, "br0", host, &format!("{at}/24"));
            ip(&format!("-n {} route add default via 192.168.7.1", hosts.name(host)));
        }
        Some(hosts)
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.0)
    }

    /// A new host at a bridge.
    fn plug(&self, at: &str, bridge: &str, host: &str, address: &str) {
        let (at, name) = (self.name(at), self.name(host));
        ip(&format!("netns add {name}"));
        ip(&format!("-n {at} link add p-{host} type veth peer name eth0 netns {name}"));
        ip(&format!("-n {at} link set p-{host} master {bridge} up"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} link set eth0 up"));
        ip(&format!("-n {name} addr add {address} dev eth0"));
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let hosts = INSIDE.iter().map(|(_, host, _)| *host).chain(PUBLIC.iter().map(|(host, _)| *host));
        for host in hosts.chain(["sw"]) {
            let _ = run("ip", &format!("netns del {}", self.name(host)), "");
        }
    }
}

fn all_count(agents: &[Agent], right: &str) {
    for agent in agents {
        agent.until(&["query", "SELECT id, nmembers FROM \"/\" ORDER BY id"], |_, said| said.contains(right));
    }
}

#[test]
fn sites_behind_nats_are_counted_asked_and_survive_a_relay() {
    let Some(hosts) = Hosts::new() else { return };
    let first = "198.51.100.11:4804";
    let start = |host: &str, name: &str, flags: &[&str]| {
        let at = PUBLIC.iter().find(|(public, _)| *public == host).map_or("0.0.0.0", |(_, at)| at);
        agent_on(Some(&hosts.name(host)), name, &format!("{at}:4804"), flags)
    };
    let p1 = start("p1", "/pub/p1", &["--relay-for", "16"]);
    let p2 = start("p2", "/pub/p2", &["--relay-for", "16", "--seed", first]);
    // These find out by themselves; one site has a realm.
    let a1 = start("a1", "/a/a1", &["--seed", first, "--realm", "a"]);
    let a2 = start("a2", "/a/a2", &["--seed", first, "--realm", "a"]);
    let b1 = start("b1", "/b/b1", &["--seed", first]);
    // And this one is told.
    let b2 = start("b2", "/b/b2", &["--seed", first, "--relay", first]);
    let agents = [p1, a1, a2, b1, b2, p2];
    all_count(&agents, "6 of 6 agents in /");
    for (nth, (contact, realm)) in
        [("/", "@a=192.168.7.2:4804"), ("/", "@a=192.168.7.3:4804"), ("/", "")].iter().enumerate()
    {
        let agent = &agents[1 + nth];
        let zone = if nth < 2 { "/a" } else { "/b" };
        let sql = format!("SELECT id, contacts FROM \"{zone}\"");
        let said = agent.until(&["query", "--format", "csv", &sql], |_, said| {
            said.contains(contact) && said.contains(realm)
        });
        println!("{said}");
    }
    // From one site into the other, where nobody can dial in, and from outside.
    for asked in [&agents[1], &agents[0]] {
        asked.until(&["query", "SELECT id FROM \"/b\" ORDER BY id"], |_, said| {
            said.contains("2 of 2 agents in /b")
        });
    }
    // What one agent says of itself is seen in the other site.
    agents[3].until(&["doctor"], |_, said| said.contains("reached at a relay: 198.51.100.1"));
    let sum = "SELECT SUM(nmembers) AS n, MIN(id) AS least";
    agents[2].until(&["query", "--everywhere", sum], |_, said| said.contains("6 of 6 agents in /"));
    // A relay dies, and an agent of a site.
    let [p1, a1, a2, b1, b2, p2] = agents;
    drop(p2);
    let agents = [p1, a1, a2, b1, b2];
    all_count(&agents, "5 of 6 agents in /, 1 gone");
    for agent in &agents[1..] {
        agent.until(&["doctor"], |_, said| said.contains(&format!("reached at a relay: {first}/")));
    }
    for agent in &agents {
        agent.until(&["query", "SELECT id FROM \"/b\" ORDER BY id"], |_, said| {
            said.contains("2 of 2 agents in /b")
        });
    }
    let [p1, a1, a2, b1, b2] = agents;
    drop(b2);
    let agents = [p1, a1, a2, b1];
    all_count(&agents, "4 of 6 agents in /, 2 gone");
}
