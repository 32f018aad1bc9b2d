//! `gcs-monitor completions`.

use std::io::Write as _;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Shell, generate};

use crate::{Cli, Outcome};

#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Completions {
    /// For which shell.
    shell: For,
}

const EXAMPLE: &str = "\
  gcs-monitor completions bash > ~/.local/share/bash-completion/completions/gcs-monitor
  gcs-monitor completions zsh > ~/.zfunc/_gcs-monitor
  gcs-monitor completions fish > ~/.config/fish/completions/gcs-monitor.fish
";

#[derive(Clone, Copy, ValueEnum)]
enum For {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(completions: &Completions) -> Outcome {
    let shell = match completions.shell {
        For::Bash => Shell::Bash,
        For::Zsh => Shell::Zsh,
        For::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "gcs-monitor", &mut script);
    // Where nobody reads any more, there is nothing more to do.
    let _ = std::io::stdout().write_all(&script);
    Ok(())
}
