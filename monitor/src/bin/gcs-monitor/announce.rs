//! `gcs-monitor announce`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::{Outcome, client::Api};

/// Tells everybody in a zone something, at once: whoever runs `gcs-monitor subscribe --announcements` there, or follows /v1/announcements.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Announce {
    /// What to say: a text, or JSON for programs; at most 1 KB.
    text: String,
    /// To whom: all in this zone.
    #[arg(long, default_value = "/")]
    zone: String,
    /// How long it counts: whoever begins to follow within this time hears it, too. At most a day.
    #[arg(long = "for", default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME")]
    time: Duration,
    #[command(flatten)]
    api: Api,
}

const EXAMPLE: &str = "\
  gcs-monitor announce --zone /eu/ams 'db1 goes away in 5 minutes: use db2'
  gcs-monitor announce --for 1m '{\"invalid\": \"user/4711\"}'
";

pub(crate) fn run(announce: &Announce) -> Outcome {
    let said = json!({ "text": announce.text, "zone": announce.zone, "for_s": announce.time.as_secs() });
    let done = announce.api.post("/v1/announcements", &said)?;
    say!(
        "announced in {} for {} as {}",
        announce.zone,
        humantime::format_duration(Duration::from_secs(done["for_s"].as_u64().unwrap_or(0))),
        done["name"].as_str().unwrap_or_default()
    );
    Ok(())
}
