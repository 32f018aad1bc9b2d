//! Standing queries on a machine: [`look`] looks at what is asked here, [`Subscription`] is what somebody here asks, [`announce`] tells everybody.
//!
//! ```text
//!   subscribe ──► installed in the zone, for a lease ──► next, next … (renews it) ──► end, or dropped: removed
//! ```
//! A subscription that nobody reads is not renewed, and ends with its lease everywhere.

use std::{sync::Arc, time::Duration};

use gcs::time::Time;
use tokio::sync::mpsc;

pub use super::lease::{AskError, LEASE_S};
use super::{
    lease::{self, Lease, Sign},
    node::Node,
};
use crate::{
    events::{conditions::Conditions, tables::Tables},
    row::Row,
    zones::{
        agent::Agent,
        event::Event,
        function::{Function, Said},
        kind::{ANNOUNCEMENT, Delivery, Kind, Standing, Trigger},
        name::ZoneName,
    },
};

/// Events that wait for whoever reads a subscription, besides those in the agent.
pub(super) const WAITING: usize = 64;
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

/// What agents are to tell, until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    node: Arc<Node>,
    zone: ZoneName,
    lease: Lease,
    sign: Option<Arc<dyn Sign>>,
    lease_s: u64,
    renew_at: Time,
    events: mpsc::Receiver<Event>,
    ended: bool,
}

/// The time of day. Where agents have keys, somebody has to sign what has this right.
fn allowed(node: &Node, sign: Option<&dyn Sign>, right: &'static str) -> Result<u64, AskError> {
    let closed = |agent: &Agent| agent.verified().is_some();
    node.look(|agent, now| match sign {
        None if closed(agent) => Err(AskError::Keys(right)),
        _ => Ok(agent.seconds(now)),
    })
}

/// Announces a text, or JSON, in a zone, for so long. Where agents have keys, somebody signs it who may announce.
///
/// # Errors
/// Nothing is announced then.
pub async fn announce(
    node: &Node,
    zone: &ZoneName,
    text: String,
    time: Duration,
    sign: Option<&dyn Sign>,
) -> Result<Arc<Function>, AskError> {
    let issued_s = allowed(node, sign, "announce")?;
    let said = Said {
        name: lease::name(ANNOUNCEMENT)?,
        kind: Kind::Announcement,
        text,
        strong: false,
        issued_s,
        expires_s: issued_s.saturating_add(time.as_secs()),
        seal: Vec::new(),
    };
    let said = match sign {
        Some(sign) => sign.sign(zone, said)?,
        None => said,
    };
    let function = Arc::new(Function::new(said)?);
    node.install(zone, &function).await?;
    Ok(function)
}

impl Subscription {
    /// Asks the agents of a zone to tell what fires from now on, where agents have no keys.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub async fn new(node: &Arc<Node>, wanted: Wanted) -> Result<Self, AskError> {
        Self::asked(node, wanted, None).await
    }

    /// The same where they have, by somebody who may subscribe in the zone, and signs each renewal.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub async fn signed(node: &Arc<Node>, wanted: Wanted, sign: Arc<dyn Sign>) -> Result<Self, AskError> {
        Self::asked(node, wanted, Some(sign)).await
    }

    async fn asked(node: &Arc<Node>, wanted: Wanted, sign: Option<Arc<dyn Sign>>) -> Result<Self, AskError> {
        let Wanted { zone, sql, trigger, delivery, every, lease } = wanted;
        let every_ms = u32::try_from(every.as_millis()).unwrap_or(u32::MAX);
        let standing = Standing { to: node.contact(), trigger, delivery, every_ms };
        let now_s = allowed(node, sign.as_deref(), "subscribe")?;
        let lease_s = lease.as_secs().max(1);
        let made = Lease::new(&zone, standing, sql, (now_s, lease_s), sign.as_deref())?;
        let (to, events) = mpsc::channel(WAITING);
        node.listen(&made.function().said().name.as_str().into(), Some((&zone, delivery, to)));
        let renew_at = node.look(|_, now| now + lease / 3);
        // Whatever happens from now on, it is removed in the end.
        let (node, ended) = (node.clone(), false);
        let subscription = Self { node, zone, lease: made, sign, lease_s, renew_at, events, ended };
        subscription.node.install(&subscription.zone, subscription.function()).await?;
        Ok(subscription)
    }

    /// Its name, which no other one has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.lease.function().said().name
    }

    /// What agents have been asked.
    #[must_use]
    pub fn function(&self) -> &Arc<Function> {
        self.lease.function()
    }

    /// What happens next; renews the lease meanwhile. Whoever stops waiting loses nothing.
    ///
    /// # Errors
    /// The lease cannot be renewed at the moment; it may be later, as long as it has not ended.
    pub async fn next(&mut self) -> Result<Event, AskError> {
        loop {
            let left = self.node.look(|_, now| self.renew_at.since(now));
            if left.is_zero() {
                // Also while there is always an event.
                self.renew().await?;
                continue;
            }
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => return Ok(event),
                    // The node holds the other end as long as this is not ended.
                    None => std::future::pending().await,
                },
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// Lets it stand for another lease from now on.
    ///
    /// # Errors
    /// It stands as long as it would have.
    pub async fn renew(&mut self) -> Result<(), AskError> {
        let third = Duration::from_secs(self.lease_s) / 3;
        let (now_s, now) = self.node.look(|agent, now| (agent.seconds(now), now));
        self.renew_at = now + third;
        let lease = self.lease.renewed(
            &self.zone,
            self.node.contact(),
            (now_s, self.lease_s),
            self.sign.as_deref(),
        )?;
        // It may be there, though nobody has said so.
        self.lease = lease;
        Ok(self.node.install(&self.zone, self.lease.function()).await?)
    }

    /// How many seconds it stands if it is not renewed.
    #[must_use]
    pub fn left_s(&self) -> u64 {
        let now_s = self.node.look(|agent, now| agent.seconds(now));
        self.function().said().expires_s.saturating_sub(now_s)
    }

    /// Ends it everywhere.
    ///
    /// # Errors
    /// It ends with its lease then.
    pub async fn end(mut self) -> Result<(), AskError> {
        self.ended = true;
        Ok(self.node.install(&self.zone, self.lease.removal()).await?)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.node.listen(&self.function().said().name.as_str().into(), None);
        if let (false, Ok(runtime)) = (self.ended, tokio::runtime::Handle::try_current()) {
            let (node, zone, removal) = (self.node.clone(), self.zone.clone(), self.lease.removal().clone());
            // Without an answer, it ends with its lease.
            runtime.spawn(async move { drop(node.install(&zone, &removal).await) });
        }
    }
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
