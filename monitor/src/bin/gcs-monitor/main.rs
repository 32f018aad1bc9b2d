//! `gcs-monitor`: what all machines say of themselves, asked at any of them.

use std::{fmt, io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};

/// Prints a line; where nobody reads any more (`| head`), the program ends.
macro_rules! say {
    ($($word:tt)*) => { $crate::say(format_args!($($word)*)) };
}

mod agent;
mod ca;
mod client;
mod explain;
mod functions;
mod health;
mod keys;
mod publish;
mod query;
mod sim;
mod table;
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
";

#[derive(Subcommand)]
enum Command {
    /// Runs the agent of this machine.
    Agent(agent::Agent),
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
    /// Tells who computed a value, and from which rows.
    Explain(explain::Explain),
    /// Which components are up, agreed on: whoever watches one is told the same verdicts in the same order.
    Health(Box<health::Health>),
    /// Keys and certificates: who may be which agent, change what, install which functions.
    Ca(ca::Ca),
    /// What a tree of so many agents would do, on virtual time: how soon news is everywhere, what it costs, how soon a death is noticed.
    Sim(sim::Sim),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Agent(agent) => agent::run(agent),
        Command::Query(query) => query::run(&query),
        Command::Install(install) => functions::install(&install),
        Command::Remove(remove) => functions::remove(&remove),
        Command::Publish(publish) => publish::run(&publish),
        Command::List(list) => functions::list(&list),
        Command::Zones(zones) => zones::run(&zones),
        Command::Explain(explain) => explain::run(&explain),
        Command::Health(health) => health::run(*health),
        Command::Ca(ca) => ca::run(&ca),
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
