//! Agents as processes, for tests of what looks at them.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Nothing here takes as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An agent; it dies with the test.
pub(crate) struct Agent {
    pub(crate) process: Child,
    pub(crate) contact: String,
    pub(crate) api: String,
    /// The network namespace that it is in, if it is not that of the test.
    host: Option<String>,
    _out: BufReader<ChildStdout>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(host: Option<&str>) -> Command {
    let program = env!("CARGO_BIN_EXE_gcs-monitor");
    let Some(host) = host else { return Command::new(program) };
    let mut command = Command::new("ip");
    command.args(["netns", "exec", host, program]);
    command
}

/// Starts one, with more flags.
pub(crate) fn agent(name: &str, flags: &[&str]) -> Agent {
    agent_on(None, name, "127.0.0.1:0", flags)
}

/// Starts one in a network namespace.
pub(crate) fn agent_on(host: Option<&str>, name: &str, listen: &str, flags: &[&str]) -> Agent {
    let mut command = program(host);
    command.args(["agent", "--name", name, "--listen", listen, "--api", "127.0.0.1:0"]);
    let command = command.args(flags).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().expect("it starts");
    let mut out = BufReader::new(process.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("it says where it is");
    let at = line.trim().strip_prefix(&format!("{name} at "));
    let at = at.and_then(|rest| rest.split_once(", asked at http://"));
    let (contact, api) = at.unwrap_or_else(|| panic!("{line}"));
    let host = host.map(str::to_owned);
    Agent { process, contact: contact.into(), api: api.into(), host, _out: out }
}

impl Agent {
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let mut command = program(self.host.as_deref());
        command.args(words).args(["--api", &self.api]).output().expect("it runs")
    }

    /// Asks until what is said on either output is right.
    pub(crate) fn until(&self, words: &[&str], right: impl Fn(&Output, &str) -> bool) -> String {
        until(|| {
            let output = self.run(words);
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            if right(&output, &text) { Ok(text.into_owned()) } else { Err(text.into_owned()) }
        })
    }
}

/// Looks until it is right; otherwise shows what was seen last.
#[expect(clippy::disallowed_methods, reason = "processes take real time")]
pub(crate) fn until<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(right) => return right,
            Err(seen) => assert!(Instant::now() < end, "it stays at\n{seen}"),
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
