//! The rules of TCP, one file each in `scripts/`: what arrives, and exactly what has to leave when. The format is described at
//! [`script`]. A failure shows the line, what left instead, and everything that has happened until then as lines of a script.

use std::{fs, path::Path};

mod script;

use script::{notation, run};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts"))
}

fn play(name: &str, text: &str) -> Result<(), String> {
    let open = |opening: &str| {
        let file = folder().join("opening").join(format!("{opening}.txt"));
        fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))
    };
    let (config, lines) = notation::parse(name, text, &open)?;
    run::run(&config, &lines)
}

#[test]
fn every_script_goes_as_it_says() {
    let only = std::env::var("SCRIPT").unwrap_or_default();
    let mut files: Vec<_> =
        fs::read_dir(folder()).expect("scripts").map(|f| f.expect("a file").path()).collect();
    files.retain(|f| f.extension().is_some() && f.to_string_lossy().contains(&only));
    files.sort();
    assert!(!files.is_empty(), "there are no scripts, or none with `{only}` in its name");
    let mut failures = Vec::new();
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(file).expect("a script");
        assert!(text.starts_with('#'), "{name} says what it shows, and which rule that is");
        let played = std::panic::catch_unwind(|| play(&name, &text));
        failures.extend(played.unwrap_or_else(|_| Err(format!("{name}: the machine panicked"))).err());
    }
    assert!(failures.is_empty(), "{} of {} fail\n{}", failures.len(), files.len(), failures.join("\n\n"));
}

#[track_caller]
fn fails(lines: &str, because: &str) {
    let said = play("a script", &format!("use passive\n{lines}")).expect_err("it should fail");
    assert!(said.contains(because), "`{said}` should contain `{because}`");
}

#[test]
fn a_script_that_goes_otherwise_fails() {
    assert_eq!(play("a script", "use passive"), Ok(()));
    fails("+0 write 10", "at the end: unexpected\n  left     .1  > P. 1:11(10) ack 1 win");
    fails("+0 write 10\n+0 > P. 1:10(9) ack 1", "a script:3: otherwise\n  expected .1  > P. 1:10(9) ack 1");
    fails("+0 write 10\n+.1 > P. 1:11(10) ack 1", "left     .1  > P. 1:11(10) ack 1");
    fails("+0 write 10\n+0 write 10", "a script:3: unexpected");
    fails("+1 > . 1:1(0) ack 1", "a script:2: missing");
    fails("+0 write 10\n+0 > P. 1:11(10) ack 1 <nop,nop,ts val * ecr *>", "otherwise");
    fails("+0 < F. 1:1(0) ack 1\n+0 > . 1:1(0) ack 2", "unexpected finished at .1 of port 4000");
    fails("+0 gone Reset", "expected gone Reset at .1, there was nothing");
    fails("+0 state CloseWait", "expected the state CloseWait, it is Established");
    fails("+0 < P. 1:11(10) ack 1\n+0 > . 1:1(0) ack 11\n+0 read 20", "expected 20 bytes, read 10");
}

#[test]
fn what_is_no_script_is_told() {
    for (line, because) in [
        ("0 < . 1:1(0) ack 1", "a time is `+SECONDS`"),
        ("+0 < . 1:2(0) ack 1", "1:2(0) has not that length"),
        ("+0 < . 1:1(0)", "the flag `.` and `ack` belong together"),
        ("+0 < X 1:1(0)", "`X` are no flags"),
        ("+0 < S 0:0(0) <mss>", "a number is missing"),
        ("+0 dance", "`dance` is not understood"),
        ("config speed=9", "`speed` is no setting"),
        ("use nothing", "nothing.txt"),
    ] {
        fails(line, because);
    }
}
