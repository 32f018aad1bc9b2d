//! [`Agent`]: one leaf of the tree of zones. A value: messages, attributes and time in; messages out.
//!
//! ```text
//!   attributes ──► own row ─┐                                    ┌─► summary, if this agent speaks for the zone ─► row of the zone ─┐
//!   messages ───────────────┴─► table of a zone that it is in ───┤                                                                │
//!                                       ▲                        └─► news, passed on in the zone and below                         │
//!                                       └──────────────────────────── table of the zone around it ◄───────────────────────────────┘
//! ```
//! From van Renesse, Birman and Vogels, "Astrolabe" (ACM TOCS 21(2), 2003), with these differences: news is passed on at once
//! ([`super::overlay`]) and a periodic exchange (`exchange.rs`) repairs; agents of one zone watch each other (`watch.rs`) instead of waiting
//! for a row to age; of the agents that speak for a zone only the first computes its row.
//!
//! * **Bounds**: tables, see [`super::table`]; what is sent, by a bucket of tokens ([`Config::rate`]): news that does not fit into it waits, and
//!   then it is the newest that is sent. Watching is outside of the bucket, and bounded by its period.

mod bucket;
mod config;
mod events;
mod exchange;
mod functions;
mod lookup;
mod news;
mod pace;
mod paths;
mod reach;
mod relay;
pub(crate) mod summary;
mod trust;
mod watch;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use gcs::{rng::Rng, time::Time};
use smallvec::SmallVec;

use self::{
    bucket::Bucket,
    events::Events,
    lookup::Lookups,
    news::News,
    pace::Pace,
    paths::Paths,
    reach::Reached,
    relay::Leases,
    trust::{Came, Trust},
    watch::Watch,
};
pub use self::{
    config::Config,
    functions::InstallError,
    lookup::{Found, Lookup, LookupError},
    reach::Reach,
    summary::{is_agent, reported},
};
use super::{
    contact::{Told, relay_of},
    message::{Body, Item, Message, Subject},
    name::ZoneName,
    table::{CONTACTS, Generator, Issue, Outcome, Stamp, Table},
};
use crate::{row::Row, value::Value};

/// What has happened, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Messages sent at once because of news.
    pub news_sent: u64,
    /// Messages from agents that are not of the zone that they speak of.
    pub strange: u64,
    /// Rows and functions for which a zone has no place, and functions that are over.
    pub refused: u64,
    /// Functions that failed on the rows that there were, or whose values did not fit into a row.
    pub failed: u64,
    /// How often this agent had to object to being gone.
    pub objections: u64,
    /// How often somebody else has issued this agent's row: an earlier life, or another agent with its name.
    pub contradicted: u64,
    /// Agents that this one has found to be gone.
    pub found_gone: u64,
    /// How often standing queries have fired here.
    pub fired: u64,
    /// And how often that was given up, because too much waited.
    pub events_lost: u64,
    /// Datagrams that were passed on to others, as a relay.
    pub relayed: u64,
    /// And that were not: to nobody, too long, or too many.
    pub not_relayed: u64,
}

/// Makes another seed of an agent's.
const NUMBERS: u64 = 0x006e_756d_6265_7273;

/// What an agent sends.
pub type Sends = Vec<(SocketAddr, Message)>;

/// One agent. Times are those of its own clock, which does not go back; what the time of day is by it, [`Self::set_epoch`] says.
#[derive(Debug)]
pub struct Agent {
    config: Arc<Config>,
    name: ZoneName,
    /// Its zones, from the root to the one that it is a leaf of.
    zones: Vec<ZoneName>,
    parts: Vec<Arc<str>>,
    contact: SocketAddr,
    /// All that others are told of it.
    told: Told,
    /// Agents that were there before, anywhere.
    seeds: Vec<SocketAddr>,
    generator: Generator,
    version: u64,
    /// Seconds since 1970 when its clock began.
    epoch_s: u64,
    attributes: BTreeMap<Arc<str>, Value>,
    /// By level: that of the root first.
    tables: Vec<Table>,
    /// By level: when the row of the own zone in it is to be computed.
    summaries: Vec<Time>,
    /// By level: how often the own row in its table is issued.
    paces: Vec<Pace>,
    /// By level: what is to be passed on in the zone.
    news: Vec<News>,
    /// Before, it does not know enough to speak for a zone.
    speaks_at: Time,
    watch: Watch,
    lookups: Lookups,
    events: Events,
    exchange_at: Time,
    /// So many have begun.
    exchanges: u32,
    /// Others in a zone that this agent is in, whom it may not know: an exchange with them is due.
    strangers: Option<SmallVec<[SocketAddr; CONTACTS]>>,
    forget_at: Time,
    /// Its own row is to be issued again.
    reissue_at: Time,
    /// By level: what may be sent in its ring.
    for_news: Vec<Bucket>,
    for_exchanges: Bucket,
    for_strangers: Bucket,
    for_answers: Bucket,
    /// How often standing queries and announcements have changed.
    others_changed: u64,
    rng: Rng,
    /// Of the numbers of questions: whoever does not hear one cannot answer it in somebody else's place.
    numbers: Rng,
    counters: Counters,
    /// None: whoever reaches it is believed.
    trust: Option<Box<Trust>>,
    /// None: others dial it.
    reach: Option<Box<Reached>>,
    leases: Leases,
    paths: Paths,
}

