//! [`Handed`]: a subscription that was signed elsewhere, and is renewed from there.
//!
//! ```text
//!   whoever has the key ── a lease ──► this agent: listens, installs ──► what fires, Renew, what fires, …
//!                       ── a newer one ──► Node::renew                     gone, or not renewed: the removal of the last lease
//! ```
//! * **Bounds**: whoever hands over bounds how many there are; a lease is at most [`LEASE_MAX_S`](super::lease::LEASE_MAX_S).

use std::{sync::Arc, time::Duration};

use gcs::time::Time;
use tokio::sync::mpsc;

use super::{
    events::WAITING,
    lease::{AskError, Lease},
    node::Node,
};
use crate::zones::{event::Event, kind::Kind, name::ZoneName};

/// As the node holds it, by name.
#[derive(Debug)]
pub(super) struct Held {
    zone: ZoneName,
    lease: Lease,
    renew_at: Time,
}

impl Held {
    fn new(now: Time, zone: ZoneName, lease: Lease) -> Self {
        let renew_at = now + Duration::from_secs(lease.seconds()) / 3;
        Self { zone, lease, renew_at }
    }
}

/// What happens next.
#[derive(Debug)]
pub enum Next {
    /// It has fired.
    Event(Event),
    /// It is time for another lease ([`Node::renew`]).
    Renew,
    /// Nobody has renewed it.
    Ended,
}

/// A subscription that was signed elsewhere, until it is dropped.
#[derive(Debug)]
pub struct Handed {
    node: Arc<Node>,
    name: Arc<str>,
    events: mpsc::Receiver<Event>,
}

impl Handed {
    /// Asks the agents of a zone to tell what fires from now on.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub async fn new(node: &Arc<Node>, zone: &ZoneName, lease: &Lease) -> Result<Self, AskError> {
        let function = lease.function();
        let name: Arc<str> = function.said().name.as_str().into();
        let Kind::Standing(standing) = function.said().kind else { return Err(AskError::NoLease) };
        let (to, events) = mpsc::channel(WAITING);
        if node.is_listening(&name) {
            return Err(AskError::Taken(name.to_string()));
        }
        node.listen(&name, Some((zone, standing.delivery, to)));
        let held = Held::new(node.look(|_, now| now), zone.clone(), lease.clone());
        node.handed().insert(name.clone(), held);
        // Whatever happens from now on, it is removed in the end.
        let handed = Self { node: node.clone(), name, events };
        node.install(zone, function).await?;
        Ok(handed)
    }

    /// What happens next. Whoever stops waiting loses nothing.
    pub async fn next(&mut self) -> Next {
        loop {
            let (now_s, now) = self.node.look(|agent, now| (agent.seconds(now), now));
            let left = {
                let mut all = self.node.handed();
                let Some(held) = all.get_mut(&self.name) else { return Next::Ended };
                if held.lease.function().said().expires_s <= now_s {
                    return Next::Ended;
                }
                if held.renew_at <= now {
                    held.renew_at = now + Duration::from_secs(held.lease.seconds()) / 3;
                    return Next::Renew;
                }
                held.renew_at.since(now)
            };
            tokio::select! {
                biased;
                event = self.events.recv() => match event {
                    Some(event) => return Next::Event(event),
                    None => return Next::Ended,
                },
                // It may be renewed meanwhile, or the clock be set: it is looked at again.
                () = tokio::time::sleep(left.min(Duration::from_secs(1))) => {}
            }
        }
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.node.listen(&self.name, None);
        let held = self.node.handed().remove(&self.name);
        if let (Some(held), Ok(runtime)) = (held, tokio::runtime::Handle::try_current()) {
            let node = self.node.clone();
            // Without an answer, it ends with its lease.
            runtime.spawn(async move { drop(node.install(&held.zone, held.lease.removal()).await) });
        }
    }
}

impl Node {
    /// Another lease of a subscription that was handed over.
    ///
    /// # Errors
    /// It stands as long as it would have.
    pub async fn renew(&self, zone: &ZoneName, lease: &Lease) -> Result<(), AskError> {
        let name = lease.function().said().name.clone();
        let same = match self.handed().get(name.as_str()) {
            Some(held) => held.zone == *zone && held.lease.is_like(lease),
            None => return Err(AskError::Unknown(name)),
        };
        if !same {
            return Err(AskError::Taken(name));
        }
        self.install(zone, lease.function()).await?;
        let now = self.look(|_, now| now);
        // Whoever has asked may be gone by now.
        if let Some(held) = self.handed().get_mut(name.as_str()) {
            *held = Held::new(now, zone.clone(), lease.clone());
        }
        Ok(())
    }
}
