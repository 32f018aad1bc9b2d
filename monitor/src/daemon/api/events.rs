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
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::{
    error::Refused,
    stream::{Said, said},
    zones::zone_of,
};
use crate::{
    daemon::{
        events::{AskError, Subscription},
        handed::{Handed, Next},
        lease::Lease,
        node::Node,
    },
    display,
    eventing::Asked,
    trust::Document,
    zones::{event::Event, function::Function, kind::Kind, name::ZoneName},
};

/// Subscriptions at a time.
const SUBSCRIPTIONS: usize = 64;
static PLACES: Semaphore = Semaphore::const_new(SUBSCRIPTIONS);
impl From<AskError> for Refused {
    fn from(e: AskError) -> Self {
        match e {
            AskError::Function(e) => e.into(),
            AskError::Spread(e) => e.into(),
            AskError::Refused(e) => e.into(),
            AskError::Keys(_) => Self::new(StatusCode::FORBIDDEN, e),
            AskError::NoLease | AskError::Long(_) => Self::new(StatusCode::BAD_REQUEST, e),
            AskError::Taken(_) => Self::new(StatusCode::CONFLICT, e),
            AskError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, e),
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
    let place = place()?;
    let wanted = asked.wanted()?;
    let zone = wanted.zone.clone();
    let subscription = Subscription::new(&node, wanted).await?;
    let begun = begun(&zone, subscription.function());
    let (to, events) = mpsc::channel(4);
    tokio::spawn(async move {
        if to.send(begun).await.is_ok() {
            follow(subscription, &to).await;
        }
        drop(place);
    });
    Ok(said(events))
}

/// A place among the subscriptions of this agent.
fn place() -> Result<SemaphorePermit<'static>, Refused> {
    let full = |_| Refused::new(StatusCode::TOO_MANY_REQUESTS, "there are too many subscriptions: end one");
    PLACES.try_acquire().map_err(full)
}

fn begun(zone: &ZoneName, function: &Function) -> Sent {
    let columns = function.condition().map(|query| query.outputs().to_vec());
    let columns: Vec<String> = columns.unwrap_or_default().iter().map(ToString::to_string).collect();
    let said = function.said();
    let begun = json!({
        "name": said.name,
        "zone": zone.as_str(),
        "columns": columns,
        "lease_s": said.expires_s.saturating_sub(said.issued_s),
    });
    Sent::default().event("subscribed").data(begun.to_string())
}

/// A subscription that was signed elsewhere, for some time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signed {
    /// The standing query, as `gcs-monitor ca` writes functions.
    document: String,
    /// What removes it: used when nobody reads any more.
    removal: String,
}

impl Signed {
    fn lease(&self, node: &Node) -> Result<(ZoneName, Lease), Refused> {
        let function = |text: &str| match Document::from_text(text)? {
            Document::Function(said) => Ok(said),
            _ => Err(Refused::from(AskError::NoLease)),
        };
        Ok(Lease::handed(function(&self.document)?, function(&self.removal)?, node.contact())?)
    }
}

/// `POST /v1/events`: as `GET`, for a subscription that is signed by whoever asks. An event `renew` comes when it is time to sign another lease.
pub(super) async fn take(State(node): State<Arc<Node>>, Json(signed): Json<Signed>) -> Result<Said, Refused> {
    let place = place()?;
    let (zone, lease) = signed.lease(&node)?;
    let mut handed = Handed::new(&node, &zone, &lease).await?;
    let begun = begun(&zone, lease.function());
    let (to, events) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut event = begun;
        while to.send(event).await.is_ok() {
            let next = tokio::select! {
                () = to.closed() => break,
                next = handed.next() => next,
            };
            event = match next {
                Next::Event(event) => sent(&event),
                Next::Renew => {
                    Sent::default().event("renew").data(json!({ "zone": zone.as_str() }).to_string())
                }
                Next::Ended => break,
            };
        }
        drop(place);
    });
    Ok(said(events))
}

/// `PUT /v1/events`: another lease of a subscription that is read.
pub(super) async fn renew(
    State(node): State<Arc<Node>>,
    Json(signed): Json<Signed>,
) -> Result<Json<Value>, Refused> {
    let (zone, lease) = signed.lease(&node)?;
    node.renew(&zone, &lease).await?;
    let said = lease.function().said();
    Ok(Json(json!({ "name": said.name, "lease_s": said.expires_s.saturating_sub(said.issued_s) })))
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