impl Agent {
    /// An agent at `name` that others reach at `contact`. Its life begins when it is asked for the first time what is due.
    ///
    /// # Panics
    /// The root is no agent.
    pub fn new(
        config: Arc<Config>,
        name: ZoneName,
        contact: SocketAddr,
        seeds: Vec<SocketAddr>,
        seed: u64,
    ) -> Self {
        let parts: Vec<Arc<str>> = name.parts().map(Into::into).collect();
        assert!(!parts.is_empty(), "an agent is below the root");
        let depth = parts.len();
        let (mut rng, watch) = (Rng::new(seed), Watch::new(parts.len()));
        Self {
            zones: (0..parts.len()).map(|depth| name.ancestor(depth)).collect(),
            tables: vec![Table::default(); parts.len()],
            summaries: vec![Time::NEVER; parts.len()],
            paces: vec![Pace::default(); parts.len()],
            news: vec![News::default(); parts.len()],
            name,
            parts,
            contact,
            told: contact.into(),
            seeds,
            generator: Generator(rng.next_u64()),
            version: 0,
            epoch_s: 0,
            attributes: BTreeMap::new(),
            speaks_at: Time::ZERO,
            watch,
            lookups: Lookups::default(),
            events: Events::new(&config),
            exchange_at: Time::ZERO,
            exchanges: 0,
            strangers: None,
            forget_at: Time::ZERO,
            reissue_at: Time::NEVER,
            for_news: vec![Bucket::new(config.burst); depth],
            for_exchanges: Bucket::new(config.exchange_burst),
            for_strangers: Bucket::new(config.exchange_burst),
            for_answers: Bucket::new(config.exchange_burst),
            others_changed: 0,
            config,
            rng,
            numbers: Rng::new(seed ^ NUMBERS),
            counters: Counters::default(),
            trust: None,
            reach: None,
            leases: Leases::default(),
            paths: Paths::default(),
        }
    }

    /// Where it is in the tree.
    pub fn name(&self) -> &ZoneName {
        &self.name
    }

    /// The table of the zone that is `level` levels below the root; [`Self::levels`] of them.
    pub fn table(&self, level: usize) -> Option<&Table> {
        self.tables.get(level)
    }

    /// How many tables it has.
    pub fn levels(&self) -> usize {
        self.tables.len()
    }

    /// What has happened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Its clock began so many seconds after 1970. May change, when somebody has set the time of day: only the ages of rows and the expiry of
    /// functions depend on it.
    pub fn set_epoch(&mut self, epoch_s: u64) {
        if let Some(trust) = self.trust.as_mut().filter(|_| self.version > 0 && self.epoch_s != epoch_s) {
            trust.clock_set = true;
            self.reissue_at = Time::ZERO;
        }
        self.epoch_s = epoch_s;
    }

    /// The time of day, in seconds since 1970.
    #[must_use]
    pub fn seconds(&self, now: Time) -> u64 {
        self.epoch_s.saturating_add(now.0 / 1_000_000_000)
    }

    /// Sets attributes of its own; others hear of them at once, unless they keep changing. `Null` removes one.
    pub fn set(&mut self, now: Time, attributes: impl IntoIterator<Item = (Arc<str>, Value)>) {
        let mut news = false;
        for (name, value) in attributes {
            let old = match value.is_null() {
                true => self.attributes.remove(&name),
                false => self.attributes.insert(name, value.clone()),
            };
            news |= old.unwrap_or_default() != value;
        }
        if news && self.version > 0 {
            self.reissue_at = self.reissue_at.min(self.paces[self.leaf()].next_at()).max(now);
        }
    }

