//! The API of an agent: HTTP and JSON for those on the same machine (`docs/monitor.md`).
//!
//! Whoever may open a connection to it may ask, and change what the agent says of itself; so it listens on loopback. A page that a browser
//! has from elsewhere may not: what names another host than this one, or comes from another origin, is refused.

mod announcements;
mod error;
mod events;
mod follow;
mod functions;
mod health;
mod keyed;
mod metrics;
mod query;
mod signed;
mod stream;
mod tables;
mod watch;
mod webhooks;
mod ws_eventing;
mod zones;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post, put},
};

use self::error::Refused;
pub use self::{
    health::health,
    keyed::{HEADER, keyed},
};
use super::node::Node;
use crate::{
    eventing::deliver::Deliveries,
    events::tables::{Application, BYTES},
    guard::guard,
};

/// Bytes of a request.
const BODY_MAX: usize = 64 << 10;

/// All of it.
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/agent", get(zones::agent))
        .route("/v1/zone", get(zones::zone))
        .route("/v1/zones", get(follow::zones))
        .route("/v1/query", post(query::query))
        .route("/v1/watch", get(watch::watch))
        .route("/v1/events", get(events::events).post(events::take).put(events::renew))
        .route("/v1/subscriptions", get(events::list))
        .route("/v1/announcements", get(announcements::follow).post(announcements::make))
        .route("/v1/functions", get(functions::list).post(functions::install))
        .route("/v1/functions/{name}", get(functions::show).delete(functions::remove))
        .route("/v1/functions/{name}/answer", get(functions::answer))
        .route("/v1/signed", post(signed::take))
        .route("/metrics", get(metrics::metrics))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(guard::<Refused>))
        .with_state(node)
}

/// What is posted to whoever has asked: webhooks, and WS-Eventing.
pub fn deliveries(deliveries: Arc<Deliveries>) -> Router {
    Router::new()
        .route("/v1/webhooks", get(webhooks::list).post(webhooks::make))
        .route("/v1/webhooks/{name}", delete(webhooks::remove))
        .route(ws_eventing::PATH, get(ws_eventing::get).post(ws_eventing::post))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(guard::<Refused>))
        .with_state(deliveries)
}

/// The tables that applications fill.
pub fn tables(tables: Arc<Application>) -> Router {
    Router::new()
        .route("/v1/tables", get(tables::list))
        .route("/v1/tables/{name}", put(tables::put).delete(tables::delete))
        .layer(DefaultBodyLimit::max(BYTES))
        .layer(middleware::from_fn(guard::<Refused>))
        .with_state(tables)
}
