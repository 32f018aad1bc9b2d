//! Webhooks: made, listed with how they do, and removed.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Refused;
use crate::eventing::{
    Asked, How, Mode,
    deliver::{Deliveries, Encoding, Ending, Order, OrderError, PATIENCE, PATIENCE_MAX},
    post::{Target, TargetError},
    webhook::{Secret, SecretError},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    url: String,
    sql: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    delivery: How,
    every_ms: Option<u64>,
    secret: Option<String>,
    /// How long it stands, in seconds: until it is removed, if that is not said.
    expires_s: Option<u64>,
    /// It ends when nothing could be delivered for so many seconds.
    patience_s: Option<u64>,
}

impl From<OrderError> for Refused {
    fn from(e: OrderError) -> Self {
        match e {
            OrderError::Ask(e) => e.into(),
            OrderError::Full => Self::new(StatusCode::TOO_MANY_REQUESTS, e),
        }
    }
}

impl From<TargetError> for Refused {
    fn from(e: TargetError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, e)
    }
}

impl From<SecretError> for Refused {
    fn from(e: SecretError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, e)
    }
}

/// `POST /v1/webhooks`
pub(super) async fn make(
    State(deliveries): State<Arc<Deliveries>>,
    Json(new): Json<New>,
) -> Result<Json<Value>, Refused> {
    let secret = new.secret.map(|secret| secret.parse::<Secret>()).transpose()?;
    let target: Target = new.url.parse()?;
    let New { sql, zone, mode, delivery, every_ms, .. } = new;
    let most = PATIENCE_MAX.as_secs();
    for (name, time_s) in [("expires_s", new.expires_s), ("patience_s", new.patience_s)] {
        if time_s.is_some_and(|time_s| !(1..=most).contains(&time_s)) {
            let message = format!("{name} is 1 to {most}: at most a day");
            return Err(Refused::new(StatusCode::BAD_REQUEST, message));
        }
    }
    let wanted = Asked { sql, zone, mode, delivery, every_ms }.wanted()?;
    let zone = wanted.zone.clone();
    let order = Order {
        wanted,
        target,
        encoding: Encoding::Json(secret),
        expires: new.expires_s.map(Duration::from_secs),
        patience: new.patience_s.map_or(PATIENCE, Duration::from_secs),
    };
    let begun = deliveries.begin(order).await?;
    Ok(Json(json!({ "name": begun.name, "zone": zone.as_str(), "columns": begun.columns })))
}

/// `GET /v1/webhooks`: those of WS-Eventing, too.
pub(super) async fn list(State(deliveries): State<Arc<Deliveries>>) -> Json<Value> {
    Json(json!({ "webhooks": deliveries.list() }))
}

/// `DELETE /v1/webhooks/NAME`
pub(super) async fn remove(
    State(deliveries): State<Arc<Deliveries>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    if !deliveries.remove(&name, Ending::Cancelled) {
        let message = "there is no such webhook: GET /v1/webhooks lists those that there are";
        return Err(Refused::new(StatusCode::NOT_FOUND, message));
    }
    Ok(Json(json!({ "name": name })))
}
