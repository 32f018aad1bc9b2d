//! The oracles see what they watch for: a layer of a whole stack is broken on purpose, and the oracle whose promise that
//! breaks says so. Oracles of membership cannot be provoked by a layer; they have tests of their own, beside them.

use gcs::{
    layer::Protocol,
    sim::{
        Plan, Report, Setup,
        broken::{Broken, How},
        run, run_plan,
    },
    stack::Blueprint,
};
use gcs_stacks::{Flow, Heartbeat, Pack, Reliable, Sequencer, Slots, Uniform};
use std::sync::Arc;

/// A stack with one broken layer; with a sequencer and uniform, or without.
fn setup(total: bool, broken: &str, how: How, per_mille: u64, only_at: Option<u16>) -> Setup {
    let order = total.then(|| Arc::new(Sequencer) as Arc<dyn Protocol>);
    setup_over(order, broken, how, per_mille, only_at)
}

fn setup_over(
    order: Option<Arc<dyn Protocol>>,
    broken: &str,
    how: How,
    per_mille: u64,
    only_at: Option<u16>,
) -> Setup {
    let mut layers: Vec<Arc<dyn Protocol>> =
        vec![Arc::new(Heartbeat), Arc::new(Reliable { prompt: order.is_some() })];
    if let Some(order) = order {
        layers.extend([order, Arc::new(Uniform)]);
    }
    layers.extend([Arc::new(Flow::default()) as Arc<dyn Protocol>, Arc::new(Pack)]);
    for layer in layers.iter_mut().filter(|l| l.spec().name == broken) {
        let wrapped = Broken::new(layer.clone(), how).per_mille(per_mille);
        *layer = Arc::new(only_at.map_or_else(|| wrapped.clone(), |rank| wrapped.clone().only_at(rank)));
    }
    let mut setup = Setup::new(Blueprint::new("broken", layers).expect("the layers hold together"));
    setup.liveness_ms = 3_000;
    setup
}

fn verdict(report: &Report) -> String {
    report.violation.as_ref().map_or_else(String::new, ToString::to_string)
}

/// Runs seeds until the oracle speaks.
#[track_caller]
fn is_seen_by(oracle: &str, seeds: u64, setup: &Setup) {
    let mut others = Vec::new();
    for seed in 1..=seeds {
        let said = verdict(&run(seed, setup));
        if said.starts_with(oracle) {
            return;
        }
        others.extend((!said.is_empty()).then(|| said.chars().take(60).collect::<String>()));
    }
    panic!("{oracle} says nothing in {seeds} executions; others: {others:?}");
}

#[test]
fn d1_sees_changed_messages() {
    is_seen_by("D1", 20, &setup(true, "reliable", How::Corrupt, 20, None));
}

#[test]
fn d2_sees_duplicates() {
    is_seen_by("D2", 20, &setup(true, "flow", How::Duplicate, 20, None));
}

#[test]
fn d5_sees_a_member_that_skips_the_tail_of_the_cut() {
    is_seen_by("D5", 40, &setup(false, "reliable", How::SkipCutTail, 500, Some(1)));
}

#[test]
fn o1_sees_gaps() {
    is_seen_by("O1", 20, &setup(false, "pack", How::Drop, 20, None));
}

#[test]
fn o3_sees_a_member_with_another_order() {
    is_seen_by("O3", 20, &setup(true, "sequencer", How::Swap, 20, Some(1)));
}

#[test]
fn o3_sees_a_member_that_mixes_up_slots() {
    is_seen_by("O3", 20, &setup_over(Some(Arc::new(Slots)), "slots", How::Swap, 20, Some(1)));
}

#[test]
fn o4_sees_what_only_some_deliver() {
    is_seen_by("O4", 60, &setup(true, "uniform", How::SkipCutTail, 500, None));
}

#[test]
fn l2_sees_what_is_never_delivered() {
    is_seen_by("L2", 40, &setup(true, "reliable", How::Eager, 20, Some(1)));
}

#[test]
fn a2_sees_two_owners() {
    let plan = Plan::parse("processes 3\nat 300ms partition p0 for 1200ms\n").unwrap();
    let whole = setup(true, "none", How::Drop, 0, None);
    let broken = setup(true, "heartbeat", How::EternalLease, 1000, None);
    for seed in 1..10 {
        run_plan(seed, &whole, &plan).expect_ok();
    }
    let seen = (1..10).filter(|seed| verdict(&run_plan(*seed, &broken, &plan)).starts_with("A2")).count();
    assert!(seen > 0, "A2 says nothing");
}
