//! `gcs-monitor zones`.

use clap::Args;
use serde_json::Value;

use crate::{Outcome, client::Api};

/// Zones that are asked for.
const ZONES_MAX: usize = 10_000;

#[derive(Args)]
pub(crate) struct Zones {
    /// From which zone on.
    #[arg(default_value = "/")]
    zone: String,
    /// How many levels of it; without, all.
    #[arg(long, default_value_t = 16)]
    levels: usize,
    #[command(flatten)]
    api: Api,
}

pub(crate) fn run(zones: &Zones) -> Outcome {
    let root = zones.api.get("/v1/zone", &[("path", &zones.zone)])?;
    let members: i64 = rows(&root).map(|row| row["attributes"]["nmembers"].as_i64().unwrap_or(0)).sum();
    say!("{}  {}", zones.zone, agents(members, root["expected"].as_i64().unwrap_or(0)));
    let mut left = ZONES_MAX;
    show(zones.api, &zones.zone, &root, "", zones.levels, &mut left);
    if left == 0 {
        say!("… more than {ZONES_MAX} zones: choose one, or fewer --levels");
    }
    Ok(())
}

fn rows(zone: &Value) -> impl Iterator<Item = &Value> {
    zone["rows"].as_array().into_iter().flatten()
}

fn agents(members: i64, expected: i64) -> String {
    if expected > members { format!("{members} of {expected} agents") } else { format!("{members} agents") }
}

fn show(api: Api, path: &str, zone: &Value, indent: &str, levels: usize, left: &mut usize) {
    let mut children: Vec<(&str, Option<&Value>)> =
        rows(zone).map(|row| (row["child"].as_str().unwrap_or_default(), Some(&row["attributes"]))).collect();
    let gone = zone["gone"].as_array().into_iter().flatten();
    children.extend(gone.map(|child| (child.as_str().unwrap_or_default(), None)));
    children.sort_by_key(|(name, _)| *name);
    for (nth, (name, attributes)) in children.iter().enumerate() {
        let last = nth + 1 == children.len();
        let branch = format!("{indent}{}", if last { "└─ " } else { "├─ " });
        let below = format!("{indent}{}", if last { "   " } else { "│  " });
        let Some(attributes) = attributes else {
            say!("{branch}{name}  gone");
            continue;
        };
        let contact = attributes["contacts"][0].as_str().unwrap_or("?");
        if attributes["depth"].is_null() {
            say!("{branch}{name}  {contact}");
            continue;
        }
        let count = |name: &str| attributes[name].as_i64().unwrap_or(0);
        say!("{branch}{name}  {}, spoken for by {contact}", agents(count("nmembers"), count("expected")));
        if levels > 1 && *left > 0 {
            *left -= 1;
            let path = format!("{}/{name}", path.trim_end_matches('/'));
            match api.get("/v1/zone", &[("path", &path)]) {
                Ok(zone) => show(api, &path, &zone, &below, levels - 1, left),
                Err(e) => say!("{below}? {e}"),
            }
        }
    }
}
