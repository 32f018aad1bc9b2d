//! `gcs-monitor subscribe`.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use gcs_monitor::{
    daemon::lease::{LEASE_S, Lease},
    display,
    trust::{Document, Identity},
    zones::{
        kind::{Delivery, Standing, Trigger},
        name::ZoneName,
    },
};
use serde_json::{Value as Json, json};

use crate::{
    Outcome,
    client::{Api, Unanswered},
    keys::{identity, now_s},
};

/// Tells what happens, as it happens: each agent of a zone watches a table of its own, and says when there are rows.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Subscribe {
    /// What to watch for: SELECT … FROM processes, connections, log, attributes, or a table that an application fills.
    #[arg(required_unless_present = "announcements")]
    sql: Option<String>,
    /// By the agents of which zone.
    #[arg(long, default_value = "/")]
    zone: String,
    /// Fires at every look for which there are rows; without, for rows that were not there at the last look.
    #[arg(long)]
    level: bool,
    /// What gets lost is not said again. Cheaper, for what does not matter much.
    #[arg(long)]
    at_most_once: bool,
    /// How often agents look: 100ms to 1h.
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration)]
    every: std::time::Duration,
    /// Shows announcements in the zones of this agent instead: those that count now, then each as it is made.
    #[arg(long, conflicts_with_all = ["sql", "zone", "level", "at_most_once", "every"])]
    announcements: bool,
    /// The key of who signs it, with the certificate beside it, where agents have keys (`gcs-monitor ca client --may subscribe`).
    #[arg(long, value_name = "FILE", conflicts_with = "announcements")]
    sign_with: Option<PathBuf>,
    /// How events are shown.
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    api: Api,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: when, where, which row.
    #[default]
    Table,
    /// One object a line.
    Json,
}

const EXAMPLE: &str = "\
Processes that use more than 2 GB, anywhere, as soon as one does:
  gcs-monitor subscribe 'SELECT pid, name, memory FROM processes WHERE memory > 2000000000'
Errors in the logs of /eu (agents read the files named with `agent --log`):
  gcs-monitor subscribe --zone /eu \"SELECT file, text FROM log WHERE text LIKE '%ERROR%'\"
Whoever listens on port 80, said again every 10 s:
  gcs-monitor subscribe --level --every 10s \"SELECT local FROM connections WHERE state = 'listen' AND local_port = 80\"
Machines whose load becomes high:
  gcs-monitor subscribe 'SELECT id FROM attributes WHERE load1 > 8'

An edge fires for a row (the columns after SELECT) that was not in the result of the look before; one that goes away and comes back fires again.
Choose columns that stay the same while nothing happens: pid, not cpu. With many events at once, all are counted and some are shown.
The subscription ends with the command, at the latest a minute after this agent has died.
";

pub(crate) fn run(subscribe: &Subscribe) -> Outcome {
    let (api, format) = (subscribe.api, subscribe.format);
    if subscribe.announcements {
        return Ok(
            api.events("/v1/announcements", &[], |event, data| show_announcement(format, event, &data))?
        );
    }
    let sql = subscribe.sql.as_deref().unwrap_or_default();
    let every = subscribe.every.as_millis().to_string();
    let asked = [
        ("sql", sql),
        ("zone", subscribe.zone.as_str()),
        ("mode", if subscribe.level { "level" } else { "edge" }),
        ("delivery", if subscribe.at_most_once { "at-most-once" } else { "at-least-once" }),
        ("every_ms", every.as_str()),
    ];
    let mut columns = Vec::new();
    let mut on = |event: &str, data: Json| {
        if event == "subscribed" {
            let names = data["columns"].as_array().into_iter().flatten();
            columns = names.filter_map(Json::as_str).map(str::to_owned).collect();
        }
        show(format, event, &data, &columns)
    };
    if let Some(signer) = &subscribe.sign_with {
        return signed(subscribe, signer, on);
    }
    Ok(api.events("/v1/events", &asked, &mut on).map_err(|e| e.under(sql))?)
}

