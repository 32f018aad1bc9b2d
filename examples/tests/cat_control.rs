//! A process says what it knows of itself at a local socket.

#![expect(clippy::unwrap_used, reason = "a test panics where something is wrong")]

mod processes;

use processes::{Start, free_addrs};
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

fn socket(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

/// Exit code, standard output and standard error.
fn probe(path: &str) -> (Option<i32>, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_gcs-cat")).args(["--probe", path]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[test]
fn a_member_tells_of_its_view_its_layers_and_why_views_changed() {
    let addrs: [_; 3] = free_addrs();
    let path = socket("control");
    // A dead process has left it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let file = path.to_str().unwrap();
    let start = |i: usize| Start::new("told", ["a", "b", "c"][i], addrs[i]).contacts(&addrs).expect(3);
    let a = start(0).with(&["--control", file]).spawn();
    let (b, mut c) = (start(1).spawn(), start(2).spawn());
    a.wait_view(&["a", "b", "c"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    b.send("one");
    a.wait_text("one");
    c.kill();
    a.wait_view(&["a", "b"]);
    let (code, told, _) = probe(file);
    assert_eq!(code, Some(0));
    for line in [
        "group: told",
        "is: a member",
        "lease: valid",
        "hears nothing from: nobody",
        "[layer heartbeat]",
        "[layer uniform]",
        "own bytes under way: 0",
        "casts are taken: true",
        "[transport]",
        "[application]",
    ] {
        assert!(told.lines().any(|l| l == line), "`{line}` is not in\n{told}");
    }
    // It may have died before its liveness connection was there.
    let causes = ["without c (its process is gone)", "without c (silent)"];
    assert!(causes.iter().any(|c| told.contains(c)), "{told}");
    assert!(told.contains("rank 0: a at") && told.contains("(this one)"), "{told}");
    // Nobody else may take the path while somebody answers there.
    let (code, said) = start(2).with(&["--control", file]).spawn().ended();
    assert!(code == Some(2) && said.contains("the control socket cannot be made"), "{code:?} {said}");
}

#[test]
fn nobody_there_is_one_sentence() {
    let (code, told, said) = probe("/nowhere/at/all");
    assert_eq!((code, told.as_str()), (Some(2), ""));
    assert!(
        said.starts_with("gcs-cat: nobody answers at /nowhere/at/all") && said.lines().count() == 1,
        "{said}"
    );
}
