//! Scenarios: a plan with expectations, as a text file (the model is etcd/raft's `testdata`).
//!
//! ```text
//! processes 3
//! expect view p0 p1 p2 at p0 within 500ms
//! at 500ms kill p0
//! expect view p1 p2 at p1 within 20ms
//! at 1s start p0
//! from 1s when p1 sends accept kill p1      # in the middle of the view change that lets p0 in
//! expect view p2 p0 at p0 within 2s
//! ```
//! Besides the lines of a plan: `stacks …`, by name, for whoever runs the file; `seed N` of everything that the text does
//! not say; `casts N` (a second and process); `partitionable`, if every part of the group goes on;
//! `no state`, if joiners are not given the group's state; and expectations of one process, which are met one after the other:
//! `view p… at p` (the members, in rank order), `all at p` (everybody, in any order), `blocked p`, `resumed p`, `state p` (it has the group's state), `left p`,
//! `log N at p` (its application has so many messages, those of the state that it was given included). An expectation
//! `within` a time must be met so soon, one `for` a time must be true so long; both count from the expectation before it,
//! or from the last `at` or `from` above it, whichever is later.
//!
//! All processes that are there at the beginning found the group together, so its first view is `p0 p1 …`. Every step
//! must happen: a trigger that has not fired when the last expectation is met fails the scenario, as does a fault that
//! can do nothing. Then everything heals, and the group has to become whole and deliver; or it cannot, for want of a quorum
//! or of the state, where the text says `no progress`. All oracles watch.

use super::{
    node::Node,
    oracles::Violation,
    plan::{Plan, When},
    plan_text::{PlanError, process, span, words},
    process::{Status, index_of},
    report::Report,
    run::{build, conclude, panic_message, report},
    setup::Setup,
    workload::{Workload, WorkloadOptions},
    world::{Birth, Fate, World},
};
use crate::view::View;
use std::panic::{AssertUnwindSafe, catch_unwind};

const MS: u64 = 1_000_000;

/// A plan with expectations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// The names of the stacks that it is about; empty: all.
    pub stacks: Vec<String>,
    /// The seed of everything that the text does not say.
    pub seed: u64,
    /// Whether every part of the group goes on.
    pub partitionable: bool,
    /// Whether joiners are not given the group's state.
    pub no_state: bool,
    /// Casts a second and process; None: as the set-up says.
    pub casts: Option<u64>,
    /// What goes wrong.
    pub plan: Plan,
    /// What must be seen, in this order.
    pub expectations: Vec<Expectation>,
    /// Whether the group has lost its quorum or its state at the end, and cannot go on.
    pub no_progress: bool,
}

/// Something that must be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What.
    pub what: Expected,
    /// At which process.
    pub at: usize,
    /// Not before this time, in nanoseconds: that of the last step above it.
    pub since: u64,
    /// In nanoseconds.
    pub span: u64,
    /// Whether it must be true throughout the span, not only become true within it.
    pub throughout: bool,
    /// The line, for the message.
    pub text: String,
}

/// What can be expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is in a view with these members, in this order.
    View(Vec<usize>),
    /// It is in a view with all processes that live.
    All,
    /// It has lost contact with the quorum.
    Blocked,
    /// It is in a view, and in contact with a quorum.
    Resumed,
    /// It is in a view, and has the group's state.
    State,
    /// It is no longer in the group.
    Left,
    /// Its application has so many messages.
    Log(usize),
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
            ["stacks", names @ ..] => self.stacks = names.iter().map(ToString::to_string).collect(),
            ["seed", n] => self.seed = n.parse().map_err(|_| "not a number")?,
            ["casts", n] => self.casts = Some(n.parse().map_err(|_| "not a number")?),
            ["partitionable"] => self.partitionable = true,
            ["no", "state"] => self.no_state = true,
            ["no", "progress"] => self.no_progress = true,
            ["expect", what @ .., word @ ("within" | "for"), time] => {
                let (what, at) = expected(what)?;
                if at >= self.plan.processes {
                    return Err("there is no such process; `processes` comes first");
                }
                let (span, throughout, text) = (span(time)?, *word == "for", line.trim().to_owned());
                let since = self.plan.steps.iter().map(|s| match s.when {
                    When::At(at) => at,
                    When::Sends { from, .. } => from,
                });
                let since = since.max().unwrap_or(0);
                self.expectations.push(Expectation { what, at, since, span, throughout, text });
            }
            ["expect", ..] => return Err("an expectation ends in `within` or `for` and a duration"),
            _ => self.plan.parse_line(words)?,
        }
        Ok(())
    }

    /// Runs it. A missed expectation, and a step that did not happen, count as violations of `scenario`.
    #[must_use]
    pub fn run(&self, setup: &Setup) -> Report {
        let setup = &Setup {
            partitionable: self.partitionable || setup.partitionable,
            state_transfer: setup.state_transfer && !self.no_state,
            ..setup.clone()
        };
        let casts_per_second = self.casts.unwrap_or(setup.workload.casts_per_second);
        let options = WorkloadOptions { casts_per_second, ..setup.workload_options() };
        let settings = setup.clone();
        let make = move |birth: &Birth| (settings.endpoint(birth), Workload::new(options));
        let mut world = build(self.seed, setup, &self.plan, Vec::new(), make);
        world.found_with(world.votes(self.plan.founders), self.plan.founders);
        world.physics.keep_quorum = false;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.expectations.iter().try_for_each(|e| meet(&mut world, e))?;
            everything_happened(&world)?;
            world.heal();
            let progress = conclude(&mut world, setup.liveness_ms * MS)?;
            if progress == self.no_progress {
                let said = if progress { "goes on" } else { "cannot go on, and `no progress` is not said" };
                return Err(violation(format!("the group {said}")));
            }
            Ok(progress)
        }));
        let outcome = outcome.unwrap_or_else(|p| Err(Violation::new("panic", panic_message(&*p))));
        report(self.seed, &self.plan, &world, outcome)
    }
}

