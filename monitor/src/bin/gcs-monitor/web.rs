//! `gcs-monitor web`.

use std::process::{Command, Stdio};

use clap::Args;

use crate::{Outcome, client::Api};

#[derive(Args)]
pub(crate) struct Web {
    /// Only prints the address.
    #[arg(long)]
    no_open: bool,
    #[command(flatten)]
    api: Api,
}

pub(crate) fn run(web: &Web) -> Outcome {
    // Better an error here than an empty page in a browser.
    web.api.get("/v1/agent", &[])?;
    let address = web.api.url("/");
    say!("{address}");
    // Without a screen, `xdg-open` would begin a browser in this terminal.
    let screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if !web.no_open && screen {
        let mut open = Command::new("xdg-open");
        open.arg(&address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Who has no such program has the address.
        let _ = open.status();
    }
    Ok(())
}
