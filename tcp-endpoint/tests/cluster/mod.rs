//! Three replicas, each on a host of its own (a network namespace), and a client, on one Ethernet. Needs root and `ip`.
#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::disallowed_methods, reason = "deadlines of real processes")]

use std::{
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use capture::{Capture, Seen};
use gcs_tcp_endpoint::link::Mac;
use hosts::Hosts;
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

#[path = "../capture/mod.rs"]
pub(crate) mod capture;
#[path = "../hosts/mod.rs"]
pub(crate) mod hosts;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where clients connect to.
pub(crate) const VIPS: [&str; 2] = ["10.9.0.100:80", "[fd09::100]:80"];

/// The hosts and what runs on them; ended when dropped.
pub(crate) struct Cluster {
    pub(crate) hosts: Arc<Hosts>,
    words: Vec<String>,
    replicas: [Option<Replica>; 3],
    /// Who has said that it leads, and when, one after the other.
    leaders: Arc<Mutex<Vec<(Instant, Mac)>>>,
}

struct Replica {
    process: Child,
    /// Lines since it was started, or since what was done to it last.
    said: Arc<Mutex<Vec<String>>>,
}

impl Replica {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it runs");
    }

    fn forget(&self) {
        self.said.lock().expect("no panic").clear();
    }

    fn says(&self, line: &str) -> bool {
        self.said.lock().expect("no panic").iter().any(|said| said == line)
    }

    /// The addresses of those in its last view.
    fn view(&self) -> String {
        let said = self.said.lock().expect("no panic");
        let view = said.iter().rev().find_map(|said| said.strip_prefix("view "));
        view.and_then(|view| view.split_once(": ")).map(|(_, members)| members.to_owned()).unwrap_or_default()
    }

    fn leads(&self) -> bool {
        let said = self.said.lock().expect("no panic");
        said.iter().rfind(|said| *said == "leads" || *said == "follows").is_some_and(|said| said == "leads")
    }
}

/// The MAC of host `i`.
fn mac(i: usize) -> Mac {
    Mac([2, 0x67, 0x63, 0x73, 0, u8::try_from(i).expect("few hosts")])
}

/// Host `i` and each other replica, both ways.
fn pairs(i: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..3).filter(move |other| *other != i).flat_map(move |other| [(i, other), (other, i)])
}

