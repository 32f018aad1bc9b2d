//! Asks, again and again, what is wanted; in threads of its own.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender},
    time::Duration,
};

use gcs_monitor::health::{
    client::Client,
    wire::{Answer, Ask},
};
use serde_json::{Value as Json, json};

use super::state::{News, Wanted};
use crate::client::{Api, Unanswered};

/// Between two rounds of questions.
const ROUND: Duration = Duration::from_secs(1);
/// How long representatives may take.
const HEALTH: Duration = Duration::from_secs(5);
/// Components that are shown.
const COMPONENTS: usize = 1000;

/// Asks the agent until nobody wants anything any more.
pub(super) fn agent(api: Api, wants: &Receiver<Wanted>, news: &Sender<News>) {
    let mut wanted = Wanted::default();
    loop {
        match wants.recv_timeout(ROUND) {
            // What is wanted last counts.
            Ok(newer) => wanted = wants.try_iter().last().unwrap_or(newer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Err(e) = round(api, &wanted, news)
            && news.send(News::Lost(e)).is_err()
        {
            return;
        }
    }
}

/// One round: it ends where nobody answers.
fn round(api: Api, wanted: &Wanted, news: &Sender<News>) -> Result<(), String> {
    // Where nobody listens any more, the next want is the last.
    let tell = |of| drop(news.send(of));
    tell(News::Agent(there(api.get("/v1/agent", &[]))?.map_err(|e| e.to_string())?));
    for zone in &wanted.zones {
        let said = there(api.get("/v1/zone", &[("path", zone)]))?;
        tell(News::Zone(zone.clone(), said.map_err(|e| e.to_string())));
    }
    if let Some(zone) = &wanted.functions {
        let said = there(api.get("/v1/functions", &[("zone", zone)]))?;
        tell(News::Functions(zone.clone(), said.map_err(|e| e.to_string())));
    }
    if let Some((sql, zone)) = &wanted.sql {
        let said = there(api.post("/v1/query", &json!({ "sql": sql, "zone": zone })))?;
        tell(News::Answer(sql.clone(), said.map_err(|e| e.under(sql))));
    }
    Ok(())
}

/// Whether anybody is there, and then what is said.
fn there(said: Result<Json, Unanswered>) -> Result<Result<Json, Unanswered>, String> {
    match said {
        Err(e @ Unanswered::NotThere(..)) => Err(e.to_string()),
        said => Ok(said),
    }
}

/// Asks representatives until nobody listens any more.
pub(super) fn health(at: Vec<String>, news: &Sender<News>) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let who = format!("top/{}", std::process::id()).parse()?;
    runtime.block_on(async {
        let (client, _told) = Client::new(at, who)?;
        loop {
            let listed = tokio::time::timeout(HEALTH, components(&client)).await;
            let listed =
                listed.unwrap_or_else(|_| Err("no representative has answered; trying again".to_owned()));
            if news.send(News::Health(listed)).is_err() {
                return Ok(());
            }
            tokio::time::sleep(ROUND).await;
        }
    })
}

async fn components(client: &Client) -> Result<Json, String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let ask = Ask::List { after: after.take() };
        let Answer::Components(some) = client.ask(ask).await.map_err(|e| e.to_string())? else {
            return Err("the representative answers something else".to_owned());
        };
        after = some.last().map(|last| last.component.clone());
        if after.is_none() || all.len() >= COMPONENTS {
            return Ok(Json::Array(all));
        }
        for listed in some {
            all.push(serde_json::to_value(listed).map_err(|e| e.to_string())?);
        }
    }
}
