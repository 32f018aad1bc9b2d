//! An API that asks for a key: what changes something of this agent is signed by a client whose certificate has the right to write here.
//!
//! Whatever is not known to change nothing, or to be signed by itself, needs it. The seal of a request is its header [`HEADER`]; what is signed is
//! the agent's name, the method with the path and what is asked for, and the content, and it counts once.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use percent_encoding::percent_decode_str;

use super::error::Refused;
use crate::{
    daemon::node::Node,
    events::tables::BYTES,
    trust::{Need, Refusal, RequestSeal},
};

/// The header with the seal of a request.
pub const HEADER: &str = "gcs-signed";
/// They change nothing, or are of no use unless what they bring is signed.
const OTHERS: [&str; 5] = ["/v1/query", "/v1/events", "/v1/signed", "/v1/functions", "/v1/announcements"];

/// The same pages, where the agent has keys and its API asks for them.
pub fn keyed(pages: Router, node: Arc<Node>) -> Router {
    pages.layer(middleware::from_fn_with_state(node, look))
}

async fn look(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let path = request.uri().path();
    if reads || OTHERS.contains(&path) || path.starts_with("/v1/functions/") {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BYTES).await else {
        let message = format!("a request that changes something has at most {BYTES} bytes");
        return Refused::new(StatusCode::PAYLOAD_TOO_LARGE, message).into_response();
    };
    let seal = parts.headers.get(HEADER).and_then(|seal| seal.to_str().ok());
    let asked = parts.uri.path_and_query().map_or("", |asked| asked.as_str());
    let method = format!("{} {asked}", parts.method);
    if let Err(refused) = allowed(&node, seal, &method, parts.uri.path(), &body) {
        return refused.into_response();
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

fn allowed(node: &Node, seal: Option<&str>, method: &str, path: &str, body: &[u8]) -> Result<(), Refused> {
    let seal = seal.ok_or_else(|| {
        let message = "the API of this agent needs a key (--api-needs-key): use `gcs-monitor set … --sign-with KEY`, whose certificate has the right to write";
        Refused::new(StatusCode::FORBIDDEN, message)
    })?;
    let names = names(path, body);
    let needs: Vec<Need<'_>> = names.iter().map(|name| Need::Write(name)).collect();
    Ok(node.allow(&RequestSeal::from_text(seal)?, (method, body), &needs)?)
}

/// What is written: an attribute or a table, or several attributes. Anything else needs the right to write whatever there is.
fn names(path: &str, body: &[u8]) -> Vec<String> {
    let named = path.strip_prefix("/attributes/").or_else(|| path.strip_prefix("/v1/tables/"));
    if let Some(name) = named {
        return vec![percent_decode_str(name).decode_utf8_lossy().into_owned()];
    }
    let several: Option<serde_json::Map<String, serde_json::Value>> =
        if path == "/attributes" { serde_json::from_slice(body).ok() } else { None };
    match several {
        Some(several) if !several.is_empty() => several.into_iter().map(|(name, _)| name).collect(),
        _ => vec![String::new()],
    }
}

impl Node {
    /// Whether a request to this agent is signed by somebody who may.
    ///
    /// # Errors
    /// Why it does not count; [`Refusal::NoCertificate`] without keys.
    fn allow(&self, seal: &RequestSeal, request: (&str, &[u8]), needs: &[Need<'_>]) -> Result<(), Refusal> {
        self.act(|agent, now| agent.allow(now, seal, request, needs))
    }
}
