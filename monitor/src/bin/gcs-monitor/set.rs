//! `gcs-monitor set`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use gcs_monitor::{display, value::Value};
use serde_json::{Map, Value as Json};

use crate::{
    Outcome,
    agent::attribute,
    client::{Api, path_part},
    keys::identity,
};

/// Sets attributes of the agent of this machine, for some time.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Set {
    /// What it is to say of itself: a number if it looks like one, otherwise text.
    #[arg(value_name = "NAME=VALUE", value_parser = attribute, required_unless_present = "remove")]
    attributes: Vec<(String, Value)>,
    /// For how long, unless it is set again.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME")]
    life: Duration,
    /// An attribute that was set, to be removed. May be given several times.
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
    /// The key of who signs it, with the certificate beside it, where the agent runs with --api-needs-key (`gcs-monitor ca client --may write`).
    #[arg(long, value_name = "FILE")]
    sign_with: Option<PathBuf>,
    #[command(flatten)]
    api: Api,
}

const EXAMPLE: &str = "\
  gcs-monitor set app_version=7 app_state=ready --life 1h
  gcs-monitor set --remove app_state --sign-with alice.key
";

pub(crate) fn run(set: &Set) -> Outcome {
    let by = set.sign_with.as_deref().map(identity).transpose()?;
    if !set.attributes.is_empty() {
        let all: Map<String, Json> =
            set.attributes.iter().map(|(name, value)| (name.clone(), display::json(value))).collect();
        let path = format!("/attributes?life={}ms", set.life.as_millis());
        set.api.change("PUT", &path, Some(&Json::Object(all)), by.as_ref())?;
        let names: Vec<&str> = set.attributes.iter().map(|(name, _)| name.as_str()).collect();
        say!("{}: set for {}", names.join(", "), humantime::format_duration(set.life));
    }
    for name in &set.remove {
        set.api.change("DELETE", &format!("/attributes/{}", path_part(name)), None, by.as_ref())?;
        say!("{name}: removed");
    }
    Ok(())
}
