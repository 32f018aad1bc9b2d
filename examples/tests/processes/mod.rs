//! Real processes: `gcs-cat` children that are driven through their standard streams.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

pub(crate) mod net;

use serde::Deserialize;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

/// Nothing in a test that passes takes longer, not even on a machine that is busy with other work.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A line that gcs-cat prints with `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Line {
    View {
        id: String,
        members: Vec<String>,
        came_with: Vec<String>,
        primary: Option<bool>,
        #[serde(default)]
        merged: Vec<Vec<String>>,
    },
    Message {
        view: String,
        from: String,
        seq: u64,
        text: String,
    },
    Blocked,
    Forced,
    Resumed,
    Left {
        reason: String,
    },
}

/// What a child has printed so far.
#[derive(Default)]
struct Output {
    lines: Vec<Line>,
    stderr: String,
    /// Streams that have ended.
    ended: usize,
    /// Its standard output is left to pile up.
    unread: bool,
}

#[derive(Default)]
struct Log {
    output: Mutex<Output>,
    news: Condvar,
}

impl Log {
    fn add(&self, change: impl FnOnce(&mut Output)) {
        change(&mut self.output.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_all();
    }
}

/// How to start a child.
pub(crate) struct Start {
    name: String,
    words: Vec<String>,
    netns: Option<String>,
}

impl Start {
    pub(crate) fn new(group: &str, name: &str, bind: SocketAddr) -> Self {
        let (name, bind) = (name.to_owned(), bind.to_string());
        let words = ["--json", "--group", group, "--name", &name, "--bind", &bind].map(str::to_owned).into();
        Self { name, words, netns: None }
    }

    pub(crate) fn with(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|w| (*w).to_owned()));
        self
    }

    pub(crate) fn contacts(self, addrs: &[SocketAddr]) -> Self {
        let list: Vec<_> = addrs.iter().map(ToString::to_string).collect();
        self.with(&["--contact", &list.join(",")])
    }

    pub(crate) fn expect(self, n: usize) -> Self {
        self.with(&["--expect", &n.to_string()])
    }

    /// Runs it in a network namespace.
    pub(crate) fn inside(mut self, netns: &str) -> Self {
        self.netns = Some(netns.to_owned());
        self
    }

    pub(crate) fn spawn(self) -> Cat {
        let program = env!("CARGO_BIN_EXE_gcs-cat");
        let mut command = match &self.netns {
            None => Command::new(program),
            Some(netns) => {
                // `ip netns exec` becomes the program: signals reach it.
                let mut c = Command::new("ip");
                c.args(["netns", "exec", netns, program]);
                c
            }
        };
        command.args(&self.words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("gcs-cat starts");
        let log = Arc::new(Log::default());
        let stdout = Tap { from: child.stdout.take().unwrap(), log: Arc::clone(&log) };
        read_lines(stdout, Arc::clone(&log), |out, line| {
            // A killed process may have printed half a line.
            out.lines.extend(serde_json::from_str::<Line>(&line));
        });
        read_lines(child.stderr.take().unwrap(), Arc::clone(&log), |out, line| {
            out.stderr.push_str(&line);
            out.stderr.push('\n');
        });
        let stdin = Arc::new(Mutex::new(child.stdin.take()));
        Cat { name: self.name, child, stdin, log }
    }
}

/// A stream that is read only while somebody wants to.
struct Tap<R> {
    from: R,
    log: Arc<Log>,
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let output = self.log.output.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.log.news.wait_while(output, |o| o.unread));
        self.from.read(buf)
    }
}

fn read_lines(from: impl Read + Send + 'static, log: Arc<Log>, take: fn(&mut Output, String)) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            log.add(|out| take(out, line));
        }
        log.add(|out| out.ended += 1);
    });
}

/// A running gcs-cat; killed when dropped.
pub(crate) struct Cat {
    pub(crate) name: String,
    child: Child,
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    log: Arc<Log>,
}

impl Drop for Cat {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Cat {
    /// Waits until `look` finds what it looks for in all lines printed so far.
    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut(&[Line]) -> Option<T>) -> T {
        let mut found = None;
        let guard = self.log.output.lock().unwrap();
        let (guard, _) = self
            .log
            .news
            .wait_timeout_while(guard, DEADLINE, |out| {
                found = look(&out.lines);
                found.is_none() && out.ended < 2
            })
            .unwrap();
        if found.is_none() {
            found = look(&guard.lines);
        }
        found.unwrap_or_else(|| {
            let tail = &guard.lines[guard.lines.len().saturating_sub(12)..];
            let others: Vec<_> =
                guard.lines.iter().filter(|l| !matches!(l, Line::Message { .. })).collect();
            panic!(
                "{}: waited in vain for {what}\nother than messages: {others:#?}\nlast lines: {tail:#?}\nstderr: {}",
                self.name, guard.stderr
            )
        })
    }

