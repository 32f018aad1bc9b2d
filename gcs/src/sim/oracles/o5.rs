//! O5, safe prefix: uniform delivery of m ⇒ a quorum of the view holds m and all before it.
//!
//! Checked by consequence, because what a member holds is inside of its stack: nobody delivers its own message in the
//! instant in which it casts it, unless it is a quorum by itself, because links take time and nothing can have come back;
//! whoever goes on from the view delivers m (O4, with killed processes of every choice); and if the view goes on to the
//! end of the run, then everybody who is still in it has delivered m and all before it, whoever delivered it first, even
//! if that one has crashed since.

use super::sets::Current;
use super::{Oracle, Violation, hold};
use crate::sim::trace::Short;
use crate::sim::trace::{Installed, Observation, What};
use crate::{
    id::MemberId,
    sim::{envelope::MessageId, oracles::Summary},
    view::ViewId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Oracle O5, safe prefix.
#[derive(Debug)]
pub struct O5 {
    total: bool,
    current: Current,
    /// By view: what anybody delivered there, in the order of first delivery, and who did.
    delivered: BTreeMap<ViewId, Vec<(MessageId, MemberId)>>,
    known: BTreeSet<(ViewId, MessageId)>,
    views: BTreeMap<ViewId, Installed>,
    /// When each process cast last, and that message's number.
    cast: BTreeMap<usize, (u64, u32)>,
}

impl O5 {
    /// For a uniform stack; `total` if it promises one order, too.
    #[must_use]
    pub fn new(total: bool) -> Self {
        Self {
            total,
            current: Current::default(),
            delivered: BTreeMap::new(),
            known: BTreeSet::new(),
            views: BTreeMap::new(),
            cast: BTreeMap::new(),
        }
    }

    /// Whether the sender of this message, which it delivers now, is the only one that can hold it, and no quorum.
    fn is_held_by_its_sender_only(&self, o: &Observation, id: MessageId, view: ViewId) -> bool {
        let rank = |v: &Installed| v.members.iter().position(|m| *m == o.member);
        let alone = self.views.get(&view).is_some_and(|v| rank(v).is_some_and(|r| v.is_quorum(1 << r)));
        let just_cast = id.process() == o.process && self.cast.get(&o.process) == Some(&(o.at, id.count()));
        just_cast && !alone
    }
}

impl Oracle for O5 {
    fn name(&self) -> &'static str {
        "O5"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        self.current.observe(o);
        match &o.what {
            What::View(v) => {
                self.views.insert(v.id, (**v).clone());
            }
            What::Sent { id, .. } => {
                self.cast.insert(o.process, (o.at, id.count()));
            }
            What::Delivered { id, view: Some(view), .. } if self.current.of(o.process).is_some() => {
                let early = self.is_held_by_its_sender_only(o, *id, *view);
                hold!(self, !early, "{} delivers {id} in view {view} as it casts it", Short(o.member));
            }
            _ => {}
        }
        if let What::Delivered { id, view: Some(view), .. } = &o.what
            && self.current.of(o.process).is_some()
            && self.known.insert((*view, *id))
        {
            let sequence = self.delivered.entry(*view).or_default();
            sequence.push((*id, o.member));
            // Whoever is first with m has delivered everything before it.
            let count = self.current.of(o.process).map_or(0, |d| d.messages.len());
            let length = sequence.len();
            let gap = self.total && count != length;
            hold!(
                self,
                !gap,
                "{} is the first to deliver {id}, as number {count} of {length}",
                Short(o.member)
            );
        }
        Ok(())
    }

    fn finish(&mut self, summary: &Summary) -> Result<(), Violation> {
        if !summary.expect_progress {
            return Ok(());
        }
        let staying: BTreeSet<MemberId> = summary.wanted().map(|p| p.member).collect();
        let Some(last) = summary.wanted().filter_map(|p| p.view.as_ref().map(|v| v.0)).max() else {
            return Ok(());
        };
        let all = self.delivered.get(&last).map_or(&[][..], Vec::as_slice);
        for d in self.current.iter().filter(|d| d.view == last && staying.contains(&d.member)) {
            let mine: BTreeSet<_> = d.messages.iter().copied().collect();
            let missing = all.iter().find(|(m, _)| !mine.contains(m));
            let me = Short(d.member);
            hold!(
                self,
                missing.is_none(),
                "{me} stays in view {last} without {missing:?}, who delivered it there"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1, 2]).sent(0, 1).sent(1, 1).deliver(0, 0, 1).crash(0);
        script.clone().deliver_all(&[1, 2], 0, 1).deliver_all(&[1, 2], 1, 1).passes(O5::new(true));
        script.clone().deliver(1, 0, 1).fails(O5::new(true));
        script.deliver(1, 1, 1).fails(O5::new(true));
    }

    #[test]
    fn votes_make_the_quorum() {
        for (weights, ok) in [(&[2, 1][..], true), (&[1, 2], false)] {
            let script = Script::new().install_weighted(1, &[0, 1], weights).sent(0, 1).deliver(0, 0, 1);
            let mut trace = script.observations().to_vec();
            let [.., sent, delivered] = &mut trace[..] else { unreachable!("two observations at least") };
            delivered.at = sent.at;
            let mut oracle = O5::new(true);
            assert_eq!(trace.iter().try_for_each(|o| oracle.observe(o)).is_ok(), ok);
        }
    }

    #[test]
    fn nobody_else_can_hold_what_is_cast_just_now() {
        for (members, ok) in [(&[0, 1, 2][..], false), (&[0], true)] {
            let script = Script::new().install(1, members).sent(0, 1).deliver(0, 0, 1);
            let mut trace = script.observations().to_vec();
            let [.., sent, delivered] = &mut trace[..] else { unreachable!("two observations at least") };
            delivered.at = sent.at;
            let mut oracle = O5::new(true);
            assert_eq!(trace.iter().try_for_each(|o| oracle.observe(o)).is_ok(), ok);
        }
    }
}
