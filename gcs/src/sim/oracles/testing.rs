//! Hand-written traces for the oracles' tests.

use super::{Oracle, ProcessSummary, Summary};
use crate::{
    id::MemberId,
    sim::{
        envelope::MessageId,
        process::member_of,
        trace::{Installed, Observation, What},
    },
    view::{Role, ViewId},
};
use std::{collections::BTreeMap, sync::Arc};

/// A process in its first life.
pub(crate) fn member(process: usize) -> MemberId {
    member_of(process, 1)
}

pub(crate) fn id(number: u64) -> ViewId {
    ViewId { epoch: 1, number }
}

/// Builds a trace. One millisecond passes with every observation.
#[derive(Clone, Default)]
pub(crate) struct Script {
    out: Vec<Observation>,
    lives: BTreeMap<usize, u32>,
    views: BTreeMap<usize, (u64, Vec<MemberId>)>,
    epoch: u64,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self { epoch: 1, ..Self::default() }
    }

    pub(crate) fn observations(&self) -> &[Observation] {
        &self.out
    }

    pub(crate) fn me(&self, process: usize) -> MemberId {
        member_of(process, self.lives.get(&process).copied().unwrap_or(1))
    }

    pub(crate) fn push(mut self, process: usize, what: What) -> Self {
        let member = self.me(process);
        self.out.push(Observation { at: (self.out.len() as u64 + 1) * 1_000_000, process, member, what });
        self
    }

    /// Views from here on are of this epoch.
    pub(crate) fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    pub(crate) fn start(mut self, process: usize) -> Self {
        *self.lives.entry(process).or_insert(0) += 1;
        self.views.remove(&process);
        if self.lives[&process] == 1 {
            self.lives.insert(process, 2);
        }
        self.push(process, What::Started)
    }

    pub(crate) fn crash(mut self, process: usize) -> Self {
        self.views.remove(&process);
        self.push(process, What::Crashed)
    }

    /// One process installs a view with these members, all in their present lives.
    pub(crate) fn view(self, process: usize, number: u64, members: &[usize]) -> Self {
        let ids = members.iter().map(|m| self.me(*m)).collect();
        self.view_of(process, number, ids)
    }

    pub(crate) fn view_of(mut self, process: usize, number: u64, members: Vec<MemberId>) -> Self {
        let before = self.views.insert(process, (number, members.clone()));
        let came_with: Vec<MemberId> = match &before {
            Some((_, old)) => members.iter().filter(|m| old.contains(m)).copied().collect(),
            None => vec![self.me(process)],
        };
        let me = self.me(process);
        let installed = Installed {
            id: ViewId { epoch: self.epoch, number },
            rank: members.iter().position(|m| *m == me).and_then(|r| u16::try_from(r).ok()).unwrap_or(0),
            roles: vec![Role::default(); members.len()].into(),
            members: members.into(),
            primary: true,
            merges: false,
            previous: before.map(|(n, _)| ViewId { epoch: self.epoch, number: n }),
            came_with: came_with.into(),
            awaits_state: false,
            digest: None,
        };
        self.push(process, What::View(Box::new(installed)))
    }

    /// Changes the last observation, which must be a view.
    pub(crate) fn alter(mut self, f: impl FnOnce(&mut Installed)) -> Self {
        if let Some(What::View(v)) = self.out.last_mut().map(|o| &mut o.what) {
            f(v);
        }
        self
    }

    /// All of them install it, and count for these weights, by rank.
    pub(crate) fn install_weighted(self, number: u64, members: &[usize], weights: &[u16]) -> Self {
        let roles: Vec<_> = weights.iter().map(|w| Role { weight: *w, witness: false }).collect();
        let weigh = |v: &mut Installed| v.roles = roles.as_slice().into();
        members.iter().fold(self, |s, m| s.view(*m, number, members).alter(weigh))
    }

    /// All of them install it.
    pub(crate) fn install(self, number: u64, members: &[usize]) -> Self {
        members.iter().fold(self, |s, m| s.view(*m, number, members))
    }

    fn current(&self, process: usize) -> Option<ViewId> {
        self.views.get(&process).map(|(number, _)| ViewId { epoch: self.epoch, number: *number })
    }

    pub(crate) fn message(&self, process: usize, count: u32) -> MessageId {
        MessageId::new(process, self.lives.get(&process).copied().unwrap_or(1), count)
    }

    pub(crate) fn sent(self, process: usize, count: u32) -> Self {
        let (id, view) = (self.message(process, count), self.current(process));
        self.push(process, What::Sent { id, digest: 7, view })
    }

    /// `at` delivers a message of `from` in the view it is in.
    pub(crate) fn deliver(self, at: usize, from: usize, count: u32) -> Self {
        let (id, view, sender) = (self.message(from, count), self.current(at), self.me(from));
        self.push(at, What::Delivered { id, digest: 7, view, from: Some(sender) })
    }

    /// All of them deliver it.
    pub(crate) fn deliver_all(self, at: &[usize], from: usize, count: u32) -> Self {
        at.iter().fold(self, |s, p| s.deliver(*p, from, count))
    }

    /// How a run ends in which every process of `members` is in the view that it installed last.
    pub(crate) fn summary(&self, members: &[usize]) -> Summary {
        let processes = members
            .iter()
            .map(|p| ProcessSummary {
                member: self.me(*p),
                alive: true,
                leaving: false,
                witness: false,
                gave_up: false,
                view: self
                    .views
                    .get(p)
                    .map(|(n, m)| (ViewId { epoch: self.epoch, number: *n }, Arc::from(m.as_slice()))),
                blocked: false,
                writable: true,
                awaits_state: false,
            })
            .collect();
        Summary { expect_progress: true, processes, probes: Vec::new() }
    }

    pub(crate) fn run(&self, oracle: &mut dyn Oracle) -> Result<(), String> {
        self.out.iter().try_for_each(|o| oracle.observe(o)).map_err(|v| v.message)
    }

    /// Asserts that the oracle has nothing against the trace.
    pub(crate) fn passes(&self, mut oracle: impl Oracle) {
        assert_eq!(self.run(&mut oracle), Ok(()), "{}", oracle.name());
        let members: Vec<_> = self.views.keys().copied().collect();
        assert_eq!(oracle.finish(&self.summary(&members)), Ok(()), "{}", oracle.name());
    }

    /// Asserts that the oracle finds a violation at the last observation, or at the end.
    pub(crate) fn fails(&self, mut oracle: impl Oracle) {
        let (last, before) = self.out.split_last().expect("a trace");
        for o in before {
            assert_eq!(oracle.observe(o), Ok(()), "{} complains too early", oracle.name());
        }
        let members: Vec<_> = self.views.keys().copied().collect();
        let said = oracle.observe(last).and_then(|()| oracle.finish(&self.summary(&members)));
        assert!(said.is_err(), "{} sees nothing", oracle.name());
    }
}
