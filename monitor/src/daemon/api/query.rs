//! Questions that are asked once.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::Value;

use super::{error::Refused, zones::zone_of};
use crate::{
    daemon::{answer::Answer, node::Node},
    sql::{Limits, Query},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) sql: String,
    /// If it is not named after FROM.
    #[serde(default)]
    pub(super) zone: String,
}

/// `POST /v1/query`
pub(super) async fn query(
    State(node): State<Arc<Node>>,
    Json(asked): Json<Asked>,
) -> Result<Json<Value>, Refused> {
    let answer = ask(&node, &asked).await?;
    Ok(Json(answer.json(node.look(|agent, now| agent.seconds(now)))))
}

pub(super) async fn ask(node: &Node, asked: &Asked) -> Result<Answer, Refused> {
    let query = Query::parse(&asked.sql, &Limits::default())?;
    let zone = zone_of(query.table().unwrap_or(&asked.zone))?;
    let found = node.find(&zone).await?;
    let context = node.look(|agent, now| agent.context(now));
    Ok(Answer::of_children(&found, &query, &context)?)
}
