//! Faults that are made up.

use serde_json::json;

use super::*;

fn seen() -> Seen {
    let row = |child: &str, oldest: i64| json!({ "child": child, "attributes": { "nmembers": 1, "oldest": oldest } });
    let agent = json!({
        "name": "/eu/a", "version": "1", "contact": "127.0.0.1:1", "seeds": ["127.0.0.1:2"], "now_s": 10_000,
        "receive_buffer": BUFFER, "counters": { "datagrams_sent": 500, "datagrams_received": 500 }, "keys": {},
    });
    let rows = json!([row("a", 9990), row("b", 9995), row("c", 9000)]);
    Seen {
        api: "127.0.0.1:3".parse().unwrap(),
        now_s: 10_000,
        own_version: "1".into(),
        before: agent.clone(),
        agent,
        zones: vec![json!({ "zone": "/eu", "expected": 3, "rows": rows, "gone": [] })],
        functions: vec![
            json!({ "zone": "/eu", "functions": [{ "name": "load", "expires_in_s": 999_999, "answer": { "faults": [] } }] }),
        ],
        answers: [("127.0.0.1:1", true), ("127.0.0.1:2", true)]
            .map(|(at, is)| (at.parse().unwrap(), is))
            .into(),
    }
}

/// What is not fine.
fn said(change: impl FnOnce(&mut Seen)) -> Vec<(Level, String)> {
    let mut seen = seen();
    change(&mut seen);
    let not_fine = findings(&seen).into_iter().filter(|finding| finding.level != Level::Fine);
    let all: Vec<_> = not_fine
        .map(|finding| {
            assert!(!finding.advice.is_empty(), "{}", finding.what);
            (finding.level, finding.what)
        })
        .collect();
    all
}

#[test]
fn each_fault_is_one_finding() {
    assert_eq!(said(|_| {}), []);
    let set =
        |path: &'static str, to: Json| move |seen: &mut Seen| *seen.agent.pointer_mut(path).unwrap() = to;
    let one = |found: Vec<(Level, String)>, level: Level, part: &str| {
        assert!(found.len() == 1 && found[0].0 == level && found[0].1.contains(part), "{part}: {found:?}");
    };
    one(said(set("/version", json!("2"))), Level::Note, "version 2");
    one(said(|seen| seen.now_s += 60), Level::Note, "60 s off that of this machine");
    one(said(set("/keys", Json::Null)), Level::Note, "it is open");
    one(said(set("/receive_buffer", json!(1 << 17))), Level::Note, "128 KiB");
    for (counter, value, level, part) in [
        ("clock_set", 2, Level::Note, "was set 2 times"),
        ("not_sent", 100, Level::Wrong, "100 of 600 datagrams could not be sent"),
        ("not_sent", 1, Level::Note, "1 of 501"),
        ("garbage", 100, Level::Wrong, "100 of 600 datagrams that came were no messages"),
        ("garbage", 2, Level::Note, "2 of 502"),
        ("contradicted", 3, Level::Wrong, "another agent has the name /eu/a"),
    ] {
        one(said(|seen| seen.agent["counters"][counter] = json!(value)), level, part);
    }
    one(
        said(|seen| *seen.answers.get_mut(&"127.0.0.1:1".parse().unwrap()).unwrap() = false),
        Level::Wrong,
        "does not answer there",
    );
    one(
        said(|seen| *seen.answers.get_mut(&"127.0.0.1:2".parse().unwrap()).unwrap() = false),
        Level::Wrong,
        "the seed 127.0.0.1:2 does not answer",
    );
    one(said(|seen| seen.zones[0]["expected"] = json!(4)), Level::Wrong, "1 of 4 agents in /eu are gone");
    one(
        said(|seen| seen.functions[0]["functions"][0]["error"] = json!("too much")),
        Level::Wrong,
        "load fails in /eu: too much",
    );
    one(
        said(|seen| seen.functions[0]["functions"][0]["answer"]["faults"] = json!(["x"])),
        Level::Wrong,
        "load says NULL in /eu: x",
    );
    one(
        said(|seen| seen.functions[0]["functions"][0]["expires_in_s"] = json!(7200)),
        Level::Note,
        "ends in 2 hours",
    );
    one(
        said(|seen| seen.zones[0]["rows"][1]["attributes"]["oldest"] = json!(10_600)),
        Level::Wrong,
        "the clock of b is at least 600 s ahead",
    );
    one(
        said(|seen| (seen.now_s, seen.agent["now_s"]) = (8000, json!(8000))),
        Level::Wrong,
        "at least 1995 s behind those of 2 of 2 others",
    );
    one(
        said(|seen| (seen.now_s, seen.agent["now_s"]) = (20_000, json!(20_000))),
        Level::Wrong,
        "the newest word of another agent is 10005 s old",
    );
    let alone = said(|seen| seen.zones[0]["rows"] = json!([seen.zones[0]["rows"][0]]));
    assert!(alone[0].1.starts_with("it is alone: 1 seeds") && alone[1].1.contains("2 of 3"), "{alone:?}");
}
