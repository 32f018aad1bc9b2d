//! Random plans: all kinds of faults over the safety phase, from a seed.

use super::{
    network::Disturbance,
    plan::{Fault, Plan, Step, When},
};
use crate::{rng::Rng, view::Role};
use std::collections::BTreeMap;

/// Which kinds of faults plans contain, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// At most so many faults in a plan.
    pub most: u64,
    /// Processes are killed, and most of them started again.
    pub kills: bool,
    /// Processes are stopped for a while.
    pub pauses: bool,
    /// Links are cut, one way and both, and the network is split.
    pub cuts: bool,
    /// Loss, duplication, reordering, delay, little bandwidth.
    pub disturbances: bool,
    /// Datagrams arrive damaged. Nothing in a plain stack notices all damage (a network's own checksums do), so only
    /// panics count in a run with corruption, unless the group has keys.
    pub corruption: bool,
    /// Processes join and leave, also many at once.
    pub churn: bool,
    /// Applications that take nothing for a while.
    pub congestion: bool,
    /// A stranger sends garbage.
    pub strangers: bool,
    /// Faults that happen in the middle of a view change.
    pub triggers: bool,
    /// No fault: some members have several votes, some are witnesses, some learners. What else the plan says does not
    /// depend on it.
    pub roles: bool,
    /// Besides all that, the quorum is lost or cut off, and the operator forces somebody to go on, or several.
    pub forces: bool,
    /// Besides all that, members ask for new views.
    pub renewals: bool,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            most: 0,
            kills: false,
            pauses: false,
            cuts: false,
            disturbances: false,
            corruption: false,
            churn: false,
            congestion: false,
            strangers: false,
            triggers: false,
            roles: false,
            forces: false,
            renewals: false,
        }
    }

    /// Every kind except corruption, among members that are all the same.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            most: 12,
            kills: true,
            pauses: true,
            cuts: true,
            disturbances: true,
            corruption: false,
            churn: true,
            congestion: true,
            strangers: true,
            triggers: true,
            roles: false,
            forces: false,
            renewals: false,
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::all()
    }
}

/// Kinds of control messages in whose midst triggered faults happen.
const KINDS: [&str; 10] = [
    "prepare",
    "promise",
    "accept",
    "accepted",
    "decide",
    "member-list",
    "member-joined",
    "join",
    "state-pull",
    "state-piece",
];

const MS: u64 = 1_000_000;

/// Adds faults of one kind to a plan.
type Kind = fn(&mut Generator);

/// A plan for `members` (from, to) founding processes and up to two more that join later, with faults up to `safety_ms`.
#[must_use]
pub fn generate(seed: u64, members: (usize, usize), faults: &Faults, safety_ms: u64) -> Plan {
    let mut rng = Rng::new(seed ^ 0x914a_0f5e_ed00_0002);
    let spread = members.1.saturating_sub(members.0) as u64 + 1;
    let founders = members.0 + small(&mut rng, spread);
    let joiners = if faults.churn { small(&mut rng, 3) } else { 0 };
    let processes = founders + joiners;
    let mut g = Generator { rng, processes, safety: safety_ms, steps: Vec::new() };
    for joiner in founders..processes {
        let at = g.rng.below(safety_ms);
        g.at(at, Fault::Start { process: joiner });
    }
    let kinds = g.kinds(faults);
    let count = if kinds.is_empty() { 0 } else { 1 + g.rng.below(faults.most.max(1)) };
    for _ in 0..count {
        let kind = kinds[small(&mut g.rng, kinds.len() as u64)];
        kind(&mut g);
    }
    if faults.forces {
        g.rng = Rng::new(seed ^ 0xf04c_ed00_0000_0006);
        (0..1 + g.rng.below(2)).for_each(|_| g.force());
    }
    if faults.renewals {
        g.rng = Rng::new(seed ^ 0x4e4e_5000_0000_0007);
        for _ in 0..1 + g.rng.below(8) {
            let (at, process) = (g.time(), g.process());
            g.at(at, Fault::Renew { process });
        }
    }
    let roles = if faults.roles { roles(seed, processes) } else { BTreeMap::new() };
    Plan { processes, founders, roles, steps: g.steps }
}

