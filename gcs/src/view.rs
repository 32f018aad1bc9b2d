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

/// A member as the view lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Address and incarnation.
    pub id: MemberId,
    /// For people; unique in the view, at most 64 bytes.
    pub name: Arc<str>,
}

/// An agreed list of members, in rank order: those who have been in the group longer come first.
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
    /// True when this process must first receive the group's state: chunks follow, messages after them.
    pub awaits_state: bool,
}

/// The last frame that counts of each sender of the old view, and who is known to hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// By rank in the old view: all frames with sequence numbers up to this one count, no others.
    pub frontier: Vec<u64>,
    /// By rank in the old view: a member that holds them all.
    pub holder: Vec<Rank>,
}