/// A connection of the client's that receives about `ahead` bytes before they are read.
pub(crate) fn connect(hosts: &Hosts, to: &str, ahead: Option<usize>) -> io::Result<TcpStream> {
    let to: SocketAddr = to.parse().expect("an address");
    hosts.enter("client", || {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        if let Some(bytes) = ahead {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect(&to.into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    })
}

/// Waits for what is asked for again and again.
pub(crate) fn patiently<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(it) = seen() {
            return it;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Cluster {
    /// Three replicas of `PROGRAM WORDS`, at [`VIPS`]. None without the privilege, said aloud; under `CI=true` that is a failure.
    pub(crate) fn start(words: &[&str]) -> Option<Self> {
        let tcpdump = Command::new("tcpdump").arg("--version").output();
        let usable = tcpdump.map(|_| ()).map_err(|e| format!("tcpdump: {e}"));
        let hosts = Hosts::on_a_switch(&["r0", "r1", "r2", "client"], usable)?;
        for (i, host) in ["r0", "r1", "r2", "client"].into_iter().enumerate() {
            hosts.on(host, &format!("link set eth0 address {}", mac(i)));
            hosts.on(host, &format!("addr add 10.9.0.{}/24 dev eth0", i + 1));
        }
        hosts.on("client", "addr add fd09::4/64 dev eth0 nodad");
        let (hosts, words) = (Arc::new(hosts), words.iter().map(|w| (*w).to_owned()).collect());
        let mut it = Self { hosts, words, replicas: [None, None, None], leaders: Arc::default() };
        for i in 0..3 {
            it.launch(i);
        }
        Some(it)
    }

    /// A command on a host.
    pub(crate) fn on(&self, host: &str, program: &str) -> Command {
        self.hosts.command(host, program)
    }

    /// The client waits half a minute before it sends anything again, over IPv4. From now on it tells how often it has.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub(crate) fn patient_client(&self) -> impl Fn() -> u64 + use<> {
        self.hosts.on("client", "route change 10.9.0.0/24 dev eth0 scope link src 10.9.0.4 rto_min 30s");
        let hosts = self.hosts.clone();
        let count = move || {
            let mut cat = hosts.command("client", "cat");
            let said = cat.arg("/proc/net/snmp").output().expect("cat").stdout;
            let said = String::from_utf8(said).expect("text");
            let mut lines = said.lines().filter(|l| l.starts_with("Tcp:")).map(str::split_whitespace);
            let (names, mut values) = (lines.next().expect("names"), lines.next().expect("values"));
            let at = names.into_iter().position(|name| name == "RetransSegs").expect("it is counted");
            values.nth(at).expect("a value").parse().expect("a number")
        };
        let before: u64 = count();
        move || count() - before
    }

    /// Gives the host `client` one more address, for a server.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub(crate) fn address(&self, address: &str) {
        self.hosts.on("client", &format!("addr add {address} dev eth0"));
    }

    /// Starts replica `i`: at first all found the group together, later ones join.
    pub(crate) fn launch(&mut self, i: usize) {
        let mut command = self.on(&format!("r{i}"), crate::PROGRAM);
        // Where `{i}` stands, the replica's number is meant.
        command.args(self.words.iter().map(|word| word.replace("{i}", &i.to_string())));
        command.args(["--group", "test", "--bind", &format!("10.9.0.{}:4803", i + 1)]);
        command.args(["--contact", "10.9.0.1:4803,10.9.0.2:4803,10.9.0.3:4803", "--expect", "3"]);
        command.args(["--interface", "eth0", "--vip", "10.9.0.100/24,fd09::100/64"]);
        // A proxy's listeners are in its file.
        if self.words.first().is_some_and(|w| w == "echo" || w == "serve") {
            command.args(["--listen", "80"]);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().expect("starts");
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let (log, leaders) = (said.clone(), self.leaders.clone());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if line == "leads" {
                    leaders.lock().expect("no panic").push((Instant::now(), mac(i)));
                }
                log.lock().expect("no panic").push(line);
            }
        });
        self.replicas[i] = Some(Replica { process, said });
    }

    fn replica(&self, i: usize) -> &Replica {
        self.replicas[i].as_ref().expect("it runs")
    }

    /// Waits until replica `i` has said `line`, since it was started or since what was done to it last.
    pub(crate) fn wait(&self, i: usize, line: &str) {
        let replica = self.replica(i);
        patiently(&format!("replica {i} does not say `{line}`"), || replica.says(line).then_some(()));
    }

    /// Waits until replica `i` has said all `lines`, in any order.
    #[allow(dead_code, reason = "each test binary uses its part")]
    pub(crate) fn wait_for_all(&self, i: usize, lines: &[&str]) {
        lines.iter().for_each(|line| self.wait(i, line));
    }

    /// Waits until somebody leads who is not stopped or cut off, and says who.
    pub(crate) fn leader(&self) -> usize {
        let leads = |i: &usize| self.replicas[*i].as_ref().is_some_and(Replica::leads);
        patiently("nobody leads", || (0..3).find(leads))
    }

    /// Waits until all three are in the leader's view.
    pub(crate) fn whole(&self) {
        self.view("not all replicas are in the leader's view", |view| view.split(", ").count() == 3);
    }

    /// Waits until replica `i` is not in the leader's view.
    pub(crate) fn excluded(&self, i: usize) {
        let address = format!("10.9.0.{}:", i + 1);
        self.view(&format!("replica {i} is not excluded"), |view| !view.contains(&address));
    }

    fn view(&self, what: &str, is: impl Fn(&str) -> bool) {
        patiently(what, || {
            let leader = self.replicas.iter().flatten().find(|replica| replica.leads())?;
            is(&leader.view()).then_some(())
        });
    }

    /// When somebody said last that it leads.
    pub(crate) fn led_since(&self) -> Instant {
        self.leaders.lock().expect("no panic").last().expect("somebody leads").0
    }

    /// Kills replica `i` (SIGKILL).
    pub(crate) fn kill(&mut self, i: usize) {
        let mut replica = self.replicas[i].take().expect("it runs");
        replica.process.kill().expect("it runs");
        replica.process.wait().expect("it is a child");
    }

    /// Kills the leader, starts it again and waits until it has joined.
    pub(crate) fn kill_the_leader(&mut self) {
        let dead = self.leader();
        self.kill(dead);
        let leader = self.leader();
        let began = Instant::now();
        self.launch(dead);
        self.wait(dead, "joined");
        eprintln!("{dead} died, {leader} leads; {dead} has joined {:?} after its start", began.elapsed());
    }

    /// Stops replica `i` in the middle of what it does (SIGSTOP).
    pub(crate) fn stop(&self, i: usize) {
        self.replica(i).signal(Signal::STOP);
        self.replica(i).forget();
    }

    /// Lets replica `i` go on (SIGCONT).
    pub(crate) fn go_on(&self, i: usize) {
        self.replica(i).signal(Signal::CONT);
    }

    /// Takes the cable of host `i` out of the switch.
    pub(crate) fn cut(&self, i: usize) {
        self.hosts.on("sw", &format!("link set p-r{i} down"));
        self.replica(i).forget();
    }

    /// Puts it in again.
    pub(crate) fn mend(&self, i: usize) {
        self.hosts.on("sw", &format!("link set p-r{i} up"));
    }

    /// Parts host `i` from the other replicas, not from clients: its neighbours are where nobody is, and it is for them.
    pub(crate) fn part(&self, i: usize) {
        for (on, of) in pairs(i) {
            let nowhere = "lladdr 02:00:00:00:00:fe nud permanent";
            self.hosts.on(&format!("r{on}"), &format!("neigh replace 10.9.0.{} {nowhere} dev eth0", of + 1));
        }
        self.replica(i).forget();
    }

    /// Ends that.
    pub(crate) fn unite(&self, i: usize) {
        for (on, of) in pairs(i) {
            self.hosts.on(&format!("r{on}"), &format!("neigh del 10.9.0.{} dev eth0", of + 1));
        }
    }

    /// A connection of the client's.
    pub(crate) fn connect(&self, to: &str) -> TcpStream {
        connect(&self.hosts, to, None).expect("it connects")
    }

    /// Watches the client's cable from now on.
    pub(crate) fn watch(&self, keep: Option<&Path>) -> Capture {
        let vips = VIPS.map(|vip| vip.parse::<SocketAddr>().expect("an address").ip());
        Capture::start(self.on("client", "tcpdump"), vips.to_vec(), keep)
    }

    /// What was seen so far.
    pub(crate) fn seen(&self, capture: Capture) -> Seen {
        self.hosts.enter("client", || {
            let socket = UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), 0)).expect("a socket");
            socket.set_broadcast(true).expect("a socket option");
            socket.send_to(capture::MARK, "10.9.0.255:9").expect("a datagram");
        });
        capture.end(|| self.leaders.lock().expect("no panic").iter().map(|(_, mac)| *mac).collect())
    }

    /// What was seen; fails when that is something that must not be.
    pub(crate) fn check(&self, capture: Capture) -> Seen {
        let seen = self.seen(capture);
        assert_eq!(seen.violations, 0, "{seen:#?}");
        assert!(seen.connections > 0 && seen.bytes.0 > 0, "{seen:?}");
        eprintln!("{seen:?}");
        seen
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for i in 0..3 {
            if self.replicas[i].is_some() {
                self.kill(i);
            }
        }
    }
}

/// `len` bytes that do not repeat; others for another seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = gcs::rng::Rng::new(seed);
    std::iter::repeat_with(|| rng.next_u64().to_le_bytes()).flatten().take(len).collect()
}

/// `len` bytes that do not repeat, in a file.
pub(crate) fn write_file(path: &Path, len: usize) -> Vec<u8> {
    let bytes = noise(7, len);
    std::fs::write(path, &bytes).expect("a file");
    bytes
}
