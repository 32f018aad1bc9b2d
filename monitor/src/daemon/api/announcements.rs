//! Announcements: made, and followed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::sse::Event};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::{
    error::Refused,
    stream::{Said, said},
    zones::zone_of,
};
use crate::daemon::{events::announce, node::Node};

/// Who follows announcements at a time.
const READERS: usize = 64;
static PLACES: Semaphore = Semaphore::const_new(READERS);
/// How long an announcement counts if nothing else is said, and the longest: a day.
const FOR_S: u64 = 300;
const LONGEST_S: u64 = 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    /// A text, or any JSON.
    text: Value,
    #[serde(default)]
    zone: String,
    for_s: Option<u64>,
}

/// `POST /v1/announcements`
pub(super) async fn make(
    State(node): State<Arc<Node>>,
    Json(new): Json<New>,
) -> Result<Json<Value>, Refused> {
    let zone = zone_of(&new.zone)?;
    let text = match new.text {
        Value::String(text) => text,
        json => json.to_string(),
    };
    if text.trim().is_empty() {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "the announcement says nothing"));
    }
    let for_s = new.for_s.unwrap_or(FOR_S);
    if !(1..=LONGEST_S).contains(&for_s) {
        let message = format!("an announcement counts for 1 s to a day ({LONGEST_S} s), not for {for_s} s");
        return Err(Refused::new(StatusCode::BAD_REQUEST, message));
    }
    let function = announce(&node, &zone, text, Duration::from_secs(for_s), None).await?;
    Ok(Json(json!({ "name": function.said().name, "zone": zone.as_str(), "for_s": for_s })))
}

/// `GET /v1/announcements`: an event `announced` for each that counts in a zone of this agent's, and for each that is made from now on; `over` when one
/// counts no more.
pub(super) async fn follow(State(node): State<Arc<Node>>) -> Result<Said, Refused> {
    let Ok(place) = PLACES.try_acquire() else {
        let message = "too many follow announcements: end one";
        return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, message));
    };
    let (to, events) = mpsc::channel(4);
    tokio::spawn(async move {
        // Nobody listens any more.
        let _ = tell(&node, &to).await;
        drop(place);
    });
    Ok(said(events))
}

async fn tell(node: &Node, to: &mpsc::Sender<Event>) -> Result<(), mpsc::error::SendError<Event>> {
    let (mut others, mut shown) = (node.others(), BTreeMap::<String, Value>::new());
    loop {
        others.borrow_and_update();
        let all = now(node);
        let over: Vec<String> = shown.keys().filter(|name| !all.contains_key(*name)).cloned().collect();
        for (name, said) in over.iter().filter_map(|name| shown.remove_entry(name)) {
            let over = json!({ "name": name, "zone": said["zone"] });
            to.send(Event::default().event("over").data(over.to_string())).await?;
        }
        for (name, said) in all {
            if shown.insert(name, said.clone()).as_ref() != Some(&said) {
                to.send(Event::default().event("announced").data(said.to_string())).await?;
            }
        }
        tokio::select! {
            () = to.closed() => return Ok(()),
            _ = others.changed() => {}
        }
    }
}

/// What counts in the zones of this agent, by name. A text that is JSON is shown as that.
fn now(node: &Node) -> BTreeMap<String, Value> {
    node.look(|agent, now| {
        let all = agent.announcements(now).map(|(zone, function)| {
            let said = function.said();
            let text = serde_json::from_str(&said.text).unwrap_or_else(|_| Value::from(said.text.as_str()));
            let said = json!({
                "name": said.name,
                "zone": zone.as_str(),
                "text": text,
                "announced_s": said.issued_s,
                "until_s": said.expires_s,
            });
            (function.said().name.clone(), said)
        });
        all.collect()
    })
}
