//! A local socket at which the endpoint says what it knows of itself, and takes the operator's word. Only the user that
//! runs the process may connect. Whoever connects says one line, gets the answer, and the connection is closed.
//!
//! | Line | Answer |
//! |---|---|
//! | `report`, or nothing for a fifth of a second | the report |
//! | `status` | names and values, for programs: see [`status`] |
//! | `force-primary` | `done`, or `refused: ` and why, after [`crate::group::Group::force_primary`] |
//! | any other | `refused: ` and why |

use super::shared::{Command, Shared};
use crate::report::Report;
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, net as blocking},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
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
/// Bytes of a group's name in that of a socket: the system lets the whole path have 107.
const GROUP: usize = 24;

/// What a process knows of itself before there is a view.
pub(crate) struct Facts {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) stack: String,
}

/// Where the socket is to be: the path, or, if that is a folder, a place in it that this member has alone. Another life of the
/// same member takes the same place, so that none are left over.
pub(crate) fn place(path: PathBuf, group: &str, own: SocketAddr) -> PathBuf {
    if !path.is_dir() {
        return path;
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let group: String = group.chars().map(plain).take(GROUP).collect();
    path.join(format!("{group}-{own}.sock"))
}

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
pub(crate) async fn serve(listener: blocking::UnixListener, facts: Facts, shared: Arc<Shared>) {
    let Ok(listener) = UnixListener::from_std(listener) else { return };
    let facts = Arc::new(facts);
    let askers = Arc::new(Semaphore::new(ASKERS));
    loop {
        let Ok(permit) = Arc::clone(&askers).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (facts, shared) = (Arc::clone(&facts), Arc::clone(&shared));
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, answer(stream, &facts, &shared)).await;
                    drop(permit);
                });
            }
            // No descriptors are left, or the like: that may pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: UnixStream, facts: &Facts, shared: &Shared) -> io::Result<()> {
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
        b"status" => status(facts, shared).to_string(),
        b"force-primary" => {
            let (to, outcome) = oneshot::channel();
            shared.command(Command::ForcePrimary(to));
            match outcome.await.map_err(|_| io::ErrorKind::BrokenPipe)? {
                Ok(()) => "done\n".to_owned(),
                Err(why) => format!("refused: {why}\n"),
            }
        }
        _ => "refused: one can say `report`, `status` or `force-primary` here\n".to_owned(),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// Lines `name: value` with `group`, `stack`, `name`, `process`, `address`, `state` (`seeks`, `member`, `left`, `stopped`), `blocked`,
/// `lease`, `slow` (the application does not keep up), `held_bytes`, `pending_bytes`, `queued_bytes`, as in [`super::GroupStats`]; of
/// the latest view `epoch`, `view` (its number), `members` (how many), `rank`, `primary`. Truth is `true` or `false`.
fn status(facts: &Facts, shared: &Shared) -> Report {
    let (now, stats) = (shared.status.borrow().clone(), shared.stats());
    let state = match (&now.left, now.stopped, &now.view) {
        (Some(_), _, _) => "left",
        (None, true, _) => "stopped",
        (None, false, None) => "seeks",
        (None, false, Some(_)) => "member",
    };
    let mut to = Report::default();
    to.say("group", &facts.group);
    to.say("stack", &facts.stack);
    to.say("name", &facts.name);
    to.say("process", std::process::id());
    to.say("state", state);
    to.say("blocked", now.blocked);
    to.say("lease", shared.lease_valid());
    to.say("slow", shared.congested.load(Ordering::Acquire));
    to.say("held_bytes", stats.held_bytes);
    to.say("pending_bytes", stats.pending_bytes);
    to.say("queued_bytes", stats.queued_bytes);
    if let Some(me) = now.me {
        to.say("address", me.addr);
    }
    if let Some(change) = now.view {
        to.say("epoch", change.view.id.epoch);
        to.say("view", change.view.id.number);
        to.say("members", change.view.len());
        to.say("rank", change.rank);
        to.say("primary", change.primary);
    }
    to
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        endpoint::Event,
        group::{Group, tests::loopback_group},
        runtime::loopback::Loopback,
    };

    /// What is answered to a line.
    async fn ask(path: &Path, line: &str) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        said
    }

    #[test]
    fn a_folder_has_a_socket_for_each_member_that_tells_its_status() {
        let folder = std::env::temp_dir().join(format!("gcs-control-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let builder =
                Group::builder("a group/of mine").member_name("me\nview: 7").control(folder.clone());
            let (_group, mut events) = loopback_group(builder, Loopback::new()).await;
            assert!(matches!(events.next().await, Some(Event::View(_))));
            let path = folder.join("a_group_of_mine-127.0.0.1:9.sock");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let said = ask(&path, "status\n").await;
            let process = format!("process: {}", std::process::id());
            for line in [
                "group: a group/of mine",
                "name: me view: 7",
                "state: member",
                "blocked: false",
                "lease: true",
                "view: 1",
                "members: 1",
                "primary: true",
                "pending_bytes: 0",
                &process,
            ] {
                assert!(said.lines().any(|l| l == line), "`{line}` is not in\n{said}");
            }
            let refused = ask(&path, &"x".repeat(LINE)).await;
            assert!(refused.starts_with("refused: ") && refused.lines().count() == 1, "{refused}");
        });
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_path_that_is_no_folder_is_taken_as_it_is() {
        let (own, file) = (([127, 0, 0, 1], 9).into(), PathBuf::from("/nowhere/at/all"));
        assert_eq!(place(file.clone(), "g", own), file);
        let long = place("/".into(), &"é".repeat(300), own);
        assert_eq!(long, PathBuf::from(format!("/{}-127.0.0.1:9.sock", "_".repeat(GROUP))));
    }
}
