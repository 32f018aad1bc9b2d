//! The oracles see what they watch for: something is broken on purpose in a whole group, and the oracle whose promise that
//! breaks says so, while the same executions without it pass.

use gcs::{
    layer::Protocol,
    sim::{
        Birth, Plan, Report, Setup,
        broken::{Broken, BrokenNode, How, Misbehaviour},
        oracles::for_stack,
        run, run_nodes, run_plan,
    },
    stack::Blueprint,
};
use gcs_stacks::{
    BestEffort, Bimodal, Causal, Flow, Heartbeat, Pack, PackWithGaps, Reliable, Sequencer, Slots, Uniform,
};
use std::{collections::BTreeSet, sync::Arc};

/// What is broken.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// The layer with this name, in so many of a thousand cases, at all ranks or one.
    Layer(&'static str, How, u64, Option<u16>),
    /// The node of this process, from the view with this number on.
    Node(usize, Misbehaviour, u64),
    /// The clients: they read without asking the group.
    LocalReads,
}
use Wrong::{Layer, LocalReads, Node};

/// One way to be wrong, and the oracle that says so.
struct Row {
    oracle: &'static str,
    /// Whether the stack is total and uniform, or FIFO only.
    total: bool,
    wrong: Wrong,
    /// As text; empty: it follows from the seed.
    plan: &'static str,
}

const fn row(oracle: &'static str, total: bool, wrong: Wrong, plan: &'static str) -> Row {
    Row { oracle, total, wrong, plan }
}

/// The oracle speaks in one of so many executions, from seed 1 on.
const SEEDS: u64 = 60;
/// Nothing else goes wrong.
const CALM: &str = "processes 3\n";
/// p2 is killed, the others go on without it, and it comes back.
const BACK: &str = "processes 3\nat 300ms kill p2\nat 700ms start p2\n";
/// p0 is cut off, and the others go on without it.
const ALONE: &str = "processes 3\nat 300ms partition p0 for 1200ms\n";
/// Messages take long.
const SLOW: &str = "processes 3\nat 100ms delay 5000 for 1400ms\n";

const ROWS: &[Row] = &[
    row("M1", true, Node(1, Misbehaviour::OmitsItself, 1), CALM),
    row("M2", true, Node(1, Misbehaviour::GoesBack, 1), BACK),
    row("M3", true, Node(1, Misbehaviour::ExchangesRanks, 1), CALM),
    row("M3", false, Node(0, Misbehaviour::GoesOnAlone, 1), ALONE),
    row("M4", true, Node(1, Misbehaviour::DeliversEarly, 1), CALM),
    row("M5", true, Node(0, Misbehaviour::FoundsAlone, 1), ALONE),
    row("M6", true, Node(1, Misbehaviour::SkipsView, 2), BACK),
    row("M7", true, Node(2, Misbehaviour::ReusesIncarnation, 1), BACK),
    row("D1", true, Layer("reliable", How::Corrupt, 20, None), ""),
    row("D2", true, Layer("flow", How::Duplicate, 20, None), ""),
    row("D3", false, Node(1, Misbehaviour::DeliversEarly, 2), BACK),
    row("D4", true, Node(1, Misbehaviour::DeliversEarly, 2), BACK),
    row("D5", false, Layer("reliable", How::SkipCutTail, 500, Some(1)), ""),
    row("D6", true, Node(1, Misbehaviour::CountsAllAsSurvivors, 1), BACK),
    row("D7", false, Node(1, Misbehaviour::IgnoresItself, 1), CALM),
    row("O1", false, Layer("pack", How::Drop, 20, None), ""),
    row("O1", false, Layer("bimodal", How::Swap, 100, None), ""),
    row("O1", false, Layer("besteffort", How::Swap, 100, None), ""),
    row("D2", false, Layer("besteffort", How::Duplicate, 20, None), ""),
    row("O2", false, Layer("causal", How::Eager, 1000, None), ""),
    row("O3", true, Layer("sequencer", How::Swap, 20, Some(1)), ""),
    row("O3", true, Layer("slots", How::Swap, 20, Some(1)), ""),
    row("O4", true, Layer("uniform", How::SkipCutTail, 500, None), ""),
    row("O5", true, Layer("uniform", How::Eager, 1000, Some(0)), CALM),
    row("L1", true, Node(2, Misbehaviour::FallsSilent, 1), CALM),
    row("L2", false, Node(1, Misbehaviour::IgnoresOthers, 1), CALM),
    row("L3", true, Node(1, Misbehaviour::StaysUnwritable, 1), CALM),
    row("A1", true, Node(1, Misbehaviour::AsksLateForState, 1), BACK),
    row("A2", true, Layer("heartbeat", How::EternalLease, 1000, None), ALONE),
    row("A3", true, LocalReads, SLOW),
];