    /// When [`Self::tick`] is to be called next.
    pub fn next_timer(&self) -> Time {
        let summaries = self.summaries.iter().copied().min().unwrap_or(Time::NEVER);
        let news = self.news.iter().map(News::next_timer).min().unwrap_or(Time::NEVER);
        summaries
            .min(news)
            .min(self.exchange_at)
            .min(self.forget_at)
            .min(self.next_expiry())
            .min(self.reissue_at)
            .min(self.watch.next_timer())
            .min(self.lookups.next_timer())
            .min(self.events.next_timer())
            .min(self.next_reach())
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time, sends: &mut Sends) {
        let first = sends.len();
        if self.version == 0 {
            self.begin(now);
            self.issue_own(now);
        }
        if self.next_reach() <= now {
            self.be_reached(now, sends);
        }
        self.look_at_versions(now);
        if self.reissue_at <= now {
            self.reissue_at = Time::NEVER;
            self.issue_own(now);
        }
        for level in (0..self.summaries.len()).rev() {
            if self.summaries[level] <= now {
                self.summaries[level] = Time::NEVER;
                self.summarise(now, level);
            }
        }
        for ring in 0..self.news.len() {
            if self.news[ring].next_timer() <= now {
                self.send_news(now, ring, sends);
            }
        }
        if self.watch.next_timer() <= now {
            self.watch_others(now, sends);
        }
        if self.lookups.next_timer() <= now {
            self.continue_lookups(now, sends);
        }
        if self.events.next_timer() <= now {
            self.send_events(now, sends);
        }
        if self.exchange_at <= now {
            self.begin_exchange(now, sends);
        }
        if self.forget_at.min(self.next_expiry()) <= now {
            self.forget(now);
        }
        self.address_all(now, sends, first, None);
    }

    /// Everybody begins at another moment.
    fn begin(&mut self, now: Time) {
        let phase = |rng: &mut Rng, period: Duration| {
            now + Duration::from_nanos(rng.below(u64::try_from(period.as_nanos()).unwrap_or(u64::MAX)))
        };
        self.speaks_at = now + 6 * self.config.exchange;
        self.exchange_at = phase(&mut self.rng, self.config.exchange);
        self.forget_at = phase(&mut self.rng, self.config.remember / 4);
        let watch = phase(&mut self.rng, self.config.watch);
        self.watch.begin(watch);
    }

    /// A datagram from the agent at `from`.
    pub fn receive(&mut self, now: Time, from: SocketAddr, message: Message, sends: &mut Sends) {
        let first = sends.len();
        let Some((origin, at, message)) = self.opened(now, from, message, sends) else { return };
        self.hear(now, origin, message, sends);
        self.ask_whose(sends);
        self.address_all(now, sends, first, at.map(|at| (origin, at)));
    }

    fn hear(&mut self, now: Time, from: SocketAddr, message: Message, sends: &mut Sends) {
        let depth = message.zone.depth();
        let level = match message.body {
            // Anybody may be asked whether it is there.
            Body::Ping(_) | Body::Pong(_) | Body::Proof(..) | Body::PingFor(..) | Body::Silent(_) => 0,
            // And for any table.
            Body::Ask(number) => return self.on_ask(now, from, number, &message.zone, sends),
            Body::Part(number, of, items) => return self.take_part(now, from, number, Some(of), items),
            Body::Whose(signers) => return self.on_whose(now, from, &signers, sends),
            Body::Chains(chains) => return self.on_chains(now, &chains),
            Body::Nearer(number, whom) => return self.on_nearer(now, from, number, whom, sends),
            Body::Fired(query, fired) => {
                return self.on_fired(now, from, &message.zone, (query, fired), sends);
            }
            Body::Confirmed(query, ids) => return self.on_confirmed(now, from, &query, &ids, sends),
            _ if self.zones.get(depth) == Some(&message.zone) => depth,
            // Who knows nobody nearer may ask an agent of another zone: they have the tables of the zones around both.
            Body::Compare(_) => self.common(&message.zone),
            _ => {
                self.counters.strange += 1;
                return;
            }
        };
        match message.body {
            Body::News(items) => self.on_news(now, level, items, from),
            Body::Compare(digests) => self.on_compare(now, &message.zone, level, &digests, from, sends),
            Body::Busy(whom) => self.on_busy(whom),
            Body::Marks(marks) => self.on_marks(now, level, &marks, from, sends),
            Body::Rows(items, wanted) => self.on_rows(now, level, items, &wanted, from, sends),
            Body::Ping(number) => self.on_ping(from, number, &message.zone, sends),
            Body::Pong(number) => self.on_pong(number, sends),
            Body::Proof(number, seal) => self.on_proof(now, from, number, &seal, sends),
            Body::PingFor(number, whom) => self.ping_for(now, from, number, whom, sends),
            Body::Silent(number) => self.watch.on_silent(number),
            Body::Ask(_) | Body::Part(..) | Body::Nearer(..) | Body::Whose(_) | Body::Chains(_) => {}
            Body::Fired(..) | Body::Confirmed(..) => {}
            // These are opened before.
            Body::See(_) | Body::Seen(..) | Body::Lease(..) | Body::Leased(..) => {}
            Body::Relay(..) | Body::Relayed(..) | Body::By(..) => {}
        }
    }

