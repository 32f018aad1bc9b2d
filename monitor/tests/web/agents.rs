//! Real agents, each a process.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(90);

/// Tries until it succeeds; what it says otherwise is told in the end.
#[expect(clippy::disallowed_methods, reason = "processes take real time")]
pub(crate) fn tried<T>(what: &str, attempt: impl Fn() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(got) => return got,
            Err(e) => assert!(Instant::now() < end, "{what}: {e}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until it is so.
pub(crate) fn until(what: &str, so: impl Fn() -> bool) {
    tried(what, || if so() { Ok(()) } else { Err("it is not so".to_owned()) });
}

/// An agent; it is killed with the test.
pub(crate) struct Agent {
    process: Child,
    pub(crate) contact: String,
    pub(crate) api: String,
    _out: BufReader<ChildStdout>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn agent(name: &str, seed: Option<&str>, attributes: &[&str]) -> Agent {
    let words = seed.into_iter().flat_map(|seed| ["--seed", seed]);
    let attributes = attributes.iter().flat_map(|attribute| ["--set", attribute]);
    agent_with(name, &words.chain(attributes).collect::<Vec<_>>())
}

pub(crate) fn agent_with(name: &str, words: &[&str]) -> Agent {
    start(name, "127.0.0.1:0", words).expect("it says where it is")
}

/// One that answers at the address of another, when that is free.
pub(crate) fn agent_at(name: &str, api: &str, words: &[&str]) -> Agent {
    tried(api, || start(name, api, words).ok_or_else(|| "it does not start there".to_owned()))
}

fn start(name: &str, api: &str, words: &[&str]) -> Option<Agent> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
    command.args(["agent", "--name", name, "--listen", "127.0.0.1:0", "--api", api]);
    command.args(words);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut out = BufReader::new(process.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    let said = line
        .trim()
        .strip_prefix(&format!("{name} at "))
        .and_then(|rest| rest.split_once(", asked at http://"));
    let Some((contact, api)) = said else {
        let _ = process.wait();
        return None;
    };
    Some(Agent { contact: contact.into(), api: api.into(), process, _out: out })
}

impl Agent {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api)
    }

    pub(crate) fn run_at(&self, api: &str, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        command.args(words).args(["--api", api]).output().expect("it runs")
    }

    pub(crate) fn says(&self, words: &[&str]) -> String {
        let output = self.run_at(&self.api, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Asks until the answer is right.
    pub(crate) fn until(&self, words: &[&str], right: impl Fn(&str) -> bool) {
        let is = || right(&String::from_utf8_lossy(&self.run_at(&self.api, words).stdout));
        until(&words.join(" "), is);
    }
}

/// The headers of an answer.
pub(crate) fn headers(url: &str) -> ureq::http::HeaderMap {
    ureq::get(url).call().expect("an answer").headers().clone()
}

/// An answer, whatever its status, that is not read yet.
pub(crate) fn stream(url: &str) -> ureq::http::Response<ureq::Body> {
    ureq::get(url).config().http_status_as_error(false).build().call().expect("an answer")
}

/// Says an attribute of an agent; the status of the answer.
pub(crate) fn say(origin: &str, name: &str, json: &str) -> u16 {
    let put = ureq::put(format!("{origin}/attributes/{name}")).header("content-type", "application/json");
    put.send(json).map_or_else(|e| panic!("{e}"), |answer| answer.status().as_u16())
}

/// A representative of component health that is alone; it is killed with the test.
pub(crate) struct Representative {
    process: Child,
    /// Where clients connect.
    pub(crate) at: String,
    _out: BufReader<ChildStdout>,
}

impl Drop for Representative {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Representative {
    pub(crate) fn start() -> Self {
        let free =
            || std::net::TcpListener::bind("127.0.0.1:0").and_then(|tcp| tcp.local_addr()).expect("a port");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        command.args([
            "health",
            "serve",
            "--found",
            "--bind",
            &free().to_string(),
            "--listen",
            "127.0.0.1:0",
        ]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped"));
        let mut said = String::new();
        while !said.ends_with("ready\n") {
            assert!(lines.read_line(&mut said).expect("text") > 0, "{said}");
        }
        let at =
            said.strip_prefix("serving clients at ").and_then(|rest| rest.split(';').next()).expect("where");
        Self { at: at.to_owned(), process, _out: lines }
    }

    /// `gcs-monitor health` with these words.
    pub(crate) fn done(&self, words: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        let output = command.arg("health").args(words.split_whitespace()).args(["--at", &self.at]).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{words}: {output:?}");
    }
}
