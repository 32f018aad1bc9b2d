//! `gcs-monitor demo`: thirty agents on this machine, asked, one of them killed, and started again. What it says it has checked.

use std::{
    io::{IsTerminal as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use gcs_monitor::value::Value;
use serde_json::{Value as Json, json};

use crate::{
    Outcome,
    client::Api,
    table::{cells, completeness, text},
};

mod fleet;

use fleet::{Fleet, IN_ZONE, ZONES};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Who is killed: the seventh of the third zone.
const VICTIM: usize = 6 * ZONES.len() + 2;
/// Who says something else, meanwhile.
const CHANGES: usize = 10;
const ALL: i64 = (ZONES.len() * IN_ZONE).cast_signed() as i64;

#[derive(Args)]
pub(crate) struct Demo {
    /// Without pauses to read.
    #[arg(long)]
    fast: bool,
    /// A number that is not right by then is wrong: the demo fails.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
    /// Lets the agents live at the end, to play with, until Enter is pressed.
    #[arg(long, conflicts_with = "fast")]
    stay: bool,
}

const LOAD: &str = "SELECT SUM(requests) AS requests, MAX(requests) AS busiest, COUNT(*) AS machines";

pub(crate) fn run(demo: &Demo) -> Outcome {
    let mut story = Story { demo, fleet: Fleet::new()? };
    story.begin()?;
    story.ask()?;
    story.install()?;
    story.change()?;
    story.kill()?;
    story.start_again()?;
    say!(
        "\nEvery number above was checked before it was said. No privilege, no server, nothing left behind."
    );
    if demo.stay {
        say!("The agents live until you press Enter.");
        // At its end, too.
        let _ = std::io::stdin().read_line(&mut String::new());
    }
    Ok(())
}

struct Story<'a> {
    demo: &'a Demo,
    fleet: Fleet,
}

impl Story<'_> {
    fn begin(&mut self) -> Result<(), String> {
        say!(
            "Thirty machines in three zones, /eu, /us and /asia. Each is a process here, an agent that says a row"
        );
        say!("of attributes. There is no server: agents gossip, and any of them answers for all.\n");
        let (began, hosts) = (started(), self.fleet.members.len());
        self.fleet.start_all()?;
        say!("{hosts} agents are started");
        for member in &self.fleet.members {
            let requests = json!({ "requests": member.requests });
            // For longer than any demo.
            asked(member.api)?.put("/attributes?life=24h", &requests).map_err(|e| e.to_string())?;
        }
        self.all_agree("all agents know of all", ALL)?;
        say!("each of them knows of all {ALL}, {} after the first was started", seconds(began.elapsed()));
        say!("\nIn a second terminal, ask by yourself meanwhile:");
        let (api, program) = (self.usual_api()?, program());
        say!("  {program} top{api}");
        say!("  {program} zones{api}");
        say!("  {program} query{api} 'SELECT id, role, requests FROM \"/us\" ORDER BY requests DESC'");
        self.pause(5000);
        Ok(())
    }

    /// A question about a zone that the agent asked is not in.
    fn ask(&self) -> Result<(), String> {
        say!("\nA question to an agent of /eu, about the machines of /asia:");
        let sql = "SELECT id, role, requests FROM \"/asia\" WHERE requests > 30 ORDER BY requests DESC";
        self.shown("query", sql)?;
        let mut right: Vec<_> =
            self.fleet.members.iter().filter(|m| m.zone() == "/asia" && m.requests > 30).collect();
        right.sort_by_key(|member| -member.requests);
        let right: Vec<Vec<Value>> = right
            .iter()
            .map(|m| vec![Value::text(m.id()), Value::text(m.role), Value::Int(m.requests)])
            .collect();
        let answer = self.until("the busy machines of /asia", || {
            let answer = self.query(sql)?;
            if cells(&answer).1 == right {
                Ok(answer)
            } else {
                Err(format!("the answer is\n{}", text(&answer)))
            }
        })?;
        indented(&text(&answer));
        self.pause(4000);
        Ok(())
    }

    /// A function, answered at an agent of another zone.
    fn install(&self) -> Result<(), String> {
        say!("\nA question that all machines answer from now on, each zone summed up for the one around it:");
        self.shown("install load", LOAD)?;
        let (api, began) = (asked(self.fleet.members[0].api)?, started());
        let function = json!({ "name": "load", "sql": LOAD, "zone": "/" });
        api.post("/v1/functions", &function).map_err(|e| e.to_string())?;
        self.says("the new function", self.sum(), ALL)?;
        say!("  agents of all three zones answered it {} later; one of /us says", seconds(began.elapsed()));
        indented(&text(&self.load(1)?));
        self.pause(4000);
        Ok(())
    }

    /// One machine has more to do.
    fn change(&mut self) -> Result<(), String> {
        let member = &mut self.fleet.members[CHANGES];
        say!("\n{} has more to do: {} requests a second are 500 now", member.name, member.requests);
        member.requests = 500;
        let (api, began) = (asked(member.api)?, started());
        api.put("/attributes?life=24h", &json!({ "requests": 500 })).map_err(|e| e.to_string())?;
        self.says("the load after the change", self.sum(), ALL)?;
        say!("  {} later the sum is {} for agents of all three zones", seconds(began.elapsed()), self.sum());
        self.pause(3000);
        Ok(())
    }

    /// One dies: it is missing, not zero.
    fn kill(&mut self) -> Result<(), String> {
        let victim = &mut self.fleet.members[VICTIM];
        say!("\nkill -9 {}  ({})", victim.pid(), victim.name);
        victim.kill();
        let (began, id) = (started(), self.fleet.members[VICTIM].id().to_owned());
        self.says("the load without it", self.sum(), ALL - 1)?;
        say!("  {} later its absence is in the numbers, wherever one asks:", seconds(began.elapsed()));
        indented(&text(&self.load(1)?));
        let sql = "SELECT COUNT(*) AS machines, SUM(requests) AS requests FROM \"/asia\"";
        self.shown("query", sql)?;
        let answer = self.until("who is gone from /asia", || {
            let answer = self.query(sql)?;
            let gone = &answer["completeness"]["gone"];
            if *gone == json!([id]) { Ok(answer) } else { Err(format!("gone are {gone}")) }
        })?;
        indented(&text(&answer));
        self.pause(5000);
        Ok(())
    }

    fn start_again(&mut self) -> Result<(), String> {
        say!("\n{} is started again", self.fleet.members[VICTIM].name);
        let began = started();
        self.fleet.start(VICTIM)?;
        let member = &self.fleet.members[VICTIM];
        asked(member.api)?
            .put("/attributes?life=24h", &json!({ "requests": member.requests }))
            .map_err(|e| e.to_string())?;
        self.says("the load with all", self.sum(), ALL)?;
        say!("  {} later it counts again:", seconds(began.elapsed()));
        indented(&text(&self.load(1)?));
        self.pause(2000);
        Ok(())
    }

    /// Waits until every agent that lives counts so many.
    fn all_agree(&self, what: &str, members: i64) -> Result<(), String> {
        for member in self.fleet.living() {
            let api = asked(member.api)?;
            self.until(what, || {
                let zone = api.get("/v1/zone", &[("path", "/")]).map_err(|e| e.to_string())?;
                let rows = zone["rows"].as_array().into_iter().flatten();
                let counted: i64 = rows.filter_map(|row| row["attributes"]["nmembers"].as_i64()).sum();
                if counted == members {
                    Ok(())
                } else {
                    Err(format!("{} counts {counted} of {members}", member.name))
                }
            })?;
        }
        Ok(())
    }

    /// Waits until the function says this at an agent of each zone, of so many machines.
    fn says(&self, what: &str, requests: i64, machines: i64) -> Result<(), String> {
        for nth in 0..ZONES.len() {
            self.until(what, || {
                let answer = self.load(nth)?;
                let (said, c) = (&answer["rows"][0], &answer["completeness"]);
                let right = said[0] == requests && said[2] == machines && c["reported"] == machines;
                let counted = c["members"] == machines && c["expected"] == ALL;
                if right && counted {
                    Ok(())
                } else {
                    Err(format!(
                        "{said} instead of {requests} requests on {machines} machines; {}",
                        completeness(&answer)
                    ))
                }
            })?;
        }
        Ok(())
    }

    /// Looks until it is as it must be; otherwise says what was seen last.
    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Result<T, String>) -> Result<T, String> {
        let (began, patience) = (started(), Duration::from_secs(self.demo.patience));
        loop {
            match look() {
                Ok(right) => return Ok(right),
                Err(seen) if began.elapsed() > patience => {
                    return Err(format!("{what}: after {} s {seen}", patience.as_secs()));
                }
                Err(_) => thread::park_timeout(LOOK),
            }
        }
    }

    /// What the function says at the first agent of a zone.
    fn load(&self, nth: usize) -> Result<Json, String> {
        let api = asked(self.fleet.members[nth].api)?;
        api.get("/v1/functions/load/answer", &[("zone", "/")]).map_err(|e| e.to_string())
    }

    fn query(&self, sql: &str) -> Result<Json, String> {
        asked(self.fleet.members[0].api)?.post("/v1/query", &json!({ "sql": sql })).map_err(|e| e.to_string())
    }

    /// Of those that live.
    fn sum(&self) -> i64 {
        self.fleet.living().map(|member| member.requests).sum()
    }

    /// What one types for what follows.
    fn shown(&self, command: &str, sql: &str) -> Result<(), String> {
        say!("$ {} {command}{} '{sql}'", program(), self.usual_api()?);
        self.pause(1500);
        Ok(())
    }

    /// How the first agent is told to be asked.
    fn usual_api(&self) -> Result<String, String> {
        let api = asked(self.fleet.members[0].api)?.address();
        Ok(if api == crate::agent::API { String::new() } else { format!(" --api {api}") })
    }

    fn pause(&self, ms: u64) {
        if !self.demo.fast {
            thread::park_timeout(Duration::from_millis(ms));
        }
    }
}

fn asked(api: Option<Api>) -> Result<Api, String> {
    api.ok_or_else(|| "the agent is not running".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "people wait for it")]
fn started() -> Instant {
    Instant::now()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// What one types to run this program.
fn program() -> String {
    let Ok(path) = std::env::current_exe() else { return "gcs-monitor".to_owned() };
    let here = std::env::current_dir().unwrap_or_default();
    let found = std::env::var_os("PATH").is_some_and(|all| {
        std::env::split_paths(&all).any(|directory| directory.join("gcs-monitor") == path)
    });
    if found {
        "gcs-monitor".to_owned()
    } else {
        path.strip_prefix(here).unwrap_or(&path).display().to_string()
    }
}

fn indented(text: &str) {
    let bold = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    for line in text.lines() {
        if bold { say!("  \x1b[1m{line}\x1b[0m") } else { say!("  {line}") }
    }
    // What is not written now is seen late.
    let _ = std::io::stdout().flush();
}
