//! `gcs-monitor`: what all machines say of themselves, asked at any of them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod ca;
mod sim;

/// Questions about many machines, answered by all of them. So far: what a tree of agents would do.
#[derive(Parser)]
#[command(name = "gcs-monitor", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keys and certificates: who may be which agent, change what, install which functions.
    Ca(ca::Ca),
    /// What a tree of so many agents would do, on virtual time: how soon news is everywhere, what it costs, how soon a death is noticed.
    Sim(sim::Sim),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
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
