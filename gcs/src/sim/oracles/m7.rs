//! M7, no aliasing: a restarted process is never taken for its earlier incarnation. A view lists one incarnation of an
//! address, one that has existed; an address's incarnations in successive views do not go back; a delivered message
//! belongs to the life that the delivery names as its sender.

use super::{Oracle, Violation, hold};
use crate::sim::trace::{Observation, What};
use crate::{
    id::{Incarnation, MemberId},
    sim::process::life_of,
    view::ViewId,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

/// Oracle M7, no aliasing.
#[derive(Clone, Debug, Default)]
pub struct M7 {
    /// By epoch and address: the newest incarnation in a view, and the view.
    newest: BTreeMap<(u64, SocketAddr), (Incarnation, ViewId)>,
    seen: BTreeSet<ViewId>,
}

impl M7 {
    fn check(&mut self, id: ViewId, m: MemberId) -> Result<(), Violation> {
        let (newest, at) = *self.newest.entry((id.epoch, m.addr)).or_insert((m.incarnation, id));
        let back = at < id && newest > m.incarnation;
        hold!(self, !back, "view {id} has {m}, view {at} had a later incarnation {:x}", newest.0);
        if at < id {
            self.newest.insert((id.epoch, m.addr), (m.incarnation, id));
        }
        Ok(())
    }
}

impl Oracle for M7 {
    fn name(&self) -> &'static str {
        "M7"
    }

    fn observe(&mut self, o: &Observation) -> Result<(), Violation> {
        match &o.what {
            What::View(v) if self.seen.insert(v.id) => {
                let addrs: BTreeSet<_> = v.members.iter().map(|m| m.addr).collect();
                hold!(self, addrs.len() == v.members.len(), "view {} lists an address twice", v.id);
                v.members.iter().try_for_each(|m| self.check(v.id, *m))?;
            }
            What::Delivered { id, from: Some(from), .. } => {
                let alias = life_of(from.incarnation).0 != id.life();
                hold!(self, !alias, "{} delivers {id} as a message of {from}", o.member);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Script, member},
        *,
    };

    #[test]
    fn verdicts() {
        let restarted = Script::new().install(1, &[0, 1]).crash(1).install(2, &[0]).start(1);
        restarted.clone().install(3, &[0, 1]).sent(1, 1).deliver_all(&[0, 1], 1, 1).passes(M7::default());
        let (zero, old, new) = (member(0), member(1), restarted.me(1));
        restarted.clone().view_of(0, 3, vec![zero, old, new]).fails(M7::default());
        restarted.install(3, &[0, 1]).view_of(0, 4, vec![zero, old]).fails(M7::default());
    }

    #[test]
    fn a_message_of_another_life() {
        let old = MessageIdOf::first_life();
        let view = Some(super::super::testing::id(3));
        let script = Script::new().install(1, &[0, 1]).crash(1).install(2, &[0]).start(1).install(3, &[0, 1]);
        let from = Some(script.me(1));
        script.push(0, What::Delivered { id: old, digest: 7, view, from }).fails(M7::default());
    }

    struct MessageIdOf;
    impl MessageIdOf {
        fn first_life() -> crate::sim::envelope::MessageId {
            crate::sim::envelope::MessageId::new(1, 1, 5)
        }
    }
}
