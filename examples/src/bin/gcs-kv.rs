//! A replicated in-memory server that speaks the Redis protocol.

use clap::Parser as _;
use gcs_examples::kv::program;
use std::process::ExitCode;

fn main() -> ExitCode {
    program::main(program::Args::parse())
}
