//! Events: standing queries fire, and who has asked is told.
//!
//! ```text
//!   query fires ──► who speaks for the agent's zone ──► … for the zone around it ──► … ──► … for the zone that was asked ──► who has asked
//!                   ◄───────────────────────────── confirmed, the way it came ─────────────────────────────────────────────
//! ```
//! On the way what comes at once goes on in one message: all are counted, and some are told. While little is sent, each message goes to two of those
//! who speak for a zone, so that one that is lost or dead costs no time; copies end there. For [`Delivery::AtLeastOnce`] whoever has
//! fired says it again until it is confirmed, by others in turn, for as long as the query stands; the agent that has asked takes each event once.
//! Those in between keep nothing that would be missed. The levels that an event has still to climb become fewer with each agent that it
//! comes to, so that none goes round in circles, whatever their views of who speaks for whom.
//!
//! * **Bounds**: those of `route.rs` and `inbox.rs` for each of [`FUNCTIONS_MAX`] queries of a zone; what is sent, by a bucket of its own,
//!   filled like those of news for all tables.
//!
//! [`FUNCTIONS_MAX`]: crate::zones::function::FUNCTIONS_MAX
//! [`Delivery::AtLeastOnce`]: crate::zones::kind::Delivery::AtLeastOnce

mod inbox;
mod route;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use gcs::time::Time;
use smallvec::SmallVec;

use self::{inbox::Inbox, route::Route};
use super::{Agent, Bucket, Config, Sends};
use crate::{
    row::Row,
    zones::{
        event::{Event, EventId, Fired, Told, shown},
        function::Function,
        kind::{Delivery, Kind, Standing},
        message::{Body, Message},
        name::ZoneName,
        table::CONTACTS,
    },
};

/// How often it is looked which queries do not stand any more.
const SWEEP: Duration = Duration::from_secs(1);
/// By how much agents that say something again differ.
const JITTER_MS: u64 = 250;
/// To so many of those who speak for a zone, while little is sent.
const COPIES: usize = 2;

/// Those of an agent.
#[derive(Debug)]
pub(super) struct Events {
    routes: BTreeMap<Arc<str>, Route>,
    inboxes: BTreeMap<Arc<str>, Inbox>,
    bucket: Bucket,
    sweep_at: Time,
}

impl Events {
    pub(super) fn new(config: &Config) -> Self {
        let bucket = Bucket::new(config.burst);
        Self { routes: BTreeMap::new(), inboxes: BTreeMap::new(), bucket, sweep_at: Time::NEVER }
    }

    pub(super) fn next_timer(&self) -> Time {
        let routes = self.routes.values().map(Route::next_timer);
        routes.min().unwrap_or(Time::NEVER).min(self.sweep_at)
    }
}

impl Agent {
    /// The standing queries that this agent is to look at.
    pub fn standing(&self, now: Time) -> impl Iterator<Item = &Arc<Function>> {
        let all = (0..self.tables.len()).flat_map(move |level| self.others(now, level));
        all.filter(|function| function.condition().is_some())
    }

    /// What is announced in the zones that this agent is in, and where.
    pub fn announcements(&self, now: Time) -> impl Iterator<Item = (&ZoneName, &Arc<Function>)> {
        let all = (0..self.tables.len()).flat_map(move |level| {
            self.others(now, level).map(move |function| (&self.zones[level], function))
        });
        let counts = |f: &Function| f.said().kind == Kind::Announcement && !f.said().text.is_empty();
        all.filter(move |(_, function)| counts(function))
    }

    /// Another number whenever [`Self::standing`] or [`Self::announcements`] may be others.
    #[must_use]
    pub fn others_changed(&self) -> u64 {
        self.others_changed
    }

    /// What it says of itself: the row of the table `attributes`.
    #[must_use]
    pub fn attributes(&self, now: Time) -> Row {
        self.own_row(now)
    }

