//! The classical traps of group membership, one file each in `scenarios/`: what goes wrong, step by step, and who must be
//! in which view how soon. The format is described at [`gcs::sim::Scenario`]. Each file is run with several seeds, so that
//! it depends on no particular order of what happens at the same time.

use gcs::sim::{Report, Scenario, Setup};
use std::{fs, path::PathBuf};

/// Files that do not name their stacks are run over these.
const STACKS: [&str; 3] = ["fifo", "total", "total+uniform"];
/// Seeds of each file and stack, beginning with the one that the file names.
const SEEDS: u64 = 5;

fn run(scenario: &Scenario, stack: &str) -> Report {
    let mut setup = Setup::new(gcs_stacks::named(stack).expect("a name of the catalogue"));
    setup.physics.trace_datagrams = true;
    scenario.run(&setup)
}

/// All files of the folder, in alphabetical order.
fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let mut files: Vec<_> = fs::read_dir(folder).expect(folder).map(|f| f.expect(folder).path()).collect();
    files.sort();
    files
}

#[test]
fn every_scenario_ends_as_it_says() {
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let files: Vec<_> = files().into_iter().filter(|f| f.to_string_lossy().contains(&only)).collect();
    assert!(!files.is_empty(), "there are no scenarios, or none with `{only}` in its name");
    let mut failures = Vec::new();
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(file).expect(&name);
        let mut scenario = Scenario::parse(&text).unwrap_or_else(|e| panic!("{name}, {e}"));
        assert!(text.starts_with('#') && !scenario.expectations.is_empty(), "{name} says what, and what for");
        let mut stacks = scenario.stacks.clone();
        if stacks.is_empty() {
            stacks.extend(STACKS.map(str::to_owned));
        }
        let first = scenario.seed;
        let failure = stacks.iter().find_map(|stack| {
            (first..first + SEEDS).find_map(|seed| {
                scenario.seed = seed;
                let report = run(&scenario, stack);
                (!report.is_ok()).then(|| format!("{name} over {stack}: {report}"))
            })
        });
        failures.extend(failure);
    }
    assert!(failures.is_empty(), "{} of {} fail\n{}", failures.len(), files.len(), failures.join("\n\n"));
}

/// What a scenario of three processes has to say about these lines.
fn verdict(lines: &str) -> String {
    let text = format!("processes 3\nexpect view p0 p1 p2 at p0 within 500ms\n{lines}");
    let report = run(&Scenario::parse(&text).expect("well-formed"), "fifo");
    report.violation.map_or_else(String::new, |v| v.to_string())
}

#[track_caller]
fn fails(lines: &str, because: &str) {
    let said = verdict(lines);
    assert!(said.contains(because), "`{said}` should contain `{because}`");
}

#[test]
fn a_scenario_whose_steps_do_not_happen_fails() {
    assert_eq!(verdict("at 500ms kill p2\nexpect view p0 p1 at p0 within 20ms"), "");
    fails(
        "from 500ms when p0 sends accept kill p0\nexpect view p0 p1 p2 at p1 for 100ms",
        "never happened: from 500ms when p0 sends accept #1 kill p0",
    );
    fails(
        "at 500ms kill p2\nat 600ms kill p2\nexpect view p0 p1 at p0 within 20ms",
        "without effect: at 600ms kill p2",
    );
}

#[test]
fn a_scenario_that_goes_otherwise_fails() {
    fails("at 500ms kill p2\nexpect view p0 p2 at p0 within 20ms", "not so at 520 ms: expect view p0 p2");
    fails("at 500ms kill p2\nexpect view p0 p1 p2 at p0 for 1s", "not so at 50");
    fails("at 500ms stop all\nexpect view p0 at p0 within 20ms", "not so at 520 ms");
    fails("at 500ms kill p1\nat 500ms kill p2\nexpect blocked p0 within 2s", "the group cannot go on");
}
