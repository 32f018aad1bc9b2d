//! M5, primary component: the views of an epoch follow each other one by one, a member of each has installed the one
//! before, and no second primary comes up beside a living one. (Two views of one name with different members: M3.)
//!
//! A view's successor is decided by a quorum of members that have installed it. Applications that still receive the
//! state learn of views late, so the oracle asks for one member that knows the predecessor, not for a quorum. A process that
//! the operator forces to go on begins an epoch beside whatever lives: that is what the operator's word is for.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Installed, Observation, What};
use crate::{id::MemberId, sim::trace::names, view::ViewId};
use std::collections::{BTreeMap, BTreeSet};

/// Oracle M5, primary component.
#[derive(Clone, Debug, Default)]
pub struct M5 {
    views: BTreeMap<ViewId, Installed>,
    /// Who has installed a view.
    installed: BTreeMap<ViewId, BTreeSet<MemberId>>,
    /// Where the living are, by process: a new incarnation is no member of the views of the one before.
    at: BTreeMap<usize, (MemberId, ViewId)>,
    /// The group's parts go on. By primary view: the primary view to which members have gone from it.
    lines: Option<BTreeMap<ViewId, ViewId>>,
    /// Who was forced to go on, and is about to install the view in which it does.
    forced: BTreeSet<MemberId>,
}

impl M5 {
    /// For a group whose parts go on, or not.
    #[must_use]
    pub fn new(partitionable: bool) -> Self {
        Self { lines: partitionable.then(BTreeMap::new), ..Self::default() }
    }

    /// The primary component of a partitionable group has one history.
    fn on_line(&mut self, v: &Installed) -> Result<(), Violation> {
        let before = v.previous.and_then(|p| self.views.get(&p)).filter(|p| p.primary && v.primary);
        if let (Some(before), Some(lines)) = (before.map(|b| b.id), &mut self.lines) {
            let next = *lines.entry(before).or_insert(v.id);
            hold!(self, next == v.id, "after the primary view {before} come {next} and {}", v.id);
        }
        self.views.entry(v.id).or_insert_with(|| v.clone());
        Ok(())
    }

    /// A new epoch begins: no quorum of an older one may be alive, and in it.
    fn on_founding(&self, founded: ViewId) -> Result<(), Violation> {
        let mut newest: BTreeMap<u64, ViewId> = BTreeMap::new();
        for id in self.views.keys() {
            newest.insert(id.epoch, *id);
        }
        for id in newest.into_values().filter(|id| id.epoch != founded.epoch) {
            let view = &self.views[&id];
            let members = &view.members;
            let alive = |m: &MemberId| self.at.values().any(|(at, v)| at == m && v.epoch == id.epoch);
            let set =
                members.iter().enumerate().filter(|(_, m)| alive(m)).fold(0_u64, |s, (r, _)| s | 1 << r);
            let names = names(members);
            hold!(
                self,
                !view.is_quorum(set),
                "view {founded} founds a group while a quorum of view {id} [{names}] lives"
            );
        }
        Ok(())
    }
}

impl Oracle for M5 {
    fn name(&self) -> &'static str {
        "M5"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            What::View(v) if self.lines.is_some() => self.on_line(v)?,
            What::View(v) => {
                if !self.views.contains_key(&v.id) {
                    if v.id.number == 1 && self.forced.remove(&o.member) {
                        hold!(
                            self,
                            *v.members == [o.member],
                            "view {} was forced, and not by one alone",
                            v.id
                        );
                    } else if v.id.number == 1 {
                        self.on_founding(v.id)?;
                    } else {
                        let before = ViewId { number: v.id.number - 1, ..v.id };
                        let installed = self.installed.get(&before);
                        hold!(self, installed.is_some(), "view {} has no predecessor", v.id);
                        let shares = installed.is_some_and(|i| i.iter().any(|m| v.members.contains(m)));
                        hold!(self, shares, "no member of view {} has installed its predecessor", v.id);
                    }
                    self.views.insert(v.id, (**v).clone());
                }
                self.installed.entry(v.id).or_default().insert(o.member);
                self.at.insert(o.process, (o.member, v.id));
            }
            What::Forced => {
                self.forced.insert(o.member);
            }
            What::Crashed | What::Started | What::Left(_) => {
                self.at.remove(&o.process);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn views_follow_each_other() {
        Script::new().install(1, &[0, 1, 2]).install(2, &[0, 1]).install(3, &[1]).passes(M5::default());
        Script::new().install(1, &[0, 1, 2]).view(0, 3, &[0, 1]).fails(M5::default());
        Script::new().install(1, &[0, 1]).view(2, 2, &[2, 3]).fails(M5::default());
        // 1 is in both, and has not installed the first.
        Script::new().view(0, 1, &[0, 1]).view(1, 2, &[1, 2]).fails(M5::default());
    }

    #[test]
    fn the_operator_may_begin_an_epoch() {
        let one = Script::new().install(1, &[0, 1, 2]).push(2, What::Forced).epoch(2);
        one.clone().view(2, 1, &[2]).view(2, 2, &[2, 3]).passes(M5::default());
        one.clone().view(1, 1, &[1]).fails(M5::default());
        one.view(2, 1, &[1, 2]).fails(M5::default());
    }

    #[test]
    fn one_primary_at_a_time() {
        let one = Script::new().install(1, &[0, 1, 2]);
        one.clone().epoch(2).view(3, 1, &[3, 4]).fails(M5::default());
        let dead = one.clone().crash(0).crash(1);
        dead.epoch(2).view(3, 1, &[3, 4]).passes(M5::default());
        // Who has come back as another one, and died, is not there any more (soak, best-effort 13011974).
        let back = one.clone().push(2, What::Forced).epoch(2).view(2, 1, &[2]).start(0).start(1).view(
            0,
            2,
            &[2, 0, 1],
        );
        let dead = back.view(1, 2, &[2, 0, 1]).crash(0).crash(1).crash(2);
        dead.epoch(3).view(3, 1, &[3, 4]).passes(M5::default());
        // Votes count, not members.
        let weighted = |script: Script| script.install_weighted(1, &[0, 1, 2], &[3, 1, 1]);
        let one_left = weighted(Script::new()).crash(1).crash(2);
        one_left.epoch(2).view(3, 1, &[3, 4]).fails(M5::default());
        let two_left = weighted(Script::new()).crash(0);
        two_left.epoch(2).view(3, 1, &[3, 4]).passes(M5::default());
    }
}
