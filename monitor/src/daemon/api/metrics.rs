//! `GET /metrics`: what the agent counts, its own row, and what functions say of all agents, as Prometheus reads it.

use std::{fmt::Write as _, sync::Arc};

use axum::{extract::State, http::header, response::IntoResponse};

use crate::{daemon::node::Node, row::Row, value::Value};

pub(super) async fn metrics(State(node): State<Arc<Node>>) -> impl IntoResponse {
    let traffic = node.traffic();
    let mut out = String::new();
    let counts = [
        ("datagrams_sent", traffic.sent),
        ("bytes_sent", traffic.sent_bytes),
        ("datagrams_received", traffic.received),
        ("datagrams_garbage", traffic.garbage),
        ("datagrams_not_sent", traffic.not_sent),
        ("clock_set", traffic.clock_set),
    ];
    node.look(|agent, now| {
        let counters = agent.counters();
        let more = [
            ("strange", counters.strange),
            ("refused", counters.refused),
            ("functions_failed", counters.failed),
            ("objections", counters.objections),
            ("contradicted", counters.contradicted),
            ("found_gone", counters.found_gone),
        ];
        for (name, value) in counts.into_iter().chain(more) {
            let _ =
                writeln!(out, "# TYPE gcs_monitor_{name}_total counter\ngcs_monitor_{name}_total {value}");
        }
        let own = agent.table(agent.levels() - 1).and_then(|table| {
            agent.name().parts().last().and_then(|part| table.issue(part)).map(|issue| issue.row.clone())
        });
        let _ = writeln!(
            out,
            "# HELP gcs_monitor_attribute What agents say; zone / is all of them, level over level."
        );
        let _ = writeln!(out, "# TYPE gcs_monitor_attribute gauge");
        for (zone, row) in [("/", agent.top(now)), (agent.name().as_str(), own.unwrap_or_else(empty))] {
            attributes(&mut out, zone, &row);
        }
    });
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], out)
}

fn empty() -> Row {
    Row::new(Vec::<(&str, Value)>::new())
}

fn attributes(out: &mut String, zone: &str, row: &Row) {
    for (name, value) in row.iter() {
        if let Some(number) = value.as_f64() {
            let (zone, name) = (escaped(zone), escaped(name));
            let _ = writeln!(out, "gcs_monitor_attribute{{zone=\"{zone}\",attribute=\"{name}\"}} {number}");
        }
    }
}

/// As a label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
