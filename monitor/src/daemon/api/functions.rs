//! Functions: installed, removed, listed, and what they say.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{error::Refused, zones::zone_of};
use crate::{
    daemon::{answer::Answer, node::Node},
    sql,
    trust::Document,
    zones::{
        function::{Function, Said},
        kind::Kind,
        name::ZoneName,
    },
};

/// How long a function lives if nothing else is said: 30 days.
const LIFE_S: u64 = 30 * 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: String,
    sql: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    strong: bool,
    for_s: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Zone {
    #[serde(default)]
    zone: String,
}

/// What it costs in each zone.
pub(super) fn cost(query: &sql::Query) -> Value {
    let cost = query.cost();
    json!({ "steps_per_row": cost.operations_per_row, "bytes": cost.max_output_bytes })
}

/// `POST /v1/functions`
pub(super) async fn install(
    State(node): State<Arc<Node>>,
    Json(new): Json<New>,
) -> Result<Json<Value>, Refused> {
    let zone = zone_of(&new.zone)?;
    if new.sql.is_empty() {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "the function has no SQL"));
    }
    let now_s = node.look(|agent, now| agent.seconds(now));
    let held = node.find(&zone).await?.functions.into_iter().find(|f| f.said().name == new.name);
    let function = Arc::new(Function::new(Said {
        name: new.name,
        kind: Kind::Aggregation,
        text: new.sql,
        strong: new.strong,
        // Newer than the one that it takes the place of.
        issued_s: held.map_or(now_s, |held| now_s.max(held.said().issued_s + 1)),
        expires_s: now_s.saturating_add(new.for_s.unwrap_or(LIFE_S)),
        seal: Vec::new(),
    })?);
    node.install(&zone, &function).await?;
    let cost = function.query().map(cost);
    Ok(Json(json!({
        "name": function.said().name,
        "zone": zone.as_str(),
        "expires_in_s": function.said().expires_s - now_s,
        "cost": cost,
    })))
}

/// `DELETE /v1/functions/NAME?zone=/eu`
pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(Zone { zone }): Query<Zone>,
) -> Result<Json<Value>, Refused> {
    let zone = zone_of(&zone)?;
    let held = node.find(&zone).await?.functions.into_iter().find(|f| f.said().name == name);
    let held = held.ok_or_else(|| absent(&zone, &name))?;
    let now_s = node.look(|agent, now| agent.seconds(now));
    let function = Arc::new(Function::new(held.said().removal(now_s))?);
    node.install(&zone, &function).await?;
    Ok(Json(json!({ "name": name, "zone": zone.as_str() })))
}

/// `GET /v1/functions/NAME?zone=/eu`: of whatever kind it is, as a document.
pub(super) async fn show(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(Zone { zone }): Query<Zone>,
) -> Result<Json<Value>, Refused> {
    let found = node.find(&zone_of(&zone)?).await?;
    let held = found.functions.iter().find(|f| f.said().name == name && !f.said().text.is_empty());
    let held = held.ok_or_else(|| absent(&found.zone, &name))?;
    let document = Document::Function(held.said().clone()).to_text().ok().map(|text| text.to_string());
    Ok(Json(json!({ "name": name, "zone": found.zone.as_str(), "document": document })))
}

fn absent(zone: &ZoneName, name: &str) -> Refused {
    let message = format!("{zone} has no function `{name}`: `gcs-monitor list` shows those that there are");
    Refused::new(StatusCode::NOT_FOUND, message)
}

/// `GET /v1/functions?zone=/eu`
pub(super) async fn list(
    State(node): State<Arc<Node>>,
    Query(Zone { zone }): Query<Zone>,
) -> Result<Json<Value>, Refused> {
    let found = node.find(&zone_of(&zone)?).await?;
    let (now_s, context) = node.look(|agent, now| (agent.seconds(now), agent.context(now)));
    let functions = found.functions.iter().filter(|function| function.query().is_some()).map(|function| {
        let said = function.said();
        let answer = Answer::of_agents(&found, &said.name, &context);
        json!({
            "name": said.name,
            "sql": said.text,
            "strong": said.strong,
            "expires_in_s": said.expires_s.saturating_sub(now_s),
            "document": Document::Function(said.clone()).to_text().ok().map(|text| text.to_string()),
            "cost": function.query().map(cost),
            "answer": answer.as_ref().ok().and_then(|a| a.as_ref()).map(|answer| answer.json(now_s)),
            "error": answer.err().map(|e| e.to_string()),
        })
    });
    Ok(Json(json!({ "zone": found.zone.as_str(), "functions": functions.collect::<Vec<_>>() })))
}

/// `GET /v1/functions/NAME/answer?zone=/eu`
pub(super) async fn answer(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    Query(Zone { zone }): Query<Zone>,
) -> Result<Json<Value>, Refused> {
    let found = node.find(&zone_of(&zone)?).await?;
    let (now_s, context) = node.look(|agent, now| (agent.seconds(now), agent.context(now)));
    match Answer::of_agents(&found, &name, &context)? {
        Some(answer) => Ok(Json(answer.json(now_s))),
        None => {
            let message = format!("{} has no function `{name}`", found.zone);
            Err(Refused::new(StatusCode::NOT_FOUND, message))
        }
    }
}
