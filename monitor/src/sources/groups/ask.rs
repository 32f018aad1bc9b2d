//! Asks members at their sockets, all at once: who is stopped or overloaded holds up nobody.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use gcs::time::Time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{ANSWER_BYTES, PATIENCE, SOCKETS, limits, member::Member};
use crate::{clock::Clock, sources::poll::ReadError};

/// One that is being asked.
struct Asked {
    path: PathBuf,
    socket: Socket,
    said: Vec<u8>,
}

/// The members whose sockets are in a folder, in the order of the sockets' names; and what was wrong with others. A folder that is not
/// there has no members. What a process has left that is gone is nobody's mistake.
pub(in crate::sources) fn ask(folder: &Path) -> Result<(Vec<Member>, Vec<ReadError>), ReadError> {
    let clock = Clock::start();
    let end = clock.now() + PATIENCE;
    let (mut open, mut done, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for path in sockets(folder)? {
        match begin(&path) {
            Ok(socket) => open.push(Asked { path, socket, said: Vec::new() }),
            Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
            Err(error) => wrong.push(ReadError::io(path.display().to_string())(error)),
        }
    }
    while !open.is_empty() && clock.now() < end {
        let ready = wait(&open, clock, end);
        let mut still = Vec::new();
        for (mut asked, ready) in open.into_iter().zip(ready) {
            match ready.then(|| more(&mut asked)) {
                None | Some(Ok(false)) => still.push(asked),
                Some(Ok(true)) => done.push(asked),
                Some(Err(error)) => wrong.push(error),
            }
        }
        open = still;
    }
    let late = |asked: Asked| ReadError::io(asked.path.display().to_string())(io::ErrorKind::TimedOut.into());
    wrong.extend(open.into_iter().map(late));
    done.sort_by(|a, b| a.path.cmp(&b.path));
    let mut members = Vec::new();
    for asked in done {
        match String::from_utf8_lossy(&asked.said).parse() {
            Ok(member) => members.push(member),
            Err(nonsense) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, nonsense);
                wrong.push(ReadError::io(asked.path.display().to_string())(error));
            }
        }
    }
    Ok((members, wrong))
}

/// The sockets of a folder.
fn sockets(folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let shown = || folder.display().to_string();
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(ReadError::io(shown()))?,
    };
    let mut sockets = Vec::new();
    for entry in entries.take(limits::DIRECTORY_ENTRIES) {
        let entry = entry.map_err(ReadError::io(shown()))?;
        if entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            sockets.push(entry.path());
        }
    }
    sockets.sort();
    sockets.truncate(SOCKETS);
    Ok(sockets)
}

/// Asks, without waiting: the question has room in the socket, and who has too many waiting is an error.
fn begin(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    (&socket).write_all(b"status\n")?;
    Ok(socket)
}

/// Which of them have something to say, or have ended.
fn wait(open: &[Asked], clock: Clock, end: Time) -> Vec<bool> {
    let mut fds: Vec<_> = open.iter().map(|asked| PollFd::new(&asked.socket, PollFlags::IN)).collect();
    let left = Timespec::try_from(clock.until(end)).ok();
    // An interruption is as if nobody were ready: the time goes on.
    let _ = poll(&mut fds, left.as_ref());
    fds.iter().map(|fd| !fd.revents().is_empty()).collect()
}

/// Takes what there is. Whether that is all.
fn more(asked: &mut Asked) -> Result<bool, ReadError> {
    let what = || asked.path.display().to_string();
    let mut room = [0; ANSWER_BYTES];
    match (&asked.socket).read(&mut room) {
        Ok(0) => Ok(true),
        Ok(n) if asked.said.len() + n > ANSWER_BYTES => {
            Err(ReadError::TooLarge { what: what(), limit: ANSWER_BYTES })
        }
        Ok(n) => {
            asked.said.extend_from_slice(&room[..n]);
            Ok(false)
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
        Err(error) => Err(ReadError::io(what())(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        let folder = Folder(std::env::temp_dir().join(format!("gcs-groups-{name}-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    /// Somebody who answers once, byte by byte if it is short.
    fn somebody(path: &Path, answer: Vec<u8>) -> thread::JoinHandle<()> {
        let listener = UnixListener::bind(path).unwrap();
        thread::spawn(move || {
            let (mut asker, _) = listener.accept().unwrap();
            let mut question = [0; 7];
            asker.read_exact(&mut question).unwrap();
            assert_eq!(&question, b"status\n");
            let step = if answer.len() < 100 { 1 } else { answer.len() };
            // Who has heard enough goes away.
            answer.chunks(step).try_for_each(|part| asker.write_all(part)).ok();
        })
    }

    #[test]
    fn who_hangs_floods_or_is_gone_does_not_keep_others_from_being_heard() {
        let folder = folder("hostile");
        let at = |name: &str| folder.0.join(name);
        let good = [("a", "group: kv\nmembers: 3\n"), ("z", "group: web\nmembers: 5\n")];
        let mut threads: Vec<_> =
            good.iter().map(|(name, answer)| somebody(&at(name), answer.as_bytes().to_vec())).collect();
        threads.push(somebody(&at("flood"), vec![b'x'; 10 << 20]));
        threads.push(somebody(&at("nonsense"), b"\xff\xfe: \0".to_vec()));
        threads.push(somebody(&at("silent"), Vec::new()));
        // It has a queue, and nobody takes from it.
        let _hangs = UnixListener::bind(at("hangs")).unwrap();
        drop(UnixListener::bind(at("gone")).unwrap());
        std::fs::write(at("file"), "group: file\n").unwrap();
        let (members, wrong) = ask(&folder.0).unwrap();
        let rows: Vec<_> = members.iter().map(|m| (m.group(), m.get("members").as_int())).collect();
        assert_eq!(rows, [("kv", Some(3)), ("web", Some(5))]);
        let said: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        for (name, words) in [
            ("flood", "has more than 4096 bytes"),
            ("nonsense", "does not say of which group"),
            ("silent", "does not say of which group"),
            ("hangs", "timed out"),
        ] {
            assert!(
                said.iter().any(|s| s.contains(&format!("/{name}")) && s.contains(words)),
                "{name}: {said:?}"
            );
        }
        assert_eq!(said.len(), 4, "{said:?}");
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_members_and_one_that_is_full_has_the_first() {
        assert!(
            matches!(ask(Path::new("/nowhere/at/all")), Ok((members, wrong)) if members.is_empty() && wrong.is_empty())
        );
        assert!(ask(Path::new("/proc/self/status")).is_err());
        let folder = folder("full");
        let all: Vec<_> =
            (0..SOCKETS + 9).map(|n| UnixListener::bind(folder.0.join(format!("{n:03}"))).unwrap()).collect();
        assert_eq!(sockets(&folder.0).unwrap().len(), SOCKETS);
        drop(all);
    }
}
