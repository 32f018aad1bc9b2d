//! Agents of one zone watch each other: each asks one other in a period whether it is there, all in turn, so that everybody is asked about once
//! in a period, whatever the size of the zone (Das, Gupta and Motivala, "SWIM", DSN 2002). In the zones around it zones watch each other in the
//! same way: the first that speaks for one asks somebody who speaks for another one.
//!
//! ```text
//!   Ping ──no Pong──► Ping, PingFor to three others ──none──► the same again, to three more ──none, and one of them was Silent──► Gone, to all
//! ```
//! A question is asked twice before it counts as not answered, and of a zone all who speak for it are asked, one after the other. That somebody
//! is gone takes the word of a second agent, as an agent that is overloaded finds everybody silent (Dadgar, Phillips and Currey, "Lifeguard",
//! DSN 2018, lets it doubt itself by degrees); and who is late with its own timers says nothing of others. Who hears that it is gone objects by
//! issuing its row anew; for a zone, who speaks for it does.
//!
//! Where agents have keys, one answer in sixteen is signed, by who is asked or by who has asked for another one.
//!
//! * **Bounds**: [`ASKED`] questions at a time, [`HELPING`] for others.

use std::{net::SocketAddr, sync::Arc};

use gcs::time::Time;

use super::{Agent, Sends};
use crate::{
    trust::Seal,
    zones::{
        message::{Body, Subject},
        name::ZoneName,
        table::Stamp,
    },
};

const ASKED: usize = 32;
const HELPING: usize = 64;
/// Others that are asked to ask, each time.
const HELPERS: usize = 3;
/// The bits that are zero in the numbers of questions whose answers are signed.
const PROVEN: u32 = 15;
/// How often they are.
const ROUNDS: u8 = 2;

/// Whom this agent has asked whether it is there.
#[derive(Debug)]
struct Asked {
    number: u32,
    level: usize,
    child: Arc<str>,
    stamp: Stamp,
    whom: SocketAddr,
    /// Who asked this agent to ask, and under which number.
    for_other: Option<(SocketAddr, u32)>,
    /// It is asked once more.
    again: Time,
    until: Time,
    /// How often others have been asked to ask.
    rounds: u8,
    /// One of them has heard nothing, or there is none.
    silent: bool,
}

impl Asked {
    fn new(level: usize, child: Arc<str>, stamp: Stamp, whom: SocketAddr) -> Self {
        let (again, until) = (Time::NEVER, Time::NEVER);
        Self { number: 0, level, child, stamp, whom, for_other: None, again, until, rounds: 0, silent: false }
    }
}

/// Who is asked, and who has not answered.
#[derive(Debug)]
pub(super) struct Watch {
    next_at: Time,
    /// By level: who is still to be asked in this turn.
    turns: Vec<Vec<Arc<str>>>,
    asked: Vec<Asked>,
}

impl Watch {
    /// For an agent with so many tables.
    pub(super) fn new(levels: usize) -> Self {
        Self { next_at: Time::NEVER, turns: vec![Vec::new(); levels], asked: Vec::new() }
    }

    pub(super) fn begin(&mut self, at: Time) {
        self.next_at = at;
    }

    pub(super) fn next_timer(&self) -> Time {
        let asked = self.asked.iter().map(|asked| asked.until.min(asked.again));
        asked.min().unwrap_or(Time::NEVER).min(self.next_at)
    }

    pub(super) fn on_silent(&mut self, number: u32) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.number == number && asked.rounds > 0) {
            asked.silent = true;
        }
    }
}

