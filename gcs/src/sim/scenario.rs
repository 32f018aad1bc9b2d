//! Scenarios: a plan with expectations, as a text file (the model is etcd/raft's `testdata`).
//!
//! ```text
//! seed 7
//! processes 3
//! at 300ms kill p0
//! expect view p1 p2 at p1 within 2s
//! at 3s start p0
//! expect view p1 p2 p0 at p2 within 5s
//! ```
//! Besides the lines of a plan: `seed N`; `casts N` (a second and process); and expectations, which are met one after the
//! other, each within a time after the one before: `view p… at p` (the members, in rank order), `blocked p`, `resumed
//! p`, `state p` (it has the group's state), `left p`. `safety only` lets the run end without the liveness phase. All
//! oracles watch.

use super::{
    node::Node,
    oracles::Violation,
    plan::Plan,
    plan_text::{PlanError, process, span, words},
    process::{Status, index_of},
    report::Report,
    run::{build, conclude, panic_message, report},
    setup::Setup,
    workload::{Workload, WorkloadOptions},
    world::World,
};
use crate::properties::Properties;
use std::panic::{AssertUnwindSafe, catch_unwind};

const MS: u64 = 1_000_000;

/// A plan with expectations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// The seed of everything that the text does not say.
    pub seed: u64,
    /// Casts a second and process; None: as the set-up says.
    pub casts: Option<u64>,
    /// What goes wrong.
    pub plan: Plan,
    /// What must be seen, in this order.
    pub expectations: Vec<Expectation>,
    /// Whether the run ends when the last expectation is met.
    pub safety_only: bool,
}

/// Something that must be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What.
    pub what: Expected,
    /// At which process.
    pub at: usize,
    /// Within this time after the previous expectation was met, in nanoseconds.
    pub within: u64,
    /// The line, for the message.
    pub text: String,
}

/// What can be expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is in a view with these members, in this order.
    View(Vec<usize>),
    /// It has lost contact with the quorum.
    Blocked,
    /// It is in a view, and in contact with a quorum.
    Resumed,
    /// It is in a view, and has the group's state.
    State,
    /// It is no longer in the group.
    Left,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// The first line that is not understood.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let mut scenario = Self { seed: 1, ..Self::default() };
        for (i, line) in text.lines().enumerate() {
            scenario.parse_line(&words(line), line).map_err(|problem| PlanError {
                line: i + 1,
                problem,
                text: line.to_owned(),
            })?;
        }
        Ok(scenario)
    }

    fn parse_line(&mut self, words: &[&str], line: &str) -> Result<(), &'static str> {
        match words {
            ["seed", n] => self.seed = n.parse().map_err(|_| "not a number")?,
            ["casts", n] => self.casts = Some(n.parse().map_err(|_| "not a number")?),
            ["safety", "only"] => self.safety_only = true,
            ["expect", what @ .., "within", within] => {
                let (what, at) = expected(what)?;
                let text = line.trim().to_owned();
                self.expectations.push(Expectation { what, at, within: span(within)?, text });
            }
            _ => self.plan.parse_line(words)?,
        }
        Ok(())
    }

    /// Runs it. A missed expectation counts as a violation of `scenario`.
    #[must_use]
    pub fn run(&self, setup: &Setup) -> Report {
        let ordered = setup.gives().contains(Properties::TOTAL_ORDER);
        let casts_per_second = self.casts.unwrap_or(setup.workload.casts_per_second);
        let state_transfer = setup.state_transfer;
        let options = WorkloadOptions { ordered, state_transfer, casts_per_second, ..setup.workload };
        let mut world = build(self.seed, setup, &self.plan, Vec::new(), move |_| Workload::new(options));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.expectations.iter().try_for_each(|e| meet(&mut world, e))?;
            if self.safety_only {
                return Ok(false);
            }
            world.heal();
            conclude(&mut world, setup.liveness_ms * MS)
        }));
        let outcome = outcome.unwrap_or_else(|p| Err(Violation::new("panic", panic_message(&*p))));
        report(self.seed, &self.plan, &world, outcome)
    }
}

fn expected(words: &[&str]) -> Result<(Expected, usize), &'static str> {
    Ok(match words {
        ["view", members @ .., "at", p] if !members.is_empty() => {
            let members = members.iter().map(|m| process(m)).collect::<Result<_, _>>()?;
            (Expected::View(members), process(p)?)
        }
        ["blocked", p] => (Expected::Blocked, process(p)?),
        ["resumed", p] => (Expected::Resumed, process(p)?),
        ["state", p] => (Expected::State, process(p)?),
        ["left", p] => (Expected::Left, process(p)?),
        _ => return Err("one can expect view, blocked, resumed, state, left"),
    })
}

/// Runs until the expectation is met.
fn meet<N: Node>(world: &mut World<N, Workload>, e: &Expectation) -> Result<(), Violation> {
    let end = world.now() + e.within;
    while !is_met(world, e) {
        if world.now() >= end {
            let at = world.now() / MS;
            return Err(Violation::new("scenario", format!("not seen by {at} ms: {}", e.text)));
        }
        world.run_until((world.now() + MS).min(end));
        if let Some(violation) = world.violation() {
            return Err(violation.clone());
        }
    }
    Ok(())
}

fn is_met<N: Node>(world: &World<N, Workload>, e: &Expectation) -> bool {
    let Some(p) = world.processes.get(e.at) else { return false };
    let view = p.view.as_ref().filter(|_| p.view_of == p.node.as_ref().map(Node::me));
    match &e.what {
        Expected::View(members) => view.is_some_and(|v| {
            v.members.iter().map(|m| index_of(m.id.addr)).eq(members.iter().map(|m| Some(*m)))
        }),
        Expected::Blocked => p.is_alive() && p.blocked,
        Expected::Resumed => view.is_some() && !p.blocked,
        Expected::State => view.is_some() && !p.awaits_state,
        Expected::Left => p.status == Status::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read() {
        let text = "seed 7\nprocesses 3\ncasts 5\nat 3ms kill p0 # now\nexpect view p1 p2 at p1 within 2s\n\
                    expect blocked p2 within 10ms\nsafety only";
        let s = Scenario::parse(text).expect("well-formed");
        assert_eq!((s.seed, s.casts, s.safety_only, s.plan.steps.len()), (7, Some(5), true, 1));
        assert_eq!(s.expectations[0].what, Expected::View(vec![1, 2]));
        assert_eq!((s.expectations[1].at, s.expectations[1].within), (2, 10 * MS));
        for bad in ["expect view at p1 within 2s", "expect blocked p1", "expect peace p1 within 1s", "seed x"]
        {
            assert_eq!(Scenario::parse(bad).expect_err(bad).line, 1);
        }
    }
}
