//! [`Paths`]: the way of a datagram to a contact.
//!
//! ```text
//!   to who is at a relay:  where its message came from, in answer to it;  in its realm, its address there;  else Relay, by its two relays in turn
//!   from who is at a relay: By, so that others know who it is, whatever its NAT makes of its address
//! ```
//! * **Bounds**: [`PATHS`] contacts.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, SocketAddrV4},
};

use gcs::time::Time;
use smallvec::SmallVec;

use super::{Agent, Sends};
use crate::zones::{
    contact::{Realm, relay_of},
    message::{Body, Message},
    name::ZoneName,
    table::{Issue, Table},
};

/// Contacts of others of which more is known than their name.
const PATHS: usize = 1024;

/// What is known of a contact besides.
#[derive(Clone, Copy, Debug)]
struct Path {
    spare: Option<SocketAddrV4>,
    local: Option<SocketAddr>,
    /// Whose turn it is.
    spare_next: bool,
}

/// Of those that are reached at relays, by contact.
#[derive(Debug, Default)]
pub(super) struct Paths(BTreeMap<SocketAddr, Path>);

impl Paths {
    fn learn(&mut self, issue: &Issue, realm: Option<&Realm>) {
        for (_, told) in issue.told() {
            let local = told.local.filter(|(of, _)| Some(of) == realm).map(|(_, at)| at);
            if relay_of(told.contact).is_none() || (told.spare.is_none() && local.is_none()) {
                self.0.remove(&told.contact);
            } else if self.0.len() < PATHS || self.0.contains_key(&told.contact) {
                self.0.insert(told.contact, Path { spare: told.spare, local, spare_next: false });
            }
        }
    }
}

impl Agent {
    /// A row tells more of contacts than their names.
    pub(super) fn learn_paths(&mut self, issue: &Issue) {
        let realm = self.reach.as_ref().and_then(|reach| reach.realm());
        self.paths.learn(issue, realm);
        if self.paths.0.len() >= PATHS {
            self.learn_all_paths();
        }
    }

    /// The same of all rows, and forgets what none says any more.
    pub(super) fn learn_all_paths(&mut self) {
        let realm = self.reach.as_ref().and_then(|reach| reach.realm());
        let mut paths = Paths::default();
        let slots = self.tables.iter().flat_map(Table::slots);
        let at_relays =
            slots.filter(|slot| slot.contacts().iter().any(|contact| relay_of(*contact).is_some()));
        at_relays.filter_map(|slot| slot.issue()).for_each(|issue| paths.learn(issue, realm));
        self.paths = paths;
    }

    /// The datagrams by which messages get to contacts, from the `first` of these on; `back`: an agent that is at a relay, and where it has just been heard.
    pub(super) fn address_all(
        &mut self,
        now: Time,
        sends: &mut Sends,
        first: usize,
        back: Option<(SocketAddr, SocketAddr)>,
    ) {
        let named = relay_of(self.contact).is_some();
        if !named && sends[first..].iter().all(|(to, _)| relay_of(*to).is_none()) {
            return;
        }
        let routed: SmallVec<[_; 8]> =
            sends.drain(first..).filter_map(|(to, message)| self.datagram(now, to, message, back)).collect();
        sends.extend(routed);
    }

    /// The datagram by which a message gets to a contact now; `None` if there is none.
    #[must_use]
    pub fn addressed(
        &mut self,
        now: Time,
        to: SocketAddr,
        message: Message,
    ) -> Option<(SocketAddr, Message)> {
        self.datagram(now, to, message, None)
    }

    fn datagram(
        &mut self,
        now: Time,
        to: SocketAddr,
        message: Message,
        back: Option<(SocketAddr, SocketAddr)>,
    ) -> Option<(SocketAddr, Message)> {
        let named = relay_of(self.contact).is_some() && !message.body.is_between();
        let direct = |agent: &Self, to: SocketAddr, message: Message| {
            let body = || Body::By(agent.contact, message.encode());
            Some((to, if named { Message { zone: ZoneName::root(), body: body() } } else { message }))
        };
        let Some((relay, number)) = relay_of(to) else { return direct(self, to, message) };
        let heard = back.filter(|(who, _)| *who == to).map(|(_, at)| at);
        let path = self.paths.0.get_mut(&to);
        if let Some(at) = heard.or(path.as_ref().and_then(|path| path.local)) {
            return direct(self, at, message);
        }
        let spare = path.as_ref().and_then(|path| path.spare);
        if [Some(relay), spare].into_iter().flatten().any(|relay| SocketAddr::V4(relay) == self.contact)
            && let Some(at) = self.leases.at(now, number)
        {
            return Some((at, message));
        }
        let relay = match (path, spare) {
            (Some(path), Some(spare)) => {
                path.spare_next = !path.spare_next;
                if path.spare_next { relay } else { spare }
            }
            _ => relay,
        };
        let body = Body::Relay(number, self.contact, message.encode());
        Some((relay.into(), Message { zone: ZoneName::root(), body }))
    }
}
