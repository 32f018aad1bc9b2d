//! What must not be seen by those who watch, whoever of the representatives tells them:
//!
//! - *differs*: two of them are told other verdicts of the same number, or how things are at the same position, and it is not the same;
//! - *gap*: somebody is told a verdict that is not the one behind the last that he was told, and not how things are altogether;
//! - *back*: somebody is told how things were before;
//! - *standing* (at the end): what somebody has been told adds up to something else than what the representatives hold;
//! - *goes on* (at the end): who watches does not come to where the representatives are.

use std::collections::BTreeMap;

use gcs_monitor::health::{
    name::Label,
    state::State,
    verdict::{Health, History, Position, Standing, Verdict},
    wire::Told,
};

type Standings = BTreeMap<Label, Standing>;

/// What one client was told.
#[derive(Default)]
struct Watcher {
    at: BTreeMap<Label, (Position, Standings)>,
}

/// What all were told.
#[derive(Default)]
pub(crate) struct Book {
    common: BTreeMap<(Label, History, u64), Verdict>,
    standings: BTreeMap<(Label, History, u64), Standings>,
    watchers: BTreeMap<usize, Watcher>,
    pub(crate) violation: Option<String>,
    pub(crate) told: u64,
    pub(crate) snapshots: u64,
}

impl Book {
    pub(crate) fn verdicts(&self) -> u64 {
        self.common.len() as u64
    }

    pub(crate) fn violates(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// A client takes this for news.
    pub(crate) fn told(&mut self, client: usize, told: &Told) {
        self.told += 1;
        match told {
            Told::Lapsed { .. } => {}
            Told::Verdict { component, history, verdict } => {
                self.verdict(client, component, *history, verdict)
            }
            Told::Snapshot { component, position, instances } => {
                self.snapshots += 1;
                let standings = instances.iter().map(|s| (s.instance.clone(), s.clone())).collect();
                self.set(client, component, *position, standings);
            }
        }
    }

    fn verdict(&mut self, client: usize, component: &Label, history: History, verdict: &Verdict) {
        let common = self.common.entry((component.clone(), history, verdict.seq)).or_insert(verdict.clone());
        if common != verdict {
            let what =
                format!("differs: client {client} is told {verdict:?} of {component}, another {common:?}");
            return self.violates(what);
        }
        let at = self.watchers.entry(client).or_default().at.get(component).cloned();
        let Some((at, mut standings)) = at else {
            return self.violates(format!("gap: client {client} begins with {verdict:?}"));
        };
        if (at.history, at.seq + 1) != (history, verdict.seq) {
            return self.violates(format!("gap: client {client} is at {at:?} and is told {verdict:?}"));
        }
        let standing = Standing {
            instance: verdict.instance.clone(),
            health: verdict.health,
            since_ms: standings
                .get(&verdict.instance)
                .filter(|s| s.health == verdict.health)
                .map_or(verdict.at_ms, |s| s.since_ms),
            address: verdict.address,
        };
        if verdict.health == Health::Gone {
            standings.remove(&verdict.instance);
        } else {
            standings.insert(verdict.instance.clone(), standing);
        }
        self.set(client, component, Position { history, seq: verdict.seq }, standings);
    }

    fn set(&mut self, client: usize, component: &Label, position: Position, standings: Standings) {
        let key = (component.clone(), position.history, position.seq);
        let common = self.standings.entry(key).or_insert(standings.clone());
        if *common != standings {
            let what = format!(
                "differs: to client {client} {component} at {position:?} is {standings:?}, to another {common:?}"
            );
            return self.violates(what);
        }
        let at = &mut self.watchers.entry(client).or_default().at;
        let before = at.insert(component.clone(), (position, standings));
        if let Some((before, _)) = before
            && (before.history, before.seq) >= (position.history, position.seq)
        {
            self.violates(format!("back: client {client} was at {before:?} and is told of {position:?}"));
        }
    }

    /// What a client lacks of what a representative holds.
    pub(crate) fn lacks(&self, client: usize, state: &State) -> Option<String> {
        let at = self.watchers.get(&client).map(|watcher| &watcher.at);
        state.components().find_map(|(name, _)| {
            let come = at.and_then(|at| at.get(name)).map(|(position, _)| *position);
            (come != state.position(name)).then(|| {
                format!("client {client} is at {come:?} of {name}, and it is at {:?}", state.position(name))
            })
        })
    }

    /// The sum of what was told, when a client lacks nothing.
    pub(crate) fn adds_up(&self, client: usize, state: &State) -> Result<(), String> {
        let Some(watcher) = self.watchers.get(&client) else { return Ok(()) };
        for (name, component) in state.components() {
            let held: Standings = component.standings().map(|s| (s.instance.clone(), s)).collect();
            let told = watcher.at.get(name).map(|(_, standings)| standings);
            if told != Some(&held) {
                return Err(format!(
                    "standing: client {client} was told {told:?} of {name}, and it is {held:?}"
                ));
            }
        }
        Ok(())
    }
}
