//! Barriers: `n` callers, at any members, wait for each other.
//!
//! Who leaves the view before a barrier is complete is not counted any more. A completed barrier can be used again under
//! the same name.

use super::{
    AgreedTime, ExecuteError, Replicated, RestoreError, Snapshot, StateMachine,
    rsm::ReplicaError,
    wire::{Owner, Reader, malformed, put_bytes, put_owner, whole},
};
use crate::{group::Builder, runtime::clock, view::View};
use bytes::{BufMut, Bytes};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::watch;

/// A handle on this process's replica of a set of barriers.
#[derive(Clone)]
pub struct Barriers {
    inner: Replicated<BarrierMachine>,
    open: watch::Receiver<BTreeSet<u64>>,
}

impl Barriers {
    /// Starts a replica.
    ///
    /// # Errors
    /// As [`Replicated::start`].
    pub async fn start(builder: Builder) -> Result<Self, ReplicaError> {
        let machine = BarrierMachine::default();
        let open = machine.open.subscribe();
        Ok(Self { inner: Replicated::start(builder, machine).await?, open })
    }

    /// The replica, for its view and state.
    #[must_use]
    pub fn replica(&self) -> &Replicated<BarrierMachine> {
        &self.inner
    }

    /// Waits until `n` callers are waiting at this barrier, this one included. All of them give the same `n`; the first
    /// one's counts. Dropping the future does not take the arrival back.
    ///
    /// # Errors
    /// [`ExecuteError`]; [`ExecuteError::Unknown`] also if this process was excluded while it waited.
    pub async fn arrive(&self, name: &str, n: u32) -> Result<(), ExecuteError> {
        self.inner.wait_ready().await?;
        let member = self.inner.group().me().ok_or(ExecuteError::Stopped)?;
        let nonce = u128::from(clock::random()) << 64 | u128::from(clock::random());
        let command = arrive(name, n, Owner { member, nonce });
        let reply = self.inner.execute(command).await?;
        let Some(ticket) = Reader(&reply).u64() else { return Err(ExecuteError::Unknown) };
        let (mut open, mut status) = (self.open.clone(), self.inner.group().status());
        tokio::select! {
            done = open.wait_for(|open| !open.contains(&ticket)) => {
                done.map(|_| ()).map_err(|_| ExecuteError::Stopped)
            }
            _ = status.wait_for(|s| s.stopped || s.me != Some(member)) => Err(ExecuteError::Unknown),
        }
    }
}

fn arrive(name: &str, n: u32, owner: Owner) -> Bytes {
    let mut b = Vec::new();
    put_bytes(&mut b, name.as_bytes());
    b.put_u32_le(n);
    put_owner(&mut b, owner);
    b.into()
}

/// The state machine of [`Barriers`].
pub struct BarrierMachine {
    barriers: BTreeMap<Vec<u8>, Waiting>,
    last_ticket: u64,
    /// The tickets of barriers that are not complete, for the callers at this replica.
    open: watch::Sender<BTreeSet<u64>>,
}

struct Waiting {
    ticket: u64,
    n: u32,
    arrived: BTreeSet<Owner>,
}

impl Default for BarrierMachine {
    fn default() -> Self {
        let open = watch::Sender::new(BTreeSet::new());
        Self { barriers: BTreeMap::new(), last_ticket: 0, open }
    }
}

impl BarrierMachine {
    /// The ticket of the barrier that the caller waits for, or waited for if it is complete now.
    fn run(&mut self, command: &[u8]) -> Option<u64> {
        let mut r = Reader(command);
        let (name, n, owner) = (r.bytes()?, r.u32()?, r.owner()?);
        let next = self.last_ticket + 1;
        let waiting = self.barriers.entry(name.to_vec()).or_insert_with(|| {
            self.last_ticket = next;
            Waiting { ticket: next, n, arrived: BTreeSet::new() }
        });
        waiting.arrived.insert(owner);
        let ticket = waiting.ticket;
        if waiting.arrived.len() >= usize::try_from(waiting.n).unwrap_or(usize::MAX) {
            self.barriers.remove(name);
        }
        self.show();
        Some(ticket)
    }

    fn show(&self) {
        self.open.send_replace(self.barriers.values().map(|w| w.ticket).collect());
    }
}

impl StateMachine for BarrierMachine {
    fn apply(&mut self, command: &[u8], _: AgreedTime) -> Bytes {
        self.run(command).map_or_else(Bytes::new, |t| Bytes::copy_from_slice(&t.to_le_bytes()))
    }

    fn query(&self, _: &[u8], _: AgreedTime) -> Bytes {
        Bytes::new()
    }

    fn view_changed(&mut self, view: &View) {
        self.barriers.retain(|_, w| {
            w.arrived.retain(|o| view.rank_of(o.member).is_some());
            !w.arrived.is_empty()
        });
        self.show();
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        let mut b = Vec::new();
        b.put_u64_le(self.last_ticket);
        for (name, w) in &self.barriers {
            put_bytes(&mut b, name);
            b.put_u64_le(w.ticket);
            b.put_u32_le(w.n);
            b.put_u32_le(u32::try_from(w.arrived.len()).unwrap_or(0));
            w.arrived.iter().for_each(|o| put_owner(&mut b, *o));
        }
        whole(b)
    }

    fn reset(&mut self) {
        self.barriers.clear();
        self.last_ticket = 0;
    }

    fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        let mut parse = || {
            let mut r = Reader(chunk);
            self.last_ticket = r.u64()?;
            while !r.0.is_empty() {
                let name = r.bytes()?.to_vec();
                let mut w = Waiting { ticket: r.u64()?, n: r.u32()?, arrived: BTreeSet::new() };
                for _ in 0..r.u32()? {
                    w.arrived.insert(r.owner()?);
                }
                self.barriers.insert(name, w);
            }
            Some(())
        };
        parse().ok_or_else(|| malformed("barriers"))?;
        self.show();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        group::{Group, tests::loopback_group},
        id::{Incarnation, MemberId},
        runtime::loopback::Loopback,
        view::ViewId,
    };
    use std::time::Duration;

    #[test]
    fn all_go_on_together_and_the_name_can_be_used_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (group, events) = loopback_group(Group::builder("g"), Loopback::new()).await;
            let machine = BarrierMachine::default();
            let open = machine.open.subscribe();
            let inner = Replicated::on(group, events, machine, Duration::from_secs(5)).unwrap();
            let barriers = Barriers { inner, open };
            for _ in 0..2 {
                let alone = tokio::time::timeout(Duration::from_millis(50), barriers.arrive("b", 3)).await;
                assert!(alone.is_err(), "two are missing");
                let (a, b) = tokio::join!(barriers.arrive("b", 3), barriers.arrive("b", 3));
                assert_eq!((a, b), (Ok(()), Ok(())));
            }
        });
    }

    #[test]
    fn who_leaves_is_not_counted() {
        let mut m = BarrierMachine::default();
        let addr = ([127, 0, 0, 1], 1).into();
        let owner = Owner { member: MemberId { addr, incarnation: Incarnation(1) }, nonce: 1 };
        m.apply(&arrive("b", 2, owner), AgreedTime(0));
        let mut copy = BarrierMachine::default();
        copy.restore(&m.snapshot().chunk(0)).unwrap();
        assert_eq!(copy.open.borrow().len(), 1);
        copy.view_changed(&View { id: ViewId::default(), members: Arc::from([]) });
        assert!(copy.open.borrow().is_empty());
        assert!(m.apply(b"x", AgreedTime(0)).is_empty());
    }
}
