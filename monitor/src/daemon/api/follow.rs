//! Tables of zones, sent whenever they are others: server-sent events.

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, sse::Event},
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    error::Refused,
    watch::{self, LOOK, PACE},
    zones::{table, zone_of},
};
use crate::{
    daemon::node::Node,
    zones::{agent::Found, function::Said, name::ZoneName, table::Stamp},
};

/// Zones that one request may follow.
const ZONES: usize = 32;

/// `GET /v1/zones?path=/&path=/eu`: an event `zone` for each new table, `lost` where there is none.
pub(super) async fn zones(
    State(node): State<Arc<Node>>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<impl IntoResponse, Refused> {
    let mut zones: Vec<ZoneName> = asked
        .iter()
        .map(|(name, path)| match name.as_str() {
            "path" => zone_of(path),
            _ => {
                Err(Refused::new(StatusCode::BAD_REQUEST, "there is no parameter but path; write ?path=/eu"))
            }
        })
        .collect::<Result<_, _>>()?;
    zones.sort();
    zones.dedup();
    if zones.is_empty() || zones.len() > ZONES {
        let message =
            format!("at least one zone and at most {ZONES} are followed; name them as ?path=/eu&path=/us");
        return Err(Refused::new(StatusCode::BAD_REQUEST, message));
    }
    watch::events(|to| async move { follow(&node, zones, &to).await })
}

/// What was sent of a table: it is sent again when this is another.
#[derive(PartialEq, Eq)]
struct Shown {
    rows: Vec<(Arc<str>, Stamp)>,
    gone: Vec<Arc<str>>,
    expected: i64,
    functions: Vec<Said>,
}

struct Followed {
    zone: ZoneName,
    /// Or why there was none.
    shown: Option<Result<Shown, String>>,
}

async fn follow(node: &Node, zones: Vec<ZoneName>, to: &mpsc::Sender<Event>) {
    let followed = zones.into_iter().map(|zone| Followed { zone, shown: None });
    let (mut own, mut others): (Vec<_>, Vec<_>) = followed
        .partition(|of| node.look(|agent, _| of.zone != *agent.name() && of.zone.contains(agent.name())));
    tokio::select! {
        () = to.closed() => {}
        () = again(node, &mut own, to, true) => {}
        // A table that is elsewhere costs datagrams, whether it has changed or not.
        () = again(node, &mut others, to, false) => {}
    }
}

/// Sends what is new, for as long as somebody reads it.
async fn again(node: &Node, zones: &mut [Followed], to: &mpsc::Sender<Event>, when_changed: bool) {
    loop {
        for of in zones.iter_mut() {
            if let Some(event) = of.look(node).await
                && to.send(event).await.is_err()
            {
                return;
            }
        }
        tokio::time::sleep(PACE).await;
        tokio::select! {
            () = node.changed(), if when_changed => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Followed {
    async fn look(&mut self, node: &Node) -> Option<Event> {
        let found = node.find(&self.zone).await.map_err(|e| e.to_string());
        let shown = found.as_ref().map(Shown::of).map_err(Clone::clone);
        if self.shown.as_ref() == Some(&shown) {
            return None;
        }
        self.shown = Some(shown);
        let (name, says) = match found {
            Ok(found) => ("zone", table(node, &found)),
            Err(message) => ("lost", json!({ "zone": self.zone.as_str(), "message": message })),
        };
        Some(Event::default().event(name).data(says.to_string()))
    }
}

impl Shown {
    fn of(found: &Found) -> Self {
        Self {
            rows: found.rows.iter().map(|(child, issue)| (child.clone(), issue.stamp)).collect(),
            gone: found.gone.clone(),
            expected: found.expected,
            functions: found.functions.iter().map(|function| function.said().clone()).collect(),
        }
    }
}
