//! News: rows that have changed are passed on at once, to the same few neighbours in the ring of each zone ([`overlay`]). Functions are, too. What cannot be
//! sent yet waits, as names; what is sent then is the newest of it.
//!
//! [`overlay`]: crate::zones::overlay

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use gcs::time::Time;

use super::{Agent, Sends};
use crate::zones::{
    message::{Body, Item, Message, ROWS_MAX, Subject},
    overlay::targets,
    table::Table,
};

/// How long news waits for more.
const GATHER: Duration = Duration::from_millis(2);

/// What is to be passed on in a zone: of tables nearer to the leaves first, then the oldest.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    subjects: VecDeque<(u8, Subject)>,
    at: Option<Time>,
}

impl News {
    pub(super) fn next_timer(&self) -> Time {
        self.at.unwrap_or(Time::NEVER)
    }

    fn push(&mut self, now: Time, level: u8, subject: &Subject) {
        if !self.subjects.iter().any(|(l, s)| *l == level && s == subject) {
            // What is nearer first: who speaks for whom depends on it.
            let before = self.subjects.partition_point(|(l, _)| *l >= level);
            self.subjects.insert(before, (level, subject.clone()));
        }
        self.at.get_or_insert(now + GATHER);
    }
}

impl Agent {
    /// Takes news, and passes on what it has not known.
    pub(super) fn on_news(&mut self, now: Time, ring: usize, items: Vec<(u8, Item)>) {
        for (level, item) in items {
            let at = usize::from(level);
            if at <= ring && self.take(now, at, &item) {
                self.pass_on(now, at, &item.subject());
            }
        }
    }

    /// A row is to be told to others: to those who spread it in its zone, and in each zone below that this agent is in.
    pub(super) fn pass_on(&mut self, now: Time, level: usize, subject: &Subject) {
        for ring in level..self.tables.len() {
            if self.takes_part(ring) {
                self.news[ring].push(now, u8::try_from(level).unwrap_or(u8::MAX), subject);
            }
        }
    }

    /// Those who spread news in the zone of this level, in the order that all of them see: its agents, or those who speak for its children.
    pub(super) fn ring(&self, level: usize) -> Vec<SocketAddr> {
        let shown = self.tables[level].slots().iter().filter(|slot| slot.issue().is_some());
        shown.flat_map(|slot| slot.contacts().iter().copied()).collect()
    }

    /// Its neighbours in the ring of a zone.
    fn neighbours(&self, level: usize) -> Vec<SocketAddr> {
        let members = self.ring(level);
        let Some(place) = members.iter().position(|contact| *contact == self.contact) else {
            return Vec::new();
        };
        targets(place, members.len(), self.config.fanout).map(|to| members[to]).collect()
    }

    /// Tells neighbours what has changed, as much as may be sent now.
    pub(super) fn send_news(&mut self, now: Time, ring: usize, sends: &mut Sends) {
        let mut subjects = std::mem::take(&mut self.news[ring]).subjects;
        let neighbours = self.neighbours(ring);
        let leaf = self.leaf();
        // Those who speak for the zone are to hear first of its agents.
        let own = (u8::try_from(leaf).unwrap_or(u8::MAX), Subject::Child(self.parts[leaf].clone()));
        let introduces = subjects.contains(&own);
        let extra: Vec<SocketAddr> = match introduces {
            true => self.tables[leaf]
                .speakers()
                .into_iter()
                .filter(|to| *to != self.contact && !neighbours.contains(to))
                .collect(),
            false => Vec::new(),
        };
        let to: Vec<SocketAddr> = neighbours.into_iter().chain(extra).collect();
        while !subjects.is_empty() && !to.is_empty() {
            let (mut items, mut bytes, mut taken) = (Vec::new(), 0, 0);
            for (level, subject) in &subjects {
                let item = item(&self.tables[usize::from(*level)], subject);
                let more = item.as_ref().map_or(0, Item::bytes);
                if bytes + more > ROWS_MAX && !items.is_empty() {
                    break;
                }
                (bytes, taken) = (bytes + more, taken + 1);
                items.extend(item.map(|item| (*level, item)));
            }
            let message = Message { zone: self.zones[ring].clone(), body: Body::News(items) };
            let cost = message.bytes() * to.len();
            let rate = self.rate();
            if !self.for_news.take(now, rate, cost) {
                let wait = self.for_news.wait(rate, cost);
                self.news[ring] = News { subjects, at: Some(now + wait) };
                return;
            }
            subjects.drain(..taken);
            self.counters.news_sent += to.len() as u64;
            sends.extend(to.iter().map(|to| (*to, message.clone())));
        }
    }

    fn rate(&self) -> u64 {
        let rings = (0..self.tables.len()).filter(|level| self.takes_part(*level)).count();
        self.config.rate * rings.max(1) as u64
    }
}

/// What there is to tell of something.
fn item(table: &Table, subject: &Subject) -> Option<Item> {
    match subject {
        Subject::Function(name) => table.function(name).cloned().map(Item::Function),
        Subject::Child(child) => table.slot(child).map(|slot| match slot.issue() {
            Some(issue) => Item::Issue(child.clone(), issue.clone()),
            None => Item::Gone(child.clone(), slot.stamp()),
        }),
    }
}
