//! Attributes over HTTP, for programs on this host.
//!
//! | request | does |
//! |---|---|
//! | `PUT /attributes/NAME[?life=30s]`, a JSON value | says an attribute |
//! | `PUT /attributes[?life=30s]`, a JSON object | says several |
//! | `DELETE /attributes/NAME` | ends it |
//! | `GET /attributes` | what is reported, by whom, and what went wrong |
//!
//! Pages in a browser on this host could send such requests as well; `crate::guard` keeps them out. Bounds: [`super::limits::BODY_BYTES`] and, in the server that `[http]` starts, connections and their time.

mod serve;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing,
};
use serde::Deserialize;
use serde_json::{Value as Content, json};

pub(super) use serve::serve;

use super::{
    handle::{Handle, life_or},
    limits, scalar,
    status::Status,
    store::{Refused, SourceId},
};
use crate::guard::{Foreign, guard};

/// What requests need.
#[derive(Debug, Clone)]
struct Context {
    handle: Handle,
    life: Duration,
}

/// Answers under `/attributes`; attributes live for five minutes unless a request says otherwise.
/// The server has to see to the number and the time of connections.
pub fn router(handle: Handle) -> Router {
    router_with(handle, Duration::from_secs(300))
}

pub(super) fn router_with(handle: Handle, life: Duration) -> Router {
    Router::new()
        .route("/attributes", routing::get(show).put(put_all))
        .route("/attributes/{name}", routing::put(put).delete(delete))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(middleware::from_fn(guard::<Sorry>))
        .with_state(Arc::new(Context { handle, life }))
}

/// An error as JSON.
#[derive(Debug)]
struct Sorry {
    status: StatusCode,
    content: Content,
}

impl Sorry {
    fn new(status: StatusCode, error: impl ToString) -> Self {
        Self { status, content: json!({ "error": error.to_string() }) }
    }
}

impl From<Foreign> for Sorry {
    fn from(foreign: Foreign) -> Self {
        Self::new(foreign.status(), foreign)
    }
}

impl From<Refused> for Sorry {
    fn from(refused: Refused) -> Self {
        Self::new(status_of(&refused), scalar::shortened(refused.to_string()))
    }
}

impl IntoResponse for Sorry {
    fn into_response(self) -> Response {
        (self.status, Json(self.content)).into_response()
    }
}

/// The answer to a request that changes something: no content, or why not.
type Done = Result<StatusCode, Sorry>;

fn status_of(refused: &Refused) -> StatusCode {
    match refused {
        Refused::Name(_) | Refused::TooLong { .. } => StatusCode::BAD_REQUEST,
        Refused::Taken { .. } => StatusCode::CONFLICT,
        Refused::TooMany(_) | Refused::TooLarge { .. } => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// What a request may say beside its path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    life: Option<String>,
}

/// How long what a request says is to live.
fn life(options: Result<Query<Options>, QueryRejection>, default: Duration) -> Result<Duration, Sorry> {
    let bad = |error: String| Sorry::new(StatusCode::BAD_REQUEST, error);
    let Query(options) =
        options.map_err(|_| bad("there is no option but life; write ?life=30s".to_owned()))?;
    let asked = options.life.as_deref().map(humantime::parse_duration).transpose();
    let asked = asked.map_err(|e| bad(format!("life is no time ({e}); write it as 30s or 5m")))?;
    Ok(life_or(asked, default))
}

/// The JSON that a request brings.
fn content(body: Result<Bytes, BytesRejection>) -> Result<Content, Sorry> {
    let too_large = format!("at most {} bytes are taken; say less", limits::BODY_BYTES);
    let body = body.map_err(|e| Sorry::new(e.status(), too_large))?;
    serde_json::from_slice(&body).map_err(|e| {
        Sorry::new(StatusCode::BAD_REQUEST, format!("the content is not JSON ({e}); correct it"))
    })
}

async fn show(State(context): State<Arc<Context>>) -> Json<Status> {
    Json(context.handle.status())
}

async fn put(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    options: Result<Query<Options>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Done {
    let value = content(body)?;
    say(&context.handle, &name, &value, life(options, context.life)?)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put_all(
    State(context): State<Arc<Context>>,
    options: Result<Query<Options>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Done {
    let Content::Object(object) = content(body)? else {
        return Err(Sorry::new(StatusCode::BAD_REQUEST, "this is no object; send {\"name\": value}"));
    };
    let life = life(options, context.life)?;
    let mut first = None;
    let mut errors = serde_json::Map::new();
    for (name, value) in &object {
        if let Err(sorry) = say(&context.handle, name, value, life) {
            first.get_or_insert(sorry.status);
            errors.insert(scalar::shortened(name.clone()), sorry.content["error"].clone());
        }
    }
    let Some(status) = first else { return Ok(StatusCode::NO_CONTENT) };
    let error = "some attributes were not taken; the others were";
    Err(Sorry { status, content: json!({ "error": error, "attributes": errors }) })
}

async fn delete(State(context): State<Arc<Context>>, Path(name): Path<String>) -> Done {
    if context.handle.remove(SourceId::HTTP, &name)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Sorry::new(StatusCode::NOT_FOUND, "there is no such attribute"))
    }
}

fn say(handle: &Handle, name: &str, content: &Content, life: Duration) -> Result<(), Sorry> {
    let value = scalar::from_json(content).map_err(|e| Sorry::new(StatusCode::BAD_REQUEST, e))?;
    Ok(handle.put(SourceId::HTTP, name, value, life)?)
}
