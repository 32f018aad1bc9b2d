//! O1, FIFO without gaps: a process delivers a sender's messages in the order in which they were cast, from the first, each
//! directly after the one before. Gaps are allowed where a member begins: a receiver that has joined later than the sender
//! starts anywhere, and a sender that was excluded and has come back may have lost what was under way. Over a stack that gives
//! in-order delivery and not FIFO, gaps are allowed everywhere.

use super::{Oracle, Violation, hold};
use crate::sim::trace::Short;
use crate::sim::trace::{Observation, What};
use crate::{
    id::MemberId,
    sim::{envelope::MessageId, process::life_of},
    view::ViewId,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Oracle O1, FIFO.
#[derive(Clone, Debug, Default)]
pub struct O1 {
    /// Whether anything may be missing.
    gaps: bool,
    /// By receiver, and the sender's process and life: its last message, and who the sender was.
    last: BTreeMap<(MemberId, usize, u32), (MessageId, MemberId)>,
    /// The first view that a member has installed.
    joined: BTreeMap<MemberId, ViewId>,
    /// The members of the view that each is in.
    at: BTreeMap<MemberId, Arc<[MemberId]>>,
    /// Receivers, and senders that went on in another part of the group since.
    parted: BTreeSet<(MemberId, MemberId)>,
    /// The first view that lists a member.
    listed: BTreeMap<MemberId, ViewId>,
}

impl O1 {
    /// The oracle; with `gaps`, for a stack that gives in-order delivery only.
    #[must_use]
    pub fn new(gaps: bool) -> Self {
        Self { gaps, ..Self::default() }
    }

    /// Whether `receiver` has been there for everything that `sender` has sent in its life.
    fn was_there_for_all(&self, receiver: MemberId, sender: MemberId) -> bool {
        let came_back = life_of(sender.incarnation).1 != 0;
        let views = self.joined.get(&receiver).zip(self.listed.get(&sender));
        !came_back && views.is_some_and(|(receiver, sender)| receiver <= sender)
    }
}

impl Oracle for O1 {
    fn name(&self) -> &'static str {
        "O1"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        if let What::View(v) = &o.what {
            self.joined.entry(o.member).or_insert(v.id);
            let new = v.members.iter().filter(|_| v.merges);
            let old = self.at.insert(o.member, v.members.clone()).filter(|_| v.previous.is_some());
            let apart = old.iter().flat_map(|o| o.iter()).chain(new).filter(|m| !v.came_with.contains(m));
            self.parted.extend(apart.map(|m| (o.member, *m)));
            v.members.iter().for_each(|m| {
                let first = self.listed.entry(*m).or_insert(v.id);
                *first = v.id.min(*first);
            });
        }
        if let What::Delivered { id, from: Some(from), .. } = &o.what {
            let key = (o.member, id.process(), id.life());
            let parted = self.parted.remove(&(o.member, *from));
            let new = !self.last.contains_key(&key) && id.count() != 1;
            let gap = new && !self.gaps && !parted && self.was_there_for_all(o.member, *from);
            hold!(self, !gap, "{} delivers {id}, and nothing of {from} before", Short(o.member));
            if let Some((last, by)) = self.last.insert(key, (*id, *from)) {
                hold!(self, last < *id, "{} delivers {id} after {last}", Short(o.member));
                let gap = !self.gaps && !parted && by == *from && last.count() + 1 != id.count();
                hold!(self, !gap, "{} delivers {id} directly after {last}", Short(o.member));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Script, *};

    #[test]
    fn verdicts() {
        let script = Script::new().install(1, &[0, 1]).deliver(1, 0, 1).deliver(1, 0, 2);
        script.passes(O1::default());
        script.clone().deliver(1, 0, 4).fails(O1::default());
        script.clone().deliver(1, 0, 1).fails(O1::default());
        script.install(2, &[0, 1]).deliver(1, 0, 4).fails(O1::default());
    }

    #[test]
    fn where_gaps_are_allowed_overtaking_is_not() {
        let script = Script::new().install(1, &[0, 1]).deliver(1, 0, 3).deliver(1, 0, 7);
        script.passes(O1::new(true));
        script.clone().deliver(1, 0, 5).fails(O1::new(true));
        script.deliver(1, 0, 7).fails(O1::new(true));
    }

    #[test]
    fn who_was_there_delivers_from_the_first() {
        let script = Script::new().install(1, &[0, 1]).install(2, &[0, 1, 2]);
        // 2 came later than 0, and 0 was there when 2 came.
        script.clone().deliver(2, 0, 5).passes(O1::default());
        script.clone().deliver(0, 2, 5).fails(O1::default());
        script.deliver(1, 0, 5).fails(O1::default());
    }
}
