//! One process's memberships in light groups, sans-IO: what it wants, said in messages, and what comes of it.
//!
//! ```text
//!            join                    delivered                   leave             delivered
//! (nobody) ───────> Asking ──────────────────────> Member ──────────────> Leaving ─────────> (nobody)
//!                     ^        View, joined          │ new incarnation      │
//!                     └──────────── Away ────────────┘                      └──> (nobody)
//! ```
//! A process that comes back as a new incarnation is in no light group: its joins are said again, behind whatever its last
//! incarnation left in the queue. What is left there does no harm: a join is one more of the same name, and a leave or a
//! message names an id that the new incarnation is not a member of yet. For that, nothing is cast for a membership that is
//! left, and the order of one sender's messages is kept.
//!
//! Invariants: 1. a membership in the directory that no seat claims is left at once; 2. every seat that is not leaving is
//! found by its name, every seat that is a member by its id.
//!
//! Bounds: [`MAX_GROUPS`] seats; what is to be cast is at most a join and a leave for each; events are the driver's to take
//! after every call.

use super::{
    Ending, JoinError, LightEvent, LightStats, LightView,
    codec::{self, Frozen, HEADER, MAX_STATE, Said},
    directory::{Directory, Join, MAX_GROUPS, Slot, is_name},
};
use crate::{
    blocks::{RestoreError, Snapshot, wire::malformed},
    id::{MemberId, Rank},
    view::ViewChange,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Names a membership within its process; none is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(u64);

/// One process's memberships in light groups, without input and output: [`super::LightGroups`] drives it, and so can a
/// program that drives [`Endpoint`](crate::endpoint::Endpoint)s itself, or a simulated application.
///
/// The group below must order messages totally, keep virtual synchrony, transfer state, and not be partitionable. All that
/// it delivers goes in; after every call, what is in [`Self::next_cast`] is to be cast, in order, and what is in
/// [`Self::next_event`] has happened.
#[derive(Debug, Default)]
pub struct Memberships {
    directory: Directory,
    has_state: bool,
    me: Option<MemberId>,
    processes: Vec<MemberId>,
    /// Whose messages came last: many of one sender come in a row.
    sender: Option<(MemberId, Slot)>,
    restoring: Vec<u8>,
    seats: BTreeMap<SeatId, Seat>,
    by_name: BTreeMap<Arc<str>, SeatId>,
    by_id: BTreeMap<u64, SeatId>,
    seated: u64,
    casts: VecDeque<Vec<u8>>,
    events: VecDeque<(SeatId, LightEvent)>,
    delivered: u64,
    discarded: u64,
    malformed: u64,
}

#[derive(Debug)]
struct Seat {
    name: Arc<str>,
    id: Option<u64>,
    leaving: bool,
}

impl Memberships {
    /// No memberships, in no view.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants to be in the light group called `name` from now on. [`LightEvent::View`] says when it is.
    ///
    /// # Errors
    /// [`JoinError`]; nothing has changed.
    pub fn join(&mut self, name: &str) -> Result<SeatId, JoinError> {
        if !is_name(name) {
            return Err(JoinError::Name(name.len()));
        }
        if self.by_name.contains_key(name) {
            return Err(JoinError::Member);
        }
        if self.seats.len() >= MAX_GROUPS {
            return Err(JoinError::Full);
        }
        self.seated += 1;
        let (seat, name) = (SeatId(self.seated), Arc::<str>::from(name));
        if self.is_ready() {
            self.casts.push_back(codec::join(&name));
        }
        self.by_name.insert(Arc::clone(&name), seat);
        self.seats.insert(seat, Seat { name, id: None, leaving: false });
        Ok(seat)
    }

    /// The membership in, or the wish to be in, the light group called `name`.
    #[must_use]
    pub fn seat_of(&self, name: &str) -> Option<SeatId> {
        self.by_name.get(name).copied()
    }

    /// The process with this rank in the present view of the group.
    pub(super) fn process(&self, rank: Rank) -> Option<MemberId> {
        self.processes.get(usize::from(rank)).copied()
    }

    /// Wants to be in that light group no longer. [`LightEvent::Left`] says when that is so; until then it goes on.
    pub fn leave(&mut self, seat: SeatId) {
        let Some(s) = self.seats.get_mut(&seat).filter(|s| !s.leaving) else { return };
        self.by_name.remove(&s.name);
        match s.id {
            Some(id) => {
                s.leaving = true;
                self.casts.push_back(codec::leave(id));
            }
            // If a join is under way, nobody will claim what comes of it.
            None => {
                self.seats.remove(&seat);
                self.events.push_back((seat, LightEvent::Left(Ending::Asked)));
            }
        }
    }

    /// The message to cast for the light group that this is a membership in; None while it is in none, or leaves it. Nothing
    /// may be cast for it later: it could come behind the next join.
    #[must_use]
    pub fn message(&self, seat: SeatId, bytes: &[u8]) -> Option<Vec<u8>> {
        let id = self.seats.get(&seat).filter(|s| !s.leaving)?.id?;
        let mut message = codec::message(bytes);
        codec::address(&mut message, id);
        Some(message)
    }

    /// The next message to cast.
    pub fn next_cast(&mut self) -> Option<Vec<u8>> {
        self.casts.pop_front()
    }

    /// Takes back a message that could not be cast.
    pub fn cast_later(&mut self, message: Vec<u8>) {
        self.casts.push_front(message);
    }

    /// How many messages are to be cast.
    #[must_use]
    pub fn casts(&self) -> usize {
        self.casts.len()
    }

    /// What has happened next, in its order.
    pub fn next_event(&mut self) -> Option<(SeatId, LightEvent)> {
        self.events.pop_front()
    }

    /// The next event, if it is a message in this light group.
    pub(super) fn next_message(&mut self, seat: SeatId) -> Option<LightEvent> {
        self.events
            .pop_front_if(|(s, e)| *s == seat && matches!(e, LightEvent::Message { .. }))
            .map(|(_, e)| e)
    }

    /// The group has a new view ([`crate::endpoint::Event::View`]).
    pub fn view(&mut self, change: &ViewChange) {
        let me = change.view.member(change.rank).map(|m| m.id);
        let reborn = self.me != me || change.awaits_state;
        self.me = me;
        self.sender = None;
        self.processes.clear();
        self.processes.extend(change.view.members.iter().map(|m| m.id));
        if reborn {
            self.stand_up();
        }
        if change.awaits_state {
            self.has_state = false;
            return;
        }
        self.has_state = true;
        for id in self.directory.view_changed(&self.processes) {
            self.tell_view(id, false);
        }
        if reborn {
            self.say_joins();
        }
    }

    /// The group has delivered a message.
    pub fn deliver(&mut self, from: MemberId, message: &Bytes) {
        let Some(sender) = self.slot_of(from) else { return };
        match codec::decode(message) {
            Some(Said::Message(id, _)) => match self.by_id.get(&id) {
                Some(seat) if self.directory.is_member(sender, id) => {
                    self.delivered += 1;
                    let bytes = message.slice(HEADER..);
                    self.events.push_back((*seat, LightEvent::Message { from, bytes }));
                }
                _ => self.discarded += 1,
            },
            Some(Said::Join(name)) => match self.directory.join(sender, name) {
                Join::Joined(id) if Some(from) == self.me => self.joined(id, name),
                Join::Joined(id) => self.tell_view(id, false),
                Join::Full if Some(from) == self.me => self.full(name),
                Join::Full | Join::Already => {}
            },
            Some(Said::Leave(id)) => {
                if self.directory.leave(sender, id) {
                    if Some(from) == self.me {
                        self.left(id);
                    }
                    self.tell_view(id, false);
                }
            }
            None => self.malformed += 1,
        }
    }

    /// The state as it is now ([`crate::endpoint::Event::StateRequested`]).
    #[must_use]
    pub fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(Frozen(codec::encode_state(&self.directory).into()))
    }

    /// A part of the state ([`crate::endpoint::Event::StateChunk`]).
    ///
    /// # Errors
    /// It is not understood, or is not of this view: this process must leave the group.
    pub fn restore(&mut self, index: u64, last: bool, chunk: &[u8]) -> Result<(), RestoreError> {
        let wrong = || malformed("directory");
        if index == 0 {
            self.restoring.clear();
        }
        if self.restoring.len() + chunk.len() > MAX_STATE {
            return Err(wrong());
        }
        self.restoring.extend_from_slice(chunk);
        if last {
            let bytes = std::mem::take(&mut self.restoring);
            let directory = codec::decode_state(&bytes).filter(|d| d.is_of(&self.processes));
            self.directory = directory.ok_or_else(wrong)?;
            self.has_state = true;
            self.say_joins();
        }
        Ok(())
    }

    /// Counters and sizes; what is queued for readers is not known here.
    #[must_use]
    pub fn stats(&self) -> LightStats {
        LightStats {
            groups: self.directory.groups.len(),
            joined: self.by_id.len(),
            delivered: self.delivered,
            discarded: self.discarded,
            malformed: self.malformed,
            queued_bytes: 0,
        }
    }

    fn is_ready(&self) -> bool {
        self.me.is_some() && self.has_state
    }

    fn slot_of(&mut self, from: MemberId) -> Option<Slot> {
        if let Some((member, slot)) = self.sender
            && member == from
        {
            return Some(slot);
        }
        let slot = self.directory.slot_of(from)?;
        self.sender = Some((from, slot));
        Some(slot)
    }

    /// A new incarnation is in no light group.
    fn stand_up(&mut self) {
        self.casts.clear();
        self.by_id.clear();
        let events = &mut self.events;
        self.seats.retain(|seat, s| {
            if s.id.take().is_some() {
                let event = if s.leaving { LightEvent::Left(Ending::Asked) } else { LightEvent::Away };
                events.push_back((*seat, event));
            }
            !s.leaving
        });
    }

    fn say_joins(&mut self) {
        let asking = self.seats.values().filter(|s| s.id.is_none());
        self.casts.extend(asking.map(|s| codec::join(&s.name)));
    }

    fn joined(&mut self, id: u64, name: &str) {
        let Some(seat) = self.by_name.get(name) else {
            self.casts.push_back(codec::leave(id));
            return;
        };
        if let Some(s) = self.seats.get_mut(seat) {
            s.id = Some(id);
        }
        self.by_id.insert(id, *seat);
        self.tell_view(id, true);
    }

    fn full(&mut self, name: &str) {
        if let Some(seat) = self.by_name.remove(name) {
            self.seats.remove(&seat);
            self.events.push_back((seat, LightEvent::Left(Ending::Full)));
        }
    }

    fn left(&mut self, id: u64) {
        if let Some(seat) = self.by_id.remove(&id) {
            self.seats.remove(&seat);
            self.events.push_back((seat, LightEvent::Left(Ending::Asked)));
        }
    }

    fn tell_view(&mut self, id: u64, joined: bool) {
        if let (Some(seat), Some(group)) = (self.by_id.get(&id), self.directory.get(id)) {
            let members = self.directory.members(group).collect();
            let view = LightView { group: id, number: group.view, members, joined };
            self.events.push_back((*seat, LightEvent::View(view)));
        }
    }
}

#[cfg(test)]
#[path = "memberships_tests.rs"]
mod tests;
