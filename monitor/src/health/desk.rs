//! [`Desk`]: what a representative does for one connection. Of what it is asked it makes commands for the group, and it tells who watches
//! what the group has agreed on.
//!
//! ```text
//! request ─► answered from the state, or ─► command ─► group ─► done ─► answer
//!                                                        │
//!                            position of each component that is watched ─► verdicts behind it
//! ```
//! A position is all that is known of a watcher, and he knows it himself: so the next representative goes on where this one was cut off.
//! Who has a position that this representative has not come to yet waits until it has. Bounds: [`ASKED_MAX`] requests without an answer; a
//! watcher has as many positions as he has interests ([`limits`](super::state::limits)).

use std::collections::BTreeMap;

use super::{
    command::{Command, Refusal},
    name::{Label, Who},
    state::State,
    verdict::{History, Position},
    wire::{Answer, Ask, Failure, LIST_MAX, Listed, Request, Say, Told},
};

/// Requests without an answer.
pub const ASKED_MAX: usize = 64;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Say this.
    Say(Say),
    /// Have the group carry this out, and tell [`Desk::done`] under this number what has become of it.
    Cast(u64, Command),
}

enum Asked {
    Watch(Label, Option<Position>),
    Other,
}

/// A representative's part of one connection.
#[derive(Default)]
pub struct Desk {
    who: Option<Who>,
    asked: BTreeMap<u64, (u64, Asked)>,
    /// Counts requests for the group.
    next: u64,
    watched: BTreeMap<Label, Option<Position>>,
}

impl Desk {
    /// For a connection on which nothing has been asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a request, or says what the group has to do for it.
    pub fn ask(&mut self, state: &State, request: Request) -> Next {
        match self.command(state, request.ask) {
            Ok((command, asked)) if self.asked.len() < ASKED_MAX => {
                self.next += 1;
                self.asked.insert(self.next, (request.id, asked));
                Next::Cast(self.next, command)
            }
            Ok(_) => Next::Say(Say::Answer { id: request.id, outcome: Err(Failure::Busy) }),
            Err(outcome) => Next::Say(Say::Answer { id: request.id, outcome }),
        }
    }

    /// What the group has to do, or what can be answered without it.
    fn command(&mut self, state: &State, ask: Ask) -> Result<(Command, Asked), Result<Answer, Failure>> {
        let command = match ask {
            Ask::Register(registration) => Command::Register(registration),
            Ask::Deregister { component, instance } => Command::Deregister { component, instance },
            Ask::Forget { component } => Command::Forget { component },
            Ask::Observe(observation) => Command::Observe(observation),
            Ask::Watch { who, component, lease_ms, after } => {
                if let Some(other) = self.who.as_ref().filter(|other| **other != who) {
                    return Err(Err(Failure::SomebodyElse(other.clone())));
                }
                self.who = Some(who.clone());
                let asked = Asked::Watch(component.clone(), after);
                return Ok((Command::Interest { who, component, lease_ms }, asked));
            }
            Ask::Unwatch { component } => {
                self.watched.remove(&component);
                let Some(who) = self.who.clone() else { return Err(Ok(Answer::Done)) };
                Command::Drop { who, component }
            }
            Ask::Renew { lease_ms } => {
                let Some(who) = self.who.clone() else { return Err(Ok(Answer::Done)) };
                Command::Renew { who, lease_ms }
            }
            Ask::List { after } => return Err(Ok(list(state, after.as_ref()))),
            Ask::History { component } => return Err(history(state, component)),
        };
        Ok((command, Asked::Other))
    }

    /// The group has carried a command out, or has not.
    pub fn done(&mut self, number: u64, outcome: Result<(), Failure>) -> Option<Say> {
        let (id, asked) = self.asked.remove(&number)?;
        if let (Ok(()), Asked::Watch(component, after)) = (&outcome, asked) {
            self.watched.insert(component, after);
        }
        Some(Say::Answer { id, outcome: outcome.map(|()| Answer::Done) })
    }

