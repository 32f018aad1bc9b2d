//! The periodic exchange: two agents find out which rows only one of them has, table by table, and exchange those. It repairs whatever news
//! has missed, brings joiners up to date, and heals partitions.

use std::{collections::BTreeSet, net::SocketAddr};

use gcs::time::Time;

use super::{Agent, Came, Sends, bucket::Bucket};
use crate::zones::{
    message::{Body, Item, Message, ROWS_MAX, Subject},
    name::ZoneName,
    table::{CONTACTS, Table, mark, revocation_mark},
};

/// One time in so many exchanges also go to seeds, and to an agent that is gone, in case it is not; and the first, second, fourth … of them all.
const ABROAD: u64 = 40;
/// Datagrams with rows that one message is answered with: who lacks more asks others, too, and nobody is asked for everything by all.
const ANSWER: usize = 2;

impl Agent {
    /// Begins an exchange with somebody, for each zone in which it takes part.
    pub(super) fn begin_exchange(&mut self, now: Time, sends: &mut Sends) {
        self.exchange_at = now + self.config.exchange;
        let mut alone = false;
        for level in 0..self.tables.len() {
            if !self.takes_part(level) {
                continue;
            }
            let others: Vec<_> = self.ring(level).into_iter().filter(|c| *c != self.contact).collect();
            match self.pick(&others) {
                Some(to) => self.compare(now, to, level, sends),
                None => alone = true,
            }
        }
        self.exchanges = self.exchanges.saturating_add(1);
        let mut strangers: Vec<SocketAddr> = self.strangers.take().unwrap_or_default().into_vec();
        if alone || self.exchanges.is_power_of_two() || self.rng.below(ABROAD) == 0 {
            strangers.extend(&self.seeds);
            let gone = self.tables.iter().flat_map(Table::slots).filter(|slot| slot.issue().is_none());
            let gone: Vec<_> = gone.flat_map(|slot| slot.contacts().iter().copied()).collect();
            strangers.extend(self.pick(&gone));
            // Those who speak for the zones that it is in: somebody who is nearer.
            for level in 0..self.leaf() {
                let own = self.tables[level].slot(&self.parts[level]).map(|own| own.contacts().to_vec());
                strangers.extend(self.pick(&own.unwrap_or_default()));
            }
        }
        strangers.retain(|stranger| *stranger != self.contact);
        for to in strangers {
            self.compare(now, to, self.leaf(), sends);
        }
    }

    /// Strangers have a budget of their own, half as large: neither they nor those who share a zone with this agent take all that there is.
    fn budget(&mut self, with: SocketAddr) -> (&mut Bucket, u64) {
        let rate = self.config.exchange_rate;
        match self.knows(with) {
            true => (&mut self.for_exchanges, rate),
            false => (&mut self.for_strangers, rate / 2),
        }
    }

    pub(super) fn may_exchange(&mut self, now: Time, with: SocketAddr, bytes: usize) -> bool {
        let (bucket, rate) = self.budget(with);
        bucket.take(now, rate, bytes)
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        let at = self.draw(among.len());
        among.get(at).copied()
    }

    fn compare(&mut self, now: Time, to: SocketAddr, level: usize, sends: &mut Sends) {
        let digests: Vec<u64> = self.tables[..=level].iter().map(Table::digest).collect();
        if self.for_exchanges.take(now, self.config.exchange_rate, 60 + 10 * digests.len()) {
            self.say(to, level, Body::Compare(digests), sends);
        }
    }

    /// What is in a table, by marks.
    fn marked(&self, level: usize) -> impl Iterator<Item = (u32, Item)> {
        let (rows, functions) = (self.tables[level].issues(), self.tables[level].functions());
        let rows = rows.map(|(child, issue)| {
            (short(mark(child, issue.stamp)), Item::Issue(child.clone(), issue.clone()))
        });
        let revocations = self.tables[level].revocations();
        let revocations = revocations.map(|r| (short(revocation_mark(r)), Item::Revocation(r.clone())));
        rows.chain(functions.map(|function| (short(function.mark()), Item::Function(function.clone()))))
            .chain(revocations)
    }

    fn marks(&self, level: usize) -> impl Iterator<Item = u32> {
        self.marked(level).map(|(mark, _)| mark)
    }

