//! [`Deliveries`]: subscriptions whose events are posted somewhere.
//!
//! Of each, one event is on its way at a time, in the order in which they came; the others wait in the [`Subscription`] and, when that is full, at the
//! agents where they fired, which count what they have to give up. An event counts as delivered when it is answered with 2xx. What fails is said
//! again after a pause (0.5 s, 1 s, 2 s … 30 s, 12 times in all), and so it may arrive twice. What is given up is counted, and told with the next event as `lost`.
//!
//! * **Bounds**: [`MOST`] at a time, as many that have ended and are still shown; for each one connection, and the time that `post` gives an attempt.
//! * **Not kept** when the agent ends: then nobody renews the lease, and it ends everywhere after [`LEASE_S`] seconds.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use gcs::time::Time;
use parking_lot::Mutex;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    post::{Message, PostError, Target},
    retry::{Retry, TRIES, Then},
    webhook::{self, Secret},
    wse::Notify,
};
use crate::{
    daemon::{
        events::{AskError, LEASE_S, Subscription, Wanted},
        node::Node,
    },
    zones::{event::Event, kind::Delivery},
};

/// Subscriptions at a time.
pub const MOST: usize = 32;
/// How long an agent that ends tries to say so.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often it is said that a subscription has ended.
const END_TRIES: u32 = 3;
/// How long nobody may be there until a subscription ends, if nothing else is said, and at most.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// See [`PATIENCE`].
pub const PATIENCE_MAX: Duration = Duration::from_secs(86_400);

/// How events are written.
#[derive(Clone, Debug)]
pub enum Encoding {
    /// As JSON, signed if there is a secret.
    Json(Option<Secret>),
    /// As SOAP messages.
    Soap(Box<Notify>),
}

/// What is delivered, and where.
#[derive(Debug)]
pub struct Order {
    /// What.
    pub wanted: Wanted,
    /// Where.
    pub target: Target,
    /// How it is written.
    pub encoding: Encoding,
    /// For how long; until it is removed, if there is none.
    pub expires: Option<Duration>,
    /// It ends when nothing could be delivered for so long.
    pub patience: Duration,
}

/// Why nothing is delivered.
#[derive(Debug, Error)]
pub enum OrderError {
    /// There is no such subscription.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// There are too many.
    #[error("this agent delivers the events of {MOST} subscriptions, or is about to end: remove one")]
    Full,
}

/// Why a subscription has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its time is over.
    Expired,
    /// Who has asked for it wants it no more.
    Removed,
    /// Somebody else has removed it here.
    Cancelled,
    /// Nobody takes what it tells.
    Failed,
    /// The agent ends.
    ShuttingDown,
}

impl Ending {
    /// For people.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Expired => "its time is over",
            Self::Removed => "it was removed",
            Self::Cancelled => "it was removed at the agent",
            Self::Failed => "events could not be delivered",
            Self::ShuttingDown => "the agent ends",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Control {
    expires: Option<Time>,
    stop: Option<Ending>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    delivered: u64,
    retried: u64,
    given_up: u64,
    failing: bool,
    last_error: Option<String>,
    ended: Option<Ending>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// Which one it is of all, in their order.
    order: u64,
    zone: String,
    sql: String,
    target: Target,
    encoding: Encoding,
    most: u32,
    patience: Duration,
    control: watch::Sender<Control>,
    seen: Mutex<Seen>,
}

/// All that this agent delivers.
#[derive(Debug)]
pub struct Deliveries {
    node: Arc<Node>,
    places: Arc<Semaphore>,
    all: Mutex<BTreeMap<String, Arc<Entry>>>,
}

/// A subscription that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Its name, which no other one has.
    pub name: String,
    /// What its rows have.
    pub columns: Vec<String>,
}

impl Deliveries {
    /// None yet.
    #[must_use]
    pub fn new(node: Arc<Node>) -> Self {
        Self { node, places: Arc::new(Semaphore::new(MOST)), all: Mutex::default() }
    }

    /// Seconds since 1970.
    pub(super) fn now_s(&self) -> u64 {
        self.node.look(|agent, now| agent.seconds(now))
    }

