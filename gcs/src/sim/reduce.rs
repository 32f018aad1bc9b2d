//! Makes a failing run smaller: fewer faults, fewer processes, fewer casts, as long as the same oracle complains.
//!
//! Faults are removed by delta debugging (Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).

use super::{
    plan::{Plan, Step},
    report::Report,
    run::run_plan,
    setup::Setup,
};

/// A smaller run that fails in the same way.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// The set-up, perhaps with fewer casts.
    pub setup: Setup,
    /// The run.
    pub report: Report,
    /// How many runs it took to find it.
    pub runs: u32,
}

/// Reduces a failing run of [`super::run`] or [`run_plan`], in at most `budget` runs. The result repeats with
/// `run_plan(report.seed, &setup, &report.plan)`.
#[must_use]
pub fn reduce(report: &Report, setup: &Setup, budget: u32) -> Reduced {
    let mut reduction = Reduction {
        oracle: report.violation.as_ref().map_or("", |v| &v.oracle).to_owned(),
        best: Reduced { setup: setup.clone(), report: report.clone(), runs: 0 },
        budget,
    };
    if !report.is_ok() {
        // What one kind of reduction makes superfluous, another can remove.
        for _ in 0..3 {
            let before = reduction.size();
            reduction.fewer_steps();
            reduction.fewer_processes();
            reduction.fewer_casts();
            if reduction.size() == before {
                break;
            }
        }
    }
    reduction.best
}

struct Reduction {
    oracle: String,
    best: Reduced,
    budget: u32,
}

impl Reduction {
    fn size(&self) -> (usize, usize, u64) {
        let plan = &self.best.report.plan;
        (plan.steps.len(), plan.processes, self.best.setup.workload.casts_per_second)
    }

    /// Whether this fails in the same way; if so, it is the best so far.
    fn attempt(&mut self, setup: Setup, plan: &Plan) -> bool {
        if self.best.runs >= self.budget {
            return false;
        }
        self.best.runs += 1;
        let report = run_plan(self.best.report.seed, &setup, plan);
        let same = report.violation.as_ref().is_some_and(|v| v.oracle == self.oracle);
        if same {
            self.best.report = report;
            self.best.setup = setup;
        }
        same
    }

    fn fewer_steps(&mut self) {
        let mut chunk = self.best.report.plan.steps.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < self.best.report.plan.steps.len() {
                let mut plan = self.best.report.plan.clone();
                let end = (at + chunk).min(plan.steps.len());
                plan.steps.drain(at..end);
                if !self.attempt(self.best.setup.clone(), &plan) {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
    }

    fn fewer_processes(&mut self) {
        while self.best.report.plan.processes > 1 {
            let mut plan = self.best.report.plan.clone();
            plan.processes -= 1;
            plan.founders = plan.founders.min(plan.processes);
            let in_it = |s: &Step| s.highest().is_none_or(|p| p < plan.processes);
            plan.steps.retain(in_it);
            if !self.attempt(self.best.setup.clone(), &plan) {
                return;
            }
        }
    }

    fn fewer_casts(&mut self) {
        while self.best.setup.workload.casts_per_second > 1 {
            let mut setup = self.best.setup.clone();
            setup.workload.casts_per_second /= 2;
            let plan = self.best.report.plan.clone();
            if !self.attempt(setup, &plan) {
                return;
            }
        }
    }
}
