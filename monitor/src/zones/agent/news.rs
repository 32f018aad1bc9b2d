//! News: rows that have changed are passed on at once, to the same few neighbours in the ring of each zone ([`overlay`]). Functions are, too. When
//! much has been sent lately, news goes along trees instead, where everybody is told once: an eager push while that is cheap, then one copy. What
//! cannot be sent yet waits, as names; what is sent then is the newest of it. Tables take turns, so that none waits for another one.
//!
//! [`overlay`]: crate::zones::overlay

use std::{cmp::Reverse, collections::VecDeque, net::SocketAddr, time::Duration};

use gcs::time::Time;

use super::{Agent, Came, Sends};
use crate::{
    sketch::hash::{FNV, fnv},
    zones::{
        message::{Body, Item, Message, ROWS_MAX, Subject},
        overlay::{below, targets},
        table::Table,
    },
};

/// How long news waits for more.
const GATHER: Duration = Duration::from_millis(2);
/// Trees in a ring: who passes on much in one is a leaf in most others.
const TREES: usize = 8;

/// How far something is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Passes {
    /// To those below in the tree: an exchange has brought it, so that they may have missed it, too.
    Below,
    /// To neighbours as well.
    On,
    /// And to the root of its tree, as it comes from elsewhere.
    In,
}

/// Something to be passed on in a ring.
#[derive(Clone, Debug)]
struct Told {
    level: u8,
    subject: Subject,
    passes: Passes,
}

impl Told {
    fn tree(&self) -> usize {
        let name = match &self.subject {
            Subject::Child(name) | Subject::Function(name) => name.as_bytes(),
            Subject::Revocation(id) => id.as_bytes().as_slice(),
        };
        usize::try_from(fnv(FNV, name) % TREES as u64).unwrap_or(0)
    }
}

/// What is to be passed on in a ring, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    told: VecDeque<Told>,
    /// Whose turn it is.
    turn: usize,
    at: Option<Time>,
}

impl News {
    pub(super) fn next_timer(&self) -> Time {
        self.at.unwrap_or(Time::NEVER)
    }

    fn push(&mut self, now: Time, level: u8, subject: &Subject, passes: Passes) {
        match self.told.iter_mut().find(|told| told.level == level && told.subject == *subject) {
            Some(told) => told.passes = told.passes.max(passes),
            None => self.told.push_back(Told { level, subject: subject.clone(), passes }),
        }
        self.at.get_or_insert(now + GATHER);
    }

    /// Takes all that waits, in the order in which it is to be sent: `first`, then of each table in turn the oldest.
    fn in_turn(&mut self, first: &(u8, Subject), tables: usize) -> VecDeque<Told> {
        let (mut told, mut nth) = (std::mem::take(&mut self.told), vec![0; tables]);
        self.turn = (self.turn + 1) % tables;
        let place = |told: &Told| {
            let level = usize::from(told.level).min(tables - 1);
            nth[level] += 1;
            let introduction = (told.level, &told.subject) == (first.0, &first.1);
            (Reverse(introduction), nth[level], (level + self.turn) % tables)
        };
        told.make_contiguous().sort_by_cached_key(place);
        told
    }
}

impl Agent {
    /// Takes news, and passes on what it has not known.
    pub(super) fn on_news(&mut self, now: Time, ring: usize, items: Vec<(u8, Item)>, from: SocketAddr) {
        for (level, item) in items {
            let at = usize::from(level);
            if at <= ring && self.take(now, at, &item, from, Came::News(ring, at)) {
                self.pass_on(now, at, &item.subject(), Some(ring));
            }
        }
    }

    /// A row is to be told to others: to those who spread it in its zone, and in each zone below that this agent is in. It may have come in one of
    /// these rings.
    pub(super) fn pass_on(&mut self, now: Time, level: usize, subject: &Subject, came: Option<usize>) {
        for ring in level..self.tables.len() {
            if self.takes_part(ring) {
                let level = u8::try_from(level).unwrap_or(u8::MAX);
                let passes = if came == Some(ring) { Passes::On } else { Passes::In };
                self.news[ring].push(now, level, subject, passes);
            }
        }
    }

