//! Events that are posted: webhooks, and WS-Eventing with python-zeep as the client. Real agents, each a process.

#[path = "../agent_processes/mod.rs"]
mod agent_processes;
mod sink;
mod webhooks;
mod ws_eventing;

use std::process::{Command, Output};

use agent_processes::{Agent, agent, until};
use serde_json::Value;

/// /a/1 and /b/1, which know each other.
fn two() -> [Agent; 2] {
    let first = agent("/a/1", &[]);
    let second = agent("/b/1", &["--seed", &first.contact]);
    for agent in [&first, &second] {
        agent.until(&["zones"], |_, said| said.starts_with("/  2 agents\n"));
    }
    [first, second]
}

fn curl(agent: &Agent, words: &[&str], path: &str) -> Output {
    let at = format!("http://{}{path}", agent.api);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "30"]).args(words).arg(at).output().expect("curl is there")
}

/// What the API answers.
fn asked(agent: &Agent, words: &[&str], path: &str) -> Value {
    let output = curl(agent, words, path);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn sent(agent: &Agent, method: &str, path: &str, content: &Value) -> Value {
    let content = content.to_string();
    asked(agent, &["-X", method, "-H", "content-type: application/json", "-d", &content], path)
}

/// The rows of the table `jobs` of an agent.
fn put(agent: &Agent, jobs: &Value) {
    let said = sent(agent, "PUT", "/v1/tables/jobs", jobs);
    assert!(said["rows"].is_u64(), "{said}");
}

/// Until so many are asked of the agents of a zone.
fn until_asked(agent: &Agent, zone: &str, right: usize) {
    until(|| {
        let said = asked(agent, &["-G", "--data-urlencode", &format!("zone={zone}")], "/v1/subscriptions");
        let all = said["subscriptions"].as_array().map(Vec::len);
        if all == Some(right) { Ok(()) } else { Err(said.to_string()) }
    });
}

/// Until what the agent says of its only webhook is right.
fn until_hook(agent: &Agent, right: impl Fn(&Value) -> bool) -> Value {
    until(|| {
        let said = asked(agent, &[], "/v1/webhooks");
        let first = said["webhooks"][0].clone();
        if right(&first) { Ok(first) } else { Err(said.to_string()) }
    })
}
