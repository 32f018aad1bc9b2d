//! Real clients do not notice that the host that held their connection is gone: three processes of `gcs-tcp`, each in a network
//! namespace, curl and bash. Needs root, `ip` and `curl`.

#![cfg(target_os = "linux")]

use std::{
    io::{Read as _, Write as _},
    process::Stdio,
};

use cluster::{Cluster, write_file};

mod cluster;

/// Each time the leader dies, and one that has joined in mid-stream is among those that go on: at the end nobody of the beginning is left.
#[test]
fn a_download_outlives_every_host_that_served_it() {
    let root = std::env::temp_dir().join(format!("gcs-tcp-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("a folder");
    let bytes = write_file(&root.join("file"), 60_000_000);
    let Some(mut cluster) = Cluster::start(&["serve", "--root", root.to_str().expect("a path")]) else {
        return;
    };
    let mut leader = cluster.leader();
    let mut curl = cluster.on("client", "curl");
    curl.args(["--silent", "--show-error", "--fail", "--limit-rate", "6M", "http://10.9.0.100/file"]);
    let mut curl = curl.stdout(Stdio::piped()).spawn().expect("curl");
    let mut from = curl.stdout.take().expect("piped");
    let mut got = Vec::new();
    for round in 1..=3 {
        let mut part = vec![0; 15_000_000];
        from.read_exact(&mut part).expect("the download goes on");
        got.extend(part);
        cluster.kill(leader);
        let dead = leader;
        leader = cluster.leader();
        cluster.launch(dead);
        cluster.wait(dead, "joined");
        eprintln!("round {round}: {dead} died and is back, {leader} leads");
    }
    from.read_to_end(&mut got).expect("the download goes on");
    assert!(curl.wait().expect("it ends").success());
    assert!(got == bytes, "{} bytes came, of {}", got.len(), bytes.len());
    std::fs::remove_dir_all(root).expect("it is ours");
}

/// What a client has sent is sent back, in order, whoever dies meanwhile.
#[test]
fn a_conversation_goes_on() {
    let Some(mut cluster) = Cluster::start(&["echo"]) else { return };
    let leader = cluster.leader();
    let mut bash = cluster.on("client", "bash");
    bash.args(["-c", "exec 3<>/dev/tcp/10.9.0.100/80; cat <&3 & cat >&3"]);
    let mut bash = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash");
    let (mut to, mut from) = (bash.stdin.take().expect("piped"), bash.stdout.take().expect("piped"));
    let mut say = |word: &[u8]| {
        to.write_all(word).expect("bash takes it");
        to.flush().expect("bash takes it");
        let mut back = vec![0; word.len()];
        from.read_exact(&mut back).expect("an answer");
        assert_eq!(back, word);
    };
    say(b"before\n");
    cluster.kill(leader);
    say(b"while nobody leads\n");
    cluster.leader();
    say(b"after\n");
    drop(to);
    bash.kill().expect("it runs");
    bash.wait().expect("it is a child");
}