    /// The level of the zone nearest to the leaves that is around both.
    fn common(&self, zone: &ZoneName) -> usize {
        self.zones.iter().rposition(|own| own.contains(zone)).unwrap_or(0)
    }

    fn say(&self, to: SocketAddr, level: usize, body: Body, sends: &mut Sends) {
        sends.push((to, Message { zone: self.zones[level].clone(), body }));
    }

    /// A random place among so many.
    fn draw(&mut self, among: usize) -> usize {
        usize::try_from(self.rng.below(among as u64)).unwrap_or(0)
    }

    /// The number of a question.
    fn number(&mut self) -> u32 {
        (self.numbers.next_u64() >> 32) as u32
    }

    /// The level of the zone that it is a leaf of.
    fn leaf(&self) -> usize {
        self.tables.len() - 1
    }

    /// A stamp for the next issue of its own child's row: higher than all that it knows of.
    fn stamp(&mut self, now: Time, level: usize) -> Stamp {
        let known = self.tables[level].slot(&self.parts[level]).map_or(0, |slot| slot.stamp().version);
        self.version = self.version.max(known).saturating_add(1).max(self.lowest_version(now));
        Stamp { version: self.version, generator: self.generator }
    }

    /// Issues its own row.
    fn issue_own(&mut self, now: Time) {
        self.reissue_at = now + self.config.refresh;
        self.issue(now, self.leaf(), self.own_row(now));
    }

    fn own_row(&self, now: Time) -> Row {
        let own: [(Arc<str>, Value); 4] = [
            ("id".into(), Value::text(self.parts[self.leaf()].clone())),
            ("nmembers".into(), Value::Int(1)),
            ("oldest".into(), Value::Int(self.seconds(now).cast_signed())),
            ("contacts".into(), Value::list([Value::text(self.told.to_string())])),
        ];
        let relays = self
            .relays_itself()
            .then(|| (summary::RELAYS.into(), Value::list([Value::text(self.contact.to_string())])));
        let others = self.attributes.iter().map(|(name, value)| (name.clone(), value.clone()));
        let tired = self.is_about_to_expire(now).then(|| ("burden".into(), Value::Int(i64::MAX)));
        Row::new(others.chain(own).chain(tired).chain(relays))
    }

    /// What it issues first.
    pub(crate) fn first_issue(&self, now: Time) -> Arc<Issue> {
        let stamp = Stamp { version: 1, generator: self.generator };
        self.sealed(self.leaf(), &self.parts[self.leaf()], stamp, self.own_row(now))
    }

    /// It has been there for long, and these are the tables of the zones that it is in, from the root's on.
    pub(crate) fn settle(&mut self, now: Time, tables: Vec<Table>) {
        self.begin(now);
        self.version = 1;
        let refresh = u64::try_from(self.config.refresh.as_nanos()).unwrap_or(u64::MAX);
        self.reissue_at = now + Duration::from_nanos(self.rng.below(refresh));
        self.exchanges = u32::MAX;
        self.tables = tables;
        self.learn_all_paths();
    }

