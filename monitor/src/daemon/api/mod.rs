//! The API of an agent: HTTP and JSON for those on the same machine (`docs/monitor.md`).
//!
//! Whoever may open a connection to it may ask, and change what the agent says of itself; so it listens on loopback. A page that a browser
//! has from elsewhere may not: what names another host than this one, or comes from another origin, is refused.

mod error;
mod functions;
mod guard;
mod metrics;
mod query;
mod signed;
mod watch;
mod zones;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post},
};

use super::node::Node;

/// Bytes of a request.
const BODY_MAX: usize = 64 << 10;

/// All of it.
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/agent", get(zones::agent))
        .route("/v1/zone", get(zones::zone))
        .route("/v1/query", post(query::query))
        .route("/v1/watch", get(watch::watch))
        .route("/v1/functions", get(functions::list).post(functions::install))
        .route("/v1/functions/{name}", delete(functions::remove))
        .route("/v1/functions/{name}/answer", get(functions::answer))
        .route("/v1/signed", post(signed::take))
        .route("/metrics", get(metrics::metrics))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(guard::guard))
        .with_state(node)
}
