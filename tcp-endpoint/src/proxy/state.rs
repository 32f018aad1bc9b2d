//! What replicas have in common, and what of it is due when.
//!
//! Invariants (for a snapshot they are verified by [`State::fits`]): 1. every session has a connection to a back end, open or opening, and that
//! connection is in `ours`, as is every check; nothing else is; 2. a back end's `connections` are its sessions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use gcs::time::Time;
use serde::{Deserialize, Serialize};

use super::{
    Config,
    control::{Order, UNKNOWN},
    health::Health,
    session::Session,
};
use crate::tcp::Id;

#[derive(Serialize, Deserialize)]
pub(super) struct State {
    /// Of the configuration.
    pub(super) digest: [u8; 32],
    /// By the client's connection.
    pub(super) sessions: BTreeMap<Id, Session>,
    /// The connections that we have opened.
    pub(super) ours: BTreeMap<Id, Ours>,
    /// Connections of operators, and what has come of a line.
    pub(super) operators: BTreeMap<Id, Vec<u8>>,
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
            operators: BTreeMap::new(),
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

    /// Each back end's port of the listener, address, and state.
    pub(super) fn back_ends<'a>(
        &'a mut self,
        config: &'a Config,
    ) -> impl Iterator<Item = (u16, SocketAddr, &'a mut BackEndState)> {
        self.listeners.iter_mut().zip(&config.listeners).flat_map(|(state, listener)| {
            let both = state.back_ends.iter_mut().zip(&listener.back_ends);
            both.map(|(state, back_end)| (listener.port, back_end.address, state))
        })
    }

    /// Does what an operator says; what to answer.
    pub(super) fn obey(&mut self, order: Option<Order>, config: &Config) -> String {
        let (address, drains) = match order {
            None => return UNKNOWN.to_owned(),
            Some(Order::Status) => {
                let lines = self.back_ends(config).map(|(port, address, b)| {
                    let up = if b.health.up { "up" } else { "down" };
                    let open = if b.drains { "drained" } else { "open" };
                    format!("{port} {address} {up} {open} {}\n", b.connections)
                });
                return lines.chain(["ok\n".to_owned()]).collect();
            }
            Some(Order::Drain(address)) => (address, true),
            Some(Order::Resume(address)) => (address, false),
        };
        let mut known = false;
        for (_, _, b) in self.back_ends(config).filter(|(_, a, _)| *a == address) {
            (b.drains, known) = (drains, true);
        }
        if known { "ok\n".to_owned() } else { format!("error: no listener has the back end {address}\n") }
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