/// Signs it here, and each renewal when the agent says that it is time.
fn signed(subscribe: &Subscribe, signer: &Path, mut on: impl FnMut(&str, Json) -> io::Result<()>) -> Outcome {
    let (api, by, zone): (Api, Identity, ZoneName) =
        (subscribe.api, identity(signer)?, subscribe.zone.parse()?);
    // Asked for each time: behind a NAT it changes with the relay.
    let contact = || -> Result<SocketAddr, Box<dyn std::error::Error>> {
        let agent = api.get("/v1/agent", &[])?;
        let to = agent["contact"].as_str().unwrap_or_default().parse();
        Ok(to.map_err(|_| format!("the agent at {} does not say where others reach it", api.address()))?)
    };
    let to = contact()?;
    let trigger = if subscribe.level { Trigger::Level } else { Trigger::Edge };
    let delivery = if subscribe.at_most_once { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
    let every_ms = u32::try_from(subscribe.every.as_millis()).unwrap_or(u32::MAX);
    let standing = Standing { to, trigger, delivery, every_ms };
    let sql = subscribe.sql.clone().unwrap_or_default();
    let mut lease = Lease::new(&zone, standing, sql.clone(), (now_s(), LEASE_S), Some(&by))?;
    let (mut failed, first) = (None, written(&lease)?);
    let mut renew = || -> Outcome {
        let to = contact().unwrap_or(to);
        let next = lease.renewed(&zone, to, (now_s(), LEASE_S), Some(&by))?;
        match api.put("/v1/events", &written(&next)?) {
            Ok(_) => lease = next,
            // Nothing else lets it stand longer.
            Err(Unanswered::Refused { forbidden: true, message, .. }) => return Err(message.into()),
            // It is asked for again before the lease ends.
            Err(e) => eprintln!("gcs-monitor: the subscription is not renewed: {e}"),
        }
        Ok(())
    };
    let followed = api.post_events("/v1/events", &first, |event, data| match event {
        "renew" => renew().map_err(|e| failed = Some(e)).or(Err(io::ErrorKind::Other.into())),
        _ => on(event, data),
    });
    match failed {
        Some(e) => Err(format!("the subscription cannot be renewed: {e}").into()),
        None => Ok(followed.map_err(|e| e.under(&sql))?),
    }
}

fn written(lease: &Lease) -> Result<Json, Box<dyn std::error::Error>> {
    let text = |function: &gcs_monitor::zones::function::Function| {
        Document::Function(function.said().clone()).to_text().map(|text| text.to_string())
    };
    Ok(json!({ "document": text(lease.function())?, "removal": text(lease.removal())? }))
}

fn object(event: &str, data: &Json) -> io::Result<()> {
    let mut object = serde_json::json!({ "event": event });
    match (object.as_object_mut(), data.as_object()) {
        (Some(object), Some(data)) => object.extend(data.clone()),
        (Some(object), None) => drop(object.insert("message".into(), data.clone())),
        _ => {}
    }
    writeln!(io::stdout(), "{object}")
}

fn time(ms: u64) -> String {
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(ms));
    at.map_or_else(|| "?".to_owned(), |at| humantime::format_rfc3339_millis(at).to_string())
}

fn show(format: Format, event: &str, data: &Json, columns: &[String]) -> io::Result<()> {
    if format == Format::Json {
        return object(event, data);
    }
    let (mut out, number) = (io::stdout().lock(), |name: &str| data[name].as_u64().unwrap_or(0));
    match event {
        "subscribed" => writeln!(
            io::stderr(),
            "{} of {}: told as it happens; the end of this command ends it",
            columns.join(", "),
            data["zone"].as_str().unwrap_or("/")
        )?,
        "fired" => {
            let head = format!("{}  {}", time(number("at_ms")), data["agent"].as_str().unwrap_or("?"));
            for row in data["rows"].as_array().into_iter().flatten() {
                writeln!(out, "{head}  {}", values(row, columns))?;
            }
            if number("more_rows") > 0 {
                writeln!(out, "{head}  {} more rows", number("more_rows"))?;
            }
        }
        "counted" => writeln!(out, "{} more times, {} rows", number("times"), number("rows"))?,
        _ => return writeln!(io::stderr(), "gcs-monitor: {}", data.as_str().unwrap_or_default()),
    }
    if number("lost") > 0 {
        writeln!(out, "{} more lost", number("lost"))?;
    }
    Ok(())
}

/// In the order of the SELECT, then whatever else there is.
fn values(row: &Json, columns: &[String]) -> String {
    let none = serde_json::Map::new();
    let row = row.as_object().unwrap_or(&none);
    let chosen = columns.iter().filter_map(|name| row.get_key_value(name));
    let others = row.iter().filter(|(name, _)| !columns.contains(name));
    let pair = |(name, value): (&String, &Json)| format!("{name}={}", display::from_json(value));
    chosen.chain(others).map(pair).collect::<Vec<_>>().join(" ")
}

fn show_announcement(format: Format, event: &str, data: &Json) -> io::Result<()> {
    if format == Format::Json {
        return object(event, data);
    }
    let zone = data["zone"].as_str().unwrap_or("/");
    if event == "over" {
        return writeln!(io::stdout(), "{zone}  {} is over", data["name"].as_str().unwrap_or("?"));
    }
    let at = time(data["announced_s"].as_u64().unwrap_or(0).saturating_mul(1000));
    // What others say is shown as one line of text, whatever is in it.
    let text = display::from_json(&data["text"]);
    writeln!(io::stdout(), "{at}  {zone}  {text}")
}
