//! What the representatives of component health say (`docs/health.md`), passed on: a page cannot ask them itself.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    middleware,
    routing::get,
};
use serde_json::{Value, json};

use super::error::Refused;
use crate::{
    guard::guard,
    health::{
        client::{Client, ClientError},
        wire::{Answer, Ask},
    },
};

/// Components that are listed: all that the representatives take.
const COMPONENTS: usize = 1024;

/// `/v1/health`: of the representatives that this client asks; without one, it says that there are none.
pub fn health(client: Option<Client>) -> Router {
    Router::new()
        .route("/v1/health", get(list))
        .route("/v1/health/{component}", get(history))
        .layer(middleware::from_fn(guard::<Refused>))
        .with_state(client)
}

fn strange() -> Refused {
    Refused::new(StatusCode::BAD_GATEWAY, "the representative answers something else")
}

/// `GET /v1/health`: all components, and what each observer finds; `known` is whether anybody can be asked.
async fn list(State(client): State<Option<Client>>) -> Result<Json<Value>, Refused> {
    let Some(client) = client else { return Ok(Json(json!({ "known": false, "components": [] }))) };
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|last: &crate::health::wire::Listed| last.component.clone());
        let Answer::Components(components) = client.ask(Ask::List { after }).await? else {
            return Err(strange());
        };
        if components.is_empty() || all.len() + components.len() > COMPONENTS {
            return Ok(Json(json!({ "known": true, "components": all })));
        }
        all.extend(components);
    }
}

/// `GET /v1/health/NAME`: its last verdicts, the oldest first, and their witnesses.
async fn history(
    State(client): State<Option<Client>>,
    Path(component): Path<String>,
) -> Result<Json<Value>, Refused> {
    let Some(client) = client else {
        let message = "this agent is not told of representatives: start it with --health ADDR:PORT";
        return Err(Refused::new(StatusCode::NOT_FOUND, message));
    };
    let component = component.parse().map_err(|e| Refused::new(StatusCode::BAD_REQUEST, e))?;
    match client.ask(Ask::History { component }).await? {
        Answer::Verdicts(verdicts) => Ok(Json(json!({ "verdicts": verdicts }))),
        _ => Err(strange()),
    }
}

impl From<ClientError> for Refused {
    fn from(e: ClientError) -> Self {
        let status = match &e {
            ClientError::Refused(_) => StatusCode::CONFLICT,
            _ => StatusCode::GATEWAY_TIMEOUT,
        };
        Self::new(status, e)
    }
}
