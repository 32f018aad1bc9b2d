//! What replicas have in common, and what of it is due when.
//!
//! Invariants (for a snapshot they are verified by [`State::fits`]): 1. every session has a connection to a back end, open or opening, and that
//! connection is in `ours`, as is every check; nothing else is; 2. a back end's `connections` are its sessions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use gcs::time::Time;
use serde::{Deserialize, Serialize};

use super::{Config, health::Health, session::Session};
use crate::tcp::Id;

#[derive(Serialize, Deserialize)]
pub(super) struct State {
    /// Of the configuration.
    pub(super) digest: [u8; 32],
    /// By the client's connection.
    pub(super) sessions: BTreeMap<Id, Session>,
    /// The connections that we have opened.
    pub(super) ours: BTreeMap<Id, Ours>,
    /// By their place in the configuration.
    pub(super) listeners: Vec<ListenerState>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ListenerState {
    /// Whose turn it is.
    pub(super) turn: u32,
    /// By their place in the configuration: their number.
    pub(super) back_ends: Vec<BackEndState>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct BackEndState {
    pub(super) connections: u32,
    pub(super) drains: bool,
    pub(super) health: Health,
}

/// What a connection of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ours {
    /// A client's session.
    Session(Id),
    /// A check of a back end: its listener, and its number among those.
    Check(usize, usize),
}

/// What is due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The back end of this client has not answered.
    Answer(Id),
    /// A check begins, or has not been answered.
    Check(usize, usize),
}

impl State {
    pub(super) fn new(config: &Config, vips: &[IpAddr]) -> Self {
        let back_end = |drains| BackEndState { connections: 0, drains, health: Health::new(Time::ZERO) };
        let listeners = config.listeners.iter().map(|listener| ListenerState {
            turn: 0,
            back_ends: listener.back_ends.iter().map(|b| back_end(b.drain)).collect(),
        });
        Self {
            digest: config.digest(vips),
            sessions: BTreeMap::new(),
            ours: BTreeMap::new(),
            listeners: listeners.collect(),
        }
    }

    /// What is due: an answer for each session that is opening, a check for each back end that is checked.
    pub(super) fn due(&self, config: &Config) -> BTreeSet<(Time, Due)> {
        let answers = self.sessions.iter().filter_map(|(id, s)| Some((s.opening?, Due::Answer(*id))));
        let mut due: BTreeSet<_> = answers.collect();
        for (listener, (state, config)) in self.listeners.iter().zip(&config.listeners).enumerate() {
            if config.check.interval_ms > 0 {
                let checks = state.back_ends.iter().enumerate();
                due.extend(checks.map(|(number, b)| (b.health.at, Due::Check(listener, number))));
            }
        }
        due
    }

    fn back_end(&self, listener: usize, number: usize) -> Option<&BackEndState> {
        self.listeners.get(listener)?.back_ends.get(number)
    }

    /// Whether the invariants hold and everything that is named exists; for a state that comes from elsewhere.
    pub(super) fn fits(&self, config: &Config) -> bool {
        let shape = self.listeners.iter().map(|l| l.back_ends.len());
        let mut connections: Vec<Vec<u32>> =
            config.listeners.iter().map(|l| vec![0; l.back_ends.len()]).collect();
        if !shape.eq(connections.iter().map(Vec::len)) {
            return false;
        }
        for (client, session) in &self.sessions {
            let place = connections.get_mut(session.listener).and_then(|l| l.get_mut(session.number));
            let known = self.ours.get(&session.back) == Some(&Ours::Session(*client));
            let Some(count) = place.filter(|_| known && session.client == *client) else { return false };
            *count += 1;
        }
        let exists = |(id, what): (&Id, &Ours)| match *what {
            Ours::Session(client) => self.sessions.get(&client).is_some_and(|s| s.back == *id),
            Ours::Check(listener, number) => {
                self.back_end(listener, number).is_some_and(|b| b.health.check == Some(*id))
            }
        };
        let counted = self.listeners.iter().flat_map(|l| &l.back_ends).map(|b| b.connections);
        self.ours.iter().all(exists) && counted.eq(connections.into_iter().flatten())
    }
}
