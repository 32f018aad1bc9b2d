//! What is to be said of what was seen. Pure, so that each fault can be made up.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value as Json;

/// Clocks are not further apart than this, nor is what is said on the way for longer.
const CLOCKS_S: i64 = 5;
/// An agent says its row again after ten minutes; with this it has.
const REFRESHED_S: i64 = 11 * 60;
/// Functions that end sooner are named.
const SOON_S: u64 = 3 * 86_400;
/// What a busy zone may send at once, and the receive buffer is for.
const BUFFER: u64 = 1 << 20;
/// Names of who is gone, in a sentence.
const NAMES: usize = 8;

/// What was seen.
pub(super) struct Seen {
    pub(super) api: SocketAddr,
    /// The time of day of this machine.
    pub(super) now_s: u64,
    /// This program's.
    pub(super) own_version: String,
    /// `/v1/agent`, and the same a while before.
    pub(super) agent: Json,
    pub(super) before: Json,
    /// `/v1/zone` and `/v1/functions` of each zone that it is in.
    pub(super) zones: Vec<Json>,
    pub(super) functions: Vec<Json>,
    /// Who answers whether it is there: the agent itself, and its seeds.
    pub(super) answers: BTreeMap<SocketAddr, bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Fine,
    /// To know.
    Note,
    /// To do.
    Wrong,
}

#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// One sentence.
    pub(super) what: String,
    /// What to do.
    pub(super) advice: String,
}

/// Collects them.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn fine(&mut self, what: impl Into<String>) {
        self.0.push(Finding { level: Level::Fine, what: what.into(), advice: String::new() });
    }

    fn note(&mut self, what: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding { level: Level::Note, what: what.into(), advice: advice.into() });
    }

    fn wrong(&mut self, what: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding { level: Level::Wrong, what: what.into(), advice: advice.into() });
    }
}

