//! How members find each other without being told addresses: a file, DNS names and multicast.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test panics where something is wrong")]

mod processes;

use processes::{Start, free_addrs, net::Net};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

#[test]
fn a_file_that_is_written_later() {
    let [a, b] = free_addrs();
    let path = scratch("contacts");
    let cat_a = Start::new("file", "a", a).with(&["--found"]).spawn();
    cat_a.wait_view(&["a"]);
    let file = path.to_str().unwrap();
    let cat_b = Start::new("file", "b", b).with(&["--contact-file", file, "--join-timeout", "60"]).spawn();
    fs::write(&path, format!("# who was there first\n{a}\n")).unwrap();
    cat_b.wait_view(&["a", "b"]);
    fs::remove_file(&path).unwrap();
}

fn host_addr(i: u8) -> SocketAddr {
    ([10, 77, 0, i + 1], 4803).into()
}

#[test]
fn multicast_needs_no_contacts() {
    let Some(net) = Net::new() else { return };
    let names = ["a", "b", "c"];
    let cats = [0, 1, 2].map(|i: u8| {
        let start = Start::new("many", names[usize::from(i)], host_addr(i)).expect(3);
        start.with(&["--multicast", "239.192.7.7:7400"]).inside(&net.host(i.into())).spawn()
    });
    cats.iter().for_each(|cat| drop(cat.wait_view(&names)));
    cats[0].send("hello");
    cats.iter().for_each(|cat| cat.wait_text("hello"));
}

/// A DNS server on the first host, which the hosts' resolver asks.
struct Dns {
    server: Child,
    log: Receiver<String>,
    hosts: PathBuf,
    configs: Vec<PathBuf>,
}

impl Dns {
    /// None without dnsmasq, said aloud; under `CI=true` that is a failure.
    fn new(net: &Net) -> Option<Self> {
        let hosts = scratch("hosts");
        fs::write(&hosts, "").unwrap();
        let configs: Vec<_> = (0..3).map(|i| PathBuf::from("/etc/netns").join(net.host(i))).collect();
        for config in &configs {
            // `ip netns exec` puts it in the place of the one in /etc.
            fs::create_dir_all(config).unwrap();
            fs::write(config.join("resolv.conf"), "nameserver 10.77.0.1\noptions timeout:1\n").unwrap();
        }
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &net.host(0), "dnsmasq", "--keep-in-foreground", "--no-resolv"]);
        command.args(["--no-hosts", "--user=root", "--listen-address=10.77.0.1", "--bind-interfaces"]);
        command.args([
            "--pid-file=",
            "--conf-file=/dev/null",
            "--local-ttl=0",
            "--log-facility=-",
            "--log-queries",
        ]);
        command.arg(format!("--addn-hosts={}", hosts.display()));
        let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, log) = mpsc::channel();
        let stderr = BufReader::new(server.stderr.take().unwrap());
        thread::spawn(move || stderr.lines().map_while(Result::ok).all(|l| lines.send(l).is_ok()));
        let dns = Self { server, log, hosts, configs };
        if dns.logs("started") {
            return Some(dns);
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "dnsmasq is needed");
        eprintln!("SKIPPED, needs dnsmasq");
        None
    }

    /// Waits for a line with this in it; false if the server has ended.
    fn logs(&self, what: &str) -> bool {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(what) => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("the DNS server never logs `{what}`"),
            }
        }
    }

    /// From now on the name has these hosts' addresses.
    fn say(&self, name: &str, hosts: &[u8]) {
        let lines: Vec<_> = hosts.iter().map(|i| format!("{} {name}\n", host_addr(*i).ip())).collect();
        fs::write(&self.hosts, lines.concat()).unwrap();
        let reread = Command::new("kill").args(["-HUP", &self.server.id().to_string()]).status();
        assert!(reread.unwrap().success());
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        self.configs.iter().for_each(|c| drop(fs::remove_dir_all(c)));
        let _ = fs::remove_file(&self.hosts);
    }
}

#[test]
fn a_name_is_looked_up_until_somebody_answers() {
    let Some(net) = Net::new() else { return };
    let Some(dns) = Dns::new(&net) else { return };
    dns.say("members.test", &[1]);
    let a = Start::new("named", "a", host_addr(0)).with(&["--found"]).inside(&net.host(0)).spawn();
    a.wait_view(&["a"]);
    // So far the name stands for b alone.
    let named = ["--contact", "members.test:4803", "--join-timeout", "60"];
    let b = Start::new("named", "b", host_addr(1)).with(&named).inside(&net.host(1)).spawn();
    assert!(dns.logs("members.test is 10.77.0.2"), "it was looked up");
    dns.say("members.test", &[0, 1]);
    b.wait_view(&["a", "b"]);
}