    /// A standing query has fired here, for these rows, if it still stands.
    pub fn fire(&mut self, now: Time, query: &Arc<str>, rows: Vec<Row>) {
        let Some((_, standing)) = self.find_standing(now, query) else { return };
        let all = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let at_ms = self.seconds(Time::ZERO).saturating_mul(1000).saturating_add(now.0 / 1_000_000);
        let told = Told { agent: self.name.to_string(), at_ms, rows: shown(rows) };
        let level = self.tables.len();
        self.counters.fired += 1;
        let trust = self.trust.take();
        let seal =
            |fired: &mut Fired| fired.seal = trust.as_ref().map(|trust| trust.seal_event(query, fired));
        let kept = self.route(now, query).fire(now, level, (told, all), standing.delivery, seal);
        self.trust = trust;
        self.counters.events_lost += u64::from(!kept);
    }

    /// From now on takes what comes for a standing query of this name, from the agents of a zone.
    pub fn listen(&mut self, query: &Arc<str>, zone: &ZoneName, delivery: Delivery) {
        self.events.inboxes.insert(query.clone(), Inbox::new(zone.clone(), delivery, self.trust.is_some()));
    }

    /// And does not any more.
    pub fn listen_no_more(&mut self, query: &str) {
        self.events.inboxes.remove(query);
    }

    /// The oldest events that have come for a standing query, at most so many.
    pub fn heard(&mut self, query: &str, most: usize) -> Vec<Event> {
        self.events.inboxes.get_mut(query).map_or_else(Vec::new, |inbox| inbox.events(most).collect())
    }

    /// For which level a query stands, and how.
    fn find_standing(&self, now: Time, query: &str) -> Option<(usize, Standing)> {
        let now_s = self.seconds(now);
        let stands = |(level, table): (usize, &super::Table)| {
            let function = table.function(query).filter(|function| function.is_valid(now_s))?;
            match function.said().kind {
                Kind::Standing(standing) if !function.said().text.is_empty() => Some((level, standing)),
                _ => None,
            }
        };
        self.tables.iter().enumerate().find_map(stands)
    }

    fn route(&mut self, now: Time, query: &Arc<str>) -> &mut Route {
        let (events, rng) = (&mut self.events, &mut self.rng);
        events.sweep_at = events.sweep_at.min(now + SWEEP);
        events.routes.entry(query.clone()).or_insert_with(|| Route::new(rng.next_u64()))
    }

    /// Sends what is due.
    pub(super) fn send_events(&mut self, now: Time, sends: &mut Sends) {
        if self.events.sweep_at <= now {
            self.sweep(now);
        }
        let due = self.events.routes.iter().filter(|(_, route)| route.next_timer() <= now);
        for query in due.map(|(query, _)| query.clone()).collect::<Vec<_>>() {
            let (level, rng) = (self.tables.len(), &mut self.rng);
            let Some(route) = self.events.routes.get_mut(&query) else { continue };
            route.retry(now, level, || Duration::from_millis(rng.below(JITTER_MS)));
            if route.is_due(now) {
                self.send_batch(now, &query, sends);
            }
        }
    }

    /// Queries that do not stand any more are no more to be told of.
    fn sweep(&mut self, now: Time) {
        let mut routes = std::mem::take(&mut self.events.routes);
        routes.retain(|query, _| self.find_standing(now, query).is_some());
        routes.values_mut().for_each(|route| route.forget(now));
        self.events.sweep_at = if routes.is_empty() { Time::NEVER } else { now + SWEEP };
        self.events.routes = routes;
    }