    /// Waits until the present view has exactly these members, and returns its name.
    pub(crate) fn wait_view(&self, names: &[&str]) -> String {
        let wanted: BTreeSet<_> = names.iter().copied().collect();
        self.wait(&format!("a view of {names:?}"), |lines| {
            let (id, members) = last_view(lines)?;
            (members.iter().map(String::as_str).collect::<BTreeSet<_>>() == wanted).then_some(id)
        })
    }

    /// Waits until this many messages of the member have been delivered, in any view.
    pub(crate) fn wait_messages(&self, from: &str, count: usize) {
        self.wait(&format!("{count} messages from {from}"), |lines| {
            let seen = lines.iter().filter(|l| matches!(l, Line::Message { from: f, .. } if f == from));
            (seen.count() >= count).then_some(())
        });
    }

    pub(crate) fn wait_text(&self, text: &str) {
        self.wait(&format!("the message {text}"), |lines| {
            lines.iter().rev().any(|l| matches!(l, Line::Message { text: t, .. } if t == text)).then_some(())
        });
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.log.output.lock().unwrap().lines.clone()
    }

    /// All delivered messages, as (sender, text).
    pub(crate) fn messages(&self) -> Vec<(String, String)> {
        messages(&self.lines())
    }

    /// The texts that were delivered from one member.
    pub(crate) fn texts_from(&self, from: &str) -> Vec<String> {
        self.messages().into_iter().filter(|m| m.0 == from).map(|m| m.1).collect()
    }

    pub(crate) fn view_count(&self) -> usize {
        self.lines().iter().filter(|l| matches!(l, Line::View { .. })).count()
    }

    /// From now on nobody reads what it prints, or somebody does again.
    pub(crate) fn leave_unread(&self, unread: bool) {
        self.log.add(|out| out.unread = unread);
    }

    /// Gives it a line to send. Fails if it is gone.
    pub(crate) fn send(&self, line: &str) {
        self.send_lines(&[line.to_owned()]);
    }

    pub(crate) fn send_lines(&self, lines: &[String]) {
        let text: String = lines.iter().flat_map(|l| [l.as_str(), "\n"]).collect();
        let mut stdin = self.stdin.lock().unwrap();
        stdin.as_mut().expect("open").write_all(text.as_bytes()).expect("it reads");
    }

    /// Sends numbered lines, a few every millisecond, until the load is ended or the process is.
    pub(crate) fn load(&self, prefix: &str) -> Load {
        let (stop, stopped) = mpsc::channel::<()>();
        let (stdin, prefix) = (Arc::clone(&self.stdin), prefix.to_owned());
        let thread = std::thread::spawn(move || {
            let mut sent = Vec::new();
            while stopped.recv_timeout(Duration::from_millis(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let lines: Vec<_> = (0..4).map(|i| format!("{prefix}{}", sent.len() + i)).collect();
                let text: String = lines.iter().flat_map(|l| [l.as_str(), "\n"]).collect();
                let mut stdin = stdin.lock().unwrap();
                if stdin.as_mut().is_none_or(|s| s.write_all(text.as_bytes()).is_err()) {
                    break;
                }
                drop(stdin);
                sent.extend(lines);
            }
            sent
        });
        Load { stop, thread }
    }

    /// Ends its input.
    pub(crate) fn close(&self) {
        self.stdin.lock().unwrap().take();
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.expect("kill(1) is there").success());
    }

    /// SIGKILL, and waits for it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ends by itself; its exit code and what it complained.
    pub(crate) fn ended(&mut self) -> (Option<i32>, String) {
        let guard = self.log.output.lock().unwrap();
        let (guard, _) = self.log.news.wait_timeout_while(guard, DEADLINE, |o| o.ended < 2).unwrap();
        assert!(guard.ended == 2, "{}: does not end; last line: {:?}", self.name, guard.lines.last());
        let code = self.child.wait().expect("a child").code();
        (code, guard.stderr.clone())
    }

