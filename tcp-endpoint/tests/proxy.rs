//! Sessions of real programs through a proxy whose leaders die one after the other: Redis, PostgreSQL, HTTP over TLS, SSH. Needs root, `ip`,
//! and those programs.
#![expect(clippy::disallowed_methods, reason = "deadlines of real processes")]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cluster::{Cluster, write_file};
use programs::{Server, Talk, is_there};

mod cluster;
mod programs;

/// What the replicas run.
const PROGRAM: &str = env!("CARGO_BIN_EXE_gcs-tcp");

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of its own that everybody may enter; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("gcs-proxy-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file");
        text_of(&path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a path").to_owned()
}

const CONFIG: &str = r#"
[[listener]]
listen = 6379
to = [{ address = "10.9.0.21:6379" }]

[[listener]]
listen = 5432
to = [{ address = "10.9.0.21:5432" }]

[[listener]]
listen = 22
to = [{ address = "10.9.0.21:22" }]

[[listener]]
listen = 443
to = [{ address = "10.9.0.21:443" }]

[[listener]]
listen = 444
to = [{ address = "10.9.0.21:444" }]
proxy_protocol = true
"#;

/// Each time the leader dies, and one that has joined in mid-session is among those that go on: at the end nobody of the beginning is left, and
/// no session has noticed.
#[test]
fn sessions_of_real_programs_outlive_every_replica() {
    let folder = Folder::new("sessions");
    let config = folder.write("proxy.toml", CONFIG);
    let Some(mut cluster) = Cluster::start(&["proxy", "--config", &config]) else { return };
    cluster.address("10.9.0.21/24");
    let mut leader = cluster.leader();
    let mut talks = Vec::new();
    let redis = is_there("redis-server").then(|| Server::redis(&cluster, "10.9.0.21"));
    if redis.is_some() {
        let talk = Talk::start("redis", cluster.on("client", "redis-cli"), &["-h", "10.9.0.100"]);
        talks.push((talk, "CLIENT ID", None));
    }
    let postgres = is_there("postgres").then(|| Server::postgres(&cluster, "10.9.0.21", &folder.0));
    if postgres.is_some() {
        let words =
            ["-oL", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "10.9.0.100", "-U", "nobody", "postgres"];
        let mut talk = Talk::start("postgres", cluster.on("client", "stdbuf"), &words);
        talk.say("BEGIN; CREATE TABLE deaths(n int); INSERT INTO deaths VALUES (0);");
        let ask = "INSERT INTO deaths SELECT 1; SELECT pg_backend_pid(), pg_current_xact_id();";
        talks.push((talk, ask, None));
    }
    let ssh = is_there("sshd").then(|| Server::sshd(&cluster, "10.9.0.21", &folder.0));
    if ssh.is_some() {
        let key = text_of(&folder.0.join("key"));
        let mut words =
            vec!["-i", &key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
        words.extend(["-o", "LogLevel=ERROR", "root@10.9.0.100", "while read word; do echo $$ $word; done"]);
        talks.push((Talk::start("ssh", cluster.on("client", "ssh"), &words), "still there?", None));
    }
    let bytes = write_file(&folder.0.join("file"), 60_000_000);
    let nginx = is_there("nginx").then(|| Server::nginx(&cluster, "10.9.0.21", &folder.0));
    let got = folder.0.join("got");
    let curl = |words: &[&str]| {
        let mut curl = cluster.on("client", "curl");
        curl.args(["--silent", "--show-error", "--fail", "--insecure"]).args(words);
        curl
    };
    let download = nginx.as_ref().map(|_| {
        let words = ["--limit-rate", "6M", "--output", &text_of(&got), "https://10.9.0.100/file"];
        curl(&words).spawn().expect("curl")
    });
    for (talk, ask, first) in &mut talks {
        *first = Some(talk.ask(ask));
    }
    for round in 1..=3 {
        cluster.kill(leader);
        let dead = leader;
        let began = Instant::now();
        // While nobody leads.
        talks.iter_mut().for_each(|(talk, ask, _)| talk.say(ask));
        for (talk, _, first) in &mut talks {
            assert_eq!(
                Some(talk.hear()),
                *first,
                "another answer than at first: another session of {}",
                talk.name
            );
        }
        eprintln!("round {round}: {dead} died, all answered after {:?}", began.elapsed());
        leader = cluster.leader();
        cluster.launch(dead);
        cluster.wait(dead, "joined");
    }
    if postgres.is_some() {
        let (talk, _, _) = talks.iter_mut().find(|(t, ..)| t.name == "postgres").expect("it talks");
        assert_eq!(talk.ask("COMMIT; SELECT count(*), sum(n) FROM deaths;"), "5|4");
    }
    if let Some(mut download) = download {
        assert!(download.wait().expect("it ends").success());
        assert!(std::fs::read(&got).expect("a file") == bytes, "the download is not what was served");
        let mut curl = cluster.on("client", "curl");
        let told = curl.args(["--silent", "--insecure", "https://10.9.0.100:444/"]).output().expect("curl");
        assert_eq!(
            String::from_utf8_lossy(&told.stdout),
            "10.9.0.4",
            "who the client is, after three takeovers"
        );
    }
}

const OPERATOR: &str = "exec 3<>/dev/tcp/10.9.0.100/9000; cat <&3 & cat >&3";

const TWO: &str = r#"
[[listener]]
listen = 6379
to = [{ address = "10.9.0.21:6379" }, { address = "10.9.0.22:6379" }, { address = "10.9.0.23:6379" }]
check = { interval_ms = 200, timeout_ms = 200 }

[control]
listen = 9000
from = ["10.9.0.4"]
"#;

/// What checks have found, and what operators have said, is known to every replica: after a takeover as well.
#[test]
fn back_ends_that_are_down_or_drained_are_left_out() {
    if !is_there("redis-server") {
        return;
    }
    let folder = Folder::new("checks");
    let config = folder.write("proxy.toml", TWO);
    let Some(mut cluster) = Cluster::start(&["proxy", "--config", &config]) else { return };
    cluster.address("10.9.0.21/24");
    cluster.address("10.9.0.22/24");
    let leader = cluster.leader();
    // The third one is an address that nobody has.
    let [one, two, three] = [21, 22, 23].map(|n| format!("down 10.9.0.{n}:6379"));
    cluster.wait_for_all(leader, &[&one, &two, &three]);
    let first = Server::redis(&cluster, "10.9.0.21");
    cluster.wait(leader, "up 10.9.0.21:6379");
    let _second = Server::redis(&cluster, "10.9.0.22");
    cluster.wait(leader, "up 10.9.0.22:6379");
    let run_ids = |cluster: &Cluster, count| {
        let one = |_| {
            let mut cli = cluster.on("client", "redis-cli");
            let out = cli.args(["-h", "10.9.0.100", "INFO", "server"]).output().expect("redis-cli");
            let info = String::from_utf8_lossy(&out.stdout).into_owned();
            let line = info.lines().find_map(|l| l.strip_prefix("run_id:").map(str::to_owned));
            line.unwrap_or_else(|| panic!("no answer: {out:?}"))
        };
        (0..count).map(one).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(run_ids(&cluster, 4).len(), 2, "both are used");
    let mut operator = Talk::start("operator", cluster.on("client", "bash"), &["-c", OPERATOR]);
    assert_eq!(operator.ask("drain 10.9.0.22:6379"), "ok");
    assert_eq!(run_ids(&cluster, 4).len(), 1, "one is drained");
    assert_eq!(operator.ask("resume 10.9.0.22:6379"), "ok");
    drop(first);
    cluster.wait(leader, "down 10.9.0.21:6379");
    cluster.kill(leader);
    assert_eq!(run_ids(&cluster, 4).len(), 1, "the new leader knows who is down");
    assert_eq!(operator.ask("drain 10.9.0.22:6379"), "ok", "the same connection");
    let leader = cluster.leader();
    let _again = Server::redis(&cluster, "10.9.0.21");
    cluster.wait(leader, "up 10.9.0.21:6379");
    assert_eq!(run_ids(&cluster, 4).len(), 1, "the other one is drained");
    operator.say("status");
    for expected in ["21:6379 up open ", "22:6379 up drained ", "23:6379 down open "] {
        let line = operator.hear();
        assert!(line.starts_with(&format!("6379 10.9.0.{expected}")), "{line}");
    }
    assert_eq!(operator.hear(), "ok");
}
