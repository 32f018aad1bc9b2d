//! Views: who is in the group, in which order, as agreed by its members.

use crate::id::{MemberId, Rank};
use std::{fmt, sync::Arc};

/// Names a view. Within an epoch (one founding of the group) the numbers of the agreed views are consecutive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId {
    /// When the group was founded: nanoseconds since the Unix epoch at the founder. Later foundings are larger.
    pub epoch: u64,
    /// Counts views from 1.
    pub number: u64,
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.epoch, self.number)
    }
}

/// What a member counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Role {
    /// Its votes when the group decides. 0: a *learner*, which receives and delivers everything and is needed for nothing.
    pub weight: u16,
    /// A *witness* votes, and keeps frames and acknowledges them as everybody does, but has no application: nothing is
    /// delivered to one, it has no state, and is nobody's donor.
    pub witness: bool,
}

impl Role {
    /// A member that does not vote.
    pub const LEARNER: Self = Self { weight: 0, witness: false };

    /// Where such members stand in a view: voters with an application first, then witnesses, then learners.
    #[must_use]
    pub fn class(self) -> u8 {
        match self {
            Self { weight: 0, .. } => 2,
            Self { witness: true, .. } => 1,
            Self { .. } => 0,
        }
    }
}

impl Default for Role {
    /// One vote, and an application.
    fn default() -> Self {
        Self { weight: 1, witness: false }
    }
}

/// A member as the view lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Address and incarnation.
    pub id: MemberId,
    /// For people; unique in the view, at most 64 bytes.
    pub name: Arc<str>,
    /// What it counts for.
    pub role: Role,
}

impl Member {
    /// A member with one vote and an application.
    #[must_use]
    pub fn new(id: MemberId, name: impl Into<Arc<str>>) -> Self {
        Self { id, name: name.into(), role: Role::default() }
    }
}

/// An agreed list of members, in rank order: those who have been in the group longer come first, among those of the same
/// [class](Role::class). So rank 0 votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub id: ViewId,
    /// Its members; the index is the rank.
    pub members: Arc<[Member]>,
}

impl View {
    /// How many members it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// No installed view is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What the members count for, by rank.
    pub fn weights(&self) -> impl Iterator<Item = u16> + Clone {
        self.members.iter().map(|m| m.role.weight)
    }

    /// Whether some member counts for something else than one vote.
    #[must_use]
    pub fn is_weighted(&self) -> bool {
        self.members.iter().any(|m| m.role != Role::default())
    }

    /// Whether these members (a mask of ranks) can decide for the view.
    #[must_use]
    pub fn is_quorum(&self, set: u64) -> bool {
        crate::membership::is_quorum(set, self.weights())
    }

    /// The rank of `id`, if it is a member.
    #[must_use]
    pub fn rank_of(&self, id: MemberId) -> Option<Rank> {
        self.members.iter().position(|m| m.id == id).and_then(|i| Rank::try_from(i).ok())
    }

    /// The member with this rank.
    #[must_use]
    pub fn member(&self, rank: Rank) -> Option<&Member> {
        self.members.get(usize::from(rank))
    }
}

/// A view as the application learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// The new view.
    pub view: View,
    /// This process's rank in it.
    pub rank: Rank,
    /// The transitional set: the members that come from the same previous view as this process, and with it delivered
    /// the same messages there. Only this process itself when it has just joined.
    pub came_with: Vec<MemberId>,
    /// Whether this is a view of the group's primary component: in groups that are not partitionable every view is. Only
    /// there are leases given.
    pub primary: bool,
    /// The components that have merged in this view, the one whose state holds first; empty if none have.
    pub merged: Vec<Component>,
    /// True when this process must first receive the group's state: chunks follow, messages after them.
    pub awaits_state: bool,
}

/// A part of a partitionable group that went on alone, and has merged with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The tip of its history: its last view.
    pub view: ViewId,
    /// Who comes from there.
    pub members: Vec<MemberId>,
}

/// The last frame that counts of each sender of the old view, and who is known to hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// By rank in the old view: all frames with sequence numbers up to this one count, no others.
    pub frontier: Vec<u64>,
    /// By rank in the old view: a member that holds them all.
    pub holder: Vec<Rank>,
}
