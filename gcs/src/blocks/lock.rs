//! Locks with fencing tokens.
//!
//! A lock is held by one caller of one member; others wait in line. It passes on when the holder releases it or leaves
//! the view, and every grant has a larger token than any before it, of any lock: whatever the lock protects should refuse
//! writes with a token below the largest it has seen. [`Guard::is_held`] also asks for the lease: a holder that is cut
//! off from the group stops before the others can go on.

mod machine;

pub use machine::LockMachine;

use super::{ExecuteError, Replicated, rsm::ReplicaError, wire::Owner};
use crate::{group::Builder, runtime::clock};
use machine::{Mirror, acquire, release};
use std::sync::Arc;

/// A handle on this process's replica of a set of locks.
#[derive(Clone)]
pub struct Locks {
    inner: Replicated<LockMachine>,
    mirror: Arc<Mirror>,
}

/// A lock that was granted. Dropping it releases the lock some time later; [`Guard::release`] waits for it.
pub struct Guard {
    claim: Claim,
    token: u64,
}

/// A place in the line of a lock; given up when dropped.
struct Claim {
    locks: Locks,
    name: String,
    owner: Owner,
    over: bool,
}

impl Locks {
    /// Starts a replica.
    ///
    /// # Errors
    /// As [`Replicated::start`].
    pub async fn start(builder: Builder) -> Result<Self, ReplicaError> {
        let machine = LockMachine::default();
        let mirror = machine.mirror();
        Ok(Self { inner: Replicated::start(builder, machine).await?, mirror })
    }

    #[cfg(test)]
    fn on(inner: Replicated<LockMachine>, mirror: Arc<Mirror>) -> Self {
        Self { inner, mirror }
    }

    /// The replica, for its view and state.
    #[must_use]
    pub fn replica(&self) -> &Replicated<LockMachine> {
        &self.inner
    }

    /// Waits for a lock. Cancel safe: dropping the future gives up the place in line.
    ///
    /// # Errors
    /// [`ExecuteError`]; the lock is not held, and not waited for (after [`ExecuteError::Unknown`]: a place in line that
    /// was taken is given up again).
    pub async fn lock(&self, name: &str) -> Result<Guard, ExecuteError> {
        let mut changes = self.mirror.changes();
        loop {
            let (claim, token) = self.claim(name, true).await?;
            if token > 0 {
                return Ok(Guard { claim, token });
            }
            loop {
                changes.borrow_and_update();
                if let Some(token) = self.mirror.token(name, claim.owner) {
                    return Ok(Guard { claim, token });
                }
                // Excluded and back: the place in line is lost, take another one.
                if self.inner.group().me() != Some(claim.owner.member) {
                    break;
                }
                let mut status = self.inner.group().status();
                tokio::select! {
                    changed = changes.changed() => changed.map_err(|_| ExecuteError::Stopped)?,
                    end = status.wait_for(|s| s.stopped || s.me != Some(claim.owner.member)) => {
                        if end.map_or(true, |s| s.stopped) {
                            return Err(ExecuteError::Stopped);
                        }
                    }
                }
            }
        }
    }

    /// Takes a lock if nobody holds it.
    ///
    /// # Errors
    /// [`ExecuteError`].
    pub async fn try_lock(&self, name: &str) -> Result<Option<Guard>, ExecuteError> {
        let (mut claim, token) = self.claim(name, false).await?;
        if token == 0 {
            claim.over = true;
            return Ok(None);
        }
        Ok(Some(Guard { claim, token }))
    }

    async fn claim(&self, name: &str, wait: bool) -> Result<(Claim, u64), ExecuteError> {
        self.inner.wait_ready().await?;
        let member = self.inner.group().me().ok_or(ExecuteError::Stopped)?;
        let nonce = u128::from(clock::random()) << 64 | u128::from(clock::random());
        let owner = Owner { member, nonce };
        let claim = Claim { locks: self.clone(), name: name.to_owned(), owner, over: false };
        let reply = self.inner.execute(acquire(name, owner, wait)).await?;
        let token = reply.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        Ok((claim, token))
    }
}

impl Guard {
    /// The fencing token: larger than that of every grant before this one.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether the lock is still held, and this process still in contact with a quorum. To be asked right before acting.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let locks = &self.claim.locks;
        locks.inner.group().lease_valid()
            && locks.mirror.token(&self.claim.name, self.claim.owner) == Some(self.token)
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// [`ExecuteError`]: it is given back at the latest when this process leaves the group.
    pub async fn release(mut self) -> Result<(), ExecuteError> {
        let command = release(&self.claim.name, self.claim.owner);
        self.claim.locks.inner.execute(command).await?;
        self.claim.over = true;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.over {
            self.locks.inner.submit(release(&self.name, self.owner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        group::{Group, tests::loopback_group},
        runtime::loopback::Loopback,
    };
    use std::time::Duration;

    #[test]
    fn one_holds_and_the_next_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (group, events) = loopback_group(Group::builder("g"), Loopback::new()).await;
            let machine = LockMachine::default();
            let mirror = machine.mirror();
            let inner = Replicated::on(group, events, machine, Duration::from_secs(5)).unwrap();
            let locks = Locks::on(inner, mirror);
            let first = locks.lock("a").await.unwrap();
            assert!(first.is_held());
            assert!(locks.try_lock("a").await.unwrap().is_none());
            assert!(locks.try_lock("b").await.unwrap().is_some());
            let waiting = tokio::spawn({
                let locks = locks.clone();
                async move { locks.lock("a").await }
            });
            let given_up = tokio::time::timeout(Duration::from_millis(50), locks.lock("a")).await;
            assert!(given_up.is_err(), "it is held");
            let token = first.token();
            drop(first);
            let second = waiting.await.unwrap().unwrap();
            assert!(second.token() > token && second.is_held());
            second.release().await.unwrap();
            let third = locks.lock("a").await.unwrap();
            assert!(third.is_held());
            locks.replica().leave().await.unwrap();
            assert!(!third.is_held(), "without a group there is no lease");
        });
    }
}
