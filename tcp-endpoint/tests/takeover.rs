//! Real clients do not notice that the host that held their connection is gone: three processes of `gcs-tcp`, each in a network
//! namespace, curl and sockets; whatever passes the client's cable is looked at. Needs root, `ip`, `curl` and `tcpdump`.

#![cfg(target_os = "linux")]

use std::{
    io::{self, Read, Write as _},
    net::{Shutdown, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use cluster::{Cluster, VIPS, noise, patiently, write_file};

mod cluster;

/// What the replicas run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_gcs-tcp");

/// A folder with one file, deleted when dropped.
struct Folder(PathBuf);

impl Folder {
    /// Whose file `file` has so many bytes.
    fn new(name: &str, len: usize) -> (Self, Vec<u8>) {
        let root = std::env::temp_dir().join(format!("gcs-tcp-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&root).expect("a folder");
        let bytes = write_file(&root.join("file"), len);
        (Self(root), bytes)
    }

    fn path(&self) -> &str {
        text(&self.0)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// curl, at so many bytes a second.
fn download(cluster: &Cluster, vip: &str, rate: &str) -> (Child, ChildStdout) {
    let mut curl = cluster.on("client", "curl");
    curl.args(["--silent", "--show-error", "--fail", "--globoff", "--limit-rate", rate]);
    curl.args(["--speed-limit", "1", "--speed-time", "30"]);
    let mut curl = curl.arg(format!("http://{vip}/file")).stdout(Stdio::piped()).spawn().expect("curl");
    let from = curl.stdout.take().expect("piped");
    (curl, from)
}

/// Reads the next `len` bytes, which are those of `all`.
fn expect(from: &mut impl Read, all: &[u8], at: &mut usize, len: usize) {
    let mut part = vec![0; len];
    from.read_exact(&mut part).expect("it goes on");
    assert!(part == all[*at..*at + len], "other bytes than were sent, behind {at}");
    *at += len;
}

/// Each time the leader dies, and one that has joined in mid-stream is among those that go on: at the end nobody of the beginning is left.
#[test]
fn a_download_outlives_every_host_that_served_it() {
    let (folder, bytes) = Folder::new("download", 60_000_000);
    let Some(mut cluster) = Cluster::start(&["serve", "--root", folder.path()]) else { return };
    cluster.leader();
    let capture = cluster.watch(None);
    let (mut curl, mut from) = download(&cluster, VIPS[0], "6M");
    let mut at = 0;
    for _ in 1..=3 {
        expect(&mut from, &bytes, &mut at, 15_000_000);
        cluster.kill_the_leader();
    }
    expect(&mut from, &bytes, &mut at, 15_000_000);
    assert!(curl.wait().expect("it ends").success());
    cluster.check(capture);
}

/// What goes to an echo, piece by piece, and comes back, whatever happens meanwhile.
struct Upload {
    sender: JoinHandle<io::Result<()>>,
    reader: JoinHandle<()>,
    back: Arc<AtomicUsize>,
}

impl Upload {
    #[expect(clippy::disallowed_methods, reason = "it shall last while hosts fail")]
    fn start(cluster: &Cluster, vip: &str, len: usize) -> Self {
        let bytes = noise(8, len);
        let mut from = cluster.connect(vip);
        let mut to = from.try_clone().expect("another descriptor");
        let (sent, back) = (bytes.clone(), Arc::new(AtomicUsize::new(0)));
        let sender = thread::spawn(move || {
            for piece in sent.chunks(16 * 1024) {
                to.write_all(piece)?;
                thread::sleep(Duration::from_millis(2));
            }
            to.shutdown(Shutdown::Write)
        });
        let count = back.clone();
        let reader = thread::spawn(move || {
            let mut at = 0;
            while at < bytes.len() {
                let len = 10_000.min(bytes.len() - at);
                expect(&mut from, &bytes, &mut at, len);
                count.store(at, Ordering::Relaxed);
            }
            assert_eq!(from.read(&mut [0]).expect("it ends in order"), 0);
        });
        Self { sender, reader, back }
    }

    /// Waits until so many bytes have come back.
    fn wait(&self, at: usize) {
        patiently("it goes on", || {
            let ended = self.reader.is_finished();
            (ended || self.back.load(Ordering::Relaxed) >= at).then_some(())
        });
    }

    fn end(self) {
        self.reader.join().expect("all came back");
        self.sender.join().expect("no panic").expect("all was taken");
    }
}

/// The same the other way: what a client sends comes back from whoever is there then.
#[test]
fn an_upload_outlives_every_host_that_took_it() {
    let Some(mut cluster) = Cluster::start(&["echo"]) else { return };
    cluster.leader();
    let capture = cluster.watch(None);
    let upload = Upload::start(&cluster, VIPS[1], 30_000_000);
    for round in 1..=3 {
        upload.wait(round * 5_000_000);
        cluster.kill_the_leader();
    }
    upload.end();
    cluster.check(capture);
}

/// It hears its clients all the time, and the others do not hear of that: what it acknowledged then would be lost.
#[test]
fn a_leader_that_is_parted_from_the_others_is_silent() {
    let Some(cluster) = Cluster::start(&["echo"]) else { return };
    cluster.leader();
    let capture = cluster.watch(None);
    let upload = Upload::start(&cluster, VIPS[0], 30_000_000);
    for round in 1..=2 {
        upload.wait(round * 5_000_000);
        comes_back(&cluster, Cluster::part, Cluster::unite);
    }
    upload.end();
    cluster.check(capture);
}

/// A leader is `interrupted`, and is `back` when another one leads: it is silent until it leads again.
fn comes_back(cluster: &Cluster, interrupted: impl Fn(&Cluster, usize), back: impl Fn(&Cluster, usize)) {
    let first = cluster.leader();
    interrupted(cluster, first);
    let second = cluster.leader();
    back(cluster, first);
    cluster.wait(first, "joined");
    eprintln!("{first} was away, {second} leads");
}

/// Twice during a download.
fn leaders_come_back(
    name: &str,
    vip: &str,
    interrupted: impl Fn(&Cluster, usize),
    back: impl Fn(&Cluster, usize),
) -> Option<()> {
    let (folder, bytes) = Folder::new(name, 24_000_000);
    let cluster = Cluster::start(&["serve", "--root", folder.path()])?;
    cluster.leader();
    let capture = cluster.watch(None);
    let (mut curl, mut from) = download(&cluster, vip, "8M");
    let mut at = 0;
    for _ in 1..=2 {
        expect(&mut from, &bytes, &mut at, 8_000_000);
        comes_back(&cluster, &interrupted, &back);
    }
    expect(&mut from, &bytes, &mut at, 8_000_000);
    assert!(curl.wait().expect("it ends").success());
    cluster.check(capture);
    Some(())
}

#[test]
fn a_leader_that_was_stopped_is_silent_when_it_goes_on() {
    leaders_come_back("stop", VIPS[1], Cluster::stop, Cluster::go_on);
}

#[test]
fn a_leader_that_was_cut_off_is_silent_when_it_is_back() {
    leaders_come_back("cut", VIPS[0], Cluster::cut, Cluster::mend);
}

/// One of fifty of the client's packets is lost, and one of fifty super-packets that go to it: the kernel's TCP repairs that, and ours, over a takeover.
#[test]
fn an_echo_over_a_lossy_cable() {
    let Some(mut cluster) = Cluster::start(&["echo"]) else { return };
    cluster.leader();
    // The system cuts what it sends before some of it is lost.
    cluster.hosts.on("client", "link set eth0 gso_max_segs 1");
    for hook in ["input", "output"] {
        let chain = format!("{{ type filter hook {hook} priority 0; }}");
        for line in [
            format!("add table inet {hook}"),
            format!("add chain inet {hook} loses {chain}"),
            format!("add rule inet {hook} loses tcp flags & (syn | fin) == 0 numgen random mod 50 == 0 drop"),
        ] {
            let done = cluster.on("client", "nft").arg(&line).status().expect("ip is there");
            assert!(done.success(), "nft {line}");
        }
    }
    let capture = cluster.watch(None);
    let uploads = VIPS.map(|vip| Upload::start(&cluster, vip, 6_000_000));
    uploads.iter().for_each(|upload| upload.wait(2_000_000));
    cluster.kill_the_leader();
    uploads.into_iter().for_each(Upload::end);
    let seen = cluster.check(capture);
    assert!(seen.again > 0, "nothing was lost: {seen:?}");
}

fn say(to: &mut TcpStream, word: &[u8]) {
    to.write_all(word).expect("it is taken");
    let mut back = vec![0; word.len()];
    to.read_exact(&mut back).expect("an answer");
    assert_eq!(back, word);
}

/// What a client has sent is sent back, in order, whoever dies meanwhile.
#[test]
fn a_conversation_goes_on() {
    let Some(mut cluster) = Cluster::start(&["echo"]) else { return };
    let leader = cluster.leader();
    let capture = cluster.watch(None);
    let mut to = VIPS.map(|vip| cluster.connect(vip));
    to.iter_mut().for_each(|to| say(to, b"before\n"));
    cluster.kill(leader);
    to.iter_mut().for_each(|to| say(to, b"while nobody leads\n"));
    cluster.leader();
    to.iter_mut().for_each(|to| say(to, b"after\n"));
    drop(to);
    cluster.check(capture);
}

/// Nobody has said anything since before two leaders died; nevertheless each new one has been heard of.
#[test]
fn a_connection_is_idle_over_two_takeovers() {
    let Some(mut cluster) = Cluster::start(&["echo"]) else { return };
    cluster.leader();
    let capture = cluster.watch(None);
    let mut to = VIPS.map(|vip| cluster.connect(vip));
    to.iter_mut().for_each(|to| say(to, b"before\n"));
    cluster.kill_the_leader();
    cluster.kill_the_leader();
    to.iter_mut().for_each(|to| say(to, b"after\n"));
    drop(to);
    assert_eq!(cluster.check(capture).unkicked, 0, "a leader has not said how far it is");
}

/// Replicas that hear what the leader hears pass on what it could not any more: a client that waits long before it sends again does not
/// have to.
#[test]
fn where_all_hear_the_clients_nobody_has_to_send_again() {
    let Some(mut cluster) = Cluster::start(&["echo", "--mirror"]) else { return };
    cluster.leader();
    let sent_again = cluster.patient_client();
    let capture = cluster.watch(None);
    let mut to = cluster.connect(VIPS[0]);
    say(&mut to, b"before\n");
    for _ in 0..2 {
        let dead = cluster.leader();
        cluster.kill(dead);
        say(&mut to, b"while nobody leads\n");
        cluster.leader();
        cluster.launch(dead);
        cluster.wait(dead, "joined");
    }
    drop(to);
    assert_eq!(sent_again(), 0, "something was lost with a leader");
    cluster.check(capture);
}

/// A command moves the address to who leads, and is run again if it fails: the first one does.
#[test]
fn a_command_moves_the_address() {
    let (folder, _) = Folder::new("command", 1);
    let hook = folder.0.join("hook");
    let script = "cd $(dirname $0); echo $* >> calls; [ $(wc -l < calls) -gt 1 ]";
    std::fs::write(&hook, script).expect("a file");
    let Some(mut cluster) = Cluster::start(&["echo", "--take", &format!("sh {} {{i}}", text(&hook))]) else {
        return;
    };
    let calls = || std::fs::read_to_string(folder.0.join("calls")).unwrap_or_default();
    let leader = cluster.leader();
    let taken = |who: usize| format!("{who} take 10.9.0.100 eth0\n{who} take fd09::100 eth0\n");
    // Once it has failed, both are taken again.
    patiently("it is not run again", || calls().ends_with(&taken(leader).repeat(2)).then_some(()));
    cluster.kill(leader);
    let next = cluster.leader();
    patiently("the next one does not take it", || calls().ends_with(&taken(next)).then_some(()));
}

/// A replica whose file is another one does something else than its leader: it finds out, and joins again. Clients get what the leader has.
#[test]
fn a_replica_that_does_something_else_joins_again() {
    let (folder, bytes) = Folder::new("diverges", 100_000);
    for i in 0..3 {
        let own = folder.0.join(i.to_string());
        std::fs::create_dir_all(&own).expect("a folder");
        std::fs::copy(folder.0.join("file"), own.join("file")).expect("a copy");
    }
    let root = format!("{}/{{i}}", folder.path());
    let Some(mut cluster) = Cluster::start(&["serve", "--root", &root]) else { return };
    let leader = cluster.leader();
    let other = (leader + 1) % 3;
    let others_file = folder.0.join(other.to_string()).join("file");
    std::fs::write(&others_file, noise(9, bytes.len())).expect("a file");
    let fetch = |cluster: &Cluster| {
        let (mut curl, mut from) = download(cluster, VIPS[0], "100M");
        expect(&mut from, &bytes, &mut 0, bytes.len());
        assert!(curl.wait().expect("it ends").success());
    };
    fetch(&cluster);
    cluster.wait(other, "joined");
    std::fs::write(&others_file, &bytes).expect("a file");
    cluster.kill(leader);
    fetch(&cluster);
}

/// The leader and another one die at the same time. The third does not answer, though they are started again: they are strangers to it,
/// and it cannot know that the others do not go on elsewhere. On the operator's word it does, with the connection, and they join it.
#[test]
fn on_the_operators_word_a_connection_outlives_a_majority() {
    let folder = Folder::new("force", 0).0;
    let control = format!("{}/{{i}}", folder.path());
    let Some(mut cluster) = Cluster::start(&["echo", "--control", &control]) else { return };
    let leader = cluster.leader();
    let (other, left) = ((leader + 1) % 3, (leader + 2) % 3);
    let capture = cluster.watch(None);
    let mut stream = cluster.connect(VIPS[0]);
    let mut says = |word: &[u8; 6]| {
        stream.write_all(word).expect("it is open");
        let mut back = [0; 6];
        stream.read_exact(&mut back).expect("it goes on");
        assert_eq!(&back, word);
    };
    says(b"before");
    cluster.kill(leader);
    cluster.kill(other);
    cluster.wait(left, "blocked: no majority of the replicas is in reach");
    cluster.launch(leader);
    cluster.launch(other);
    let mut force = cluster.on(&format!("r{left}"), PROGRAM);
    let said = force.args(["force-primary", &format!("{}/{left}", folder.path())]).output().expect("it runs");
    assert!(said.status.success(), "{said:?}");
    cluster.wait(left, "leads");
    says(b"forced");
    cluster.wait(leader, "joined");
    cluster.wait(other, "joined");
    cluster.kill(left);
    says(b"after!");
    cluster.check(capture);
}
