//! Processes on hosts.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use gcs_tcp_endpoint::playground;

use super::Failed;

/// A process on a host, and the lines that it prints. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    pub(super) lines: Receiver<String>,
}

impl Process {
    /// Starts this program with other arguments.
    pub(super) fn start(host: &str, arguments: &[&str]) -> Result<Self, Failed> {
        let mut child =
            playground::on(host)?.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let (to, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| to.send(line))
        });
        Ok(Self { child, lines })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
