//! The deterministic part of the locks.

use crate::{
    blocks::{
        AgreedTime, RestoreError, Snapshot, StateMachine,
        wire::{Owner, Reader, malformed, put_bytes, put_member, put_owner, whole},
    },
    id::MemberId,
    view::View,
};
use bytes::{BufMut, Bytes};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use tokio::sync::watch;

const TRY: u8 = 0;
const WAIT: u8 = 1;
const RELEASE: u8 = 2;

pub(super) fn acquire(name: &str, owner: Owner, wait: bool) -> Bytes {
    command(if wait { WAIT } else { TRY }, name, owner)
}

pub(super) fn release(name: &str, owner: Owner) -> Bytes {
    command(RELEASE, name, owner)
}

fn command(kind: u8, name: &str, owner: Owner) -> Bytes {
    let mut b = vec![kind];
    put_bytes(&mut b, name.as_bytes());
    put_owner(&mut b, owner);
    b.into()
}

/// Who holds what, as of the last command that this replica has applied: for the callers at this replica.
pub(super) struct Mirror {
    held: Mutex<BTreeMap<Vec<u8>, (Owner, u64)>>,
    version: watch::Sender<u64>,
}

impl Mirror {
    /// The token of the lock, if this owner holds it.
    pub(super) fn token(&self, name: &str, owner: Owner) -> Option<u64> {
        self.held.lock().get(name.as_bytes()).filter(|(o, _)| *o == owner).map(|(_, t)| *t)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

/// The state machine of [`super::Locks`].
pub struct LockMachine {
    members: BTreeSet<MemberId>,
    /// A lock that nobody holds is not listed. The first in line is the holder.
    locks: BTreeMap<Vec<u8>, Lock>,
    last_token: u64,
    mirror: Arc<Mirror>,
}

struct Lock {
    token: u64,
    line: VecDeque<Owner>,
}

impl Default for LockMachine {
    fn default() -> Self {
        let mirror = Mirror { held: Mutex::default(), version: watch::Sender::new(0) };
        Self { members: BTreeSet::new(), locks: BTreeMap::new(), last_token: 0, mirror: Arc::new(mirror) }
    }
}

impl LockMachine {
    pub(super) fn mirror(&self) -> Arc<Mirror> {
        Arc::clone(&self.mirror)
    }

    /// 0 if the owner does not hold the lock after the command.
    fn run(&mut self, command: &[u8], at: AgreedTime) -> Option<u64> {
        let mut r = Reader(command);
        let (kind, name, owner) = (r.u8()?, r.bytes()?, r.owner()?);
        if kind == RELEASE {
            self.remove_from_line(name, |o| *o == owner);
            return Some(0);
        }
        // A request that was overtaken by the exclusion of who made it.
        if !self.members.contains(&owner.member) {
            return Some(0);
        }
        if let Some(lock) = self.locks.get_mut(name) {
            if kind == WAIT && !lock.line.contains(&owner) {
                lock.line.push_back(owner);
            }
            return Some(if lock.line.front() == Some(&owner) { lock.token } else { 0 });
        }
        // Tokens grow even if all members fail and the group is founded anew: they follow the agreed time then.
        self.last_token = (self.last_token + 1).max(at.0);
        let token = self.last_token;
        self.locks.insert(name.to_vec(), Lock { token, line: [owner].into() });
        self.show(name);
        Some(token)
    }

    /// Takes owners out of a lock's line, and passes the lock on if the first one was among them.
    fn remove_from_line(&mut self, name: &[u8], gone: impl Fn(&Owner) -> bool) {
        let Some(lock) = self.locks.get_mut(name) else { return };
        let holder = lock.line.front().copied();
        lock.line.retain(|o| !gone(o));
        match lock.line.front().copied() {
            None => {
                self.locks.remove(name);
            }
            next if next != holder => {
                self.last_token += 1;
                lock.token = self.last_token;
            }
            _ => return,
        }
        self.show(name);
    }

    /// Tells the callers at this replica.
    fn show(&self, name: &[u8]) {
        let mut held = self.mirror.held.lock();
        match self.locks.get(name).and_then(|l| Some((*l.line.front()?, l.token))) {
            Some(holder) => held.insert(name.to_vec(), holder),
            None => held.remove(name),
        };
        drop(held);
        self.mirror.version.send_modify(|v| *v += 1);
    }
}

impl StateMachine for LockMachine {
    fn apply(&mut self, command: &[u8], at: AgreedTime) -> Bytes {
        self.run(command, at).map_or_else(Bytes::new, |t| Bytes::copy_from_slice(&t.to_le_bytes()))
    }

    fn query(&self, _: &[u8], _: AgreedTime) -> Bytes {
        Bytes::new()
    }

    fn view_changed(&mut self, view: &View) {
        self.members = view.members.iter().map(|m| m.id).collect();
        let members = self.members.clone();
        for name in self.locks.keys().cloned().collect::<Vec<_>>() {
            self.remove_from_line(&name, |o| !members.contains(&o.member));
        }
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        let mut b = Vec::new();
        b.put_u64_le(self.last_token);
        b.put_u32_le(u32::try_from(self.members.len()).unwrap_or(0));
        self.members.iter().for_each(|m| put_member(&mut b, *m));
        for (name, lock) in &self.locks {
            put_bytes(&mut b, name);
            b.put_u64_le(lock.token);
            b.put_u32_le(u32::try_from(lock.line.len()).unwrap_or(0));
            lock.line.iter().for_each(|o| put_owner(&mut b, *o));
        }
        whole(b)
    }

    fn reset(&mut self) {
        self.members.clear();
        self.locks.clear();
        self.last_token = 0;
        self.mirror.held.lock().clear();
    }

    fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        let mut parse = || {
            let mut r = Reader(chunk);
            self.last_token = r.u64()?;
            for _ in 0..r.u32()? {
                self.members.insert(r.member()?);
            }
            while !r.0.is_empty() {
                let (name, token) = (r.bytes()?.to_vec(), r.u64()?);
                let mut line = VecDeque::new();
                for _ in 0..r.u32()? {
                    line.push_back(r.owner()?);
                }
                self.locks.insert(name, Lock { token, line });
            }
            Some(())
        };
        parse().ok_or_else(|| malformed("locks"))?;
        let names: Vec<_> = self.locks.keys().cloned().collect();
        names.iter().for_each(|n| self.show(n));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::Incarnation,
        view::{Member, ViewId},
    };

    fn owner(n: u16, nonce: u128) -> Owner {
        let addr = ([127, 0, 0, 1], n).into();
        Owner { member: MemberId { addr, incarnation: Incarnation(1) }, nonce }
    }

    fn view(ports: &[u16]) -> View {
        let members: Vec<_> = ports.iter().map(|n| Member::new(owner(*n, 0).member, "m")).collect();
        View { id: ViewId { epoch: 1, number: 1 }, members: members.into() }
    }

    fn token(m: &mut LockMachine, command: &Bytes) -> u64 {
        m.apply(command, AgreedTime(1000)).first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
    }

    #[test]
    fn a_lock_passes_on_when_its_holder_leaves_the_view() {
        let mut m = LockMachine::default();
        m.view_changed(&view(&[1, 2, 3]));
        let (a, b, c) = (owner(1, 1), owner(2, 1), owner(3, 1));
        let first = token(&mut m, &acquire("x", a, true));
        assert!(first >= 1000, "follows the agreed time");
        assert_eq!(token(&mut m, &acquire("x", b, true)), 0);
        assert_eq!(token(&mut m, &acquire("x", c, true)), 0);
        assert_eq!(token(&mut m, &acquire("x", a, true)), first, "asking again changes nothing");
        m.view_changed(&view(&[3, 2]));
        assert_eq!(m.mirror.token("x", b), Some(first + 1));
        assert_eq!(token(&mut m, &acquire("y", a, true)), 0, "not a member any more");
        let mut copy = LockMachine::default();
        copy.restore(&m.snapshot().chunk(0)).unwrap();
        for machine in [&mut m, &mut copy] {
            token(machine, &release("x", b));
            assert_eq!(machine.mirror.token("x", c), Some(first + 2));
            machine.view_changed(&view(&[]));
            assert!(machine.locks.is_empty() && machine.mirror.held.lock().is_empty());
        }
        assert!(copy.restore(b"x").is_err());
    }

    #[test]
    fn trying_does_not_wait_in_line() {
        let mut m = LockMachine::default();
        m.view_changed(&view(&[1]));
        let (a, b) = (owner(1, 1), owner(1, 2));
        assert!(token(&mut m, &acquire("x", a, false)) > 0);
        assert_eq!(token(&mut m, &acquire("x", b, false)), 0);
        token(&mut m, &release("x", b));
        token(&mut m, &release("x", a));
        assert!(m.locks.is_empty());
        assert!(m.apply(b"nonsense", AgreedTime(0)).is_empty());
    }
}
