//! `gcs-monitor explain`.

use clap::Args;
use serde_json::Value;

use crate::{Outcome, client::Api};

#[derive(Args)]
pub(crate) struct Explain {
    /// The attribute, such as load1.
    attribute: String,
    /// Of which zone.
    #[arg(long, default_value = "/")]
    zone: String,
    #[command(flatten)]
    api: Api,
}

pub(crate) fn run(explain: &Explain) -> Outcome {
    let (api, zone, attribute) = (explain.api, explain.zone.as_str(), explain.attribute.as_str());
    let table = api.get("/v1/zone", &[("path", zone)])?;
    let answers = api.get("/v1/functions", &[("zone", zone)])?;
    let makes =
        |f: &&Value| f["answer"]["columns"].as_array().is_some_and(|c| c.iter().any(|c| c == attribute));
    let function = answers["functions"].as_array().into_iter().flatten().find(makes);
    match function {
        Some(function) => {
            let columns = function["answer"]["columns"].as_array();
            let at = columns.and_then(|c| c.iter().position(|c| c == attribute)).unwrap_or(0);
            say!("{attribute} of {zone} is {}", function["answer"]["rows"][0][at]);
            say!("computed by {} as", table["from"].as_str().unwrap_or("this agent"));
            say!(
                "  {}  ({})",
                function["sql"].as_str().unwrap_or_default(),
                function["name"].as_str().unwrap_or_default()
            );
            say!("{}", crate::table::completeness(&function["answer"]));
        }
        None => {
            say!("no function makes {attribute} in {zone}: what follows is what its children say themselves")
        }
    }
    let count = function.map(|f| format!("&{}", f["name"].as_str().unwrap_or_default())).unwrap_or_default();
    say!("from the rows");
    for row in table["rows"].as_array().into_iter().flatten() {
        let attributes = &row["attributes"];
        let value = match &attributes[attribute] {
            Value::Null => "nothing".to_owned(),
            value => value.to_string(),
        };
        let said = match (attributes["rep"].as_str(), attributes[&count].as_i64()) {
            (Some(rep), Some(of)) => {
                format!("  of {of} of {} agents, computed by {rep}", attributes["expected"])
            }
            (Some(rep), None) => format!("  issued by {rep}, who does not have the function yet"),
            (None, _) => String::new(),
        };
        say!("  {}  {value}{said}  (version {})", row["child"].as_str().unwrap_or_default(), row["version"]);
    }
    for gone in table["gone"].as_array().into_iter().flatten() {
        say!("  {}  gone", gone.as_str().unwrap_or_default());
    }
    Ok(())
}
