//! Members that take frames more slowly than the group's policy allows.
//!
//! Who has waited for one for the time that the policy states says so to all ([`crate::layer::Up::Slow`], SLOW), again and
//! again until it has credit. The proposer then leaves that one behind, or takes it along as a learner, as it would one
//! that asks to leave. Nobody is left behind for being slow if those that are left would be no quorum, or would not have
//! the group's state: then everybody waits, as without a policy. An accuser counts for nothing against that rule.
//!
//! **Bounds.** One word of each member; one message to all every 100 ms while somebody is slow.

use super::{core::Core, io::Effects, member::Member};
use crate::{
    id::Rank,
    layer,
    time::Time,
    wire::{self, Body},
};
use std::{collections::BTreeMap, time::Duration};

/// Who waits for a slow member says so this often.
const SAY: Duration = Duration::from_millis(100);

/// Who says that who is slow.
#[derive(Default)]
pub(super) struct Complaints {
    by: BTreeMap<Rank, layer::Slow>,
    /// When to say again what this member waits for; None: for nobody.
    say_at: Option<Time>,
}

impl Complaints {
    pub(super) fn deadline(&self) -> Time {
        self.say_at.unwrap_or(Time::NEVER)
    }
}

impl Member {
    /// The stack says whom it waits for.
    pub(super) fn on_slow(&mut self, slow: layer::Slow) {
        self.complaints.by.insert(self.rank, slow);
        self.complaints.say_at = Some(Time::ZERO);
    }

    /// Another member says whom it waits for.
    pub(super) fn on_complaint(&mut self, from: Rank, said: &wire::Slow) {
        let slow = layer::Slow { exclude: said.exclude, demote: said.demote };
        self.complaints.by.insert(from, slow);
    }

    /// Tells the others, if it is time.
    pub(super) fn complain(&mut self, now: Time, core: &Core, fx: &mut Effects) {
        if self.complaints.say_at.is_none_or(|at| now < at) {
            return;
        }
        let slow = self.complaints.by.get(&self.rank).copied().unwrap_or_default();
        // That there is nothing any more is said once; a member that does not hear it acts on what was true.
        self.complaints.say_at = (slow.all() != 0).then(|| now + SAY);
        let body = wire::Slow { view: Some(self.view.id.into()), exclude: slow.exclude, demote: slow.demote };
        core.send_all(super::seeking::others(&self.ids(), core.me), Body::Slow(body), fx);
    }

    /// What is to be done about slow members when these are excluded anyway.
    pub(super) fn slow(&self, excluded: u64) -> layer::Slow {
        if self.complaints.by.is_empty() {
            return layer::Slow::default();
        }
        let everyone = u64::MAX >> (64 - self.view.len());
        let mut slow = layer::Slow::default();
        for (by, said) in self.complaints.by.iter().filter(|(by, _)| excluded >> **by & 1 == 0) {
            let others = everyone & !excluded & !(1 << by);
            slow.exclude |= said.exclude & others;
            slow.demote |= said.demote & others;
        }
        // A witness has no use as a learner.
        let witnesses = self.view.members.iter().enumerate().filter(|(_, m)| m.role.witness);
        slow.exclude |= slow.demote & witnesses.fold(0_u64, |mask, (r, _)| mask | 1 << r);
        slow.demote &= !slow.exclude;
        let stays = everyone & !excluded & !slow.all() & !self.joins.leavers;
        let can_go_on = |r: usize| stays >> r & 1 == 1 && self.view.members[r].role.class() == 0;
        let has_state = |r: usize| self.decision.complete.get(r) == Some(&true);
        let state = (0..self.view.len()).any(|r| can_go_on(r) && has_state(r));
        if state && self.view.is_quorum(stays) { slow } else { layer::Slow::default() }
    }
}
