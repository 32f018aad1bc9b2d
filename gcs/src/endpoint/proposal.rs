//! What a view change proposes: who is in the next view and what each counts for, and which frames of this one count.

use super::{change::Promised, core::Core, decision::common_version, joins::Joiner, member::Member};
use crate::{
    id::{MAX_MEMBERS, MemberId, Rank},
    membership::{Ballot, choose},
    time::Time,
    view::{self, Role, ViewId},
    wire::{Entry, Value},
};
use std::collections::BTreeMap;

impl Member {
    /// The value to propose: one accepted earlier, or what the promises say. None while nobody would be left, or nobody
    /// who has the application: then whoever is away may come back.
    pub(super) fn value(
        &self,
        core: &mut Core,
        promises: &BTreeMap<Rank, Promised>,
        excluded: u64,
        now: Time,
        ballot: Ballot,
    ) -> Option<Value> {
        let mut quorum = self.view.is_quorum(promises.keys().fold(0, |mask, r| mask | 1 << r));
        if !quorum && !core.config.partitionable {
            return None;
        }
        let accepted = promises.values().filter(|_| quorum).filter_map(|p| p.accepted.clone());
        let mut excluded = excluded;
        match choose(accepted) {
            // The others go on like that, if anybody does; those whom it leaves behind go on alone.
            Some(value) if core.config.partitionable && self.survivors(&value) >> self.rank & 1 == 0 => {
                quorum = false;
                excluded |= self.survivors(&value);
            }
            Some(value) => return Some(value),
            None => {}
        }
        let role = |r: Rank| self.view.member(r).map_or(Role::LEARNER, |m| m.role);
        let alive = |r: Rank| excluded >> r & 1 == 0;
        let slow = self.slow(excluded);
        let leaver = |r: Rank| self.joins.leavers >> r & 1 == 1;
        // When everybody leaves whom the others could go on with, the proposer does so last, alone.
        let carries_on = |r: Rank| alive(r) && !leaver(r) && role(r).class() == 0;
        let last = leaver(self.rank) && alive(self.rank) && !promises.keys().any(|r| carries_on(*r));
        let goes = |r: Rank| leaver(r) || slow.exclude >> r & 1 == 1;
        let stays = |r: Rank| if last { r == self.rank } else { alive(r) && !goes(r) };
        let mut next = Vec::new();
        for (r, p) in promises.iter().filter(|(r, _)| stays(**r)) {
            let m = self.view.member(*r)?;
            let role = if slow.demote >> r & 1 == 1 { Role::LEARNER } else { m.role };
            next.push(Entry { speaks: p.speaks, ..Entry::new(m.id, &m.name, role, p.complete) });
        }
        if next.is_empty() {
            return None;
        }
        let dead_or_leaving = |id: MemberId| self.view.rank_of(id).is_none_or(|r| !stays(r));
        let taken = |joiner: &Joiner| {
            let same = |m: &view::Member| *m.name == joiner.name || m.id.addr == joiner.id.addr;
            self.view.members.iter().any(|m| same(m) && !dead_or_leaving(m.id))
        };
        let mut weighing = Weighing::new(self, promises, slow.demote != 0);
        // Joiners that could not go on either do not keep the last one from leaving.
        let useful = !last || self.joins.ready(now, self, excluded).any(|j| j.role.class() == 0);
        for joiner in self.joins.ready(now, self, excluded).filter(|_| useful) {
            let twice = next.iter().any(|e| e.name == joiner.name);
            // Who comes from another view has left this one first.
            let here = joiner.from.is_some() && self.view.rank_of(joiner.id).is_some();
            if next.len() < MAX_MEMBERS && !twice && !here && !taken(joiner) && weighing.admits(joiner) {
                let complete = !core.config.state_transfer && !joiner.role.witness;
                let entry = Entry::new(joiner.id, &joiner.name, joiner.role, complete);
                next.push(Entry { speaks: joiner.speaks, from: joiner.from.map(Into::into), ..entry });
            }
        }
        let latest = next.iter().filter_map(|e| e.from).map(ViewId::from).max();
        if latest.is_some() {
            let stay = |e: &&mut Entry| e.id.as_ref().is_some_and(|id| self.is_member(id));
            next.iter_mut().filter(stay).for_each(|e| e.from = Some(self.view.id.into()));
        }
        let class = |e: &Entry| e.role().map_or(u8::MAX, Role::class);
        next.sort_by_key(class);
        let stateless = !quorum && !next.iter().any(|e| e.complete);
        if !last && (class(&next[0]) != 0 || stateless || self.waits_for_the_state(&next)) {
            return None;
        }
        let mut frontier = vec![0; self.view.len()];
        let mut holder = vec![0; self.view.len()];
        // Those that stay first: of several holders, one that is there to be asked.
        let (stay, go): (Vec<_>, Vec<_>) = promises.iter().partition(|(r, _)| stays(**r));
        for (r, p) in stay.into_iter().chain(go) {
            for (s, held) in p.frontier.iter().enumerate().take(frontier.len()) {
                if *held > frontier[s] {
                    (frontier[s], holder[s]) = (*held, u32::from(*r));
                }
            }
        }
        // Who accepts the value must understand all of it, or it would say something else when asked for it: so the version
        // counts that everybody in this view speaks, too, those included who do not answer.
        let ranks = (0..self.view.len()).filter_map(|r| Rank::try_from(r).ok());
        let old = ranks.map(|r| promises.get(&r).map_or(0, |p| p.speaks).max(self.decision.speaks(r)));
        let version = common_version(old.chain(next.iter().map(|e| e.speaks)));
        // A part that goes on alone begins an epoch and a line; where components merge, an epoch begins.
        let begun = if !quorum || latest.is_some() {
            let before = latest.map_or(0, |v| v.epoch).max(self.view.id.epoch);
            core.new_epoch(now, before, ballot.round)
        } else {
            0
        };
        let d = &self.decision;
        let line = if quorum { d.line } else { begun };
        let said_if = |said: u64, usual: bool| if usual { 0 } else { said };
        let origin = said_if(d.origin, begun == 0 && !d.is_forced());
        let yields_to = self.yields_to(now, core).cloned();
        let ids: Vec<_> = next.iter().filter_map(|e| MemberId::try_from(e.id.as_ref()?).ok()).collect();
        let ranks: Vec<_> = ids.iter().map(|id| self.view.rank_of(*id)).collect();
        let arrangement = self.stack.arrange(&ranks);
        let mut value = Value {
            next,
            frontier,
            holder,
            origin,
            epoch: begun,
            line: said_if(line, line == d.origin),
            yields_to,
            arrangement,
            secret: None,
            version,
        };
        value.secret = core.envelopes(now, value.successor(self.view.id), ids.into_iter())?;
        Some(value)
    }
}

