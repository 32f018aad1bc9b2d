//! A member that lives, and whose application takes nothing: nobody reads what it prints. Real processes on one machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod processes;

use processes::{
    Cat, DEADLINE, Line, Load, Start, agree, check_output, free_addrs, last_view, messages, since_view,
};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// So many lines of 8 KiB are more than queues and windows hold.
const MUCH: usize = 5_000;

/// Three members with this policy; all have the first view. Each has a control socket in a directory of its own.
struct Group {
    cats: [Cat; 3],
    dir: PathBuf,
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Group {
    fn new(policy: &str) -> Self {
        let name = format!("slow-{}-{}", policy.split(':').next().unwrap(), std::process::id());
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).unwrap();
        let mut addrs = free_addrs::<3>();
        addrs.sort();
        let mut names = ["a", "b", "c"].into_iter();
        let cats = addrs.map(|addr| {
            let name = names.next().unwrap();
            let socket = dir.join(name);
            let words = ["--slow-receiver", policy, "--control", socket.to_str().unwrap()];
            Start::new("slow", name, addr).contacts(&addrs).expect(3).with(&words).spawn()
        });
        for cat in &cats {
            cat.wait_view(&["a", "b", "c"]);
        }
        Self { cats, dir }
    }

    /// Waits until a member says all these lines of itself, or something else has come about, and returns what it says.
    fn wait_report(&self, member: usize, wanted: &[&str], or: impl Fn() -> bool) -> String {
        let path = self.dir.join(&self.cats[member].name);
        let pause = Duration::from_millis(50);
        let mut said = String::new();
        for _ in 0..DEADLINE.as_millis() / pause.as_millis() {
            said = report(&path);
            if or() || wanted.iter().all(|w| said.contains(w)) {
                return said;
            }
            thread::park_timeout(pause);
        }
        panic!("waited in vain for {wanted:?}; it says of itself\n{said}");
    }

    /// Nobody reads what c prints, and a sends until that holds it up, or until a view has come of it.
    fn stall(&self) -> Load {
        let [a, _, c] = &self.cats;
        let before = a.view_count();
        c.leave_unread(true);
        let load = a.load(&format!("{}-", "x".repeat(8 << 10)));
        let changed = || {
            assert!(a.messages().len() < MUCH, "a does not wait for c");
            a.view_count() > before
        };
        self.wait_report(2, &["application keeps up: false"], changed);
        // What c takes no more, nobody gives credit for: this lasts.
        self.wait_report(0, &["casts wait for credit: true"], changed);
        load
    }
}

/// What a process says of itself.
fn report(path: &Path) -> String {
    let mut text = String::new();
    let mut socket = UnixStream::connect(path).unwrap();
    socket.write_all(b"report\n").unwrap();
    socket.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn everybody_waits_for_a_member_that_takes_nothing() {
    let group = Group::new("wait");
    let load = group.stall();
    let [a, b, c] = &group.cats;
    // What a has sent is ordered before the first of these, and there is nothing more of it before the second.
    let of_a = ["one", "two"].map(|text| {
        b.send(text);
        a.wait_text(text);
        a.texts_from("a").len()
    });
    assert_eq!(of_a[0], of_a[1], "a does not wait");
    let waited_for = c.messages().len();
    c.leave_unread(false);
    a.wait_messages("a", a.messages().len() + 200);
    c.wait_messages("a", waited_for + 200);
    agree(&[a, b, c], &[load.end()]);
    for cat in &group.cats {
        assert_eq!(cat.view_count(), 1, "{}: being slow excludes nobody", cat.name);
    }
}

#[test]
fn a_member_that_takes_nothing_is_excluded_and_comes_back() {
    let group = Group::new("exclude:1");
    let load = group.stall();
    let [a, b, c] = &group.cats;
    for cat in [a, b] {
        cat.wait("a view without c", |lines| lines.iter().find(|l| is_of(l, &["a", "b"])).map(|_| ()));
    }
    // It comes back at once, and is as slow as before: views come and go.
    for member in [0, 1] {
        group.wait_report(member, &["without c (too slow)"], || false);
    }
    let delivered = a.messages().len();
    [a, b].iter().for_each(|cat| cat.wait_messages("a", delivered + 200));
    c.leave_unread(false);
    c.wait("more than a window in a later view", |lines| {
        let (id, members) = last_view(lines)?;
        let of_it = messages(&since_view(lines, &id)).len();
        (members.len() == 3 && c_came_back(lines) && of_it > 200).then_some(())
    });
    agree(&[a, b], &[load.end()]);
    // What it had left unread can have excluded it once more. Nobody waits for credit now: this view stays.
    let view = a.wait_view(&["a", "b", "c"]);
    c.wait("the view of a", |lines| (last_view(lines)?.0 == view).then_some(()));
    c.send("here again");
    [a, b, c].iter().for_each(|cat| cat.wait_text("here again"));
    check_output(&c.lines());
    let of_it = |cat: &Cat| messages(&since_view(&cat.lines(), &view));
    assert!(of_it(c) == of_it(a), "since it is back it delivers what the others do");
}

#[test]
fn a_member_that_takes_nothing_goes_on_as_a_learner() {
    let group = Group::new("demote:2");
    let load = group.stall();
    // It can be written only when somebody takes it: what there is of it is far less than what a learner may lag behind.
    let sent = load.end();
    let learner = ["c as a learner (too slow)", ", a learner"];
    group.wait_report(0, &learner, || false);
    group.wait_report(1, &learner, || false);
    let [a, b, c] = &group.cats;
    [a, b].iter().for_each(|cat| cat.wait_messages("a", sent.len()));
    b.send("without waiting for c");
    [a, b].iter().for_each(|cat| cat.wait_text("without waiting for c"));
    c.leave_unread(false);
    agree(&[a, b, c], &[sent]);
    for cat in &group.cats {
        assert_eq!(cat.view_count(), 2, "{}", cat.name);
    }
}

/// Whether this is a view of these members.
fn is_of(line: &Line, names: &[&str]) -> bool {
    matches!(line, Line::View { members, .. } if members == names)
}

/// Whether these lines of c show more than one view.
fn c_came_back(lines: &[Line]) -> bool {
    lines.iter().filter(|l| matches!(l, Line::View { .. })).count() > 1
}
