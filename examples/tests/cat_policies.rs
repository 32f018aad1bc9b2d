//! Members that count for different things, and an operator who forces a new primary: real processes on one machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod processes;

use processes::{Cat, Line, Start, free_addrs, last_view};
use std::{net::SocketAddr, path::PathBuf, process::Command};

/// Three addresses, the founder's first.
fn sorted() -> [SocketAddr; 3] {
    let mut addrs = free_addrs();
    addrs.sort();
    addrs
}

fn all(cats: &[Cat], names: &[&str]) {
    cats.iter().for_each(|c| drop(c.wait_view(names)));
}

/// The members of the present view, in rank order.
fn ranks(cat: &Cat) -> Vec<String> {
    last_view(&cat.lines()).unwrap().1
}

#[test]
fn with_a_witness_the_younger_replica_goes_on() {
    let addrs = sorted();
    let start = |i: usize, name| Start::new("witnessed", name, addrs[i]).contacts(&addrs).expect(3);
    // The witness has the lowest address, and founds nothing all the same.
    let cats =
        [start(0, "w").with(&["--witness"]).spawn(), start(1, "old").spawn(), start(2, "young").spawn()];
    all(&cats, &["w", "old", "young"]);
    assert_eq!(ranks(&cats[0]), ["old", "young", "w"], "a witness stands behind the replicas");
    let [mut witness, mut old, young] = cats;
    old.send("before");
    young.wait_text("before");
    old.kill();
    young.wait_view(&["young", "w"]);
    young.send("after");
    young.wait_text("after");
    let old = start(1, "old").spawn();
    witness.wait_view(&["young", "w", "old"]);
    old.send("back");
    young.wait_text("back");
    assert!(witness.messages().is_empty(), "nothing is delivered to a witness");
    witness.send("I saw it");
    let (code, said) = witness.ended();
    assert!(code == Some(1) && said.contains("a witness sends nothing"), "{code:?} {said}");
}

#[test]
fn the_group_goes_on_without_its_learners() {
    let addrs = sorted();
    let start = |i: usize, name| Start::new("learned", name, addrs[i]).contacts(&addrs);
    let learner = |i, name| start(i, name).with(&["--learner"]).spawn();
    let cats = [learner(0, "first"), start(1, "voter").with(&["--found"]).spawn(), learner(2, "last")];
    all(&cats, &["voter", "first", "last"]);
    assert_eq!(ranks(&cats[0])[0], "voter");
    let [first, voter, last] = cats;
    first.send("a learner may speak");
    last.wait_text("a learner may speak");
    [&first, &last].iter().for_each(|l| l.signal("STOP"));
    voter.wait_view(&["voter"]);
    voter.send("one of three goes on");
    voter.wait_text("one of three goes on");
    [&first, &last].iter().for_each(|l| l.signal("CONT"));
    voter.wait_view(&["voter", "first", "last"]);
    first.wait_view(&["voter", "first", "last"]);
    voter.send("together");
    [&first, &last].iter().for_each(|l| l.wait_text("together"));
}

#[test]
fn votes_count_not_members() {
    let addrs = sorted();
    let start = |i: usize, name| Start::new("weighed", name, addrs[i]).contacts(&addrs).expect(5);
    let cats =
        [start(0, "a").spawn(), start(1, "b").spawn(), start(2, "heavy").with(&["--weight", "3"]).spawn()];
    all(&cats, &["a", "b", "heavy"]);
    let [a, b, heavy] = cats;
    [&a, &b].iter().for_each(|c| c.signal("STOP"));
    heavy.wait_view(&["heavy"]);
    [&a, &b].iter().for_each(|c| c.signal("CONT"));
    heavy.wait_view(&["a", "b", "heavy"]);
    b.wait_view(&["a", "b", "heavy"]);
    heavy.signal("STOP");
    a.wait("that it is blocked", |lines| lines.iter().rfind(|l| **l == Line::Blocked).map(|_| ()));
    heavy.signal("CONT");
    a.send("all again");
    heavy.wait_text("all again");
}

/// Exit code, standard output and standard error.
fn force(path: &str) -> (Option<i32>, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_gcs-cat")).args(["--force-primary", path]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[test]
fn a_forced_primary_goes_on_alone_and_the_others_come_over() {
    let addrs = sorted();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("force-{}", std::process::id()));
    let file = path.to_str().unwrap();
    let start = |i: usize, name| Start::new("forced", name, addrs[i]).contacts(&addrs).expect(3);
    let cats =
        [start(0, "a").spawn(), start(1, "b").spawn(), start(2, "c").with(&["--control", file]).spawn()];
    all(&cats, &["a", "b", "c"]);
    let [a, b, c] = cats;
    let (code, _, said) = force(file);
    assert!(code == Some(2) && said.contains("nothing has to be forced"), "{code:?} {said}");
    [&a, &b].iter().for_each(|c| c.signal("STOP"));
    c.wait("that it is blocked", |lines| (lines.last() == Some(&Line::Blocked)).then_some(()));
    let (code, said, _) = force(file);
    assert!(code == Some(0) && said.contains("new epoch"), "{code:?} {said}");
    let forced = c.wait_view(&["c"]);
    c.send("alone");
    c.wait_text("alone");
    assert!(c.lines().contains(&Line::Forced));
    // They are a quorum of the old view, and give it up.
    [&a, &b].iter().for_each(|c| c.signal("CONT"));
    let epoch = |id: &str| id.split('.').next().unwrap().to_owned();
    for cat in [&a, &b, &c] {
        cat.wait("all in the new epoch", |lines| {
            let (id, members) = last_view(lines)?;
            (epoch(&id) == epoch(&forced) && members.len() == 3).then_some(())
        });
    }
    a.send("one group again");
    [&b, &c].iter().for_each(|cat| cat.wait_text("one group again"));
}
