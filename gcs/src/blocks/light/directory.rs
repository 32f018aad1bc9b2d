//! Which light groups there are and who is in them: a deterministic state, the same at all processes, driven by what the
//! processes' group delivers, in its order. Pure.
//!
//! ```text
//! join(name) of p ──> not there: a new id, view 1 = [p]     there: view + 1 = [.., p]
//! leave(id) of p ───> view + 1 without p                    nobody left: the group and its id are gone
//! a view without p ─> all groups of p: view + 1 without p, in one step for all who are gone
//! ```
//! Invariants (asserted in [`Directory::check`]):
//! 1. Who is in a light group is in the view of the processes' group.
//! 2. No light group is empty, no two have one name, and nobody is in one twice.
//! 3. Ids are below `next`: none is given twice.
//!
//! Bounds: [`MAX_GROUPS`] light groups; a name of [`MAX_NAME`] bytes; a member takes one byte, its slot.

use crate::id::{MAX_MEMBERS, MemberId};
use std::{collections::BTreeMap, sync::Arc};

/// The most light groups that there can be at a time.
pub const MAX_GROUPS: usize = 1 << 16;
/// The longest name of a light group, in bytes.
pub const MAX_NAME: usize = 255;

/// Stands for a process while it is in the view: its place in a table that has no more places than a view has members.
pub(super) type Slot = u8;

/// All light groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) slots: [Option<MemberId>; MAX_MEMBERS],
    pub(super) groups: BTreeMap<u64, Entry>,
    pub(super) ids: BTreeMap<Arc<str>, u64>,
    /// The id of the next new light group.
    pub(super) next: u64,
}

/// One light group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    /// Counts the group's views from 1.
    pub(super) view: u64,
    /// In the order in which they joined.
    pub(super) members: Vec<Slot>,
    /// The same as a set.
    pub(super) mask: u64,
}

/// What a join does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// The group with this id has a new view.
    Joined(u64),
    /// Nothing: it is a member.
    Already,
    /// Nothing: there are as many light groups as there can be.
    Full,
}

impl Default for Directory {
    fn default() -> Self {
        let (groups, ids) = (BTreeMap::new(), BTreeMap::new());
        Self { slots: [None; MAX_MEMBERS], groups, ids, next: 1 }
    }
}

impl Directory {
    /// The processes' group has a new view. Returns the light groups that lost members by it and still exist.
    pub(super) fn view_changed(&mut self, members: &[MemberId]) -> Vec<u64> {
        let gone = |s: &Option<MemberId>| s.is_some_and(|m| !members.contains(&m));
        let mask = self.slots.iter().enumerate().filter(|(_, s)| gone(s)).fold(0, |m, (i, _)| m | 1 << i);
        self.slots.iter_mut().filter(|s| gone(s)).for_each(|s| *s = None);
        for member in members {
            if self.slot_of(*member).is_none()
                && let Some(free) = self.slots.iter_mut().find(|s| s.is_none())
            {
                *free = Some(*member);
            }
        }
        if mask == 0 {
            return Vec::new();
        }
        let changed: Vec<_> =
            self.groups.iter().filter(|(_, g)| g.mask & mask != 0).map(|(id, _)| *id).collect();
        changed.into_iter().filter(|id| self.remove(*id, mask)).collect()
    }

    /// A process's slot, if it is in the view.
    pub(super) fn slot_of(&self, member: MemberId) -> Option<Slot> {
        let at = self.slots.iter().position(|s| *s == Some(member))?;
        Slot::try_from(at).ok()
    }

    /// A join was delivered. The name is one that [`is_name`] takes.
    pub(super) fn join(&mut self, who: Slot, name: &str) -> Join {
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None if self.groups.len() >= MAX_GROUPS => return Join::Full,
            None => {
                let (id, name) = (self.next, Arc::<str>::from(name));
                self.next += 1;
                self.ids.insert(Arc::clone(&name), id);
                self.groups.insert(id, Entry { name, view: 0, members: Vec::new(), mask: 0 });
                id
            }
        };
        match self.groups.get_mut(&id) {
            Some(group) if group.mask & bit(who) == 0 => {
                group.members.push(who);
                group.mask |= bit(who);
                group.view += 1;
                Join::Joined(id)
            }
            _ => Join::Already,
        }
    }

    /// A leave was delivered. Returns whether it changed anything.
    pub(super) fn leave(&mut self, who: Slot, id: u64) -> bool {
        let is_member = self.is_member(who, id);
        if is_member {
            self.remove(id, bit(who));
        }
        is_member
    }

    /// Whether this process is in this light group.
    pub(super) fn is_member(&self, who: Slot, id: u64) -> bool {
        self.groups.get(&id).is_some_and(|g| g.mask & bit(who) != 0)
    }

    /// The light group with this id.
    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.groups.get(&id)
    }

    /// Its members, in the order in which they joined.
    pub(super) fn members<'a>(&'a self, group: &'a Entry) -> impl Iterator<Item = MemberId> + 'a {
        group.members.iter().filter_map(|s| self.slots.get(usize::from(*s)).copied().flatten())
    }

    /// Whether the table has exactly these processes in it.
    pub(super) fn is_of(&self, members: &[MemberId]) -> bool {
        self.slots.iter().flatten().count() == members.len()
            && members.iter().all(|m| self.slot_of(*m).is_some())
    }

    /// Takes members out; returns whether any are left.
    fn remove(&mut self, id: u64, gone: u64) -> bool {
        let Some(group) = self.groups.get_mut(&id) else { return false };
        group.members.retain(|s| bit(*s) & gone == 0);
        group.mask &= !gone;
        group.view += 1;
        let any = group.mask != 0;
        if !any && let Some(group) = self.groups.remove(&id) {
            self.ids.remove(&group.name);
        }
        any
    }

    /// Asserts the invariants.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let there =
            self.slots.iter().enumerate().filter(|(_, s)| s.is_some()).fold(0, |m, (i, _)| m | 1 << i);
        for (id, g) in &self.groups {
            let mask = g.members.iter().fold(0, |m, s| m | bit(*s));
            assert_eq!((mask, mask & !there), (g.mask, 0), "1: members of {} are in the view", g.name);
            assert_eq!(mask.count_ones() as usize, g.members.len(), "2: nobody is in {} twice", g.name);
            assert!(mask != 0, "2: {} is not empty", g.name);
            assert_eq!(self.ids.get(&g.name), Some(id), "2: {} is found by its name", g.name);
            assert!(*id < self.next, "3: ids are below the next");
        }
        assert_eq!(self.ids.len(), self.groups.len(), "2: one name each");
    }
}

/// Whether a light group can be called so.
pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
}

pub(super) fn bit(slot: Slot) -> u64 {
    1 << (u32::from(slot) % u64::BITS)
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