/// Half of the processes, and the first two of all, have an application, mostly with one vote.
fn roles(seed: u64, processes: usize) -> BTreeMap<usize, Role> {
    let mut rng = Rng::new(seed ^ 0x4013_5eed_0000_0005);
    let mut roles = BTreeMap::new();
    for process in 0..processes {
        let weight = 1 + u16::try_from(rng.below(3)).unwrap_or(0);
        let role = match rng.below(8) {
            0 | 1 if process > 1 => Role { weight: weight.min(2), witness: true },
            2 | 3 if process > 1 => Role::LEARNER,
            4 | 5 => Role { weight, witness: false },
            _ => Role::default(),
        };
        if role != Role::default() {
            roles.insert(process, role);
        }
    }
    roles
}

fn small(rng: &mut Rng, bound: u64) -> usize {
    usize::try_from(rng.below(bound)).unwrap_or(0)
}

struct Generator {
    rng: Rng,
    processes: usize,
    /// Milliseconds.
    safety: u64,
    steps: Vec<Step>,
}

impl Generator {
    /// The kinds to choose from; what is listed twice is chosen twice as often.
    fn kinds(&self, faults: &Faults) -> Vec<Kind> {
        let table: [(bool, Kind); 15] = [
            (faults.kills, Self::kill),
            (faults.kills, Self::kill),
            (faults.kills && faults.churn, Self::storm),
            (faults.kills && faults.churn, Self::restart_all),
            (faults.pauses, Self::pause),
            (faults.cuts, Self::cut),
            (faults.cuts, Self::partition),
            (faults.cuts, Self::isolate),
            (faults.triggers && faults.kills, Self::kill_amid_frames),
            (faults.disturbances, Self::disturb),
            (faults.disturbances, Self::disturb),
            (faults.churn, Self::leave),
            (faults.congestion, Self::congest),
            (faults.strangers, Self::stranger),
            (faults.triggers, Self::trigger),
        ];
        let mut kinds: Vec<_> = table.iter().filter(|(on, _)| *on).map(|(_, f)| *f).collect();
        if faults.corruption {
            kinds.push(Self::corrupt);
        }
        if faults.triggers {
            kinds.extend([Self::trigger as Kind; 2]);
        }
        kinds
    }

    fn at(&mut self, ms: u64, fault: Fault) {
        // A little off the full millisecond, so that things do not happen at the same instant.
        let at = ms * MS + self.rng.below(1_000) * 1_000;
        self.steps.push(Step { when: When::At(at), fault });
    }

    fn time(&mut self) -> u64 {
        self.rng.below(self.safety)
    }

    fn process(&mut self) -> usize {
        small(&mut self.rng, self.processes as u64)
    }

    /// A duration in nanoseconds: mostly short, sometimes as long as it takes to be suspected, sometimes much longer.
    fn lasts(&mut self) -> u64 {
        let most = [30, 250, 900, 1_800][small(&mut self.rng, 4)];
        (1 + self.rng.below(most)) * MS
    }

    fn kill(&mut self) {
        let (at, process) = (self.time(), self.process());
        let evidence = self.rng.chance(600);
        self.at(at, Fault::Kill { process, evidence });
        if self.rng.chance(700) {
            let after = 1 + self.rng.below(900);
            self.at(at + after, Fault::Start { process });
        }
    }

    /// Several processes die or leave at about the same time, and come back at about the same time.
    fn storm(&mut self) {
        let at = self.time();
        let back = at + 20 + self.rng.below(700);
        for _ in 0..1 + self.rng.below(3) {
            let process = self.process();
            let soon = at + self.rng.below(10);
            let fault = if self.rng.chance(500) {
                Fault::Leave { process }
            } else {
                Fault::Kill { process, evidence: self.rng.chance(700) }
            };
            self.at(soon, fault);
            let again = back + self.rng.below(10);
            self.at(again, Fault::Start { process });
        }
    }

