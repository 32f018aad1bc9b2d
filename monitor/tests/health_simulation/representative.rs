//! A representative: what the product does with its group and with its connections, on virtual time.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use gcs::{
    blocks::Snapshot,
    id::MemberId,
    sim::{App, AppContext, Birth, MessageId},
    view::ViewChange,
};
use gcs_monitor::health::{
    command::Command,
    desk::{Desk, Next},
    state::{Frozen, State},
    verdict::{Finding, History},
    wire::{Ask, Failure, Say},
};

use crate::net::Shared;

const NEWS: usize = 8;
/// Between two beats and two ticks.
const BEAT: u64 = 100_000_000;

/// What a representative does wrong, to see that it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// What it is told that is down is down, before the others have heard of it.
    DecidesAlone,
    /// It forgets the verdict behind the position of who comes from another one.
    LeavesOneOut,
    /// It has joined without the state.
    Forgets,
    /// It tells what it delivers while it is out of contact, and of its old view when it is made primary by force.
    TellsOutOfContact,
}

pub(crate) struct Representative {
    process: usize,
    state: State,
    restoring: Vec<u8>,
    /// Whether the state is the group's.
    whole: bool,
    desks: BTreeMap<u64, Desk>,
    /// Whose commands are on their way: connection and number.
    cast: BTreeMap<MessageId, (u64, u64)>,
    first: bool,
    /// The history of its view, while it is in contact with a majority.
    within: Option<History>,
    epoch: History,
    beat: u64,
    shared: Shared,
    wrong: Option<Wrong>,
}

impl Representative {
    pub(crate) fn new(birth: &Birth, shared: &Shared, wrong: Option<Wrong>) -> Self {
        shared.borrow_mut().reset(birth.process);
        Self {
            process: birth.process,
            state: State::new(),
            restoring: Vec::new(),
            whole: false,
            desks: BTreeMap::new(),
            cast: BTreeMap::new(),
            first: false,
            within: None,
            epoch: History(0),
            beat: 0,
            shared: shared.clone(),
            wrong,
        }
    }

    /// What it holds, if it is what the group holds.
    pub(crate) fn state(&self) -> Option<&State> {
        self.whole.then_some(&self.state)
    }

    fn serve(&mut self, cx: &mut AppContext<'_>) {
        let shared = self.shared.clone();
        let wires = shared.borrow().of(self.process);
        self.desks.retain(|wire, _| wires.contains(wire));
        for wire in wires {
            let desk = self.desks.entry(wire).or_default();
            // Who is not in the group yet lets requests wait.
            while cx.writable
                && self.whole
                && let Some(mut request) = shared.borrow_mut().asked(wire)
            {
                match (&mut request.ask, self.wrong) {
                    (Ask::Watch { after: Some(at), .. }, Some(Wrong::LeavesOneOut)) => at.seq += 1,
                    (Ask::Observe(o), Some(Wrong::DecidesAlone)) if o.finding == Finding::Down => {
                        let _ = self.state.apply(Command::Observe(o.clone()), cx.now.0 / 1_000_000);
                    }
                    _ => {}
                }
                match desk.ask(&self.state, request) {
                    Next::Say(say) => shared.borrow_mut().say(wire, say),
                    Next::Cast(number, command) => match cx.cast(&stamped(&command, cx.now.0)) {
                        Some(id) => _ = self.cast.insert(id, (wire, number)),
                        None => {
                            if let Some(say) = desk.done(number, Err(Failure::NotReady)) {
                                shared.borrow_mut().say(wire, say);
                            }
                        }
                    },
                }
            }
            let out = self.wrong == Some(Wrong::TellsOutOfContact);
            let within = if out { Some(self.state.history()) } else { self.within };
            let news = desk.news(&self.state, within, NEWS);
            news.into_iter().for_each(|told| shared.borrow_mut().say(wire, Say::Told(told)));
        }
        let now = cx.now.0;
        if now >= self.beat {
            self.beat = now + BEAT;
            if self.first && self.within.is_some() && self.whole && cx.writable {
                cx.cast(&stamped(&Command::Tick { at_ms: now / 1_000_000 }, now));
            }
            let ready = self.within.is_some() && self.whole;
            let wires: Vec<u64> = self.desks.keys().copied().collect();
            wires.into_iter().for_each(|wire| shared.borrow_mut().say(wire, Say::Beat { ready }));
        }
        cx.wake_after(Duration::from_millis(1));
    }
}

/// A command behind the time of day at which it was cast, in milliseconds.
fn stamped(command: &Command, now: u64) -> Vec<u8> {
    let mut bytes = (now / 1_000_000).to_le_bytes().to_vec();
    bytes.extend(command.to_bytes());
    bytes
}

impl App for Representative {
    fn started(&mut self, cx: &mut AppContext<'_>) {
        cx.wake_after(Duration::from_millis(1));
    }

    fn view(&mut self, change: &ViewChange, cx: &mut AppContext<'_>) {
        self.first = change.view.members.first().is_some_and(|member| member.id == cx.me);
        self.epoch = History(change.view.id.epoch);
        self.within = Some(self.epoch);
        if change.awaits_state {
            // What it has cast before may be lost; who has asked asks again.
            self.whole = false;
            self.cast.clear();
            self.desks.clear();
            self.shared.borrow_mut().reset(self.process);
        } else {
            self.state.view_changed(change.view.id.epoch);
            self.whole = true;
        }
    }

    fn message(&mut self, _: MemberId, id: MessageId, payload: &[u8], cx: &mut AppContext<'_>) {
        let (stamp, command) = payload.split_first_chunk().expect("a time in front");
        let command = Command::from_bytes(command);
        let outcome = command.and_then(|command| self.state.apply(command, u64::from_le_bytes(*stamp)));
        if let Some((wire, number)) = self.cast.remove(&id)
            && let Some(desk) = self.desks.get_mut(&wire)
            && let Some(say) = desk.done(number, outcome.map_err(Failure::Refused))
        {
            self.shared.borrow_mut().say(wire, say);
        }
        self.serve(cx);
    }

    fn blocked(&mut self, blocked: bool, _: &mut AppContext<'_>) {
        self.within = (!blocked).then_some(self.epoch);
    }

    fn wake(&mut self, cx: &mut AppContext<'_>) {
        self.serve(cx);
    }

    fn snapshot(&mut self) -> Arc<dyn Snapshot> {
        Arc::new(Frozen::of(&self.state))
    }

    fn restore(&mut self, index: u64, last: bool, chunk: &[u8], _: &mut AppContext<'_>) {
        if index == 0 {
            self.restoring.clear();
        }
        self.restoring.extend_from_slice(chunk);
        if last {
            let state = Frozen::thaw(&self.restoring).expect("it is a state").expect("it is whole");
            if self.wrong != Some(Wrong::Forgets) {
                self.state = state;
            } else {
                self.state.view_changed(state.history().0);
            }
            self.whole = true;
        }
    }

    fn digest(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        let frozen = Frozen::of(self.state()?);
        (0..frozen.chunks()).for_each(|chunk| frozen.chunk(chunk).hash(&mut hasher));
        Some(hasher.finish())
    }
}