    /// What is new for who watches: up to about so many things. Ask again until nothing is. `within`: the history of the view in which this
    /// representative is in contact with a majority; None: it is not. It tells nothing then, and nothing either while its state is not
    /// of that history yet: whoever is made primary by force delivers alone what was left of the old one.
    pub fn news(&mut self, state: &State, within: Option<History>, most: usize) -> Vec<Told> {
        let mut news = Vec::new();
        let Some(who) = self.who.as_ref().filter(|_| within == Some(state.history())) else { return news };
        self.watched.retain(|component, at| {
            if news.len() >= most {
                return true;
            }
            let keep = state.has_interest(who, component);
            if keep {
                tell(state, component, at, most, &mut news);
            } else {
                news.push(Told::Lapsed { component: component.clone() });
            }
            keep
        });
        news
    }
}

/// What is behind a position, which moves.
fn tell(state: &State, name: &Label, at: &mut Option<Position>, most: usize, news: &mut Vec<Told>) {
    let (Some(component), Some(end)) = (state.component(name), state.position(name)) else { return };
    if at.is_some_and(|at| at.history > end.history || at.history == end.history && at.seq >= end.seq) {
        return;
    }
    let known = at.filter(|at| at.history == end.history);
    let Some(verdicts) = known.and_then(|at| component.after(at.seq)) else {
        let instances = component.standings().collect();
        news.push(Told::Snapshot { component: name.clone(), position: end, instances });
        *at = Some(end);
        return;
    };
    for verdict in verdicts.take(most.saturating_sub(news.len()).max(1)) {
        *at = Some(Position { seq: verdict.seq, ..end });
        let (component, verdict) = (name.clone(), verdict.clone());
        news.push(Told::Verdict { component, history: end.history, verdict });
    }
}

fn list(state: &State, after: Option<&Label>) -> Answer {
    let behind = state.components().filter(|(name, _)| after.is_none_or(|after| *name > after));
    let listed = behind.take(LIST_MAX).filter_map(|(name, component)| {
        let (component, instances) = (name.clone(), component.opinions().collect());
        Some(Listed { component, position: state.position(name)?, instances })
    });
    Answer::Components(listed.collect())
}

fn history(state: &State, name: Label) -> Result<Answer, Failure> {
    match state.component(&name) {
        Some(component) => Ok(Answer::Verdicts(component.history().cloned().collect())),
        None => Err(Failure::Refused(Refusal::NoComponent(name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{command::Registration, state::limits};

    /// A state in which the component `shop` has so many verdicts.
    fn state(verdicts: u64) -> State {
        let mut state = State::new();
        state.view_changed(1);
        for port in 1..=verdicts {
            let registration = Registration {
                component: "shop".parse().unwrap(),
                instance: "a".parse().unwrap(),
                address: Some(([10, 0, 0, 1], u16::try_from(port).unwrap()).into()),
                supervisor: None,
                witnesses: 2,
            };
            state.apply(Command::Register(registration), 0).unwrap();
        }
        state
    }

    /// What is told of who watches from this number on.
    fn told(state: &mut State, seq: u64) -> Vec<Told> {
        let mut desk = Desk::new();
        let (who, component) = ("me".parse().unwrap(), "shop".parse().unwrap());
        let after = Some(Position { history: History(1), seq });
        let ask = Ask::Watch { who, component, lease_ms: 1_000, after };
        let Next::Cast(number, command) = desk.ask(state, Request { id: 7, ask }) else {
            panic!("a command")
        };
        let outcome = state.apply(command, 0).map_err(Failure::Refused);
        assert!(matches!(desk.done(number, outcome), Some(Say::Answer { id: 7, outcome: Ok(_) })));
        assert_eq!(desk.news(state, None, 1_000), [], "not in contact with a majority");
        desk.news(state, Some(History(1)), 1_000)
    }

    #[test]
    fn who_has_missed_more_than_is_kept_is_told_how_things_are() {
        let kept = limits::VERDICTS as u64;
        let mut state = state(kept + 10);
        assert!(
            matches!(&told(&mut state, 9)[..], [Told::Snapshot { position, .. }] if position.seq == kept + 10)
        );
        let all = told(&mut state, 10);
        assert!(matches!(&all[0], Told::Verdict { verdict, .. } if verdict.seq == 11));
        assert_eq!(all.len(), limits::VERDICTS);
        assert_eq!(told(&mut state, kept + 10), []);
        assert_eq!(told(&mut state, kept + 11), [], "this representative has not come so far");
    }
}
