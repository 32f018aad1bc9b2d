//! Real clients do not notice that the host that held their connection is gone: three processes of `gcs-tcp`, each in a network
//! namespace, curl and sockets; whatever passes the client's cable is looked at. Needs root, `ip`, `curl` and `tcpdump`.

#![cfg(target_os = "linux")]

use std::{
    io::{Read, Write as _},
    net::{Shutdown, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdout, Stdio},
};

use cluster::{Cluster, VIPS, noise, write_file};

mod cluster;

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
        self.0.to_str().expect("a path")
    }
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

/// Kills the leader, starts it again and waits until it has joined.
fn kill_the_leader(cluster: &mut Cluster) {
    let dead = cluster.leader();
    cluster.kill(dead);
    let leader = cluster.leader();
    cluster.launch(dead);
    cluster.wait(dead, "joined");
    eprintln!("{dead} died and is back, {leader} leads");
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
        kill_the_leader(&mut cluster);
    }
    expect(&mut from, &bytes, &mut at, 15_000_000);
    assert!(curl.wait().expect("it ends").success());
    cluster.check(capture);
}

/// The same the other way: what a client sends comes back from whoever is there then.
#[test]
fn an_upload_outlives_every_host_that_took_it() {
    let Some(mut cluster) = Cluster::start(&["echo"]) else { return };
    cluster.leader();
    let capture = cluster.watch(None);
    let bytes = noise(8, 40_000_000);
    let mut from = cluster.connect(VIPS[1]);
    let mut to = from.try_clone().expect("another descriptor");
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || {
        to.write_all(&sent).expect("it is taken");
        to.shutdown(Shutdown::Write).expect("it is open");
    });
    let mut at = 0;
    for _ in 1..=3 {
        expect(&mut from, &bytes, &mut at, 10_000_000);
        kill_the_leader(&mut cluster);
    }
    expect(&mut from, &bytes, &mut at, 10_000_000);
    assert_eq!(from.read(&mut [0]).expect("it ends in order"), 0);
    sender.join().expect("all was taken");
    cluster.check(capture);
}

/// A leader is `interrupted` during a download, and is `back` when another one leads: it is silent until it leads again.
fn a_leader_comes_back(
    name: &str,
    interrupted: impl Fn(&Cluster, usize),
    back: impl Fn(&Cluster, usize),
) -> Option<()> {
    let (folder, bytes) = Folder::new(name, 24_000_000);
    let cluster = Cluster::start(&["serve", "--root", folder.path()])?;
    cluster.leader();
    let capture = cluster.watch(None);
    let (mut curl, mut from) = download(&cluster, VIPS[1], "8M");
    let mut at = 0;
    for _ in 1..=2 {
        expect(&mut from, &bytes, &mut at, 8_000_000);
        let first = cluster.leader();
        interrupted(&cluster, first);
        let second = cluster.leader();
        back(&cluster, first);
        cluster.wait(first, "joined");
        eprintln!("{first} was away, {second} leads");
    }
    expect(&mut from, &bytes, &mut at, 8_000_000);
    assert!(curl.wait().expect("it ends").success());
    cluster.check(capture);
    Some(())
}

#[test]
fn a_leader_that_was_stopped_is_silent_when_it_goes_on() {
    a_leader_comes_back("stop", Cluster::stop, Cluster::go_on);
}

#[test]
fn a_leader_that_was_cut_off_is_silent_when_it_is_back() {
    a_leader_comes_back("cut", Cluster::cut, Cluster::mend);
}

/// It hears clients all the time, and nobody but clients.
#[test]
fn a_leader_that_was_parted_from_the_others_is_silent() {
    a_leader_comes_back("part", Cluster::part, Cluster::unite);
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

/// Nobody has said anything since before the leader's leader died.
#[test]
fn a_connection_is_idle_over_two_takeovers() {
    let Some(mut cluster) = Cluster::start(&["echo"]) else { return };
    cluster.leader();
    let capture = cluster.watch(None);
    let mut to = VIPS.map(|vip| cluster.connect(vip));
    to.iter_mut().for_each(|to| say(to, b"before\n"));
    kill_the_leader(&mut cluster);
    kill_the_leader(&mut cluster);
    to.iter_mut().for_each(|to| say(to, b"after\n"));
    drop(to);
    cluster.check(capture);
}