impl Member {
    fn is_member(&self, id: &crate::wire::Id) -> bool {
        MemberId::try_from(id).is_ok_and(|id| self.view.rank_of(id).is_some())
    }

    /// Whether the votes of a witness would take a view without the group's state, which somebody may still have who is out
    /// of reach.
    fn waits_for_the_state(&self, next: &[Entry]) -> bool {
        let had_it = self.decision.complete.iter().enumerate().filter(|(_, complete)| **complete);
        let may_live = had_it.map(|(r, _)| r).any(|r| self.suspicions.gone >> r & 1 == 0);
        may_live && self.view.members.iter().any(|m| m.role.witness) && !next.iter().any(|e| e.complete)
    }
}

/// Whether members can count for different things. A process that does not know of it would lose what it does not know
/// from a value that it passes on. So in a view in which somebody counts for something else than one vote, everybody knows:
/// the first such view follows one in which all have said so.
struct Weighing {
    all_know: bool,
    weighted: bool,
}

impl Weighing {
    fn new(member: &Member, promises: &BTreeMap<Rank, Promised>, demotes: bool) -> Self {
        let everybody = promises.len() == member.view.len();
        // After a primary was forced, values say so; the rest is the same.
        // Who has a stack with a policy for slow members knows, too.
        let weighted = member.asks_for_more() || demotes;
        Self { all_know: weighted || everybody && promises.values().all(|p| p.weighs), weighted }
    }

    fn admits(&mut self, joiner: &Joiner) -> bool {
        let differs = joiner.role != Role::default();
        let fits = if self.weighted { joiner.weighs } else { !differs || self.all_know };
        if fits {
            self.all_know &= joiner.weighs;
            self.weighted |= differs;
        }
        fits
    }
}
