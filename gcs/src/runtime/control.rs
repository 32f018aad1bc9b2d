//! A local socket at which the endpoint says what it knows of itself, and takes the operator's word. Only the user that
//! runs the process may connect. Whoever connects says one line, gets the answer, and the connection is closed.
//!
//! | Line | Answer |
//! |---|---|
//! | `report`, or nothing for a fifth of a second | the report |
//! | `force-primary` | `done`, or `refused: ` and why, after [`crate::group::Group::force_primary`] |
//! | any other | `refused: ` and why |

use super::shared::{Command, Shared};
use std::{
    fs, io,
    os::unix::{fs::PermissionsExt as _, net as blocking},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, oneshot},
    time::timeout,
};

/// An asker that does not read for this long is dropped.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who says nothing for this long wants the report.
const SPEAK: Duration = Duration::from_millis(200);
/// The longest line that is understood, in bytes.
const LINE: usize = 64;
/// So many are served at a time.
const ASKERS: usize = 8;

/// Takes the path; what a dead process has left there is replaced.
pub(crate) fn bind(path: &Path) -> io::Result<blocking::UnixListener> {
    let listener = match blocking::UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            if blocking::UnixStream::connect(path).is_ok() {
                return Err(e);
            }
            fs::remove_file(path)?;
            blocking::UnixListener::bind(path)?
        }
        other => other?,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers until the runtime ends.
pub(crate) async fn serve(listener: blocking::UnixListener, shared: Arc<Shared>) {
    let Ok(listener) = UnixListener::from_std(listener) else { return };
    let askers = Arc::new(Semaphore::new(ASKERS));
    loop {
        let Ok(permit) = Arc::clone(&askers).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, answer(stream, &shared)).await;
                    drop(permit);
                });
            }
            // No descriptors are left, or the like: that may pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let said = match timeout(SPEAK, line(&mut stream)).await {
        Ok(line) => line?,
        Err(_) => Vec::new(),
    };
    let text = match &*said {
        b"" | b"report" => {
            let (to, report) = oneshot::channel();
            shared.command(Command::Report(to));
            let report = report.await.map_err(|_| io::ErrorKind::BrokenPipe)?.to_string();
            report + &shared.about.as_ref().map_or_else(String::new, |says| says())
        }
        b"force-primary" => {
            let (to, outcome) = oneshot::channel();
            shared.command(Command::ForcePrimary(to));
            match outcome.await.map_err(|_| io::ErrorKind::BrokenPipe)? {
                Ok(()) => "done\n".to_owned(),
                Err(why) => format!("refused: {why}\n"),
            }
        }
        _ => "refused: one can say `report` or `force-primary` here\n".to_owned(),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// What is said up to the end of the line, of what is said at all, or of [`LINE`].
async fn line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    while said.len() < LINE {
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(byte) => said.push(byte),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(e),
        }
    }
    Ok(said)
}
