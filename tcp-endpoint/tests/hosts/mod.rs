//! Hosts of their own: network namespaces on a switch, and replicas that run in them. Needs root and `ip`.

#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use gcs::time::Time;
use gcs_tcp_endpoint::{
    link::{Config, Counters, Ingress, Link, Outputs},
    net::{Interface, Traffic},
};
use std::{
    fs::File,
    io,
    os::fd::AsFd,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Everything that is waited for happens by then, or the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// Hosts, each with an interface `eth0`, on a bridge in a namespace of its own. Deleted when dropped.
pub(crate) struct Hosts {
    prefix: String,
    names: &'static [&'static str],
}

fn run(program: &str, line: &str) -> Result<String, String> {
    let out = Command::new(program).args(line.split_whitespace()).output();
    match out {
        Ok(o) if o.status.success() => Ok(String::from_utf8_lossy(&o.stdout).into_owned()),
        Ok(o) => Err(format!("{program} {line}: {}", String::from_utf8_lossy(&o.stderr).trim())),
        Err(e) => Err(format!("{program}: {e}")),
    }
}

fn ip(line: &str) -> String {
    run("ip", line).unwrap_or_else(|e| panic!("{e}"))
}

impl Hosts {
    /// A client `c` with 10.77.0.1/24 and fd77::1/64, and `h0`, `h1` for replicas.
    pub(crate) fn new() -> Option<Self> {
        let usable = || {
            run("ping", "-V")?;
            File::open("/dev/net/tun").map_err(|e| format!("/dev/net/tun: {e}"))
        };
        let hosts = Self::on_a_switch(&["c", "h0", "h1"], usable().map(|_| ()))?;
        hosts.on("c", "addr add 10.77.0.1/24 dev eth0");
        hosts.on("c", "addr add fd77::1/64 dev eth0 nodad");
        Some(hosts)
    }

    /// Hosts without addresses. None without the privilege or where something else is not `usable`, said aloud; under `CI=true` that is
    /// a failure.
    pub(crate) fn on_a_switch(names: &'static [&'static str], usable: Result<(), String>) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let hosts = Self { prefix: format!("gtcp{}-{n}", std::process::id()), names };
        let switch = hosts.name("sw");
        let usable = usable
            .and_then(|()| run("ip", &format!("netns add {switch}")))
            .and_then(|_| run("ip", &format!("-n {switch} link add br0 type bridge")));
        if let Err(e) = usable {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "network namespaces are needed: {e}");
            eprintln!("SKIPPED, needs root, iproute2 and the programs of .ci/run: {e}");
            return None;
        }
        ip(&format!("-n {switch} link set br0 up"));
        for host in names {
            let name = hosts.name(host);
            ip(&format!("netns add {name}"));
            ip(&format!("-n {switch} link add p-{host} type veth peer name eth0 netns {name}"));
            ip(&format!("-n {switch} link set p-{host} master br0 up"));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!("-n {name} link set eth0 up"));
        }
        Some(hosts)
    }

    /// The namespace of a host, or of the switch `sw`.
    pub(crate) fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// A command on a host.
    pub(crate) fn command(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        command
    }

    /// Runs `ip` on a host.
    pub(crate) fn on(&self, host: &str, line: &str) -> String {
        ip(&format!("-n {} {line}", self.name(host)))
    }

    /// Whether the client gets an answer to an echo request within `seconds`.
    pub(crate) fn ping(&self, vip: &str, seconds: f32) -> bool {
        let client = self.name("c");
        run("ip", &format!("netns exec {client} ping -n -c 1 -W {seconds} {vip}")).is_ok()
    }

    /// The same with payloads of so many bytes, several of them.
    pub(crate) fn ping_with(&self, vip: &str, bytes: usize) -> bool {
        let client = self.name("c");
        run("ip", &format!("netns exec {client} ping -n -c 3 -i 0.01 -W 10 -s {bytes} {vip}")).is_ok()
    }

    /// What the client knows of an address: a line of `ip neigh`.
    pub(crate) fn neighbour(&self, vip: &str) -> String {
        self.on("c", &format!("neigh show {vip}"))
    }

    /// What the switch knows of groups.
    pub(crate) fn groups(&self) -> String {
        run("bridge", &format!("-n {} mdb show", self.name("sw"))).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Whether the client knows a MAC for it.
    pub(crate) fn knows(&self, vip: &str) -> bool {
        self.neighbour(vip).contains("lladdr")
    }

    /// Runs `f` in a thread on a host.
    pub(crate) fn enter<T: Send>(&self, host: &str, f: impl FnOnce() -> T + Send) -> T {
        let file = self.open(host);
        thread::scope(|s| {
            let inside = s.spawn(move || {
                move_into(&file);
                f()
            });
            inside.join().unwrap_or_else(|e| std::panic::resume_unwind(e))
        })
    }

    fn open(&self, host: &str) -> File {
        File::open(format!("/run/netns/{}", self.name(host))).unwrap()
    }

    /// A replica on a host; `open` makes its interface and its link's configuration.
    pub(crate) fn replica<I: Interface>(
        &self,
        host: &str,
        open: impl FnOnce() -> (I, Config) + Send + 'static,
    ) -> Replica {
        let (file, shared) = (self.open(host), Arc::new(Shared::default()));
        let inside = shared.clone();
        let thread = thread::spawn(move || {
            move_into(&file);
            let (interface, config) = open();
            serve(interface, Link::new(config).unwrap(), &inside).unwrap();
        });
        let replica = Replica { shared, thread: Some(thread) };
        until("the replica runs", || replica.shared.runs.load(Ordering::Relaxed) || replica.ended());
        assert!(!replica.ended(), "the replica cannot run");
        replica
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in self.names.iter().chain(&["sw"]) {
            let _ = run("ip", &format!("netns del {}", self.name(host)));
        }
    }
}

