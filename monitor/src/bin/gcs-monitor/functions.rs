//! `gcs-monitor install`, `remove` and `list`.

use std::path::PathBuf;

use clap::Args;
use gcs_monitor::zones::function::Function;
use serde_json::{Value, json};

use crate::{
    Outcome,
    client::{Api, path_part},
    keys::{held, now_s, sign_and_give},
    table::completeness,
};

#[derive(Args)]
pub(crate) struct Install {
    /// Its name, such as load; one that is there already is replaced.
    name: String,
    /// A SELECT with an aggregate in each column, such as SELECT MAX(load1) AS load1.
    sql: String,
    /// For which zone, and all in it.
    #[arg(long, default_value = "/")]
    zone: String,
    /// It counts before functions of the same name for zones further up.
    #[arg(long)]
    strong: bool,
    /// For how long.
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// The key of who signs it, with the certificate beside it, where agents have keys (`gcs-monitor ca client`).
    #[arg(long, value_name = "FILE")]
    sign_with: Option<PathBuf>,
    #[command(flatten)]
    api: Api,
}

#[derive(Args)]
pub(crate) struct Remove {
    /// Its name.
    name: String,
    /// For which zone it was installed.
    #[arg(long, default_value = "/")]
    zone: String,
    /// The key of who signs that, with the certificate beside it, where agents have keys.
    #[arg(long, value_name = "FILE")]
    sign_with: Option<PathBuf>,
    #[command(flatten)]
    api: Api,
}

#[derive(Args)]
pub(crate) struct List {
    /// Which zone's.
    #[arg(long, default_value = "/")]
    zone: String,
    /// As the agent says it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: Api,
}

pub(crate) fn install(install: &Install) -> Outcome {
    let function = json!({
        "name": install.name,
        "sql": install.sql,
        "zone": install.zone,
        "strong": install.strong,
        "for_s": install.days.saturating_mul(86_400),
    });
    let done = match &install.sign_with {
        None => install.api.post("/v1/functions", &function).map_err(|e| e.under(&install.sql))?,
        Some(signer) => {
            let (zone, seconds) = (install.zone.as_str(), install.days.saturating_mul(86_400));
            let said = new(install.api, zone, &install.name, &install.sql, seconds)?;
            let said = gcs_monitor::zones::function::Said { strong: install.strong, ..said };
            sign_and_give(install.api, signer, zone, said)?
        }
    };
    say!(
        "{} is installed for {} until {} days from now: {} steps for each row of a table, at most {} bytes in a zone's row",
        install.name,
        install.zone,
        install.days,
        done["cost"]["steps_per_row"],
        done["cost"]["bytes"]
    );
    Ok(())
}

/// A function that takes the place of the one with its name.
pub(crate) fn new(
    api: Api,
    zone: &str,
    name: &str,
    sql: &str,
    seconds: u64,
) -> Result<gcs_monitor::zones::function::Said, Box<dyn std::error::Error>> {
    let (now_s, held) = (now_s(), held(api, zone, name)?);
    let issued_s = held.map_or(now_s, |held| now_s.max(held.issued_s + 1));
    let seconds = now_s.saturating_add(seconds).saturating_sub(issued_s);
    Ok(Function::open(name, sql, issued_s, seconds)?.said().clone())
}

pub(crate) fn remove(remove: &Remove) -> Outcome {
    if let Some(signer) = &remove.sign_with {
        let held = held(remove.api, &remove.zone, &remove.name)?;
        let held = held.ok_or_else(|| format!("{} has no function `{}`", remove.zone, remove.name))?;
        sign_and_give(remove.api, signer, &remove.zone, held.removal(now_s()))?;
        say!("{} is removed from {}", remove.name, remove.zone);
        return Ok(());
    }
    remove.api.delete(&format!("/v1/functions/{}", path_part(&remove.name)), &[("zone", &remove.zone)])?;
    say!("{} is removed from {}", remove.name, remove.zone);
    Ok(())
}

pub(crate) fn list(list: &List) -> Outcome {
    let listed = list.api.get("/v1/functions", &[("zone", &list.zone)])?;
    if list.json {
        say!("{listed}");
        return Ok(());
    }
    let functions = listed["functions"].as_array().cloned().unwrap_or_default();
    if functions.is_empty() {
        say!("{} has no functions; `gcs-monitor install` makes one", list.zone);
    }
    for function in &functions {
        let text = |name: &str| function[name].as_str().unwrap_or_default().to_owned();
        let days = function["expires_in_s"].as_u64().unwrap_or(0) / 86_400;
        let strong = if function["strong"] == true { ", strong" } else { "" };
        say!("{} ({days} more days{strong})\n  {}", text("name"), text("sql"));
        match function["error"].as_str() {
            Some(e) => say!("  fails: {e}"),
            None => say!("  {}\n  {}", values(&function["answer"]), completeness(&function["answer"])),
        }
    }
    Ok(())
}

/// The one row of an answer, in one line.
fn values(answer: &Value) -> String {
    let none = Vec::new();
    let columns = answer["columns"].as_array().unwrap_or(&none);
    let values = answer["rows"][0].as_array().unwrap_or(&none);
    let pairs = columns.iter().zip(values).map(|(name, value)| {
        let value = gcs_monitor::display::from_json(value);
        format!("{} = {value}", name.as_str().unwrap_or_default())
    });
    pairs.collect::<Vec<_>>().join(", ")
}
