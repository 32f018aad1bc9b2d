//! Partitionable groups: every part goes on, and parts merge.

use gcs::{
    keys::PreShared,
    properties::Properties,
    sim::{Report, Scenario, Setup, run, soak},
};
use std::{fmt::Write as _, sync::Arc};

fn setup(stack: &str) -> Setup {
    let mut setup = Setup::new(gcs_stacks::named(stack).expect("a name of the catalogue"));
    setup.members = (3, 7);
    setup.partitionable = true;
    if setup.gives().contains(Properties::ENCRYPTED) {
        setup.keys = Some(Arc::new(PreShared::new(&[7; 32]).expect("long enough").repeatable()));
    }
    setup
}

fn keeps_its_promises(stack: &str, from: u64) {
    for (seeds, state_transfer) in [(from..from + 60, true), (from + 60..from + 120, false)] {
        let soaked = soak(seeds, 1, 1, &Setup { state_transfer, ..setup(stack) });
        if let Some(report) = soaked.failures.first() {
            panic!("{stack}, state transfer {state_transfer}: {report}");
        }
    }
}

#[test]
fn fifo_keeps_its_promises() {
    keeps_its_promises("fifo+check", 21_000_000);
}

#[test]
fn total_uniform_keeps_its_promises() {
    keeps_its_promises("total+uniform+check", 22_000_000);
}

#[test]
fn slots_keep_their_promises() {
    keeps_its_promises("total-slots+uniform+check", 23_000_000);
}

#[test]
fn an_encrypted_stack_keeps_its_promises() {
    keeps_its_promises("total+uniform+encrypted", 24_000_000);
}

/// What earlier versions got wrong.
#[test]
fn regressions() {
    let report = |stack: &str, seed| run(seed, &setup(stack));
    let found = [
        // A joiner whose component had lost the state left the group, and did not look for another component.
        ("fifo", 440),
        // Members that a view left behind, a quorum together, proposed that view for ever.
        ("total+uniform", 366),
        // Who waited for a state that nobody in its primary component had any more took itself for better than the others.
        ("fifo", 1235),
    ];
    for (stack, seed) in found {
        assert_eq!(report(stack, seed).violation, None, "{stack} {seed}");
    }
}

/// Eight processes in so many components: when the links come back, they are in one view within 2 s, and before that each
/// component has gone on.
fn merge(components: usize, stack: &str, seed: u64) -> Report {
    let mut text = format!("partitionable\nseed {seed}\nprocesses 8\nexpect all at p0 within 500ms\n");
    let component = |p: usize| p * components / 8;
    let members = |c: usize| (0..8).filter(move |p| component(*p) == c);
    let names = |c: usize| members(c).map(|p| format!("p{p}")).collect::<Vec<_>>().join(" ");
    for c in 1..components {
        let _ = writeln!(text, "at 500ms partition {} for 5s", names(c));
    }
    for (c, p) in (0..components).flat_map(|c| members(c).map(move |p| (c, p))) {
        let _ = writeln!(text, "expect view {} at p{p} within 2s", names(c));
    }
    text.push_str("at 4s heal\n");
    (0..8).for_each(|p| {
        let _ = writeln!(text, "expect all at p{p} within 2s");
    });
    Scenario::parse(&text).expect("well-formed").run(&setup(stack))
}

#[test]
fn two_to_eight_components_merge_within_two_seconds() {
    for components in 2..=8 {
        for seed in 1..=5 {
            let report = merge(components, "total+uniform", seed);
            assert!(report.is_ok(), "{components} components: {report}");
        }
    }
}