    /// An exchange has brought a row: those below in the trees may lack it, and when they hear of it later they are not told again.
    pub(super) fn pass_below(&mut self, now: Time, level: usize, subject: &Subject) {
        for ring in level..self.tables.len() {
            if self.takes_part(ring) {
                let level = u8::try_from(level).unwrap_or(u8::MAX);
                self.news[ring].push(now, level, subject, Passes::Below);
            }
        }
    }

    /// Those who spread news in the zone of this level, in the order that all of them see: its agents, or those who speak for its children.
    pub(super) fn ring(&self, level: usize) -> Vec<SocketAddr> {
        let shown = self.tables[level].slots().iter().filter(|slot| slot.issue().is_some());
        shown.flat_map(|slot| slot.contacts().iter().copied()).collect()
    }

    /// Tells others what has changed, as much as may be sent now.
    pub(super) fn send_news(&mut self, now: Time, ring: usize, sends: &mut Sends) {
        self.news[ring].at = None;
        let leaf = self.leaf();
        let own = (u8::try_from(leaf).unwrap_or(u8::MAX), Subject::Child(self.parts[leaf].clone()));
        let mut told = self.news[ring].in_turn(&own, self.tables.len());
        let (members, rate) = (self.ring(ring), self.config.rate);
        let Some(place) = members.iter().position(|contact| *contact == self.contact) else { return };
        while let Some(first) = told.front() {
            let plenty = self.for_news[ring].plenty(now, rate);
            let like = (first.tree(), first.passes);
            let introduces = first.level == own.0 && first.subject == own.1;
            // Along its tree it always goes: who is told by one that sends little passes it on to nobody else.
            let mut to = lean(place, members.len(), like);
            if plenty && first.passes > Passes::Below {
                to.extend(targets(place, members.len(), self.config.fanout));
                to.sort_unstable();
                to.dedup();
            }
            let mut to: Vec<SocketAddr> = to.into_iter().map(|to| members[to]).collect();
            if introduces {
                // Those who speak for the zone are to hear first of its agents.
                let speakers = self.tables[leaf].speakers().into_iter();
                let others: Vec<_> = speakers.filter(|s| *s != self.contact && !to.contains(s)).collect();
                to.extend(others);
            }
            let (mut items, mut bytes, mut taken) = (Vec::new(), 0, Vec::new());
            for (at, told) in told.iter().enumerate() {
                if (told.tree(), told.passes) != like {
                    continue;
                }
                let item = item(&self.tables[usize::from(told.level)], &told.subject);
                let more = item.as_ref().map_or(0, Item::bytes);
                if bytes + more > ROWS_MAX && !items.is_empty() {
                    break;
                }
                bytes += more;
                taken.push(at);
                items.extend(item.map(|item| (told.level, item)));
            }
            let introduction = self.introduction(now, &items);
            let message = Message { zone: self.zones[ring].clone(), body: Body::News(items) };
            let cost = (message.bytes() + introduction.as_ref().map_or(0, Message::bytes)) * to.len();
            if cost > 0 && !self.for_news[ring].take(now, rate, cost) {
                self.news[ring].at = Some(now + self.for_news[ring].wait(rate, cost));
                self.news[ring].told = told;
                return;
            }
            taken.iter().rev().for_each(|at| drop(told.remove(*at)));
            self.counters.news_sent += to.len() as u64;
            let messages = introduction.into_iter().chain([message]);
            sends.extend(messages.flat_map(|message| to.iter().map(move |to| (*to, message.clone()))));
        }
    }
}

/// Those below `place` in a tree, and its root if it may not know.
fn lean(place: usize, len: usize, (tree, passes): (usize, Passes)) -> Vec<usize> {
    let root = len * tree / TREES;
    let mut to: Vec<usize> = below(place, root, len).collect();
    if passes == Passes::In && place != root && !to.contains(&root) {
        to.push(root);
    }
    to
}

/// What there is to tell of something.
fn item(table: &Table, subject: &Subject) -> Option<Item> {
    match subject {
        Subject::Revocation(id) => table.revocation(*id).cloned().map(Item::Revocation),
        Subject::Function(name) => table.function(name).cloned().map(Item::Function),
        Subject::Child(child) => table.slot(child).map(|slot| match slot.issue() {
            Some(issue) => Item::Issue(child.clone(), issue.clone()),
            None => Item::Gone(child.clone(), slot.stamp(), slot.gone()),
        }),
    }
}
