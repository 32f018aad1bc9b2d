//! One attribute from the output of one command.
//!
//! The command is a group of processes of its own. When its first process has ended, or its time is over, the whole group is killed, and
//! only then is the first process reaped, so that its number cannot be somebody else's. A process that leaves the group on purpose is
//! not found. Bounds: [`limits::DOCUMENT_BYTES`] of output, its time, one at a time.

use std::{
    io::{ErrorKind, PipeReader},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Child, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{net::unix::pipe, time::sleep};

use super::{
    config,
    extract::{Extract, ExtractError},
    limits,
    name::Name,
    poll::{Read, ReadError, Reading, Said},
};

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A command.
#[derive(Debug)]
pub(super) struct Source {
    name: Name,
    run: Vec<String>,
    extract: Extract,
}

/// A running command. Whatever is left of it is killed when this is dropped.
struct Running {
    child: Child,
}

impl Running {
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Whether the first process has ended. It is not reaped: its number stays its own.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        self.pid().is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
    }

    /// Kills what is left of the group.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        if let Some(pid) = self.pid() {
            // There may be nobody left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        // It has ended or was killed: this does not take long.
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After the first time this does nothing: the child knows that it was reaped.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.end();
        }
    }
}

impl Source {
    pub(super) fn new(config: &config::Command) -> Result<Self, ExtractError> {
        let extract = Extract::new(config.pointer.as_deref(), config.pattern.as_deref(), config.text)?;
        Ok(Self { name: config.name.clone(), run: config.run.clone(), extract })
    }

    fn program(&self) -> &str {
        self.run.first().map_or("", String::as_str)
    }

    /// Starts it: without input, with `PATH` and `HOME` alone of the agent's environment, in the root directory.
    fn start(&self) -> std::io::Result<(Running, PipeReader)> {
        let (output, writer) = std::io::pipe()?;
        let kept = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = std::process::Command::new(self.program())
            .args(self.run.iter().skip(1))
            .env_clear()
            .envs(kept)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok((Running { child }, output))
    }

    async fn output(&self) -> Result<String, ReadError> {
        let failed = |error| ReadError::Start { program: self.program().to_owned(), error };
        let (mut running, output) = self.start().map_err(failed)?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output)).map_err(failed)?;
        let mut kept = Vec::new();
        let mut open = true;
        loop {
            let ended = running.has_ended();
            let status = if ended { Some(running.end().map_err(failed)?) } else { None };
            // What was written before the end is there now, whoever else may hold the pipe.
            if open {
                open = self.drain(&output, &mut kept)?;
            }
            match status {
                Some(status) if status.success() => break,
                Some(status) => {
                    return Err(ReadError::Failed { program: self.program().to_owned(), status });
                }
                None if open => tokio::select! {
                    _ = output.readable() => {}
                    () = sleep(LOOK) => {}
                },
                None => sleep(LOOK).await,
            }
        }
        String::from_utf8(kept).map_err(|_| ReadError::NotUtf8(format!("what {} says", self.program())))
    }

    /// Reads what is there. Whether more can come.
    fn drain(&self, output: &pipe::Receiver, kept: &mut Vec<u8>) -> Result<bool, ReadError> {
        let what = || format!("what {} says", self.program());
        let mut buffer = [0; 4096];
        loop {
            match output.try_read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(n) => kept.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(ReadError::Io { what: what(), error }),
            }
            if kept.len() > limits::DOCUMENT_BYTES {
                return Err(ReadError::TooLarge { what: what(), limit: limits::DOCUMENT_BYTES });
            }
        }
    }
}

impl Read for Source {
    async fn read(&mut self) -> Reading {
        let output = self.output().await?;
        Ok((vec![Said::new(self.name.clone(), self.extract.value(&output)?)], None))
    }
}
