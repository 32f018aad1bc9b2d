//! The outcome of a view change, as everybody learns it.

use super::core::Core;
use crate::{
    id::{MemberId, Rank},
    time::Time,
    view::{Cut, Role, View, ViewId},
    wire::{Decide, Entry, Envelopes, Malformed, Value, Vid},
};
use std::sync::Arc;

/// A decided successor of a view, checked.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// The view that ends; number 0 when the group is founded.
    pub(super) ends: ViewId,
    /// The one that follows.
    pub(super) view: View,
    /// The epoch in which the group was founded: the view's, unless a primary was forced since.
    pub(super) origin: u64,
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
            origin: if value.origin == 0 { ends.epoch } else { value.origin },
            view: View { id: ViewId { epoch: ends.epoch, number: ends.number + 1 }, members: members.into() },
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
        members: Vec<(MemberId, String, Role)>,
    ) -> Option<Self> {
        let ends = ViewId { epoch: core.wall_ns, number: 0 };
        let secret = core.envelopes(now, ViewId { number: 1, ..ends }, members.iter().map(|m| m.0))?;
        let entry = |(id, name, role): (MemberId, String, Role)| Entry::new(id, &name, role, !role.witness);
        let value = Value { next: members.into_iter().map(entry).collect(), secret, ..Value::default() };
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
        let value =
            Value { next: vec![alone], frontier, holder, origin: before.origin, secret, arrangement: 0 };
        let ends = before.view.id;
        let members = value.members().unwrap_or_default();
        Self {
            ends,
            origin: before.origin,
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

    pub(super) fn includes(&self, id: MemberId) -> bool {
        self.view.rank_of(id).is_some()
    }
}
