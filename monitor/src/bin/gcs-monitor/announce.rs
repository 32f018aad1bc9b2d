//! `gcs-monitor announce`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use gcs_monitor::zones::{
    function::Said,
    kind::{ANNOUNCEMENT, Kind},
};
use serde_json::json;

use crate::{
    Outcome,
    client::Api,
    keys::{now_s, sign_and_give},
};

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
    /// The key of who signs it, with the certificate beside it, where agents have keys (`gcs-monitor ca client --may announce`).
    #[arg(long, value_name = "FILE")]
    sign_with: Option<PathBuf>,
    #[command(flatten)]
    api: Api,
}

const EXAMPLE: &str = "\
  gcs-monitor announce --zone /eu/ams 'db1 goes away in 5 minutes: use db2'
  gcs-monitor announce --for 1m '{\"invalid\": \"user/4711\"}'
";

/// The longest that an announcement counts: a day.
const LONGEST_S: u64 = 86_400;

pub(crate) fn run(announce: &Announce) -> Outcome {
    let said = json!({ "text": announce.text, "zone": announce.zone, "for_s": announce.time.as_secs() });
    let done = match &announce.sign_with {
        None => announce.api.post("/v1/announcements", &said)?,
        Some(signer) => {
            let mut done = sign_and_give(announce.api, signer, &announce.zone, new(announce)?)?;
            done["for_s"] = announce.time.as_secs().into();
            done
        }
    };
    say!(
        "announced in {} for {} as {}",
        announce.zone,
        humantime::format_duration(Duration::from_secs(done["for_s"].as_u64().unwrap_or(0))),
        done["name"].as_str().unwrap_or_default()
    );
    Ok(())
}

/// As the agent would make it.
fn new(announce: &Announce) -> Result<Said, Box<dyn std::error::Error>> {
    let (issued_s, for_s) = (now_s(), announce.time.as_secs());
    if announce.text.trim().is_empty() {
        return Err("the announcement says nothing".into());
    }
    if !(1..=LONGEST_S).contains(&for_s) {
        return Err(
            format!("an announcement counts for 1 s to a day ({LONGEST_S} s), not for {for_s} s").into()
        );
    }
    Ok(Said {
        name: format!("{ANNOUNCEMENT}{:016x}", getrandom::u64()?),
        kind: Kind::Announcement,
        text: announce.text.clone(),
        strong: false,
        issued_s,
        expires_s: issued_s.saturating_add(for_s),
        seal: Vec::new(),
    })
}
