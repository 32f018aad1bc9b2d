//! Standing queries on a machine: [`look`] looks at what is asked here, [`Subscription`] is what somebody here asks, [`announce`] tells everybody.
//!
//! ```text
//!   subscribe ──► installed in the zone, for a lease ──► next, next … (renews it) ──► end, or dropped: removed
//! ```
//! A subscription that nobody reads is not renewed, and ends with its lease everywhere.

use std::{sync::Arc, time::Duration};

use gcs::time::Time;
use thiserror::Error;
use tokio::sync::mpsc;

use super::node::{Node, SpreadError};
use crate::{
    events::{conditions::Conditions, tables::Tables},
    row::Row,
    zones::{
        event::Event,
        function::{Function, FunctionError, Said},
        kind::{Delivery, Kind, Standing, Trigger},
        name::ZoneName,
    },
};

/// How long a subscription stands without being renewed, in seconds.
pub const LEASE_S: u64 = 60;
/// Events that wait for whoever reads a subscription, besides those in the agent.
const WAITING: usize = 64;
/// Of the time that looking at tables took, so many times as much passes before it is done again: a tenth of a processor at most.
const REST: u32 = 9;

/// What somebody wants to be told.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// By the agents of which zone.
    pub zone: ZoneName,
    /// `SELECT … FROM table WHERE …`.
    pub sql: String,
    /// When.
    pub trigger: Trigger,
    /// How sure it is that it arrives.
    pub delivery: Delivery,
    /// How often agents look.
    pub every: Duration,
    /// How long it stands without being renewed; [`LEASE_S`] is usual.
    pub lease: Duration,
}

/// Why there is no subscription, or no announcement.
#[derive(Debug, Error)]
pub enum AskError {
    /// There cannot be one like that.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// The zone does not take it.
    #[error(transparent)]
    Spread(#[from] SpreadError),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// Others would refuse it.
    #[error(
        "the agents here have keys, and standing queries and announcements cannot be signed yet: they need agents without --identity"
    )]
    Keys,
}

/// What agents are to tell, until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    node: Arc<Node>,
    zone: ZoneName,
    function: Arc<Function>,
    lease_s: u64,
    renew_at: Time,
    events: mpsc::Receiver<Event>,
    ended: bool,
}

/// Nobody else has it.
fn name(kind: &str) -> Result<String, getrandom::Error> {
    Ok(format!("{kind}-{:016x}", getrandom::u64()?))
}

/// The time of day, where nothing has to be signed.
fn open(node: &Node) -> Result<u64, AskError> {
    node.look(
        |agent, now| if agent.verified().is_some() { Err(AskError::Keys) } else { Ok(agent.seconds(now)) },
    )
}

/// Announces a text, or JSON, in a zone, for so long.
///
/// # Errors
/// Nothing is announced then.
pub async fn announce(
    node: &Node,
    zone: &ZoneName,
    text: String,
    time: Duration,
) -> Result<Arc<Function>, AskError> {
    let issued_s = open(node)?;
    let said = Said {
        name: name("announcement")?,
        kind: Kind::Announcement,
        text,
        strong: false,
        issued_s,
        expires_s: issued_s.saturating_add(time.as_secs()),
        seal: Vec::new(),
    };
    let function = Arc::new(Function::new(said)?);
    node.install(zone, &function).await?;
    Ok(function)
}

