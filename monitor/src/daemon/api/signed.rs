//! What was signed elsewhere: the agent only passes it on.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{error::Refused, functions::cost};
use crate::{
    daemon::node::Node,
    trust::{Document, FunctionSeal},
    zones::{function::Function, kind::Kind},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signed {
    /// As `gcs-monitor ca` writes it.
    document: String,
}

/// `POST /v1/signed`: a function, a removal or a revocation.
pub(super) async fn take(
    State(node): State<Arc<Node>>,
    Json(signed): Json<Signed>,
) -> Result<Json<Value>, Refused> {
    match Document::from_text(&signed.document)? {
        Document::Function(said) => {
            if matches!(said.kind, Kind::Standing(_)) && !said.text.is_empty() {
                let message = "a standing query is handed over by whoever reads what it tells: `gcs-monitor subscribe --sign-with KEY`";
                return Err(Refused::new(StatusCode::BAD_REQUEST, message));
            }
            let zone = FunctionSeal::decode(&said.seal)?.zone().clone();
            let function = Arc::new(Function::new(said)?);
            node.install(&zone, &function).await?;
            let cost = function.query().map(cost);
            Ok(Json(json!({ "name": function.said().name, "zone": zone.as_str(), "cost": cost })))
        }
        Document::Revocation(revocation) => {
            let new = node.revoke(&Arc::new(revocation))?;
            Ok(Json(json!({ "new": new })))
        }
        other => {
            let message =
                format!("a {} is nothing for agents: give a function or a revocation", other.kind());
            Err(Refused::new(StatusCode::BAD_REQUEST, message))
        }
    }
}
