//! Netcat for groups: see `gcs-cat --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gcs_examples::cat::main()
}