    /// Asks agents to tell, and delivers what they do.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub async fn begin(&self, order: Order) -> Result<Begun, OrderError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| OrderError::Full)?;
        let Order { wanted, target, encoding, expires, patience } = order;
        let most = match wanted.delivery {
            Delivery::AtLeastOnce => TRIES,
            Delivery::AtMostOnce => 1,
        };
        let (zone, sql) = (wanted.zone.to_string(), wanted.sql.clone());
        let subscription = Subscription::new(&self.node, wanted).await?;
        let columns = subscription.function().condition().map(|query| query.outputs().to_vec());
        let columns = columns.unwrap_or_default().iter().map(ToString::to_string).collect();
        let expires = expires.map(|after| self.node.look(|_, now| now + after));
        let (control, seen) = (watch::Sender::new(Control { expires, stop: None }), Mutex::default());
        let name = subscription.name().to_owned();
        let entry = {
            let mut all = self.all.lock();
            while all.len() >= 2 * MOST {
                let ended = all.values().filter(|entry| entry.seen.lock().ended.is_some());
                let Some(first) = ended.min_by_key(|entry| entry.order).map(|entry| entry.name.clone())
                else {
                    break;
                };
                all.remove(&first);
            }
            let order = all.values().map(|entry| entry.order + 1).max().unwrap_or(0);
            let (name, patience) = (name.clone(), patience.min(PATIENCE_MAX));
            let entry = Entry { name, order, zone, sql, target, encoding, most, patience, control, seen };
            let entry = Arc::new(entry);
            all.insert(entry.name.clone(), entry.clone());
            entry
        };
        tokio::spawn(live(self.node.clone(), entry, subscription, place));
        Ok(Begun { name, columns })
    }

    /// One that has not ended, of those that post SOAP messages.
    fn soap(&self, name: &str) -> Option<Arc<Entry>> {
        let entry = self.all.lock().get(name).cloned()?;
        let stands = entry.control.borrow().stop.is_none() && entry.seen.lock().ended.is_none();
        (stands && matches!(entry.encoding, Encoding::Soap(_))).then_some(entry)
    }

    /// From now on it is for so long. False: there is none.
    pub(super) fn renew(&self, name: &str, time: Duration) -> bool {
        let Some(entry) = self.soap(name) else { return false };
        let expires = self.node.look(|_, now| now + time);
        entry.control.send_modify(|control| control.expires = Some(expires));
        true
    }

    /// How long it is for. None: there is none.
    pub(super) fn left(&self, name: &str) -> Option<Duration> {
        let expires = self.soap(name)?.control.borrow().expires;
        Some(expires.map_or(Duration::MAX, |at| self.node.look(|_, now| at.since(now))))
    }

    /// Who has asked for SOAP messages wants them no more. False: there is none.
    pub(super) fn unsubscribe(&self, name: &str) -> bool {
        self.soap(name).is_some() && self.remove(name, Ending::Removed)
    }

    /// Ends one, and shows it no more. False: there is none.
    pub fn remove(&self, name: &str, why: Ending) -> bool {
        let Some(entry) = self.all.lock().remove(name) else { return false };
        entry.stop(why);
        true
    }

    /// All of them, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Value> {
        let mut all: Vec<_> = self.all.lock().values().cloned().collect();
        all.sort_by_key(|entry| entry.order);
        let now = self.node.look(|_, now| now);
        all.iter().map(|entry| entry.json(now)).collect()
    }

    /// Ends all because the agent does, and says so to those who want to know, for some seconds at most.
    pub async fn close(&self) {
        self.all.lock().values().for_each(|entry| entry.stop(Ending::ShuttingDown));
        let all = u32::try_from(MOST).unwrap_or(u32::MAX);
        // Who has not heard it by then finds out.
        let _ = timeout(FAREWELL, self.places.acquire_many(all)).await;
    }
}

impl Entry {
    fn stop(&self, why: Ending) {
        self.control.send_modify(|control| {
            control.stop.get_or_insert(why);
        });
    }

    fn json(&self, now: Time) -> Value {
        let (seen, control) = (self.seen.lock().clone(), *self.control.borrow());
        let state = match (seen.ended, seen.failing) {
            (Some(_), _) => "ended",
            (None, true) => "retrying",
            (None, false) => "delivering",
        };
        json!({
            "name": self.name,
            "kind": match self.encoding { Encoding::Json(_) => "webhook", Encoding::Soap(_) => "ws-eventing" },
            "url": self.target.url(),
            "zone": self.zone,
            "sql": self.sql,
            "state": state,
            "ended": seen.ended.map(Ending::says),
            "delivered": seen.delivered,
            "retried": seen.retried,
            "given_up": seen.given_up,
            "last_error": seen.last_error,
            "expires_in_s": control.expires.map(|at| at.since(now).as_secs()),
        })
    }

    fn message(&self, nth: u64, event: &Event, now_s: u64) -> Message {
        match &self.encoding {
            Encoding::Json(secret) => webhook::message(&self.name, nth, event, secret.as_ref(), now_s),
            Encoding::Soap(notify) => notify.message(&self.name, nth, event),
        }
    }