/// A stack, with one broken layer or none.
fn setup(total: bool, wrong: Option<Wrong>) -> Setup {
    let mut layers: Vec<Arc<dyn Protocol>> = vec![Arc::new(Heartbeat), Arc::new(Reliable { prompt: total })];
    if total {
        let slots = matches!(wrong, Some(Layer("slots", ..)));
        let order: Arc<dyn Protocol> = if slots { Arc::new(Slots) } else { Arc::new(Sequencer) };
        layers.extend([order, Arc::new(Uniform)]);
    }
    if matches!(wrong, Some(Layer("causal", ..))) {
        layers.push(Arc::new(Causal));
    }
    layers.extend([Arc::new(Flow::default()) as Arc<dyn Protocol>, Arc::new(Pack)]);
    let weaker: Option<Arc<dyn Protocol>> = match wrong {
        Some(Layer("bimodal", ..)) => Some(Arc::new(Bimodal::default())),
        Some(Layer("besteffort", ..)) => Some(Arc::new(BestEffort::default())),
        _ => None,
    };
    if let Some(weaker) = weaker {
        layers = vec![Arc::new(Heartbeat), weaker, Arc::new(PackWithGaps)];
    }
    if let Some(Layer(name, how, per_mille, only_at)) = wrong {
        for layer in layers.iter_mut().filter(|l| l.spec().name == name) {
            let wrapped = Broken::new(layer.clone(), how).per_mille(per_mille);
            *layer = Arc::new(only_at.map_or_else(|| wrapped.clone(), |rank| wrapped.clone().only_at(rank)));
        }
    }
    let mut setup = Setup::new(Blueprint::new("broken", layers).expect("the layers hold together"));
    setup.liveness_ms = 3_000;
    setup.workload.local_reads = matches!(wrong, Some(LocalReads));
    setup
}

impl Row {
    /// One execution, with what is wrong or without.
    fn run(&self, seed: u64, wrong: Option<Wrong>) -> Report {
        let setup = setup(self.total, wrong);
        let plan = Plan::parse(self.plan).expect("a plan");
        match wrong {
            Some(Node(process, how, since_view)) => {
                let settings = setup.clone();
                let node = move |birth: &Birth| {
                    let how = (birth.process == process).then_some(how);
                    BrokenNode::new(&settings, birth, how).since_view(since_view)
                };
                run_nodes(seed, &setup, &plan, node)
            }
            _ if self.plan.is_empty() => run(seed, &setup),
            _ => run_plan(seed, &setup, &plan),
        }
    }

    /// Runs seeds until the oracle speaks. Otherwise: what others said.
    fn unseen(&self) -> Option<String> {
        let mut others = Vec::new();
        for seed in 1..=SEEDS {
            if !self.plan.is_empty() {
                self.run(seed, None).expect_ok();
            }
            match self.run(seed, Some(self.wrong)).violation {
                Some(v) if v.oracle == self.oracle => return None,
                Some(v) => others.push(v.to_string().chars().take(80).collect::<String>()),
                None => {}
            }
        }
        Some(format!("{} says nothing about {:?}; others: {others:?}", self.oracle, self.wrong))
    }
}

#[test]
fn oracles_see_what_they_watch_for() {
    let unseen: Vec<_> = ROWS.iter().filter_map(Row::unseen).collect();
    assert!(unseen.is_empty(), "{}", unseen.join("\n"));
}

#[test]
fn every_oracle_is_shown_to_see() {
    let all = for_stack(setup(true, None).gives(), true, false);
    let all: BTreeSet<_> = all.iter().map(|oracle| oracle.name()).collect();
    assert_eq!(all, ROWS.iter().map(|row| row.oracle).collect());
}
