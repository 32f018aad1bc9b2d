//! `gcs-monitor doctor`, beside agents that have what it looks for.

use std::{
    net::UdpSocket,
    process::{Command, Output},
};

mod agent_processes;

use agent_processes::{Agent, agent};

/// A finding of this level has this in it; and the doctor fails if something is wrong.
fn finds(agent: &Agent, level: &str, part: &str) -> String {
    let found = |output: &Output, text: &str| {
        assert_eq!(output.status.success(), !text.contains("wrong  "), "{text}");
        text.lines().any(|line| line.starts_with(level) && line.contains(part))
    };
    agent.until(&["doctor"], found)
}

#[test]
fn two_that_know_each_other_are_fine() {
    let a = agent("/eu/a", &[]);
    let b = agent("/eu/b", &["--seed", &a.contact]);
    a.until(&["zones"], |_, text| text.starts_with("/  2 agents"));
    let said = finds(&b, "fine", "all 2 agents in /eu are there");
    assert!(b.run(&["doctor"]).status.success(), "{said}");
    assert!(said.contains(&format!("fine   the seed {} answers", a.contact)), "{said}");
    assert!(said.contains("note   it is open"), "{said}");
}

#[test]
fn nobody_is_there() {
    let output = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"))
        .args(["doctor", "--api", "127.0.0.1:1"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.starts_with("wrong  no agent answers at http://127.0.0.1:1"));
}

#[test]
fn a_seed_that_does_not_answer_and_one_that_cannot_be_reached() {
    // Somebody is there who says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("it has one").to_string();
    let a = agent("/eu/a", &["--seed", &silent]);
    let said = finds(&a, "wrong", &format!("the seed {silent} does not answer"));
    assert!(said.contains("wrong  it is alone: 1 seeds"), "{said}");
    // From a socket of loopback, the system sends nothing elsewhere.
    let b = agent("/eu/b", &["--seed", "192.0.2.1:4804"]);
    finds(&b, "wrong", "datagrams could not be sent");
    let c = agent("/eu/c", &[]);
    finds(&c, "note", "it has no seeds and is alone");
}

#[test]
fn a_contact_at_which_nobody_answers() {
    let a = agent("/eu/a", &["--contact", "127.0.0.1:1"]);
    finds(&a, "wrong", "tells others to reach it at 127.0.0.1:1, and does not answer there");
}

#[test]
fn one_that_was_killed() {
    let a = agent("/eu/a", &[]);
    let b = agent("/eu/b", &["--seed", &a.contact]);
    let c = agent("/us/c", &["--seed", &a.contact]);
    for agent in [&a, &b, &c] {
        agent.until(&["zones"], |_, text| text.starts_with("/  3 agents"));
    }
    drop(b);
    finds(&a, "wrong", "1 of 2 agents in /eu are gone: b");
    finds(&c, "wrong", "1 of 3 agents in / are gone: 1 in eu");
}

#[test]
fn two_of_one_name() {
    let a = agent("/eu/a", &["--set", "role=db"]);
    let b = agent("/eu/b", &["--seed", &a.contact]);
    let _other = agent("/eu/a", &["--seed", &b.contact, "--set", "role=web"]);
    finds(&a, "wrong", "another agent has the name /eu/a");
}

#[test]
fn datagrams_that_are_no_messages() {
    let a = agent("/eu/a", &[]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for _ in 0..100 {
        socket.send_to(b"GET / HTTP/1.1\r\n", &a.contact).expect("it is there");
    }
    finds(&a, "wrong", "datagrams that came were no messages");
}

#[test]
fn functions_that_say_nothing_and_that_end() {
    let big = "big=9223372036854775807";
    let a = agent("/eu/a", &["--set", big]);
    let _b = agent("/eu/b", &["--seed", &a.contact, "--set", big]);
    a.until(&["zones"], |_, text| text.starts_with("/  2 agents"));
    assert!(a.run(&["install", "sum", "SELECT SUM(big) AS sum"]).status.success());
    finds(&a, "wrong", "the function sum says NULL in /eu: an integer is beyond 64 bits");
    assert!(a.run(&["install", "n", "SELECT COUNT(*) AS n", "--days", "1"]).status.success());
    finds(&a, "note", "the function n of / ends in 23 hours");
}