/// All that is to be said.
pub(super) fn findings(seen: &Seen) -> Vec<Finding> {
    let mut found = Findings::default();
    agent(seen, &mut found);
    reached(seen, &mut found);
    name(seen, &mut found);
    traffic(seen, &mut found);
    clock(seen, &mut found);
    zones(seen, &mut found);
    functions(seen, &mut found);
    found.0
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

fn list(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

impl Seen {
    fn counter(&self, name: &str) -> u64 {
        self.agent["counters"][name].as_u64().unwrap_or(0)
    }

    /// How much it has risen between the looks.
    fn rise(&self, name: &str) -> u64 {
        self.counter(name).saturating_sub(self.before["counters"][name].as_u64().unwrap_or(0))
    }

    fn name(&self) -> &str {
        text(&self.agent["name"])
    }
}

fn agent(seen: &Seen, found: &mut Findings) {
    let version = text(&seen.agent["version"]);
    found.fine(format!("{} answers at http://{}, version {version}", seen.name(), seen.api));
    if version != seen.own_version {
        let what = format!("the agent has version {version}, and this program {}", seen.own_version);
        found.note(what, "restart the agent, if it was to be updated");
    }
    if seen.agent["keys"].is_object() {
        found.fine("it believes only what is signed");
    } else {
        let contact = text(&seen.agent["contact"]);
        let what =
            format!("it is open: whoever reaches {contact} over UDP may change every row and function");
        found.note(what, "keep this port among your machines, or give all agents keys (docs/trust.md)");
    }
}

/// Whom it reaches.
fn reached(seen: &Seen, found: &mut Findings) {
    let contact = text(&seen.agent["contact"]);
    for (at, answers) in &seen.answers {
        let own = at.to_string() == contact;
        match (own, answers) {
            (true, true) => {}
            (true, false) => found.wrong(
                format!("it tells others to reach it at {contact}, and does not answer there"),
                "say with --contact where others reach it, and let UDP to that port through the firewall",
            ),
            (false, true) => found.fine(format!("the seed {at} answers")),
            (false, false) => found.wrong(
                format!("the seed {at} does not answer"),
                "start an agent there, let UDP through the firewalls between, or name another --seed",
            ),
        }
    }
    if seen.agent["behind_nat"] == true {
        if contact.contains('/') {
            found.fine(format!("nobody can dial it, and it is reached at a relay: {contact}"));
        } else {
            found.wrong(
                "nobody can dial it, and it has no relay: others take it for gone",
                "start agents that can be dialled with --relay-for 64, and name one of them with --relay, or let UDP in and say --contact",
            );
        }
    }
    let others = list(&seen.agent["seeds"]).count();
    let heard = seen.counter("datagrams_received");
    let alone = seen.zones.iter().all(|zone| list(&zone["rows"]).count() <= 1);
    if !alone {
        found.fine(format!("it hears others: {heard} messages so far"));
    } else if others == 0 {
        found.note(
            "it has no seeds and is alone",
            "start it with --seed, or name it as the seed of another one",
        );
    } else {
        let what = format!("it is alone: {others} seeds, and {heard} messages from anybody so far");
        found.wrong(what, "see to the seeds; a seed that answers needs some seconds");
    }
}

/// Whether another one has its name.
fn name(seen: &Seen, found: &mut Findings) {
    let rise = seen.rise("contradicted");
    if rise > 0 {
        let what = format!(
            "another agent has the name {}: it contradicted this one {rise} times just now",
            seen.name()
        );
        found.wrong(what, "give each agent a --name of its own; `ps` on the other machines finds it");
    }
}

fn traffic(seen: &Seen, found: &mut Findings) {
    let of = |name: &str, all: &str| (seen.counter(name), seen.counter(name) + seen.counter(all));
    let (not_sent, all) = of("not_sent", "datagrams_sent");
    if not_sent > 0 {
        let what = format!("{not_sent} of {all} datagrams could not be sent");
        let advice = "look at routes (`ip route`) and firewalls (`nft list ruleset`); an agent that listens on 127.0.0.1 reaches no other machine";
        if 100 * not_sent > all { found.wrong(what, advice) } else { found.note(what, advice) }
    }
    let (garbage, all) = of("garbage", "datagrams_received");
    if garbage > 0 {
        let what = format!("{garbage} of {all} datagrams that came were no messages");
        let advice =
            "something else sends to this port, or agents of another version: `tcpdump udp port` shows who";
        if 100 * garbage > all { found.wrong(what, advice) } else { found.note(what, advice) }
    }
    if let Some(buffer) = seen.agent["receive_buffer"].as_u64()
        && buffer < BUFFER
    {
        let what = format!(
            "the system holds {} KiB of datagrams for it, and {} KiB were asked for",
            buffer >> 10,
            BUFFER >> 10
        );
        found.note(
            what,
            format!("where zones are large, `sysctl -w net.core.rmem_max={BUFFER}`, and restart it"),
        );
    }
}

/// The clock: set, or another one than those of others.
fn clock(seen: &Seen, found: &mut Findings) {
    let set = seen.counter("clock_set");
    if set > 0 {
        let what = format!("the clock of this machine was set {set} times while the agent ran");
        found.note(what, "let it be kept right all the time (chrony, systemd-timesyncd)");
    }
    let off = seen.agent["now_s"].as_u64().unwrap_or(0).abs_diff(seen.now_s);
    if off > CLOCKS_S.unsigned_abs() {
        let what = format!("the agent's time of day is {off} s off that of this machine");
        found.note(what, "if the clock was just set, it takes the agent 10 s to see it: look again");
    }
    let own = seen.name().rsplit('/').next().unwrap_or_default();
    let now = seen.agent["now_s"].as_i64().unwrap_or(0);
    let ages: Vec<(&str, i64)> = seen
        .zones
        .last()
        .into_iter()
        .flat_map(|zone| list(&zone["rows"]))
        .filter(|row| row["child"] != own)
        .filter_map(|row| {
            Some((text(&row["child"]), now.saturating_sub(row["attributes"]["oldest"].as_i64()?)))
        })
        .collect();
    let ahead: Vec<_> = ages.iter().filter(|(_, age)| *age < -CLOCKS_S).collect();
    let most = ahead.iter().map(|(_, age)| -age).max().unwrap_or(0);
    if 2 * ahead.len() > ages.len() {
        let what = format!(
            "the clock of this machine is at least {most} s behind those of {} of {} others",
            ahead.len(),
            ages.len()
        );
        found.wrong(what, "set it, and let it be kept right (chrony, systemd-timesyncd)");
    } else {
        for (name, age) in ahead.into_iter().take(NAMES) {
            found.wrong(
                format!("the clock of {name} is at least {} s ahead", -age),
                "set it there, and let it be kept right",
            );
        }
    }
    let youngest = ages.iter().map(|(_, age)| *age).min().unwrap_or(0);
    if youngest > REFRESHED_S {
        let what = format!(
            "the newest word of another agent is {youngest} s old, though each says something every 10 minutes"
        );
        found.wrong(
            what,
            "the clock of this machine is ahead, or nothing arrives: compare `date` with another machine",
        );
    }
}

/// Who is gone.
fn zones(seen: &Seen, found: &mut Findings) {
    for zone in &seen.zones {
        let name = text(&zone["zone"]);
        let members: i64 = list(&zone["rows"]).filter_map(|row| row["attributes"]["nmembers"].as_i64()).sum();
        let expected = zone["expected"].as_i64().unwrap_or(0).max(members);
        if members == expected {
            found.fine(format!("all {members} agents in {name} are there"));
            continue;
        }
        let mut gone: Vec<String> = list(&zone["gone"]).map(|child| text(child).to_owned()).collect();
        for row in list(&zone["rows"]) {
            let of = |name: &str| row["attributes"][name].as_i64().unwrap_or(0);
            let missing = of("expected") - of("nmembers");
            if missing > 0 {
                gone.push(format!("{missing} in {}", text(&row["child"])));
            }
        }
        let more = gone.len().saturating_sub(NAMES);
        gone.truncate(NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = format!(
            "{} of {expected} agents in {name} are gone: {}{more}",
            expected - members,
            gone.join(", ")
        );
        found.wrong(
            what,
            "start them again or see to their machines; who is gone for good is forgotten after an hour",
        );
    }
}

fn functions(seen: &Seen, found: &mut Findings) {
    let mut fine = 0;
    for (zone, function) in
        seen.functions.iter().flat_map(|f| list(&f["functions"]).map(|of| (text(&f["zone"]), of)))
    {
        let name = text(&function["name"]);
        let faults: Vec<&str> = list(&function["answer"]["faults"]).map(text).collect();
        if let Some(error) = function["error"].as_str() {
            found.wrong(
                format!("the function {name} fails in {zone}: {error}"),
                format!("`gcs-monitor install {name}` with another SQL, or `gcs-monitor remove {name}`"),
            );
        } else if !faults.is_empty() {
            let what = format!("the function {name} says NULL in {zone}: {}", faults.join(", "));
            found.wrong(what, format!("`gcs-monitor install {name}` with another SQL"));
        } else {
            fine += 1;
        }
        let left = function["expires_in_s"].as_u64().unwrap_or(u64::MAX);
        // Questions that are asked once end by themselves.
        if left < SOON_S && !name.starts_with("asked-") {
            let what = format!("the function {name} of {zone} ends in {} hours", left / 3600);
            found.note(what, format!("`gcs-monitor install {name}` again, if it is still wanted"));
        }
    }
    if fine > 0 {
        found.fine(format!("functions answer without a fault: {fine}, counted in each zone that it is in"));
    }
}

#[cfg(test)]
mod tests;
