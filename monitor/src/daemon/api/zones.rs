//! What the agent knows: itself, and tables of zones.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
};
use gcs::time::Time;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Refused;
use crate::{
    daemon::node::Node,
    display,
    zones::{
        agent::{Agent, Found},
        contact::Told,
        name::ZoneName,
        table::Slot,
    },
};

#[derive(Deserialize)]
pub(super) struct Path {
    #[serde(default)]
    path: String,
}

/// The zone that a request names: the root if none.
pub(super) fn zone_of(path: &str) -> Result<ZoneName, Refused> {
    Ok(if path.is_empty() { ZoneName::root() } else { path.parse()? })
}

/// `GET /v1/agent`
pub(super) async fn agent(State(node): State<Arc<Node>>) -> Json<Value> {
    let traffic = node.traffic();
    let verified = node.verified().map(|counters| {
        json!({
            "accepted": counters.accepted,
            "signatures": counters.signatures,
            "refused": counters.refused,
        })
    });
    Json(node.look(|agent, now| {
        let counters = agent.counters();
        let zones: Vec<String> =
            (0..agent.levels()).map(|depth| agent.name().ancestor(depth).to_string()).collect();
        json!({
            "name": agent.name().as_str(),
            "version": env!("CARGO_PKG_VERSION"),
            "contact": agent.contact().to_string(),
            "behind_nat": agent.is_behind(),
            "seeds": node.seeds().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "receive_buffer": node.receive_buffer(),
            "zones": zones,
            "now_s": agent.seconds(now),
            "keys": verified,
            "counters": {
                "news_sent": counters.news_sent,
                "strange": counters.strange,
                "refused": counters.refused,
                "functions_failed": counters.failed,
                "objections": counters.objections,
                "contradicted": counters.contradicted,
                "found_gone": counters.found_gone,
                "datagrams_sent": traffic.sent,
                "bytes_sent": traffic.sent_bytes,
                "datagrams_received": traffic.received,
                "garbage": traffic.garbage,
                "not_sent": traffic.not_sent,
                "clock_set": traffic.clock_set,
                "relayed": counters.relayed,
                "not_relayed": counters.not_relayed,
            },
        })
    }))
}

/// `GET /v1/zone?path=/eu`
pub(super) async fn zone(
    State(node): State<Arc<Node>>,
    Query(Path { path }): Query<Path>,
) -> Result<Json<Value>, Refused> {
    let found = node.find(&zone_of(&path)?).await?;
    Ok(Json(table(&node, &found)))
}

pub(super) fn table(node: &Node, found: &Found) -> Value {
    let (now_s, gone_since_s) = node.look(|agent, now| (agent.seconds(now), gone_since_s(agent, now, found)));
    let rows: Vec<Value> = found
        .rows
        .iter()
        .map(|(child, issue)| {
            json!({
                "child": child.as_ref(),
                "version": issue.stamp.version,
                "generator": format!("{:016x}", issue.stamp.generator.0),
                "attributes": display::row_json(&issue.row),
            })
        })
        .collect();
    let functions: Vec<Value> = found
        .functions
        .iter()
        .map(|function| {
            let said = function.said();
            json!({
                "name": said.name,
                "sql": said.text,
                "columns": function.query().map(|query| query.outputs().iter().map(AsRef::as_ref).collect::<Vec<&str>>()),
                "strong": said.strong,
                "expires_in_s": said.expires_s.saturating_sub(now_s),
            })
        })
        .collect();
    json!({
        "zone": found.zone.as_str(),
        "from": found.from.map(|from| Told::from(from).to_string()),
        "expected": found.expected,
        "rows": rows,
        "gone": found.gone.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
        "gone_since_s": gone_since_s,
        "now_s": now_s,
        "functions": functions,
    })
}

/// Since which second children are gone: known of zones that the agent is in.
fn gone_since_s(agent: &Agent, now: Time, found: &Found) -> Value {
    let level = (0..agent.levels()).find(|depth| agent.name().ancestor(*depth) == found.zone);
    let slots = level.and_then(|level| agent.table(level)).into_iter().flat_map(|table| table.slots());
    let gone = slots.filter(|slot| slot.issue().is_none());
    let since = |slot: &Slot| agent.seconds(now).saturating_sub(now.since(slot.since()).as_secs());
    gone.map(|slot| (slot.child().to_string(), since(slot).into())).collect::<serde_json::Map<_, _>>().into()
}