impl Agent {
    /// Does what is due: the next question, and what follows when there is no answer.
    pub(super) fn watch_others(&mut self, now: Time, sends: &mut Sends) {
        let (due, mut asked): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.watch.asked).into_iter().partition(|asked| asked.until <= now);
        for asked in asked.iter_mut().filter(|asked| asked.again <= now) {
            asked.again = now + self.config.answer / 2;
            self.say(asked.whom, asked.level, Body::Ping(asked.number), sends);
        }
        self.watch.asked = asked;
        for asked in due {
            self.unanswered(now, asked, sends);
        }
        if self.watch.next_at <= now {
            self.watch.next_at = now + self.config.watch;
            for level in 0..self.tables.len() {
                if level == self.leaf() || self.tables[level + 1].speakers().first() == Some(&self.contact) {
                    self.ask_next(now, level, sends);
                }
            }
        }
    }

    fn ask_next(&mut self, now: Time, level: usize, sends: &mut Sends) {
        if self.watch.turns[level].is_empty() {
            let own = &self.parts[level];
            let shown = self.tables[level].issues().map(|(child, _)| child.clone());
            let mut turn: Vec<Arc<str>> = shown.filter(|child| child != own).collect();
            for left in (1..turn.len()).rev() {
                turn.swap(left, self.draw(left + 1));
            }
            self.watch.turns[level] = turn;
        }
        let Some(child) = self.watch.turns[level].pop() else { return };
        let Some(slot) = self.tables[level].slot(&child) else { return };
        let (Some(stamp), contacts) = (slot.issue().map(|issue| issue.stamp), slot.contacts().to_vec())
        else {
            return;
        };
        if contacts.is_empty() {
            return;
        }
        let whom = contacts[self.draw(contacts.len())];
        self.ask(now, Asked::new(level, child, stamp, whom), sends);
    }

    fn ask(&mut self, now: Time, mut asked: Asked, sends: &mut Sends) {
        let helps = asked.for_other.is_some();
        let under_way = self.watch.asked.iter().filter(|other| other.for_other.is_some() == helps).count();
        if under_way < if helps { HELPING } else { ASKED } {
            let patience = self.patience(asked.whom);
            (asked.number, asked.until) = (self.number(), now + patience);
            if let Some((_, number)) = asked.for_other.filter(|(_, number)| self.wants_proof(*number)) {
                // Who asks for another one proves to it what it has been proven.
                asked.number = asked.number & !PROVEN | number & PROVEN;
            }
            asked.again = now + patience / 2;
            self.say(asked.whom, asked.level, Body::Ping(asked.number), sends);
            self.watch.asked.push(asked);
        }
    }

    /// Asks for another agent, if the one in question is in one of this agent's tables.
    pub(super) fn ping_for(
        &mut self,
        now: Time,
        from: SocketAddr,
        number: u32,
        whom: SocketAddr,
        sends: &mut Sends,
    ) {
        let mut slots =
            self.tables.iter().enumerate().flat_map(|(level, t)| t.slots().iter().map(move |s| (level, s)));
        let Some((level, slot)) = slots.find(|(_, slot)| slot.contacts().contains(&whom)) else { return };
        let Some(stamp) = slot.issue().map(|issue| issue.stamp) else { return };
        let asked = Asked::new(level, slot.child().clone(), stamp, whom);
        self.ask(now, Asked { for_other: Some((from, number)), ..asked }, sends);
    }

    /// Whether the answer to this question has to be signed: to one in sixteen, where agents have keys. So nobody answers for long in the place of
    /// somebody who is dead, not even at its address.
    fn wants_proof(&self, number: u32) -> bool {
        self.has_keys() && number & PROVEN == 0
    }

    /// Somebody asks whether it is there, as a child of this zone.
    pub(super) fn on_ping(&self, from: SocketAddr, number: u32, zone: &ZoneName, sends: &mut Sends) {
        let level = self.zones.iter().position(|own| own == zone);
        match level.filter(|_| self.wants_proof(number)) {
            Some(level) => self.prove(from, level, &self.parts[level], number, sends),
            None => self.say(from, 0, Body::Pong(number), sends),
        }
    }

    fn prove(&self, to: SocketAddr, level: usize, child: &str, number: u32, sends: &mut Sends) {
        if let Some(seal) = self.proof(level, child, number) {
            self.say(to, level, Body::Proof(number, seal), sends);
        }
    }

    pub(super) fn on_pong(&mut self, number: u32, sends: &mut Sends) {
        if !self.wants_proof(number) {
            self.answered(number, sends);
        }
    }

    /// It is there, and somebody has signed that.
    pub(super) fn on_proof(
        &mut self,
        now: Time,
        from: SocketAddr,
        number: u32,
        seal: &Seal,
        sends: &mut Sends,
    ) {
        let Some(asked) = self.watch.asked.iter().find(|asked| asked.number == number) else { return };
        let (level, child) = (asked.level, asked.child.clone());
        if self.is_proven(now, from, level, &child, number, seal) {
            self.answered(number, sends);
        }
    }

    fn answered(&mut self, number: u32, sends: &mut Sends) {
        let Some(at) = self.watch.asked.iter().position(|asked| asked.number == number) else { return };
        let asked = self.watch.asked.swap_remove(at);
        match asked.for_other {
            Some((other, number)) if self.wants_proof(number) => {
                self.prove(other, asked.level, &asked.child, number, sends);
            }
            Some((other, number)) => self.say(other, asked.level, Body::Pong(number), sends),
            None => {}
        }
    }

    /// A zone is there as long as one of those who speak for it is: another one of them is asked.
    fn next_contact(&self, asked: &Asked) -> SocketAddr {
        let contacts = self.tables[asked.level].slot(&asked.child).map_or(&[][..], |slot| slot.contacts());
        let next = contacts.iter().position(|contact| *contact == asked.whom).map_or(0, |at| at + 1);
        contacts.get(next).or(contacts.first()).copied().unwrap_or(asked.whom)
    }

    fn unanswered(&mut self, now: Time, mut asked: Asked, sends: &mut Sends) {
        let level = asked.level;
        let late = now.since(asked.until) > self.config.answer;
        match asked.for_other {
            // Whoever is late itself says nothing about others.
            _ if late => {}
            Some((other, number)) => self.say(other, level, Body::Silent(number), sends),
            None if asked.rounds < ROUNDS => {
                asked.whom = self.next_contact(&asked);
                let mut others: Vec<SocketAddr> = self.ring(level);
                others.retain(|other| *other != self.contact && *other != asked.whom);
                asked.silent |= others.is_empty();
                for _ in 0..HELPERS.min(others.len()) {
                    let helper = others.swap_remove(self.draw(others.len()));
                    self.say(helper, level, Body::PingFor(asked.number, asked.whom), sends);
                }
                self.say(asked.whom, level, Body::Ping(asked.number), sends);
                asked.rounds += 1;
                asked.again = now + self.config.answer / 2;
                asked.until = now + 2 * self.config.answer;
                self.watch.asked.push(asked);
            }
            None if asked.silent && self.say_gone(now, level, &asked.child, asked.stamp) => {
                self.counters.found_gone += 1;
                self.changed(now, level);
                self.pass_on(now, level, &Subject::Child(asked.child), None);
            }
            None => {}
        }
    }
}
