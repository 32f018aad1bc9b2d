//! Who leads: the lowest-ranked member of the view, as long as its lease is valid.
//!
//! Needs nothing but a group: every member sees the same views. The token is the view's number, which grows with every
//! change of leader, so whatever the leader writes to can refuse the writes of an earlier one. A leader that has lost
//! contact with a quorum ceases to be one ([`Election::is_leader`]) before the others can have another.

use crate::{
    group::Group,
    id::MemberId,
    runtime::Status,
    view::{Member, ViewId},
};
use tokio::sync::watch;

/// Watches who leads a group. Each clone waits for changes on its own.
#[derive(Clone)]
pub struct Election {
    group: Group,
    status: watch::Receiver<Status>,
    last: Option<Leader>,
}

/// The leader in a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Who.
    pub member: Member,
    /// The view that makes it the leader. Grows; its number is a fencing token within one founding of the group, and
    /// epoch and number together are one across foundings.
    pub token: ViewId,
}

impl Election {
    /// Watches `group`.
    #[must_use]
    pub fn new(group: &Group) -> Self {
        Self { group: group.clone(), status: group.status(), last: None }
    }

    /// The leader in the present view. None before the first one, without a quorum, and after leaving.
    #[must_use]
    pub fn leader(&self) -> Option<Leader> {
        leader(&self.status.borrow())
    }

    /// The token, if this process leads and its lease is valid. Asks a clock: call it right before acting as the leader.
    #[must_use]
    pub fn is_leader(&self) -> Option<ViewId> {
        let status = self.status.borrow();
        let leader = leader(&status).filter(|l| Some(l.member.id) == status.me)?;
        self.group.lease_valid().then_some(leader.token)
    }

    /// Waits until the leader is another one than at the last call (or than none, at the first) and returns it; None
    /// inside says that there is no leader at present, None outside that the endpoint has stopped. A view that keeps the
    /// leader gives no new leader, but the token of [`Self::is_leader`] grows with it.
    pub async fn changed(&mut self) -> Option<Option<Leader>> {
        let before: Option<MemberId> = self.last.as_ref().map(|l| l.member.id);
        let differs = |s: &Status| leader(s).map(|l| l.member.id) != before || s.stopped;
        let now = self.status.wait_for(differs).await.ok()?;
        let (new, stopped) = (leader(&now), now.stopped);
        drop(now);
        if stopped && new.as_ref().map(|l| l.member.id) == before {
            return None;
        }
        self.last.clone_from(&new);
        Some(new)
    }
}

fn leader(status: &Status) -> Option<Leader> {
    if status.blocked || status.stopped || status.left.is_some() {
        return None;
    }
    let view = &status.view.as_ref()?.view;
    Some(Leader { member: view.member(0)?.clone(), token: view.id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{group::tests::loopback_group, runtime::loopback::Loopback};

    #[test]
    fn the_lowest_rank_leads_until_it_leaves() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (group, _events) = loopback_group(Group::builder("g"), Loopback::new()).await;
            let mut election = Election::new(&group);
            let leader = election.changed().await.unwrap().expect("a leader");
            assert_eq!(Some(leader.member.id), group.me());
            // The first lease may come a little after the view.
            let lease = async {
                while !group.lease_valid() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(5), lease).await.expect("a lease");
            assert_eq!(election.is_leader(), Some(leader.token));
            group.leave().await.unwrap();
            assert_eq!(election.changed().await, Some(None));
            assert_eq!(election.is_leader(), None);
            assert_eq!(election.changed().await, None);
        });
    }
}