fn violation(text: String) -> Violation {
    Violation::new("scenario", text)
}

fn expected(words: &[&str]) -> Result<(Expected, usize), &'static str> {
    Ok(match words {
        ["view", members @ .., "at", p] if !members.is_empty() => {
            let members = members.iter().map(|m| process(m)).collect::<Result<_, _>>()?;
            (Expected::View(members), process(p)?)
        }
        ["all", "at", p] => (Expected::All, process(p)?),
        ["blocked", p] => (Expected::Blocked, process(p)?),
        ["resumed", p] => (Expected::Resumed, process(p)?),
        ["state", p] => (Expected::State, process(p)?),
        ["left", p] => (Expected::Left, process(p)?),
        ["log", n, "at", p] => (Expected::Log(n.parse().map_err(|_| "not a number")?), process(p)?),
        _ => return Err("one can expect view, all, blocked, resumed, state, left, log"),
    })
}

/// Runs until the expectation is met, or through the time for which it must be true.
fn meet<N: Node>(world: &mut World<N, Workload>, e: &Expectation) -> Result<(), Violation> {
    world.run_until(e.since.max(world.now()));
    let end = world.now() + e.span;
    loop {
        if let Some(violation) = world.violation() {
            return Err(violation.clone());
        }
        let met = is_met(world, e);
        let over = world.now() >= end;
        if met != e.throughout || over {
            let at = world.now() / MS;
            return if met { Ok(()) } else { Err(violation(format!("not so at {at} ms: {}", e.text))) };
        }
        world.run_next(end);
    }
}

fn everything_happened<N: Node>(world: &World<N, Workload>) -> Result<(), Violation> {
    match world.steps.iter().find(|s| s.fate != Fate::Taken) {
        None => Ok(()),
        Some(s) if s.fate == Fate::Void => Err(violation(format!("without effect: {}", s.step))),
        Some(s) => Err(violation(format!("never happened: {}", s.step))),
    }
}

fn is_met<N: Node>(world: &World<N, Workload>, e: &Expectation) -> bool {
    let Some(p) = world.processes.get(e.at) else { return false };
    let view = p.view.as_ref().filter(|_| p.view_of == p.node.as_ref().map(Node::me));
    match &e.what {
        Expected::View(members) => view.is_some_and(|v| {
            v.members.iter().map(|m| index_of(m.id.addr)).eq(members.iter().map(|m| Some(*m)))
        }),
        Expected::All => {
            let all = || world.processes.iter().enumerate().filter(|(_, p)| p.is_alive());
            let lists = |v: &View, p: usize| v.members.iter().any(|m| index_of(m.id.addr) == Some(p));
            view.is_some_and(|v| v.len() == all().count() && all().all(|(i, _)| lists(v, i)))
        }
        Expected::Blocked => p.is_alive() && p.blocked,
        Expected::Resumed => view.is_some() && !p.blocked,
        Expected::State => view.is_some() && !p.awaits_state,
        Expected::Left => p.status == Status::Gone,
        Expected::Log(n) => p.app.as_ref().is_some_and(|app| app.log_len() == *n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read() {
        let text = "seed 7\nstacks fifo total\nprocesses 3\ncasts 5\nat 3ms kill p0 # now\n\
                    expect view p1 p2 at p1 within 2s\nfrom 7ms when p1 sends accept kill p1\n\
                    expect blocked p2 for 10ms\nexpect log 4 at p2 within 1s\nno state\nno progress";
        let s = Scenario::parse(text).expect("well-formed");
        assert_eq!((s.seed, s.casts, s.plan.steps.len()), (7, Some(5), 2));
        assert_eq!((s.no_state, s.no_progress, s.partitionable), (true, true, false));
        assert_eq!(s.stacks, ["fifo", "total"]);
        let [view, blocked, log] = &s.expectations[..] else { panic!("three expectations") };
        assert_eq!((&view.what, view.at, view.since), (&Expected::View(vec![1, 2]), 1, 3 * MS));
        assert_eq!((&blocked.what, blocked.throughout, blocked.since), (&Expected::Blocked, true, 7 * MS));
        assert_eq!((&log.what, log.throughout, log.span), (&Expected::Log(4), false, 1_000 * MS));
        for bad in [
            "expect view at p1 within 2s",
            "expect blocked p1",
            "expect blocked p3 for 1s",
            "expect peace p1 within 1s",
            "expect log x at p1 within 1s",
            "seed x",
        ] {
            let error = Scenario::parse(&format!("processes 3\n{bad}")).expect_err(bad);
            assert_eq!(error.line, 2, "{bad}");
        }
    }
}