fn move_into(file: &File) {
    let kind = rustix::thread::LinkNameSpaceType::Network;
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(kind)).unwrap();
}

/// Real time, and a deadline.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

#[expect(clippy::disallowed_methods, reason = "a test over real interfaces has real time")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_nanos()).unwrap())
    }

    /// Fails when what is waited for should have happened.
    pub(crate) fn check(self, what: &str) {
        assert!(self.0.elapsed() < DEADLINE, "not seen in time: {what}");
    }
}

/// Waits for something, with a deadline.
#[expect(clippy::disallowed_methods, reason = "what is waited for happens in another process, or thread")]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !holds() {
        clock.check(what);
        thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Default)]
struct Shared {
    active: AtomicBool,
    stop: AtomicBool,
    runs: AtomicBool,
    seen: Mutex<Seen>,
}

/// What a replica has done so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) active: bool,
    pub(crate) counters: Counters,
    pub(crate) traffic: Traffic,
    pub(crate) packets: Vec<Ingress>,
    pub(crate) neighbours: usize,
}

/// A link at an interface, in a thread of its own. Stopped when dropped.
pub(crate) struct Replica {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Replica {
    /// Makes it active or not, and waits until it is.
    pub(crate) fn set_active(&self, active: bool) {
        self.shared.active.store(active, Ordering::Relaxed);
        until("the replica knows", || self.seen().active == active);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap().clone()
    }

    fn ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let result = self.thread.take().map(JoinHandle::join);
        if let Some(Err(e)) = result
            && !thread::panicking()
        {
            std::panic::resume_unwind(e);
        }
    }
}

fn serve<I: Interface>(mut interface: I, mut link: Link, shared: &Shared) -> io::Result<()> {
    let clock = Clock::start();
    let now = || clock.now();
    let (mut out, mut received) = (Outputs::default(), Vec::new());
    while !shared.stop.load(Ordering::Relaxed) {
        link.set_active(now(), shared.active.load(Ordering::Relaxed), &mut out);
        while interface.recv(&mut received).unwrap() {}
        for frame in received.drain(..) {
            link.receive(now(), frame, &mut out);
        }
        link.tick(now(), &mut out);
        interface.send(&mut out.frames, &|| true).unwrap();
        {
            let mut seen = shared.seen.lock().unwrap();
            seen.packets.append(&mut out.packets);
            seen.counters = link.counters().clone();
            (seen.active, seen.traffic) = (link.is_active(), interface.traffic());
            seen.neighbours = link.neighbours().count();
        }
        shared.runs.store(true, Ordering::Relaxed);
        let wait = link.next_timer().since(now()).min(Duration::from_millis(5));
        readable(&interface, wait);
    }
    Ok(())
}

/// Waits until there is something to receive, but no longer.
pub(crate) fn readable<I: Interface>(interface: &I, wait: Duration) {
    let fd = interface.poll_fd();
    let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let wait = rustix::event::Timespec::try_from(wait).unwrap();
    rustix::event::poll(&mut fds, Some(&wait)).unwrap();
}
