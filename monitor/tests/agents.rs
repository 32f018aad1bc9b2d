//! Real agents, each a process, asked as their users ask them.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent; it dies with the test.
struct Agent {
    process: Child,
    contact: String,
    api: String,
    _out: BufReader<ChildStdout>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn agent(name: &str, seed: Option<&str>, attributes: &[&str]) -> Agent {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
    command.args(["agent", "--name", name, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    command.args(seed.into_iter().flat_map(|seed| ["--seed", seed]));
    command.args(attributes.iter().flat_map(|attribute| ["--set", attribute]));
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut out = BufReader::new(process.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("it says where it is");
    let (contact, api) = line
        .trim()
        .strip_prefix(&format!("{name} at "))
        .and_then(|rest| rest.split_once(", asked at http://"))
        .unwrap_or_else(|| panic!("{line}"));
    Agent { process, contact: contact.into(), api: api.into(), _out: out }
}

impl Agent {
    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        command.args(words).args(["--api", &self.api]).output().expect("it runs")
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Asks until the answer is right.
    #[expect(clippy::disallowed_methods, reason = "processes take real time")]
    fn until(&self, words: &[&str], right: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let output = self.run(words);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if right(&text) {
                return text;
            }
            assert!(Instant::now() < end, "{words:?} says {text}{}", String::from_utf8_lossy(&output.stderr));
            std::thread::yield_now();
        }
    }
}

/// Zones of so many agents each; agent n of all has load n.
fn tree(zones: usize, agents: usize) -> Vec<Agent> {
    let mut all: Vec<Agent> = Vec::new();
    for nth in 0..zones * agents {
        let name = format!("/zone{}/host{}", nth % zones, nth / zones);
        let seed = all.first().map(|first| first.contact.clone());
        all.push(agent(&name, seed.as_deref(), &[&format!("load={nth}"), "role=web"]));
    }
    let right = format!("/  {} agents\n", zones * agents);
    all.iter().for_each(|agent| drop(agent.until(&["zones"], |text| text.starts_with(&right))));
    all
}

#[test]
fn any_agent_answers_for_all() {
    let mut all = tree(3, 4);
    let asked = &all[7];
    // A zone that it is not in.
    let table = asked.says(&["query", "SELECT id, load FROM \"/zone0\" WHERE load > 2 ORDER BY load DESC"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[..4], [vec!["id", "load"], vec!["host3", "9"], vec!["host2", "6"], vec!["host1", "3"]]);
    assert!(table.contains("4 of 4 agents in /zone0"), "{table}");
    // All of them at once, and nothing is left of the question.
    let everywhere = [
        "query",
        "--everywhere",
        "SELECT SUM(load) AS sum, MAX(load) AS most, AVG(load) AS mean",
        "--format",
        "csv",
    ];
    assert_eq!(asked.says(&everywhere), "sum,most,mean\r\n66,11,5.5\r\n");
    asked.until(&["list"], |text| text.contains("has no functions"));
    // Functions stay, also for a zone that the agent is not in.
    let said = asked.says(&["install", "load", "SELECT SUM(load) AS load"]);
    assert!(said.starts_with("load is installed for / until 30 days from now"), "{said}");
    asked.says(&["install", "web", "SELECT COUNT(*) AS n WHERE role = 'web'", "--zone", "/zone2"]);
    for agent in &all {
        agent.until(&["list"], |text| text.contains("load = 66\n  12 of 12 agents in /"));
    }
    all[0].until(&["list", "--zone", "/zone2"], |text| text.contains("n = 4\n  4 of 4 agents in /zone2"));
    let explained = asked.says(&["explain", "load"]);
    assert!(
        explained.contains("load of / is 66") && explained.contains("of 4 of 4 agents, computed by /zone"),
        "{explained}"
    );
    // Who is killed is missed, by name.
    drop(all.remove(5));
    for agent in &all {
        let text = agent.until(&["list"], |text| text.contains("load = 61\n"));
        assert!(text.contains("11 of 12 agents in /, 1 gone"), "{text}");
    }
    let zones = all[0].says(&["zones"]);
    assert!(zones.contains("host1  gone"), "{zones}");
    let text = all[1].says(&["query", "SELECT COUNT(*) AS n FROM \"/zone2\"", "--format", "json"]);
    assert!(text.contains(r#""gone":["host1"]"#), "{text}");
    assert!(all[3].says(&["remove", "load"]).starts_with("load is removed"));
    for agent in &all {
        agent.until(&["list"], |text| text.contains("has no functions"));
    }
}

#[test]
fn mistakes_are_one_sentence_and_shown_where_they_are() {
    let agent = agent("/zone/host", None, &[]);
    for (words, says) in [
        (
            vec!["query", "SELECT SUN(load)"],
            "gcs-monitor: line 1, column 8: there is no function SUN; SUM was probably meant\n  SELECT SUN(load)\n         ^\n",
        ),
        (
            vec!["query", "SELECT 1", "--zone", "/nowhere"],
            "gcs-monitor: there is no zone /nowhere; or all of its agents are gone\n",
        ),
        (vec!["install", "Bad", "SELECT COUNT(*) AS n"], "gcs-monitor: `Bad` is no name for a function"),
        (vec!["install", "n", "SELECT COUNT(DISTINCT a) AS n"], "gcs-monitor: DISTINCT over all agents"),
        (
            vec!["install", "n", "SELECT COUNT(*) AS nmembers"],
            "gcs-monitor: `nmembers` is what every zone says of itself",
        ),
        (vec!["remove", "n"], "gcs-monitor: / has no function `n`"),
        (vec!["remove", "n/ o"], "gcs-monitor: / has no function `n/ o`"),
    ] {
        let output = agent.run(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.starts_with(says), "{words:?}: {said}");
    }
    let open = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"))
        .args(["agent", "--name", "/a/b", "--api", "0.0.0.0:0"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&open.stderr);
    assert!(said.contains("other machines reach this address") && !open.status.success(), "{said}");
}

#[test]
fn an_answer_that_changes_is_shown_again() {
    let all = tree(1, 2);
    let mut watching = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"))
        .args([
            "query",
            "--watch",
            "SELECT COUNT(*) AS n FROM \"/zone0\"",
            "--format",
            "json",
            "--api",
            &all[0].api,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(watching.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("it goes on").expect("text");
    assert!(next().contains(r#""rows":[[2]]"#));
    let third = agent("/zone0/third", Some(&all[0].contact), &[]);
    assert!(next().contains(r#""rows":[[3]]"#));
    drop(third);
    assert!(next().contains(r#""rows":[[2]]"#));
    let _ = watching.kill();
    let _ = watching.wait();
}

#[test]
fn curl_and_prometheus_are_served_and_foreign_pages_are_not() {
    let all = tree(1, 2);
    all[0].says(&["install", "load", "SELECT SUM(load) AS load"]);
    all[1].until(&["list"], |text| text.contains("load = 1\n"));
    let curl = |words: &[&str]| {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "30"])
            .args(words)
            .output()
            .expect("curl is there");
        String::from_utf8(output.stdout).expect("text")
    };
    let at = |path: &str| format!("http://{}{path}", all[1].api);
    let metrics = curl(&[&at("/metrics")]);
    assert!(metrics.contains("gcs_monitor_attribute{zone=\"/\",attribute=\"load\"} 1\n"), "{metrics}");
    let (json, body) = ("content-type: application/json", r#"{"sql":"SELECT COUNT(*) AS n"}"#);
    assert!(curl(&["-H", json, "-d", body, &at("/v1/query")]).contains(r#""rows":[[1]]"#));
    assert!(curl(&["-d", body, &at("/v1/query")]).contains("Content-Type: application/json"));
    for foreign in ["origin: http://evil.example", "host: evil.example"] {
        let said = curl(&["-H", json, "-H", foreign, "-d", body, &at("/v1/query")]);
        assert!(said.contains("error") && !said.contains("rows"), "{said}");
    }
    let huge = format!("@{}", env!("CARGO_BIN_EXE_gcs-monitor"));
    let said = curl(&["-H", json, "--data-binary", &huge, &at("/v1/query")]);
    assert!(!said.contains("rows"), "{said}");
}
