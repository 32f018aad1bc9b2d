//! [`Process`]: the end of a process, known at once (a pidfd, Linux 5.3). A thread waits for it: to have the runtime wait for a descriptor
//! would need unsafe code.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use thiserror::Error;
use tokio::sync::watch;

/// A process that is watched. Another one that gets its number later is not meant.
pub struct Process {
    /// True once it has ended.
    ended: watch::Receiver<bool>,
    /// Closed when nobody wants to know any more: then the thread ends.
    _keep: UnixStream,
}

/// It cannot be watched.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// Not a number of a process.
    #[error("{0} is not the number of a process")]
    Number(i32),
    /// There is none, or the system cannot watch it.
    #[error("process {0} cannot be watched: {1}")]
    Watch(i32, #[source] io::Error),
}

impl Process {
    /// Watches a process that is there.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub fn watch(number: i32) -> Result<Self, ProcessError> {
        let pid =
            (number > 0).then(|| Pid::from_raw(number)).flatten().ok_or(ProcessError::Number(number))?;
        let failed = |e: io::Error| ProcessError::Watch(number, e);
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| failed(e.into()))?;
        let (keep, gone) = UnixStream::pair().map_err(failed)?;
        let (to, ended) = watch::channel(false);
        let waits = move || {
            if wait(&process, &gone) {
                to.send_replace(true);
            }
        };
        thread::Builder::new().name("process watch".to_owned()).spawn(waits).map_err(failed)?;
        Ok(Self { ended, _keep: keep })
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// The system does not say any more whether it has.
    pub async fn ended(&self) -> io::Result<()> {
        let mut ended = self.ended.clone();
        let waited = ended.wait_for(|ended| *ended).await;
        waited
            .map(|_| ())
            .map_err(|_| io::Error::other("the system does not say whether the process is there"))
    }
}

/// Whether the process has ended, rather than that nobody wants to know, or the system fails.
fn wait(process: &OwnedFd, gone: &UnixStream) -> bool {
    loop {
        let mut fds = [PollFd::new(process, PollFlags::IN), PollFd::new(gone, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
            Ok(_) if !fds[0].revents().is_empty() => return true,
            Ok(_) if !fds[1].revents().is_empty() => return false,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_is_seen() {
        let mut child = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
        let number = i32::try_from(child.id().unwrap()).unwrap();
        let process = Process::watch(number).unwrap();
        let mut ended = std::pin::pin!(process.ended());
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(ended.as_mut().poll(cx).is_pending())).await
        );
        child.start_kill().unwrap();
        ended.await.unwrap();
        child.wait().await.unwrap();
        assert!(matches!(Process::watch(number), Err(ProcessError::Watch(..))), "it is gone");
        assert!(matches!(Process::watch(0), Err(ProcessError::Number(0))));
    }
}
