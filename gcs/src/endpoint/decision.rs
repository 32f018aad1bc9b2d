//! The outcome of a view change, as everybody learns it.

use super::{config::Config, core::Core};
use crate::{
    frame::{OLDEST_VERSION, WIRE_VERSION},
    id::{MemberId, Rank},
    time::Time,
    view::{Component, Cut, Role, View, ViewId},
    wire::{Decide, Entry, Envelopes, Malformed, MemberList, Value, Vid},
};
use std::sync::Arc;

/// The best version that all of these speak, as it travels.
pub(super) fn common_version(speak: impl IntoIterator<Item = u32>) -> u32 {
    speak.into_iter().min().unwrap_or(0).min(WIRE_VERSION.into())
}

/// A decided successor of a view, checked.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// The view that ends; number 0 when the group is founded.
    pub(super) ends: ViewId,
    /// The one that follows.
    pub(super) view: View,
    /// The epoch in which the group was founded: the view's, unless a primary was forced since.
    pub(super) origin: u64,
    /// The component's line: the founding's epoch in the primary component, and in groups that have no other.
    pub(super) line: u64,
    /// By rank in the new view, where components merge: the view that each comes from.
    pub(super) from: Vec<Option<ViewId>>,
    /// The version of the protocol that the new view speaks.
    pub(super) version: u8,
    /// By rank in the new view: who has the group's state.
    pub(super) complete: Vec<bool>,
    /// What counts of the old view.
    pub(super) cut: Arc<Cut>,
    /// What the layers of the new view have agreed on.
    pub(super) arrangement: u32,
    /// As it travels.
    pub(super) decide: Decide,
}

impl Decision {
    pub(super) fn new(ends: ViewId, value: Value) -> Result<Self, Malformed> {
        let members = value.members()?;
        Ok(Self {
            ends,
            origin: value.origin(ends),
            line: value.line(ends),
            from: value.next.iter().map(|e| e.from.map(ViewId::from)).collect(),
            version: value.version()?,
            view: View { id: value.successor(ends), members: members.into() },
            complete: value.next.iter().map(|e| e.complete).collect(),
            cut: Arc::new(value.cut()),
            arrangement: value.arrangement,
            decide: Decide { view: Some(ends.into()), value: Some(value) },
        })
    }

    pub(super) fn received(decide: Decide) -> Result<Self, Malformed> {
        let ends: Vid = decide.view.ok_or(Malformed)?;
        if ends.number >= u64::MAX - 1 {
            return Err(Malformed);
        }
        Self::new(ends.into(), decide.value.ok_or(Malformed)?)
    }

    /// The founding of a group by these processes: the founder first.
    pub(super) fn founding(
        now: Time,
        core: &mut Core,
        members: Vec<(MemberId, String, Role, u32)>,
    ) -> Option<Self> {
        let ends = ViewId { epoch: core.wall_ns, number: 0 };
        let secret = core.envelopes(now, ViewId { number: 1, ..ends }, members.iter().map(|m| m.0))?;
        let entry = |(id, name, role, speaks): (MemberId, String, Role, u32)| Entry {
            speaks,
            ..Entry::new(id, &name, role, !role.witness)
        };
        let next: Vec<_> = members.into_iter().map(entry).collect();
        let version = common_version(next.iter().map(|e| e.speaks));
        let value = Value { next, secret, version, ..Value::default() };
        Self::new(ends, value).ok()
    }

    /// What a process goes on with that is told to go on alone: a new epoch, which nobody else has agreed to.
    pub(super) fn forced(
        before: &Self,
        epoch: u64,
        alone: Entry,
        frontier: Vec<u64>,
        rank: Rank,
        secret: Option<Envelopes>,
    ) -> Self {
        let holder = vec![u32::from(rank); frontier.len()];
        let version = common_version([alone.speaks]);
        let (next, origin) = (vec![alone], before.origin);
        let value = Value { next, frontier, holder, origin, secret, version, ..Value::default() };
        let ends = before.view.id;
        let members = value.members().unwrap_or_default();
        Self {
            ends,
            origin: before.origin,
            line: before.origin,
            from: vec![None],
            version: value.version().unwrap_or(OLDEST_VERSION),
            view: View { id: ViewId { epoch, number: 1 }, members: members.into() },
            complete: vec![true],
            cut: Arc::new(value.cut()),
            arrangement: value.arrangement,
            decide: Decide { view: Some(ends.into()), value: Some(value) },
        }
    }

    /// Whether the view's epoch is not the one in which the group was founded.
    pub(super) fn is_forced(&self) -> bool {
        self.origin != self.view.id.epoch
    }

    /// Whether it says only what groups with these settings say.
    pub(super) fn fits(&self, config: &Config) -> bool {
        config.partitionable || self.decide.value.as_ref().is_none_or(|v| !v.is_of_parts())
    }

    /// Whether the view is of the primary component.
    pub(super) fn is_primary(&self) -> bool {
        self.line == self.origin
    }

    /// Whether components merge in the new view.
    pub(super) fn merges(&self) -> bool {
        self.from.iter().any(|from| from.is_some_and(|f| f != self.ends))
    }

    /// The component that the new view is to merge into.
    pub(super) fn yields_to(&self) -> Option<&MemberList> {
        self.decide.value.as_ref().and_then(|v| v.yields_to.as_ref())
    }

    /// The components that merge in the new view, that of the view that ends first: the last view of each, and who comes
    /// from there.
    pub(super) fn components(&self) -> Vec<Component> {
        let mut all: Vec<Component> = Vec::new();
        if !self.merges() {
            return all;
        }
        for (m, from) in self.view.members.iter().zip(&self.from) {
            let Some(from) = *from else { continue };
            match all.iter_mut().find(|c| c.view == from) {
                Some(c) => c.members.push(m.id),
                None => all.push(Component { view: from, members: vec![m.id] }),
            }
        }
        all.sort_by_key(|c| c.view != self.ends);
        all
    }

    /// The best version that this member of the new view is known to speak, as it travels.
    pub(super) fn speaks(&self, rank: Rank) -> u32 {
        let next = self.decide.value.as_ref().and_then(|v| v.next.get(usize::from(rank)));
        next.map_or(0, |e| e.speaks)
    }

    /// Whether this is the same decision. A member of an earlier version may have left out who speaks what.
    pub(super) fn is(&self, other: &Self) -> bool {
        let rest = |d: &Self| {
            d.decide.value.as_ref().map(|v| (v.secret.clone(), v.arrangement, v.yields_to.clone()))
        };
        (self.ends, self.origin, self.line, &self.from, &self.view)
            == (other.ends, other.origin, other.line, &other.from, &other.view)
            && (self.version, &self.complete, &self.cut, rest(self))
                == (other.version, &other.complete, &other.cut, rest(other))
    }

    pub(super) fn includes(&self, id: MemberId) -> bool {
        self.view.rank_of(id).is_some()
    }
}