    /// Delivers until nobody takes it any more.
    async fn work(&self, node: &Node, subscription: &mut Subscription) -> Ending {
        let (mut retry, mut nth, mut lost) = (Retry::new(self.most, self.patience), 0, 0);
        loop {
            let mut event = match subscription.next().await {
                Ok(event) => event,
                Err(e) => {
                    self.seen.lock().last_error = Some(e.to_string());
                    continue;
                }
            };
            (nth, event.lost) = (nth + 1, event.lost.saturating_add(lost));
            match self.say(node, subscription, &mut retry, nth, &event).await {
                Then::Over => return Ending::Failed,
                Then::GiveUp => lost = event.lost.saturating_add(event.times),
                Then::Again(_) => lost = 0,
            }
        }
    }

    /// Says one event until it has arrived (`Again`: the next one, now) or is given up.
    async fn say(
        &self,
        node: &Node,
        subscription: &mut Subscription,
        retry: &mut Retry,
        nth: u64,
        event: &Event,
    ) -> Then {
        loop {
            let now_s = node.look(|agent, now| agent.seconds(now));
            let posted = during(subscription, self.target.post(self.message(nth, event, now_s))).await;
            let now = node.look(|_, now| now);
            let arrived = posted.is_ok();
            let then = self.count(posted, retry, now, event.times);
            match then {
                Then::Again(at) if !arrived => during(subscription, sleep(at.since(now))).await,
                _ => return then,
            }
        }
    }

    /// Keeps account of an attempt, and says what comes next.
    fn count(&self, posted: Result<(), PostError>, retry: &mut Retry, now: Time, times: u64) -> Then {
        let mut seen = self.seen.lock();
        let Err(e) = posted else {
            retry.arrived();
            (seen.delivered, seen.failing) = (seen.delivered.saturating_add(times), false);
            return Then::Again(now);
        };
        let then = if e.is_gone() { Then::Over } else { retry.failed(now) };
        (seen.failing, seen.last_error) = (true, Some(e.to_string()));
        match then {
            Then::Again(_) => seen.retried = seen.retried.saturating_add(1),
            Then::GiveUp | Then::Over => seen.given_up = seen.given_up.saturating_add(times),
        }
        then
    }

    /// Says that it has ended, if somebody wants to know.
    async fn tell(&self, ending: Ending) {
        let Encoding::Soap(notify) = &self.encoding else { return };
        let Some((target, message)) = notify.ended(&self.name, ending) else { return };
        let mut pause = Duration::from_millis(500);
        for _ in 0..END_TRIES {
            let posted: Result<(), PostError> = target.post(message.clone()).await;
            if posted.is_ok() {
                return;
            }
            sleep(pause).await;
            pause *= 4;
        }
    }
}

/// One subscription, from its beginning to its end.
async fn live(
    node: Arc<Node>,
    entry: Arc<Entry>,
    mut subscription: Subscription,
    place: OwnedSemaphorePermit,
) {
    let ending = tokio::select! {
        biased;
        ending = over(&node, entry.control.subscribe()) => ending,
        ending = entry.work(&node, &mut subscription) => ending,
    };
    entry.seen.lock().ended = Some(ending);
    // Without an answer, it ends with its lease.
    let _ = tokio::join!(subscription.end(), entry.tell(ending));
    drop(place);
}

/// Waits for something else while the lease is renewed as [`Subscription::next`] does it.
async fn during<T>(subscription: &mut Subscription, what: impl Future<Output = T>) -> T {
    let mut what = pin!(what);
    loop {
        let left = subscription.left_s().saturating_sub(LEASE_S / 3 * 2);
        if left == 0 {
            // If it fails now, it may succeed later.
            let _ = subscription.renew().await;
        }
        tokio::select! {
            biased;
            done = &mut what => return done,
            () = sleep(Duration::from_secs(left.max(1))) => {}
        }
    }
}

/// Until its time is over, or somebody has ended it.
async fn over(node: &Node, mut control: watch::Receiver<Control>) -> Ending {
    loop {
        let Control { expires, stop } = *control.borrow_and_update();
        if let Some(stop) = stop {
            return stop;
        }
        let left = expires.map(|at| node.look(|_, now| at.since(now)));
        if left.is_some_and(|left| left.is_zero()) {
            return Ending::Expired;
        }
        tokio::select! {
            () = sleep(left.unwrap_or(PATIENCE_MAX)) => {}
            // Who could change it is there as long as this is.
            _ = control.changed() => {}
        }
    }
}