    /// Issues a row for its own child in a table, and says so.
    fn issue(&mut self, now: Time, level: usize, row: Row) {
        let child = self.parts[level].clone();
        let stamp = self.stamp(now, level);
        let issue = self.sealed(level, &child, stamp, row);
        self.tables[level].offer(now, &child, &issue);
        let (spacing, pace) = (self.spacing(now, level), self.config.pace);
        self.paces[level].issued(now, pace, spacing);
        self.changed(now, level);
        self.pass_on(now, level, &Subject::Child(child), None);
    }

    /// A table has changed: the row of its zone in the table around it may have, too.
    fn changed(&mut self, now: Time, level: usize) {
        let Some(around) = level.checked_sub(1) else { return };
        if self.paces[around].is_held(now) && self.all_answer(now, level) {
            self.paces[around].free();
        }
        let soon = (now + self.config.settle).max(self.speaks_at);
        // Where the zone is reached does not wait: others would take it for gone.
        let shown = self.tables[around].slot(&self.parts[around]);
        let moved = shown.is_none_or(|shown| shown.contacts() != self.tables[level].speakers().as_slice());
        let at = if moved { soon } else { soon.max(self.paces[around].next_at()) };
        self.summaries[level] = self.summaries[level].min(at);
    }

    /// Takes an item of a table. Whether it is news.
    fn take(&mut self, now: Time, level: usize, item: &Item, from: SocketAddr, came: Came) -> bool {
        if !self.admits(now, level, item, from, came) {
            return false;
        }
        match item {
            Item::Revocation(revocation) => self.take_revocation(now, revocation),
            Item::Function(function) => self.take_function(now, level, function),
            Item::Issue(child, issue) => match self.tables[level].offer(now, child, issue) {
                Outcome::Adopted => {
                    self.changed(now, level);
                    let slot = self.tables[level].slot(child);
                    if slot.is_some_and(|slot| {
                        slot.contacts().iter().any(|contact| relay_of(*contact).is_some())
                    }) {
                        self.learn_paths(issue);
                    }
                    if *child == self.parts[level] && issue.stamp.generator != self.generator {
                        self.contradicted(now, level);
                    }
                    true
                }
                Outcome::Known => false,
                Outcome::Full => {
                    self.counters.refused += 1;
                    false
                }
            },
            Item::Gone(child, stamp, _) if *child == self.parts[level] => {
                self.object(now, level, *stamp);
                false
            }
            Item::Gone(child, stamp, seal) => {
                let news = self.tables[level].gone(now, child, *stamp, *seal);
                if news {
                    self.changed(now, level);
                }
                news
            }
        }
    }

    /// Somebody else has issued the row of its own child.
    fn contradicted(&mut self, now: Time, level: usize) {
        if level < self.leaf() {
            // Who is it to speak for the zone? If each thinks that it is, they do not know each other.
            self.changed(now, level + 1);
            self.strangers = self.tables[level].slot(&self.parts[level]).map(|slot| slot.contacts().into());
        } else {
            // An earlier life of this agent; or another one with its name, and then each takes its time.
            self.counters.contradicted += 1;
            self.reissue_at = self.reissue_at.min(now + self.config.pace);
        }
    }

    /// Others think that it is gone, or a zone that it may have to speak for: not so. If that is about something newer than it has issued
    /// itself, it is about an earlier life.
    fn object(&mut self, now: Time, level: usize, stamp: Stamp) {
        let shown = self.tables[level].issue(&self.parts[level]);
        if shown.is_some_and(|issue| issue.stamp > stamp) {
            return;
        }
        if level == self.leaf() {
            self.counters.objections += 1;
            self.version = self.version.max(stamp.version);
            self.issue_own(now);
        } else if self.tables[level + 1].speakers().first() == Some(&self.contact) {
            self.counters.objections += 1;
            self.version = self.version.max(stamp.version);
            let row = self.summary(now, level + 1);
            self.issue(now, level, row);
        }
    }

    /// Whether it spreads news in the zone of this level.
    fn takes_part(&self, level: usize) -> bool {
        level == self.leaf()
            || self.tables[level]
                .slot(&self.parts[level])
                .is_some_and(|own| own.contacts().contains(&self.contact))
    }

    /// Its invariants.
    pub fn check(&self) {
        let strangers = self.strangers.as_ref().map_or(0, SmallVec::len);
        assert!(strangers <= CONTACTS, "A1: {strangers} strangers wait for an exchange");
        self.tables.iter().for_each(Table::check);
        self.trust.iter().for_each(|trust| trust.check());
        self.leases.check();
    }
}
