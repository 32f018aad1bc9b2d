//! `gcs-monitor demo`, as somebody runs it who wants to see it; and as somebody does who loses patience.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

fn demo(words: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
    command.arg("demo").args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("it starts");
    let out = BufReader::new(process.stdout.take().expect("piped"));
    (process, out)
}

/// Reads until a line has this in it.
fn until(out: &mut BufReader<ChildStdout>, part: &str) -> String {
    let mut all = String::new();
    while out.read_line(&mut all).expect("text") > 0 {
        if all.lines().last().is_some_and(|line| line.contains(part)) {
            return all;
        }
    }
    panic!("there is no {part} in {all}");
}

fn children(of: &Child) -> Vec<u32> {
    let file = format!("/proc/{0}/task/{0}/children", of.id());
    let text = std::fs::read_to_string(file).expect("it lives");
    text.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

fn is_agent(pid: u32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).contains("gcs-monitor")
}

#[expect(clippy::disallowed_methods, reason = "processes take real time")]
fn all_end(pids: &[u32]) {
    let end = Instant::now() + PATIENCE;
    while pids.iter().any(|pid| is_agent(*pid)) {
        assert!(Instant::now() < end, "agents are left: {pids:?}");
        std::thread::yield_now();
    }
}

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("small")).expect("not zero");
    kill_process(pid, signal).expect("it is ours");
}

#[test]
fn one_of_thirty_is_killed_and_missed_and_comes_back() {
    let (mut process, mut out) = demo(&["--fast"]);
    let begun = until(&mut out, "each of them knows of all 30");
    let agents = children(&process);
    assert_eq!(agents.len(), 30, "{begun}");
    let told = until(&mut out, "nothing left behind");
    for part in [
        "10 of 10 agents in /asia;",
        "       885       49        30\n  30 of 30 agents in /;",
        "kill -9 ",
        "      1319      500        29\n  29 of 30 agents in /, 1 gone;",
        "9 of 10 agents in /asia, 1 gone;",
        "; gone: asia7\n",
        "      1346      500        30\n  30 of 30 agents in /;",
    ] {
        assert!(told.contains(part), "there is no {part} in {told}");
    }
    assert!(process.wait().expect("it ends").success());
    all_end(&agents);
}

#[test]
fn a_wrong_number_is_a_failure_in_one_sentence() {
    let (process, mut out) = demo(&["--fast", "--patience", "5"]);
    until(&mut out, "each of them knows of all 30");
    let agents = children(&process);
    kill(*agents.last().expect("30"), Signal::KILL);
    let output = process.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.starts_with("gcs-monitor: "), "{said}");
    assert!(said.contains("after 5 s") && said.lines().count() == 1, "{said}");
    all_end(&agents);
}

#[test]
fn agents_end_with_the_demo_however_it_ends() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let (mut process, mut out) = demo(&[]);
        until(&mut out, "30 agents are started");
        let agents = children(&process);
        assert!(agents.len() == 30 && agents.iter().all(|pid| is_agent(*pid)));
        kill(process.id(), signal);
        assert!(!process.wait().expect("it ends").success());
        all_end(&agents);
    }
}
