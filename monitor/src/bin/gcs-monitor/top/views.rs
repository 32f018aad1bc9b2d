//! What each view shows, as a grid.

use std::collections::BTreeMap;

use gcs_monitor::{display::from_json, value::Value};
use serde_json::Value as Json;

use super::{
    grid::{Grid, Line},
    state::{State, View},
    zone::age,
};
use crate::table::{cells, completeness};

pub(super) fn grid(state: &State) -> Grid {
    match state.view {
        View::Table => state.zones.get(&state.chosen).map(|zone| zone.grid(state.now_s)).unwrap_or_default(),
        View::Functions => functions(state),
        View::Health => health(state),
        View::Changes => changes(state),
        View::Answer => match &state.answer {
            Some(Ok(answer)) => answered(answer),
            _ => Grid::default(),
        },
    }
}

fn list(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The functions of the chosen zone, as the agent says them.
pub(super) fn functions_said(state: &State) -> Option<&Json> {
    let (zone, said) = state.functions.as_ref()?;
    said.as_ref().ok().filter(|_| *zone == state.chosen)
}

fn functions(state: &State) -> Grid {
    let lines = functions_said(state).map(|said| &said["functions"]).into_iter().flat_map(list);
    let lines = lines.map(|function| {
        let answer = &function["answer"];
        let says = match function["error"].as_str() {
            Some(error) => format!("fails: {error}"),
            None => values(answer),
        };
        let c = &answer["completeness"];
        let agents = match (c["reported"].as_i64(), c["expected"].as_i64()) {
            (Some(reported), Some(expected)) => Value::text(format!("{reported} of {expected}")),
            _ => Value::Null,
        };
        let expires = function["expires_in_s"].as_u64().map_or(Value::Null, |s| Value::text(age(s)));
        let name = text(&function["name"]);
        Line {
            key: name.to_owned(),
            cells: vec![Value::text(name), agents, expires, Value::text(says)],
            gone: None,
        }
    });
    Grid { names: names(&["function", "agents", "expires in", "answer"]), lines: lines.collect() }
}

/// The one row of an answer, in one line.
fn values(answer: &Json) -> String {
    let (names, rows) = cells(answer);
    let pairs = names.iter().zip(rows.first().into_iter().flatten());
    pairs.map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

/// What a function says, and of how many agents; and its SQL.
pub(super) fn function(state: &State, name: &str) -> Option<[String; 3]> {
    let function = list(&functions_said(state)?["functions"]).find(|f| f["name"] == name)?;
    let answer = &function["answer"];
    let says = function["error"].as_str().map_or_else(|| values(answer), |e| format!("fails: {e}"));
    Some([text(&function["sql"]).to_owned(), says, completeness(answer)])
}

fn health(state: &State) -> Grid {
    let said = state.health.as_ref().and_then(|said| said.as_ref().ok());
    let mut lines = Vec::new();
    for component in said.into_iter().flat_map(list) {
        for instance in list(&component["instances"]) {
            let name = text(&component["component"]);
            let since = instance["since_ms"].as_u64().map_or(0, |ms| state.now_s.saturating_sub(ms / 1000));
            let opinions = list(&instance["opinions"])
                .map(|of| format!("{} {}", text(&of["observer"]), text(&of["finding"])));
            let key = format!("{name} {}", text(&instance["instance"]));
            let held = if instance["held"] == true { " (held down)" } else { "" };
            let cells = vec![
                Value::text(name),
                Value::text(text(&instance["instance"])),
                Value::text(format!("{}{held}", text(&instance["health"]))),
                Value::text(age(since)),
                from_json(&instance["address"]),
                Value::text(opinions.collect::<Vec<_>>().join(", ")),
            ];
            let gone = None;
            lines.push(Line { key, cells, gone });
        }
    }
    Grid { names: names(&["component", "instance", "health", "for", "address", "observers"]), lines }
}

/// How each instance is.
pub(super) fn instances(said: &Json) -> BTreeMap<String, String> {
    let components = list(said);
    let all = components.flat_map(|component| {
        let name = text(&component["component"]);
        list(&component["instances"])
            .map(move |of| (format!("{name} {}", text(&of["instance"])), text(&of["health"]).to_owned()))
    });
    all.collect()
}

fn changes(state: &State) -> Grid {
    let lines = state.changes.iter().enumerate().map(|(nth, change)| {
        let ago = age(state.now_s.saturating_sub(change.at_s));
        let cells = [format!("{ago} ago"), change.zone.clone(), change.who.clone(), change.what.clone()];
        let key = (state.changes.len() - nth).to_string();
        Line { key, cells: cells.into_iter().map(Value::text).collect(), gone: None }
    });
    Grid { names: names(&["when", "zone", "who", "what"]), lines: lines.collect() }
}

fn answered(answer: &Json) -> Grid {
    let (names, rows) = cells(answer);
    let lines = rows.into_iter().enumerate();
    let lines = lines.map(|(nth, cells)| Line { key: nth.to_string(), cells, gone: None });
    Grid { names: names.into_iter().map(str::to_owned).collect(), lines: lines.collect() }
}