    /// It ends its input, and leaves as it should.
    pub(crate) fn leaves(&mut self) {
        self.close();
        assert_eq!(self.ended(), (Some(0), String::new()), "{}", self.name);
        assert!(matches!(self.lines().last(), Some(Line::Left { .. })), "{}", self.name);
    }
}

/// A stream of lines to a process.
pub(crate) struct Load {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Vec<String>>,
}

impl Load {
    /// Ends it; all lines that were written as a whole.
    pub(crate) fn end(self) -> Vec<String> {
        let _ = self.stop.send(());
        self.thread.join().expect("the load")
    }
}

pub(crate) fn messages(lines: &[Line]) -> Vec<(String, String)> {
    let message = |l: &Line| match l {
        Line::Message { from, text, .. } => Some((from.clone(), text.clone())),
        _ => None,
    };
    lines.iter().filter_map(message).collect()
}

pub(crate) fn last_view(lines: &[Line]) -> Option<(String, Vec<String>)> {
    lines.iter().rev().find_map(|l| match l {
        Line::View { id, members, .. } => Some((id.clone(), members.clone())),
        _ => None,
    })
}

/// The lines from the installation of the view on.
pub(crate) fn since_view(lines: &[Line], view: &str) -> Vec<Line> {
    lines.iter().skip_while(|l| !matches!(l, Line::View { id, .. } if id == view)).cloned().collect()
}

/// What holds of the output of every process: views grow, messages are of the present view, without gaps.
pub(crate) fn check_output(lines: &[Line]) {
    let (mut view, mut name) = (None, (0, 0));
    let mut next = std::collections::BTreeMap::<&str, u64>::new();
    for line in lines {
        match line {
            Line::View { id, members, came_with, .. } => {
                let (epoch, number) = id.split_once('.').unwrap();
                let n = (u64::from_str_radix(epoch, 16).unwrap(), number.parse::<u64>().unwrap());
                assert!(n > name, "view {id} after {name:x?}");
                assert!(came_with.iter().all(|m| members.contains(m)), "{line:?}");
                (view, name) = (Some(id), n);
                next = members.iter().map(|m| (m.as_str(), 0)).collect();
            }
            Line::Message { view: v, from, seq, .. } => {
                assert_eq!(Some(v), view, "{line:?}");
                let next = next.get_mut(from.as_str()).unwrap_or_else(|| panic!("no member: {line:?}"));
                assert_eq!(seq, next, "{line:?}");
                *next += 1;
            }
            Line::Blocked | Line::Forced | Line::Resumed | Line::Left { .. } => {}
        }
    }
}

/// Waits until these members have everything that they sent (by member), and compares what they delivered.
pub(crate) fn agree(cats: &[&Cat], sent: &[Vec<String>]) {
    for cat in cats {
        for (from, sent) in cats.iter().zip(sent) {
            cat.wait_messages(&from.name, sent.len());
        }
    }
    // What others had sent may still be on its way to the output: it is there when this is.
    cats[0].send("end");
    cats.iter().for_each(|c| c.wait_text("end"));
    let first = cats[0].messages();
    for (i, cat) in cats.iter().enumerate() {
        check_output(&cat.lines());
        assert!(cat.messages() == first, "{} and {} differ", cat.name, cats[0].name);
        if let Some(sent) = sent.get(i) {
            assert!(cat.texts_from(&cat.name).starts_with(sent), "{} lost its own messages", cat.name);
        }
    }
}

pub(crate) fn free_addrs<const N: usize>() -> [SocketAddr; N] {
    std::array::from_fn(|_| free_addr(Ipv4Addr::LOCALHOST.into()))
}

pub(crate) fn free_addr(ip: IpAddr) -> SocketAddr {
    gcs::net::unused_addr(ip).unwrap()
}

/// Three members, named a, b and c by rank, at these addresses; all have the first view.
pub(crate) fn three(group: &str, addrs: &[SocketAddr; 3]) -> [Cat; 3] {
    let mut addrs = *addrs;
    // The lowest address founds; the ranks follow from the addresses.
    addrs.sort();
    let mut names = ["a", "b", "c"].into_iter();
    let cats = addrs.map(|addr| {
        let name = names.next().unwrap();
        Start::new(group, name, addr).contacts(&addrs).expect(3).spawn()
    });
    for cat in &cats {
        cat.wait_view(&["a", "b", "c"]);
    }
    cats
}
