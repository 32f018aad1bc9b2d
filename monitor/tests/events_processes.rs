//! Real agents, each a process: subscriptions and announcements as their users see them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process; it dies with the test.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// The next line: what is awaited comes, or the process is killed from outside after some minutes.
    fn line(&mut self) -> String {
        self.lines.next().expect("it goes on").expect("text")
    }
}

struct Agent {
    _process: Process,
    contact: String,
    api: String,
}

fn agent(name: &str, seed: Option<&str>, more: &[&str]) -> Agent {
    let mut words = vec!["agent", "--name", name, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    words.extend(seed.into_iter().flat_map(|seed| ["--seed", seed]));
    words.extend(more);
    let mut process = Process::start(&words);
    let line = process.line();
    let (contact, api) = line
        .strip_prefix(&format!("{name} at "))
        .and_then(|rest| rest.split_once(", asked at http://"))
        .unwrap_or_else(|| panic!("{line}"));
    Agent { contact: contact.into(), api: api.into(), _process: process }
}

impl Agent {
    fn says(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        let output = command.args(words).args(["--api", &self.api]).output().expect("it runs");
        String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr })
            .into_owned()
    }

    fn follow(&self, words: &[&str]) -> Process {
        let mut all = vec!["subscribe", "--api", &self.api, "--format", "json"];
        all.extend(words);
        Process::start(&all)
    }

    /// Until this agent is asked for a standing query by so many.
    #[expect(clippy::disallowed_methods, reason = "processes take real time")]
    fn until_asked(&self, zone: &str, right: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let standing = self.standing(zone);
            if standing == right {
                return;
            }
            assert!(Instant::now() < end, "{standing} instead of {right}");
            std::thread::yield_now();
        }
    }

    fn standing(&self, zone: &str) -> usize {
        let said = self.curl(&["-G", "--data-urlencode", &format!("zone={zone}")], "/v1/subscriptions");
        said.matches("\"name\"").count()
    }

    fn curl(&self, words: &[&str], path: &str) -> String {
        let at = format!("http://{}{path}", self.api);
        let output = Command::new("curl").args(["-sS", "--max-time", "30"]).args(words).arg(at).output();
        String::from_utf8(output.expect("curl is there").stdout).expect("text")
    }
}

/// /a/1, /a/2 and /b/1.
fn three(log: &str) -> [Agent; 3] {
    let first = agent("/a/1", None, &[]);
    let second = agent("/a/2", Some(&first.contact), &[]);
    let third = agent("/b/1", Some(&first.contact), &["--log", log]);
    all_know(&[&first, &second, &third]);
    [first, second, third]
}

#[expect(clippy::disallowed_methods, reason = "processes take real time")]
fn all_know(agents: &[&Agent]) {
    let end = Instant::now() + PATIENCE;
    for agent in agents {
        while !agent.says(&["zones"]).starts_with("/  3 agents\n") {
            assert!(Instant::now() < end, "{}", agent.says(&["zones"]));
            std::thread::yield_now();
        }
    }
}

