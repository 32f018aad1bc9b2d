//! `gcs-monitor query`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;

use crate::{
    Outcome,
    client::{Api, path_part},
    functions,
    keys::{held, now_s, sign_and_give},
    table::{Format, show},
};

#[derive(Args)]
pub(crate) struct Query {
    /// The question. With FROM "/eu/ams" it is about the children of that zone; without FROM about those of --zone.
    sql: String,
    /// Which zone.
    #[arg(long, default_value = "/")]
    zone: String,
    /// Asks all agents of the zone instead of its children: installs the question for as long as it takes. It has an aggregate in each column.
    #[arg(long, conflicts_with = "watch")]
    everywhere: bool,
    /// How long to wait for all of them.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", requires = "everywhere")]
    wait: u64,
    /// The key of who signs the question, with the certificate beside it, where agents have keys.
    #[arg(long, value_name = "FILE", requires = "everywhere")]
    sign_with: Option<PathBuf>,
    /// Shows each new answer as it comes.
    #[arg(long)]
    watch: bool,
    /// How answers are shown.
    #[arg(long, default_value = "table")]
    format: Format,
    #[command(flatten)]
    api: Api,
}

pub(crate) fn run(query: &Query) -> Outcome {
    if query.everywhere {
        return everywhere(query);
    }
    if query.watch {
        let asked = [("sql", query.sql.as_str()), ("zone", query.zone.as_str())];
        let clear = query.format == Format::Table && io::stdout().is_terminal();
        let watched = query.api.events("/v1/watch", &asked, |event, data| {
            if event == "error" {
                return writeln!(io::stderr(), "gcs-monitor: {}", data.as_str().unwrap_or_default());
            }
            if clear {
                write!(io::stdout(), "\x1b[2J\x1b[H")?;
            }
            show(&data, query.format)
        });
        return watched.map_err(|e| e.under(&query.sql).into());
    }
    let answer = query.api.post("/v1/query", &json!({ "sql": query.sql, "zone": query.zone }));
    Ok(show(&answer.map_err(|e| e.under(&query.sql))?, query.format)?)
}

/// Installs the question, waits until all have answered, and removes it.
#[expect(clippy::disallowed_methods, reason = "people wait for it")]
fn everywhere(query: &Query) -> Outcome {
    let (api, zone) = (query.api, query.zone.as_str());
    let name = format!("asked-{:08x}", getrandom::u32()?);
    let life = query.wait + 30;
    let function = json!({ "name": name, "sql": query.sql, "zone": zone, "for_s": life });
    match &query.sign_with {
        None => drop(api.post("/v1/functions", &function).map_err(|e| e.under(&query.sql))?),
        Some(signer) => {
            let said = functions::new(api, zone, &name, &query.sql, life)?;
            sign_and_give(api, signer, zone, said)?;
        }
    }
    let path = format!("/v1/functions/{}/answer", path_part(&name));
    let until = Instant::now() + Duration::from_secs(query.wait);
    let answer = loop {
        let answer = api.get(&path, &[("zone", zone)])?;
        let c = &answer["completeness"];
        if c["reported"] == c["members"] || Instant::now() > until {
            break answer;
        }
        if io::stderr().is_terminal() {
            eprint!("\r\x1b[K{} of {} agents", c["reported"], c["members"]);
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    show(&answer, query.format)?;
    if let Some(signer) = &query.sign_with {
        if let Some(held) = held(api, zone, &name)? {
            sign_and_give(api, signer, zone, held.removal(now_s()))?;
        }
        return Ok(());
    }
    api.delete(&format!("/v1/functions/{}", path_part(&name)), &[("zone", zone)])?;
    Ok(())
}