    /// A total stop, seldom: it ends what went before.
    fn restart_all(&mut self) {
        if !self.rng.chance(250) {
            return;
        }
        let at = self.time();
        self.at(at, Fault::StopAll);
        for process in 0..self.processes {
            let later = at + 1 + self.rng.below(200);
            self.at(later, Fault::Start { process });
        }
    }

    fn pause(&mut self) {
        let (at, process, lasts) = (self.time(), self.process(), self.lasts());
        self.at(at, Fault::Pause { process, lasts });
    }

    fn cut(&mut self) {
        let (at, from, to) = (self.time(), self.process(), self.process());
        let (both, lasts) = (self.rng.chance(300), self.lasts());
        if from != to {
            self.at(at, Fault::Cut { from, to, both, lasts: Some(lasts) });
        }
    }

    fn partition(&mut self) {
        let (at, lasts) = (self.time(), self.lasts());
        let side: Vec<_> = (0..self.processes).filter(|_| self.rng.chance(400)).collect();
        if !side.is_empty() && side.len() < self.processes {
            self.at(at, Fault::Partition { side, lasts: Some(lasts) });
        }
    }

    /// Somebody, likely the oldest member, is alone for longer than it takes to be excluded, and perhaps dies in it:
    /// what it delivers alone must not be lost.
    fn isolate(&mut self) {
        let at = self.time();
        let process = if self.rng.chance(500) { 0 } else { self.process() };
        let lasts = (600 + self.rng.below(1_200)) * MS;
        self.at(at, Fault::Partition { side: vec![process], lasts: Some(lasts) });
        if self.rng.chance(400) {
            let after = 1 + self.rng.below(300);
            let evidence = self.rng.chance(500);
            self.at(at + after, Fault::Kill { process, evidence });
        }
    }

    /// Somebody dies when a frame has reached some of the others, but not all.
    fn kill_amid_frames(&mut self) {
        let process = self.process();
        let nth = 1 + u32::try_from(self.rng.below(1_200)).unwrap_or(0);
        let fault = Fault::Kill { process, evidence: self.rng.chance(600) };
        self.steps
            .push(Step { when: When::Sends { process, kind: "frame".to_owned(), nth, from: 0 }, fault });
        if self.rng.chance(500) {
            let at = self.time();
            self.at(at, Fault::Start { process });
        }
    }

    fn disturb(&mut self) {
        let (what, most) = [
            (Disturbance::Loss, 250),
            (Disturbance::Duplicate, 300),
            (Disturbance::Reorder, 300),
            (Disturbance::Delay, 40_000),
            (Disturbance::Bandwidth, 2_000),
        ][small(&mut self.rng, 5)];
        let least = if what == Disturbance::Bandwidth { 100 } else { 1 };
        let (at, lasts) = (self.time(), self.lasts());
        let value = least + self.rng.below(most);
        self.at(at, Fault::Disturb { what, value, lasts });
    }

    fn corrupt(&mut self) {
        let (at, lasts) = (self.time(), self.lasts());
        let value = 1 + self.rng.below(100);
        self.at(at, Fault::Disturb { what: Disturbance::Corrupt, value, lasts });
    }

    fn leave(&mut self) {
        let (at, process) = (self.time(), self.process());
        self.at(at, Fault::Leave { process });
        if self.rng.chance(600) {
            let after = 1 + self.rng.below(500);
            self.at(at + after, Fault::Start { process });
        }
    }

