//! `gcs-monitor`: what all machines say of themselves, asked at any of them.

use std::{fmt, io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};

/// Prints a line; where nobody reads any more (`| head`), the program ends.
macro_rules! say {
    ($($word:tt)*) => { $crate::say(format_args!($($word)*)) };
}

mod agent;
mod announce;
mod ca;
mod client;
mod completions;
mod demo;
mod doctor;
mod explain;
mod functions;
mod health;
mod keys;
mod publish;
mod query;
mod set;
mod sim;
mod subscribe;
mod table;
#[cfg(feature = "top")]
mod top;
mod web;
mod zones;

fn say(line: fmt::Arguments<'_>) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// What a command ends with if it fails: one sentence.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Questions about many machines, in SQL, answered by all of them together; asked at any of them.
#[derive(Parser)]
#[command(name = "gcs-monitor", version, after_help = EXAMPLE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str = "\
An agent on each machine; the second one is told where the first is:
  a$ gcs-monitor agent --name /eu/ams/a --listen 10.0.0.1:4804
  b$ gcs-monitor agent --name /eu/ams/b --listen 10.0.0.2:4804 --seed 10.0.0.1:4804
At any of them:
  gcs-monitor zones
  gcs-monitor query 'SELECT id, nmembers FROM \"/eu\"'
  gcs-monitor query --everywhere 'SELECT MAX(load1) AS worst, AVG(load1) AS mean'
  gcs-monitor install load 'SELECT MAX(load1) AS worst'
  gcs-monitor subscribe 'SELECT pid, name FROM processes WHERE memory > 2000000000'
";

#[derive(Subcommand)]
enum Command {
    /// Runs the agent of this machine.
    Agent(agent::Agent),
    /// Thirty agents on this machine in three zones: asked, one of them killed, and started again. About half a minute.
    Demo(demo::Demo),
    /// Asks a question: of the children of a zone, or of all agents in it.
    Query(query::Query),
    /// Installs a function: a question that all agents of a zone answer from now on, level over level.
    Install(functions::Install),
    /// Removes a function.
    Remove(functions::Remove),
    /// Gives what was signed elsewhere to the agents: functions, removals, revocations.
    Publish(publish::Publish),
    /// Lists functions, and what they say.
    List(functions::List),
    /// Shows the tree of zones.
    Zones(zones::Zones),
    /// Opens the dashboard of the agent in a browser.
    Web(web::Web),
    /// Tells who computed a value, and from which rows.
    Explain(explain::Explain),
    /// Tells what happens, as it happens: processes, connections, lines of logs, attributes, at all agents of a zone; or announcements.
    Subscribe(subscribe::Subscribe),
    /// Tells everybody in a zone something, at once.
    Announce(announce::Announce),
    /// Sets attributes of the agent of this machine, for some time.
    Set(set::Set),
    /// Which components are up, agreed on: whoever watches one is told the same verdicts in the same order.
    Health(Box<health::Health>),
    /// Keys and certificates: who may be which agent, change what, install which functions.
    Ca(ca::Ca),
    /// All zones in the terminal: tables, functions, health, and what changes.
    #[cfg(feature = "top")]
    Top(top::Top),
    /// Looks at the agent of this machine and at whom it reaches: what is wrong, and what to do.
    Doctor(doctor::Doctor),
    /// What a shell needs to complete these commands.
    Completions(completions::Completions),
    /// What a tree of so many agents would do, on virtual time: how soon news is everywhere, what it costs, how soon a death is noticed.
    Sim(sim::Sim),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Agent(agent) => agent::run(agent),
        Command::Demo(demo) => demo::run(&demo),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Query(query) => query::run(&query),
        Command::Install(install) => functions::install(&install),
        Command::Remove(remove) => functions::remove(&remove),
        Command::Publish(publish) => publish::run(&publish),
        Command::List(list) => functions::list(&list),
        Command::Zones(zones) => zones::run(&zones),
        Command::Web(web) => web::run(&web),
        Command::Explain(explain) => explain::run(&explain),
        Command::Subscribe(subscribe) => subscribe::run(&subscribe),
        Command::Announce(announce) => announce::run(&announce),
        Command::Set(set) => set::run(&set),
        Command::Health(health) => health::run(*health),
        Command::Ca(ca) => ca::run(&ca),
        #[cfg(feature = "top")]
        Command::Top(top) => top::run(top),
        Command::Completions(completions) => completions::run(&completions),
        Command::Sim(sim) => sim::run(&sim),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gcs-monitor: {e}");
            ExitCode::FAILURE
        }
    }
}