    /// Says what it has in tables that differ: in one of them, if not much may be sent. Strangers are sent to others then.
    pub(super) fn on_compare(
        &mut self,
        now: Time,
        zone: &ZoneName,
        level: usize,
        digests: &[u64],
        from: SocketAddr,
        sends: &mut Sends,
    ) {
        let own = self.tables.iter().map(Table::digest);
        let differ = own.zip(digests).take(level + 1).enumerate().filter(|(_, (own, other))| own != *other);
        let mut differ: Vec<usize> = differ.map(|(level, _)| level).rev().collect();
        if differ.is_empty() {
            return;
        }
        let (bucket, rate) = self.budget(from);
        if !bucket.plenty(now, rate) {
            differ = self.pick(&differ).into_iter().collect();
        }
        for level in differ {
            let marks: Vec<u32> = self.marks(level).collect();
            let bytes = 60 + 5 * marks.len();
            let (bucket, rate) = self.budget(from);
            // Marks are of no use if there is nothing left for the rows that are wanted then.
            if bucket.holds(now, rate, bytes + ROWS_MAX) {
                bucket.take(now, rate, bytes);
                self.say(from, level, Body::Marks(marks), sends);
            } else if !self.knows(from) {
                self.send_on(zone, level, from, sends);
            }
        }
    }

    /// Whether somebody spreads news in a zone that this agent is in.
    fn knows(&self, who: SocketAddr) -> bool {
        self.tables.iter().flat_map(Table::slots).any(|slot| slot.contacts().contains(&who))
    }

    /// There are too many strangers for one: it names another one who can tell as much, as near to the stranger's zone as it knows any. That is
    /// less than the stranger has sent, and so it takes nothing out of a budget.
    fn send_on(&mut self, zone: &ZoneName, level: usize, from: SocketAddr, sends: &mut Sends) {
        let mut nearer = self.nearer(zone);
        if nearer.is_empty() {
            nearer = self.ring(level);
        }
        nearer.retain(|whom| *whom != self.contact && *whom != from);
        let Some(whom) = self.pick(&nearer) else { return };
        self.say(from, level, Body::Busy(whom), sends);
    }

    /// Another one has no time now, but knows others.
    pub(super) fn on_busy(&mut self, whom: SocketAddr) {
        let strangers = self.strangers.get_or_insert_default();
        if strangers.len() < CONTACTS {
            strangers.push(whom);
        }
    }

    /// Sends the rows that the other lacks, and asks for those that it has.
    pub(super) fn on_marks(
        &mut self,
        now: Time,
        level: usize,
        marks: &[u32],
        from: SocketAddr,
        sends: &mut Sends,
    ) {
        let theirs: BTreeSet<u32> = marks.iter().copied().collect();
        let own: BTreeSet<u32> = self.marks(level).collect();
        let wanted = theirs.difference(&own).copied().collect();
        let items = self.items(level, |mark| !theirs.contains(&mark));
        self.send_rows(now, from, level, &items, wanted, sends);
    }

    /// Takes rows, and sends those that are wanted.
    pub(super) fn on_rows(
        &mut self,
        now: Time,
        level: usize,
        items: Vec<Item>,
        wanted: &[u32],
        from: SocketAddr,
        sends: &mut Sends,
    ) {
        let mut answer = Vec::new();
        let before = self.tables[level].slots().len();
        for item in items {
            if self.take(now, level, &item, from, Came::Rows(level)) {
                self.pass_below(now, level, &item.subject());
            } else if let Subject::Child(child) = item.subject()
                && let Some(slot) = self.tables[level].slot(&child)
                && slot.issue().is_none()
            {
                answer.push(Item::Gone(child, slot.stamp(), slot.gone()));
            }
        }
        if level == self.leaf() {
            self.meet(now, before);
        }
        answer.extend(self.items(level, |mark| wanted.contains(&mark)));
        self.send_rows(now, from, level, &answer, Vec::new(), sends);
    }

    /// Sends items in as many messages as they need, as far as the bucket allows.
    fn send_rows(
        &mut self,
        now: Time,
        to: SocketAddr,
        level: usize,
        items: &[Item],
        mut wanted: Vec<u32>,
        sends: &mut Sends,
    ) {
        let first = self.draw(items.len());
        let (before, after) = items.split_at(first);
        let mut items = after.iter().chain(before).cloned().peekable();
        for _ in 0..ANSWER {
            if items.peek().is_none() && wanted.is_empty() {
                return;
            }
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(item) = items.next_if(|item| part.is_empty() || bytes + item.bytes() <= ROWS_MAX) {
                bytes += item.bytes();
                part.push(item);
            }
            let body = Body::Rows(part, std::mem::take(&mut wanted));
            let message = Message { zone: self.zones[level].clone(), body };
            if !self.may_exchange(now, to, message.bytes()) {
                return;
            }
            sends.push((to, message));
        }
    }

    fn items(&self, level: usize, which: impl Fn(u32) -> bool) -> Vec<Item> {
        self.marked(level).filter(|(mark, _)| which(*mark)).map(|(_, item)| item).collect()
    }
}

/// Enough to tell the rows of two tables apart: with 64 rows, one exchange in a million misses one.
fn short(mark: u64) -> u32 {
    (mark >> 32) as u32
}
