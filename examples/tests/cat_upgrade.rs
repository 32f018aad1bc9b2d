//! A group of three real processes of the release before is upgraded, process by process, under load.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod processes;

use processes::{Cat, Line, Load, Start, check_output, free_addrs};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    process::Command,
};

/// What was delivered in each view, in order.
fn by_view(lines: &[Line]) -> BTreeMap<String, Vec<(String, String)>> {
    let mut views = BTreeMap::<_, Vec<_>>::new();
    for line in lines {
        match line {
            Line::View { id, .. } => drop(views.entry(id.clone()).or_default()),
            Line::Message { view, from, text, .. } => {
                views.entry(view.clone()).or_default().push((from.clone(), text.clone()));
            }
            _ => {}
        }
    }
    views
}

/// The version of the protocol that the view of the process with this control socket speaks.
fn version(control: &str) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_gcs-cat")).args(["--probe", control]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("version of the protocol: "));
    line.unwrap_or_else(|| panic!("no version in {text}")).to_owned()
}

/// One process of the group: what it has been told to send, and what it has printed.
struct Running {
    cat: Cat,
    load: Load,
}

impl Running {
    fn start(name: &str, addr: SocketAddr, all: &[SocketAddr], words: &[&str]) -> Self {
        let cat = Start::new("upgrade", name, addr).contacts(all).with(words).spawn();
        cat.wait("a view", |lines| lines.iter().any(|l| matches!(l, Line::View { .. })).then_some(()));
        let load = cat.load(&format!("{name}-"));
        Self { cat, load }
    }

    /// It ends its input, waits for all of it, and leaves.
    fn stop(mut self) -> (Vec<String>, Vec<Line>) {
        let sent = self.load.end();
        self.cat.leaves();
        (sent, self.cat.lines())
    }
}

#[test]
fn a_rolling_upgrade_under_load_loses_nothing() {
    let mut addrs = free_addrs::<3>();
    addrs.sort();
    let control = std::env::temp_dir().join(format!("gcs-upgrade-{}", std::process::id()));
    let control = control.to_str().unwrap();
    let old = ["--protocol-max", "1"];
    let cats = ["a", "b", "c"]
        .into_iter()
        .zip(addrs)
        .map(|(name, addr)| Start::new("upgrade", name, addr).contacts(&addrs).expect(3).with(&old).spawn());
    let cats: Vec<Cat> = cats.collect();
    for cat in &cats {
        cat.wait_view(&["a", "b", "c"]);
    }
    let mut running: Vec<_> = cats
        .into_iter()
        .map(|cat| {
            let load = cat.load(&format!("{}-", cat.name));
            Running { cat, load }
        })
        .collect();
    let mut ended = Vec::new();
    // The youngest first, as most would; the first of the group last.
    for (i, new) in [(2, "c2"), (1, "b2"), (0, "a2")] {
        running.iter().for_each(|r| {
            let sent = r.cat.texts_from(&r.cat.name).len();
            r.cat.wait_messages(&r.cat.name, sent + 200);
        });
        let out = running.remove(i);
        ended.push(out.stop());
        let words: &[&str] = if i == 2 { &["--control", control] } else { &[] };
        running.insert(i, Running::start(new, addrs[i], &addrs, words));
        let names: Vec<_> = running.iter().map(|r| r.cat.name.clone()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for r in &running {
            r.cat.wait_view(&names);
        }
        let expected = if i == 0 { "2" } else { "1" };
        assert_eq!(version(control), expected, "with {names:?}");
    }
    for r in &running {
        r.cat.wait_messages("a2", 200);
    }
    // One after the other, so that each one's last view is another one's, too.
    while let Some(r) = running.pop() {
        ended.push(r.stop());
    }
    let mut views = BTreeMap::<String, Vec<(String, String)>>::new();
    for (_, lines) in &ended {
        check_output(lines);
        for (view, messages) in by_view(lines) {
            // Whoever was in a view has delivered the same in it, also those who left with it.
            let first = views.entry(view.clone()).or_insert_with(|| messages.clone());
            assert!(*first == messages, "members of view {view} differ");
        }
    }
    let mut delivered = BTreeSet::new();
    for (from, text) in views.values().flatten() {
        assert!(delivered.insert(text.clone()), "{text} of {from} twice");
    }
    for (sent, _) in &ended {
        assert!(!sent.is_empty() && sent.iter().all(|text| delivered.contains(text)), "lost");
    }
}

#[test]
fn a_version_that_this_release_does_not_speak_is_refused_in_a_sentence() {
    let addr = free_addrs::<1>()[0].to_string();
    for version in ["0", "3"] {
        let words = ["--group", "g", "--bind", &addr, "--found", "--protocol-max", version];
        let out = Command::new(env!("CARGO_BIN_EXE_gcs-cat")).args(words).output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("protocol_max must be from 1 to 2"), "{said}");
    }
}