    /// The operator says that somebody is to go on alone, who is cut off with or without others, or survives them.
    fn force(&mut self) {
        let at = self.rng.below(self.safety / 2);
        let survivor = self.process();
        let others: Vec<_> = (0..self.processes).filter(|p| *p != survivor).collect();
        let side: Vec<_> = others.iter().copied().filter(|_| self.rng.chance(250)).collect();
        if self.rng.chance(400) {
            for process in others.iter().copied().filter(|p| !side.contains(p)) {
                self.at(at, Fault::Kill { process, evidence: false });
                if self.rng.chance(600) {
                    let later = at + 500 + self.rng.below(1_000);
                    self.at(later, Fault::Start { process });
                }
            }
        } else {
            let lasts = (700 + self.rng.below(1_500)) * MS;
            let side = side.iter().copied().chain([survivor]).collect();
            self.at(at, Fault::Partition { side, lasts: Some(lasts) });
        }
        let told = at + 450 + self.rng.below(600);
        self.at(told, Fault::Force { process: survivor });
        if let Some(other) = side.first().copied().filter(|_| self.rng.chance(300)) {
            let told = at + 450 + self.rng.below(900);
            self.at(told, Fault::Force { process: other });
        }
    }

    fn congest(&mut self) {
        let (at, process, lasts) = (self.time(), self.process(), self.lasts());
        self.at(at, Fault::Congest { process, lasts });
    }

    fn stranger(&mut self) {
        let at = self.time();
        let count = 1 + self.rng.below(30);
        self.at(at, Fault::Stranger { count });
    }

    /// In the middle of a view change somebody dies, stops, or loses a link.
    fn trigger(&mut self) {
        let process = self.process();
        let kind = KINDS[small(&mut self.rng, KINDS.len() as u64)].to_owned();
        let nth = 1 + u32::try_from(self.rng.below(6)).unwrap_or(0);
        let lasts = self.lasts();
        let victim = if self.rng.chance(700) { process } else { self.process() };
        let fault = match self.rng.below(5) {
            0 | 1 => Fault::Kill { process: victim, evidence: self.rng.chance(600) },
            2 => Fault::Pause { process: victim, lasts },
            3 => {
                let to = self.process();
                if to == victim {
                    return;
                }
                Fault::Cut { from: victim, to, both: self.rng.chance(500), lasts: Some(lasts) }
            }
            _ => Fault::Partition { side: vec![victim], lasts: Some(lasts) },
        };
        self.steps.push(Step { when: When::Sends { process, kind, nth, from: 0 }, fault });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_reproducible_and_can_be_read_back() {
        for seed in 0..300 {
            let plan = generate(seed, (3, 7), &Faults { corruption: true, ..Faults::all() }, 1_500);
            assert_eq!(plan, generate(seed, (3, 7), &Faults { corruption: true, ..Faults::all() }, 1_500));
            assert_eq!(Plan::parse(&plan.to_string()).as_ref(), Ok(&plan), "{plan}");
            assert!((3..=7).contains(&plan.founders) && plan.processes <= 9);
        }
    }

    #[test]
    fn roles_change_nothing_else() {
        for seed in 0..200 {
            let same = generate(seed, (3, 7), &Faults::all(), 1_500);
            let plan = generate(seed, (3, 7), &Faults { roles: true, ..Faults::all() }, 1_500);
            assert_eq!(Plan::parse(&plan.to_string()).as_ref(), Ok(&plan), "{plan}");
            assert!((0..2).all(|p| plan.role(p).class() == 0), "{plan}");
            assert_eq!(Plan { roles: BTreeMap::new(), ..plan }, same);
        }
    }

    #[test]
    fn kinds_can_be_left_out() {
        let calm = generate(5, (3, 3), &Faults::none(), 1_000);
        assert_eq!(calm, Plan::calm(3));
        for seed in 0..100 {
            let only = Faults { most: 10, pauses: true, ..Faults::none() };
            let plan = generate(seed, (3, 5), &only, 1_000);
            assert!(plan.steps.iter().all(|s| matches!(s.fault, Fault::Pause { .. })));
        }
    }
}