/// A file of this test; it is removed with it.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn what_happens_on_another_machine_is_told() {
    let file = File(std::env::temp_dir().join(format!("gcs-monitor-events-{}", std::process::id())));
    fs::write(&file.0, "old ERROR\n").expect("it is written");
    let [first, _second, third] = three(file.0.to_str().expect("text"));
    // A process.
    let seconds = format!("{}", 100_000 + std::process::id());
    let sql = format!("SELECT pid, name FROM processes WHERE command LIKE '%sleep {seconds}'");
    let mut processes = first.follow(&["--zone", "/b", &sql]);
    assert!(processes.line().contains("\"subscribed\""));
    third.until_asked("/b", 1);
    let mut sleeping = Command::new("sleep").arg(&seconds).spawn().expect("it starts");
    let line = processes.line();
    let _ = sleeping.kill();
    let _ = sleeping.wait();
    assert!(line.contains("\"agent\":\"/b/1\"") && line.contains("\"event\":\"fired\""), "{line}");
    assert!(line.contains(&format!("\"pid\":{}", sleeping.id())), "{line}");
    // Lines of a log.
    let mut log = first.follow(&["SELECT text FROM log WHERE text LIKE '%ERROR%'"]);
    assert!(log.line().contains("\"subscribed\""));
    third.until_asked("/", 1);
    let append = |text: &str| {
        let mut file = fs::OpenOptions::new().append(true).open(&file.0).expect("it is there");
        file.write_all(text.as_bytes()).expect("it is written");
    };
    // The first look finds where the file ends; what is written before is old. So it is written until it is seen.
    let seen = std::thread::scope(|scope| {
        let line = scope.spawn(|| log.line());
        while !line.is_finished() {
            append("fine\nERROR 17\n");
            third.standing("/");
        }
        line.join().expect("it ends")
    });
    assert!(seen.contains("/b/1") && seen.contains("ERROR 17") && !seen.contains("old"), "{seen}");
    // A table of an application, put at one agent and asked for at another one.
    let mut jobs = first.follow(&["--level", "SELECT id FROM jobs WHERE state = 'stuck'"]);
    assert!(jobs.line().contains("\"subscribed\""));
    let json = ["-H", "content-type: application/json", "-X", "PUT", "-d"];
    let put = [&json[..], &[r#"[{"id":7,"state":"stuck"},{"id":8,"state":"fine"}]"#]].concat();
    assert!(third.curl(&put, "/v1/tables/jobs").contains("\"rows\":2"));
    assert!(third.curl(&put, "/v1/tables/log").contains("is a table of the system"));
    for _ in 0..2 {
        let line = jobs.line();
        assert!(line.contains("/b/1") && line.contains(r#""rows":[{"id":7}]"#), "{line}");
    }
    // Who does not listen any more is not told any more.
    drop((jobs, log, processes));
    third.until_asked("/", 0);
    third.until_asked("/b", 0);
}

#[test]
fn an_announcement_is_heard_in_its_zone_and_nowhere_else() {
    let [first, second, third] = three("/dev/null");
    let mut near = second.follow(&["--announcements"]);
    let mut far = third.follow(&["--announcements"]);
    let said = first.says(&["announce", "--zone", "/a", "db1 goes away: use db2"]);
    assert!(said.starts_with("announced in /a for 5m as announcement-"), "{said}");
    let line = near.line();
    assert!(line.contains("db1 goes away: use db2") && line.contains("\"zone\":\"/a\""), "{line}");
    // From another zone, which does not see it itself; and for a short time.
    let said = third.says(&["announce", "--zone", "/a", "--for", "2s", r#"{"invalid":"user/7"}"#]);
    assert!(said.starts_with("announced in /a"), "{said}");
    assert!(near.line().contains(r#""text":{"invalid":"user/7"}"#));
    assert!(near.line().contains("\"event\":\"over\""));
    // What was said before is heard by whoever comes later.
    assert!(first.follow(&["--announcements"]).line().contains("db1 goes away"));
    // The first that /b hears is what is for all.
    second.says(&["announce", "all of you"]);
    for follower in [&mut near, &mut far] {
        let line = follower.line();
        assert!(line.contains("all of you") && line.contains("\"zone\":\"/\""), "{line}");
    }
    let long = "x".repeat(1100);
    for (words, says) in [
        (vec!["announce", " "], "gcs-monitor: the announcement says nothing"),
        (vec!["announce", "--for", "2days", "x"], "gcs-monitor: an announcement counts for 1 s to a day"),
        (
            vec!["announce", &long],
            "gcs-monitor: an announcement has at most 1024 bytes, and this one has 1100",
        ),
        (vec!["announce", "--zone", "/c", "x"], "gcs-monitor: there is no zone /c"),
        (vec!["subscribe", "SELECT 1"], "gcs-monitor: a standing query names the table"),
        (vec!["subscribe", "SELECT pit( FROM log"], "gcs-monitor: line 1, column "),
        (
            vec!["subscribe", "--every", "1ms", "SELECT pid FROM processes"],
            "gcs-monitor: a standing query is looked at each 100 ms",
        ),
    ] {
        let said = first.says(&words);
        assert!(said.starts_with(says), "{words:?}: {said}");
    }
}
