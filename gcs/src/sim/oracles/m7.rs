//! M7, no aliasing: a restarted process is never taken for its earlier incarnation. A view lists one incarnation of an
//! address, of a life that has begun; an address's incarnations in successive views do not go back; a process installs
//! views as who it is in its present life; a delivered message belongs to the life that the delivery names as its sender.

use super::{Oracle, Violation, hold};
use crate::sim::trace::Short;
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
    /// By address: the life that has begun last.
    life: BTreeMap<SocketAddr, u32>,
}

impl M7 {
    fn check(&mut self, id: ViewId, m: MemberId) -> Result<(), Violation> {
        let begun = self.life.get(&m.addr).is_none_or(|life| *life >= life_of(m.incarnation).0);
        hold!(self, begun, "view {id} has {}, whose life has not begun", Short(m));
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
            What::Started => {
                self.life.insert(o.member.addr, life_of(o.member.incarnation).0);
            }
            What::View(v) => {
                let (me, life) = (o.member, life_of(o.member.incarnation).0);
                let now = self.life.get(&me.addr).copied().unwrap_or(life);
                hold!(self, life == now, "{} installs view {} in its life {now}", Short(me), v.id);
                if !self.seen.insert(v.id) {
                    return Ok(());
                }
                let addrs: BTreeSet<_> = v.members.iter().map(|m| m.addr).collect();
                hold!(self, addrs.len() == v.members.len(), "view {} lists an address twice", v.id);
                v.members.iter().try_for_each(|m| self.check(v.id, *m))?;
            }
            What::Delivered { id, from: Some(from), .. } => {
                let alias = life_of(from.incarnation).0 != id.life();
                hold!(self, !alias, "{} delivers {id} as a message of {from}", Short(o.member));
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
        let unborn = crate::sim::process::member_of(1, 3);
        restarted.clone().view_of(0, 3, vec![zero, unborn]).fails(M7::default());
        restarted.clone().view_of(0, 3, vec![zero, old, new]).fails(M7::default());
        restarted.install(3, &[0, 1]).view_of(0, 4, vec![zero, old]).fails(M7::default());
    }

    #[test]
    fn a_restarted_process_is_another_member() {
        // It installs a view as who it was, though it has begun another life.
        let me = |life| crate::sim::process::member_of(1, life);
        let started = |life| Observation { at: 1, process: 1, member: me(life), what: What::Started };
        for (life, ok) in [(1, true), (2, false)] {
            let script = Script::new().view(1, 1, &[0, 1]);
            let mut oracle = M7::default();
            oracle.observe(&started(life)).expect("nothing wrong yet");
            assert_eq!(script.run(&mut oracle).is_ok(), ok);
        }
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
