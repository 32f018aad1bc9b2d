//! A local socket at which the endpoint says what it knows of itself: whoever connects gets the report, and the
//! connection is closed. Only the user that runs the process may connect.

use super::shared::{Command, Shared};
use std::{
    fs, io,
    os::unix::{fs::PermissionsExt as _, net as blocking},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
    sync::{Semaphore, oneshot},
    time::timeout,
};

/// An asker that does not read for this long is dropped.
const PATIENCE: Duration = Duration::from_secs(5);
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
    let (to, report) = oneshot::channel();
    shared.command(Command::Report(to));
    let report = report.await.map_err(|_| io::ErrorKind::BrokenPipe)?;
    stream.write_all(report.to_string().as_bytes()).await?;
    stream.shutdown().await
}
