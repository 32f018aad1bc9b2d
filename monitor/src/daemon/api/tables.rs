//! Tables of applications, for standing queries.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};

use super::error::Refused;
use crate::events::tables::{self, Application};

impl From<tables::Refused> for Refused {
    fn from(e: tables::Refused) -> Self {
        let status = match e {
            tables::Refused::Full => StatusCode::INSUFFICIENT_STORAGE,
            tables::Refused::Rows(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, e)
    }
}

/// `PUT /v1/tables/NAME`, a list of objects: in the place of what was there.
pub(super) async fn put(
    State(tables): State<Arc<Application>>,
    Path(name): Path<String>,
    Json(table): Json<Value>,
) -> Result<Json<Value>, Refused> {
    let rows = tables.put(&name, &table)?;
    Ok(Json(json!({ "name": name, "rows": rows })))
}

/// `DELETE /v1/tables/NAME`
pub(super) async fn delete(
    State(tables): State<Arc<Application>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    if !tables.delete(&name) {
        let message = format!("there is no table `{name}`: GET /v1/tables lists those that there are");
        return Err(Refused::new(StatusCode::NOT_FOUND, message));
    }
    Ok(Json(json!({ "name": name })))
}

/// `GET /v1/tables`
pub(super) async fn list(State(tables): State<Arc<Application>>) -> Json<Value> {
    let all = tables.list().into_iter().map(|(name, rows)| json!({ "name": name, "rows": rows }));
    Json(json!({ "tables": all.collect::<Vec<_>>() }))
}
