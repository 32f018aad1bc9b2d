//! What standing queries tell, as it happens: server-sent events.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
    response::sse::Event as Sent,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::{
    error::Refused,
    stream::{Said, said},
    zones::zone_of,
};
use crate::{
    daemon::{
        events::{AskError, LEASE_S, Subscription},
        node::Node,
    },
    display,
    eventing::Asked,
    zones::{event::Event, kind::Kind},
};

/// Subscriptions at a time.
const SUBSCRIPTIONS: usize = 64;
static PLACES: Semaphore = Semaphore::const_new(SUBSCRIPTIONS);
impl From<AskError> for Refused {
    fn from(e: AskError) -> Self {
        match e {
            AskError::Function(e) => e.into(),
            AskError::Spread(e) => e.into(),
            AskError::Keys => Self::new(StatusCode::FORBIDDEN, e),
            AskError::Random(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, e),
        }
    }
}

/// `GET /v1/events?sql=SELECT…&zone=/eu&mode=edge|level&delivery=at-least-once|at-most-once&every_ms=500`: an event `subscribed`, then `fired` for
/// each that is told, `counted` for those that are not, `error` when the lease cannot be renewed.
pub(super) async fn events(
    State(node): State<Arc<Node>>,
    Query(asked): Query<Asked>,
) -> Result<Said, Refused> {
    let Ok(place) = PLACES.try_acquire() else {
        return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, "there are too many subscriptions: end one"));
    };
    let wanted = asked.wanted()?;
    let zone = wanted.zone.clone();
    let subscription = Subscription::new(&node, wanted).await?;
    let columns = subscription.function().condition().map(|query| query.outputs().to_vec());
    let columns: Vec<String> = columns.unwrap_or_default().iter().map(ToString::to_string).collect();
    let begun = json!({
        "name": subscription.name(),
        "zone": zone.as_str(),
        "columns": columns,
        "lease_s": LEASE_S,
    });
    let (to, events) = mpsc::channel(4);
    tokio::spawn(async move {
        if to.send(Sent::default().event("subscribed").data(begun.to_string())).await.is_ok() {
            follow(subscription, &to).await;
        }
        drop(place);
    });
    Ok(said(events))
}

#[derive(Deserialize)]
pub(super) struct Zone {
    #[serde(default)]
    zone: String,
}

/// `GET /v1/subscriptions?zone=/eu`: what the agents of a zone are asked.
pub(super) async fn list(
    State(node): State<Arc<Node>>,
    Query(Zone { zone }): Query<Zone>,
) -> Result<Json<Value>, Refused> {
    let found = node.find(&zone_of(&zone)?).await?;
    let now_s = node.look(|agent, now| agent.seconds(now));
    let all = found.functions.iter().filter_map(|function| {
        let said = function.said();
        let Kind::Standing(standing) = &said.kind else { return None };
        Some(json!({
            "name": said.name,
            "sql": said.text,
            "to": standing.to.to_string(),
            "every_ms": standing.every_ms,
            "expires_in_s": said.expires_s.saturating_sub(now_s),
        }))
    });
    Ok(Json(json!({ "zone": found.zone.as_str(), "subscriptions": all.collect::<Vec<_>>() })))
}

async fn follow(mut subscription: Subscription, to: &mpsc::Sender<Sent>) {
    loop {
        let next = tokio::select! {
            () = to.closed() => break,
            next = subscription.next() => next,
        };
        let event = match next {
            Ok(event) => sent(&event),
            Err(e) => Sent::default().event("error").data(e.to_string()),
        };
        if to.send(event).await.is_err() {
            break;
        }
    }
    // Without an answer, it ends with its lease.
    let _ = subscription.end().await;
}

fn sent(event: &Event) -> Sent {
    let (name, data) = display::event_json(event);
    Sent::default().event(name).data(data.to_string())
}