    fn send_batch(&mut self, now: Time, query: &Arc<str>, sends: &mut Sends) {
        let Some((scope, standing)) = self.find_standing(now, query) else { return };
        let rate = self.event_rate();
        let Some((lane, fired)) = self.route(now, query).batch() else { return };
        let (zone, towards) = self.towards(lane.level, scope, standing.to);
        if standing.to == self.contact && towards.as_slice() == [self.contact] {
            let own = self.contact;
            self.route(now, query).sent(now, &fired, &[own]);
            let ids: Vec<EventId> = fired.iter().map(|fired| fired.id).collect();
            let taken = self.take_fired(now, query, fired).unwrap_or(ids);
            return self.on_confirmed(now, self.contact, query, &taken, sends);
        }
        let copies = if self.events.bucket.plenty(now, rate) { COPIES } else { 1 };
        let first = lane.tries as usize % towards.len().max(1);
        let to = (0..copies.min(towards.len())).map(|nth| towards[(first + nth) % towards.len()]);
        let to: SmallVec<[SocketAddr; COPIES]> = to.collect();
        let message = Message { zone, body: Body::Fired(query.as_ref().into(), fired) };
        let cost = message.bytes() * to.len();
        let Body::Fired(_, fired) = &message.body else { return };
        if !self.events.bucket.take(now, rate, cost) {
            let until = now + self.events.bucket.wait(rate, cost);
            let fired = fired.clone();
            return self.route(now, query).put_back(until, lane, fired);
        }
        self.route(now, query).sent(now, fired, &to);
        sends.extend(to.iter().map(|to| (*to, message.clone())));
    }

    /// To whom events go that this agent has as one who speaks for the zone of this level, or for itself: those who speak for the next zone
    /// around it for which this agent does not speak; in the end whoever has asked.
    fn towards(
        &self,
        mut level: usize,
        scope: usize,
        asked: SocketAddr,
    ) -> (ZoneName, SmallVec<[SocketAddr; CONTACTS]>) {
        while level > scope {
            level -= 1;
            let speakers = self.tables[level].speakers();
            if !speakers.contains(&self.contact) && !speakers.is_empty() {
                return (self.zones[level].clone(), speakers);
            }
        }
        (self.zones[scope].clone(), SmallVec::from_slice(&[asked]))
    }

    fn event_rate(&self) -> u64 {
        self.config.rate.saturating_mul(self.tables.len() as u64)
    }

    /// Events: for this agent, if it has asked; otherwise to be passed on, by one who speaks for the zone of the message.
    pub(super) fn on_fired(
        &mut self,
        now: Time,
        from: SocketAddr,
        zone: &ZoneName,
        (query, fired): (Arc<str>, Vec<Fired>),
        sends: &mut Sends,
    ) {
        if self.events.inboxes.contains_key(&query) {
            let taken = self.take_fired(now, &query, fired).unwrap_or_default();
            return self.confirm(now, from, &query, taken, sends);
        }
        let level = self.zones.iter().position(|own| own == zone);
        let standing = self.find_standing(now, &query);
        let Some((level, (scope, standing))) = level.zip(standing) else {
            self.counters.strange += 1;
            return;
        };
        if level < scope || standing.to == self.contact {
            self.counters.strange += 1;
            return;
        }
        for fired in fired {
            self.route(now, &query).pass(now, level, from, fired, standing.delivery);
        }
    }

    /// Events for this agent: what of them is to be confirmed; None if it has not asked. What nobody vouches for may be forged, and the right ones come again.
    fn take_fired(&mut self, now: Time, query: &Arc<str>, fired: Vec<Fired>) -> Option<Vec<EventId>> {
        let zone = self.events.inboxes.get(query)?.zone().clone();
        let fired = self.believed(now, query, &zone, fired);
        self.events.inboxes.get_mut(query).map(|inbox| inbox.take(fired))
    }

    fn confirm(&mut self, now: Time, to: SocketAddr, query: &Arc<str>, ids: Vec<EventId>, sends: &mut Sends) {
        let body = Body::Confirmed(query.as_ref().into(), ids);
        let message = Message { zone: ZoneName::root(), body };
        let rate = self.event_rate();
        let some = matches!(&message.body, Body::Confirmed(_, ids) if !ids.is_empty());
        // What is not confirmed comes again.
        if some && self.events.bucket.take(now, rate, message.bytes()) {
            sends.push((to, message));
        }
    }

    /// Events have arrived where they were to.
    pub(super) fn on_confirmed(
        &mut self,
        now: Time,
        from: SocketAddr,
        query: &Arc<str>,
        ids: &[EventId],
        sends: &mut Sends,
    ) {
        let Some(route) = self.events.routes.get_mut(query) else { return };
        for (to, ids) in route.confirmed(from, ids) {
            self.confirm(now, to, query, ids, sends);
        }
    }
}