impl Subscription {
    /// Asks the agents of a zone to tell what fires from now on.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub async fn new(node: &Arc<Node>, wanted: Wanted) -> Result<Self, AskError> {
        let Wanted { zone, sql: text, trigger, delivery, every, lease } = wanted;
        let every_ms = u32::try_from(every.as_millis()).unwrap_or(u32::MAX);
        let standing = Standing { to: node.contact(), trigger, delivery, every_ms };
        let (kind, seal) = (Kind::Standing(standing), Vec::new());
        let issued_s = open(node)?;
        let lease_s = lease.as_secs().max(1);
        let (name, expires_s) = (name("event")?, issued_s.saturating_add(lease_s));
        let said = Said { name, kind, text, strong: false, issued_s, expires_s, seal };
        let function = Arc::new(Function::new(said)?);
        let (to, events) = mpsc::channel(WAITING);
        node.listen(&function.said().name.as_str().into(), Some((delivery, to)));
        let renew_at = node.look(|_, now| now + lease / 3);
        // Whatever happens from now on, it is removed in the end.
        let (node, zone) = (node.clone(), zone.clone());
        let subscription = Self { node, zone, function, lease_s, renew_at, events, ended: false };
        subscription.node.install(&subscription.zone, &subscription.function).await?;
        Ok(subscription)
    }

    /// Its name, which no other one has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.function.said().name
    }

    /// What agents have been asked.
    #[must_use]
    pub fn function(&self) -> &Arc<Function> {
        &self.function
    }

    /// What happens next; renews the lease meanwhile. Whoever stops waiting loses nothing.
    ///
    /// # Errors
    /// The lease cannot be renewed at the moment; it may be later, as long as it has not ended.
    pub async fn next(&mut self) -> Result<Event, AskError> {
        loop {
            let left = self.node.look(|_, now| self.renew_at.since(now));
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => return Ok(event),
                    // The node holds the other end as long as this is not ended.
                    None => std::future::pending().await,
                },
                () = tokio::time::sleep(left) => self.renew().await?,
            }
        }
    }

    /// Lets it stand for another lease from now on.
    ///
    /// # Errors
    /// It stands as long as it would have.
    pub async fn renew(&mut self) -> Result<(), AskError> {
        let third = Duration::from_secs(self.lease_s) / 3;
        let now_s = self.node.look(|agent, now| agent.seconds(now));
        self.renew_at = self.node.look(|_, now| now + third);
        let mut said = self.function.said().renewed(now_s, self.lease_s);
        if let Kind::Standing(standing) = &mut said.kind {
            // It may be reached at another relay now.
            standing.to = self.node.contact();
        }
        let function = Arc::new(Function::new(said)?);
        // It may be there, though nobody has said so.
        self.function = function.clone();
        Ok(self.node.install(&self.zone, &function).await?)
    }

    /// How many seconds it stands if it is not renewed.
    #[must_use]
    pub fn left_s(&self) -> u64 {
        let now_s = self.node.look(|agent, now| agent.seconds(now));
        self.function.said().expires_s.saturating_sub(now_s)
    }

    /// Ends it everywhere.
    ///
    /// # Errors
    /// It ends with its lease then.
    pub async fn end(mut self) -> Result<(), AskError> {
        self.ended = true;
        remove(&self.node, &self.zone, &self.function).await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.node.listen(&self.function.said().name.as_str().into(), None);
        if let (false, Ok(runtime)) = (self.ended, tokio::runtime::Handle::try_current()) {
            let (node, zone, function) = (self.node.clone(), self.zone.clone(), self.function.clone());
            // Without an answer, it ends with its lease.
            runtime.spawn(async move { drop(remove(&node, &zone, &function).await) });
        }
    }
}

async fn remove(node: &Node, zone: &ZoneName, function: &Function) -> Result<(), AskError> {
    let now_s = node.look(|agent, now| agent.seconds(now));
    let function = Arc::new(Function::new(function.said().removal(now_s))?);
    Ok(node.install(zone, &function).await?)
}

/// Looks at local tables as often as standing queries ask, and has fire what does. Until the future is dropped.
pub async fn look(node: &Node, tables: Tables) {
    let (mut others, mut state) = (node.others(), (Conditions::default(), tables));
    loop {
        others.borrow_and_update();
        let began = node.look(|agent, now| {
            state.0.follow(now, agent.standing(now));
            now
        });
        state.1.keep(state.0.all().iter());
        let due = state.0.due(began);
        if !due.is_empty() {
            let (context, row) = node.look(|agent, now| (agent.context(now), agent.attributes(now)));
            let (mut conditions, mut tables) = state;
            // Files and many rows take their time.
            let looked = tokio::task::spawn_blocking(move || {
                let look = |due: crate::events::conditions::Due| {
                    let rows = tables.read(&due, &row);
                    let fires: Vec<Row> = conditions.look(began, &due.name, &rows, &context);
                    (due.name, fires)
                };
                let fires: Vec<_> = due.into_iter().map(look).filter(|(_, rows)| !rows.is_empty()).collect();
                (fires, (conditions, tables))
            });
            let Ok((fires, back)) = looked.await else { return };
            state = back;
            if !fires.is_empty() {
                node.act(|agent, now| {
                    fires.into_iter().for_each(|(name, rows)| agent.fire(now, &name, rows))
                });
            }
        }
        let now = node.look(|_, now| now);
        tokio::time::sleep(now.since(began) * REST).await;
        let left = node.look(|_, now| state.0.next().since(now));
        tokio::select! {
            () = tokio::time::sleep(left.min(Duration::from_secs(3600))) => {}
            _ = others.changed() => {}
        }
    }
}
