//! Whatever the composer accepts keeps what it promises: random sets of properties, the stacks that it makes of them, and whole
//! groups on these under all kinds of faults, with the oracles that follow from what each stack gives.

use gcs::{
    keys::PreShared,
    properties::Properties,
    rng::Rng,
    sim::{Setup, certified, run},
    stack::Blueprint,
};
use gcs_stacks::{Adaptive, Dish, Slots, compose_with};
use std::{collections::BTreeSet, sync::Arc};

/// Executions.
const SEEDS: u64 = 300;

/// Of these some are wanted.
const PROPERTIES: [Properties; 9] = [
    Properties::FIFO,
    Properties::CAUSAL_ORDER,
    Properties::TOTAL_ORDER,
    Properties::UNIFORM,
    Properties::STABILITY,
    Properties::FORWARD_CORRECTION,
    Properties::LATERAL_CORRECTION,
    Properties::COMPRESSED,
    Properties::ENCRYPTED,
];

fn draw(rng: &mut Rng) -> (Properties, Blueprint) {
    let wanted = PROPERTIES.into_iter().filter(|_| rng.chance(500)).fold(Properties::NONE, |a, b| a | b);
    // Curve arithmetic takes its time.
    let signed = if rng.chance(50) { Properties::SIGNED } else { Properties::NONE };
    let wanted = wanted | signed;
    let mut extra = Vec::new();
    match rng.below(3) {
        0 => extra.push(Dish::new(Slots).at(Dish::ORDER).cost(10)),
        1 => extra.push(Dish::new(Adaptive { much: 30 }).at(Dish::ORDER).cost(10)),
        _ => {}
    }
    let stack = compose_with(wanted, &extra);
    (wanted, stack.unwrap_or_else(|e| panic!("{wanted} cannot be had: {e}")))
}

#[test]
fn what_is_composed_keeps_its_promises() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let (wanted, stack) = draw(&mut rng);
        assert!(stack.gives().contains(wanted), "{wanted} was wanted, {} is given", stack.gives());
        seen.insert(stack.description());
        let mut setup = Setup::new(stack.clone());
        setup.state_transfer = rng.chance(500);
        if stack.gives().contains(Properties::ENCRYPTED) {
            setup.keys = if stack.gives().contains(Properties::SIGNED) {
                certified((0..16).map(|i| format!("p{i}")))
            } else {
                vec![Arc::new(PreShared::new(&[7; 32]).expect("a key").repeatable())]
            };
            setup.faults.corruption = true;
        }
        setup.faults.renewals = rng.chance(300);
        let report = run(9_000_000 + seed, &setup);
        assert!(report.is_ok(), "composed for {wanted}: {}\n{report}", stack.description());
    }
    assert!(seen.len() >= 50, "only {} different stacks", seen.len());
}
