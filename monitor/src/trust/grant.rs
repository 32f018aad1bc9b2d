//! [`Grant`]: what a certificate says, and what follows from it: the rules are all here.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    key::{PublicKey, Purpose},
    may::{May, Need},
    refusal::{Refusal, path},
    validity::Validity,
    wire::is_label,
};
use crate::zones::{kind::Kind as Of, name::ZoneName};

/// Where chains of certificates begin: everybody is given it by a way that is trusted already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The zone that it is the authority of, the root as a rule.
    pub zone: ZoneName,
    /// Its key.
    pub key: PublicKey,
}

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// That of the authority of the zone: it issues what is at or below it.
    Zone,
    /// That of the agent which is this leaf: it signs the row of its leaf, and of all zones around it, and who is gone in those.
    Agent,
    /// That of somebody who asks for things in the zone, and below.
    Client {
        /// Who, in at most [`LABEL_BYTES`](super::LABEL_BYTES).
        name: String,
        /// What they may ask for.
        may: May,
    },
}

/// What a certificate says: this key may speak there, so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose key it is.
    pub kind: Kind,
    /// Where.
    pub zone: ZoneName,
    /// The key.
    pub key: PublicKey,
    /// So long.
    pub validity: Validity,
}

/// As bytes.
#[derive(Serialize, Deserialize)]
pub(super) struct WireGrant<'a> {
    #[serde(borrow)]
    kind: WireKind<'a>,
    zone: &'a str,
    key: PublicKey,
    issued_s: u64,
    for_s: u64,
}

#[derive(Serialize, Deserialize)]
enum WireKind<'a> {
    Zone,
    Agent,
    Client(&'a str, &'a str),
}

impl Grant {
    /// What an anchor may: everything in its zone, always.
    pub(super) fn anchor(anchor: Anchor) -> Self {
        Self { kind: Kind::Zone, zone: anchor.zone, key: anchor.key, validity: Validity::new(0, u64::MAX) }
    }

    pub(super) const fn purpose(&self) -> Purpose {
        match self.kind {
            Kind::Zone => Purpose::Zone,
            Kind::Agent => Purpose::Agent,
            Kind::Client { .. } => Purpose::Client,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let may;
        let kind = match &self.kind {
            Kind::Zone => WireKind::Zone,
            Kind::Agent => WireKind::Agent,
            Kind::Client { name, may: what } => {
                may = what.to_string();
                WireKind::Client(name, &may)
            }
        };
        let (issued_s, for_s) = (self.validity.issued_s(), self.validity.seconds());
        let wire = WireGrant { kind, zone: self.zone.as_str(), key: self.key, issued_s, for_s };
        super::wire::put(Vec::with_capacity(128), &wire)
    }

    pub(super) fn read(wire: &WireGrant<'_>) -> Result<Self, Refusal> {
        let kind = match wire.kind {
            WireKind::Zone => Kind::Zone,
            WireKind::Agent => Kind::Agent,
            WireKind::Client(name, may) => {
                Kind::Client { name: name.to_owned(), may: may.parse().map_err(|_| Refusal::Malformed)? }
            }
        };
        let zone = wire.zone.parse().map_err(|_| Refusal::Malformed)?;
        let validity = Validity::read(wire.issued_s, wire.for_s).ok_or(Refusal::Malformed)?;
        let grant = Self { kind, zone, key: wire.key, validity };
        grant.check().map_err(|_| Refusal::Malformed)?;
        Ok(grant)
    }

    /// Whether its names are names.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match &self.kind {
            Kind::Client { name, .. } if !is_label(name) => Err(Refusal::Name(name.clone())),
            Kind::Agent if self.zone.depth() == 0 => Err(Refusal::Name(self.zone.to_string())),
            _ => Ok(()),
        }
    }

    fn not_allowed(&self, what: String) -> Refusal {
        Refusal::NotAllowed { who: self.to_string(), what }
    }

    fn allowed(&self, is: bool, what: impl FnOnce() -> String) -> Result<(), Refusal> {
        if is { Ok(()) } else { Err(self.not_allowed(what())) }
    }

    fn governs(&self, zone: &ZoneName) -> bool {
        self.kind == Kind::Zone && self.zone.contains(zone)
    }

    /// Whether its owner may issue another one.
    pub(super) fn may_issue(&self, other: &Self) -> Result<(), Refusal> {
        let told = || (self.to_string(), other.to_string());
        if self.kind != Kind::Zone {
            let (issuer, subject) = told();
            return Err(Refusal::NoAuthority { issuer, subject });
        }
        if !self.zone.contains(&other.zone) {
            let (issuer, subject) = told();
            return Err(Refusal::Outside { issuer, subject });
        }
        Ok(())
    }

    /// Whether its owner may sign the row of a child of a zone: its own, or that of a zone that it is in.
    pub(super) fn may_sign_row(&self, zone: &ZoneName, child: &str) -> Result<(), Refusal> {
        let speaks = self.kind == Kind::Agent && path(zone, child).is_some_and(|of| of.contains(&self.zone));
        self.allowed(speaks, || format!("the row of {child:?} in {zone}"))
    }

    /// Whether its owner may say that a child of a zone is gone: the zone is around it.
    pub(super) fn may_sign_gone(&self, zone: &ZoneName, child: &str) -> Result<(), Refusal> {
        let inside = self.kind == Kind::Agent && zone.contains(&self.zone) && *zone != self.zone;
        let speaks = inside && path(zone, child).is_some();
        self.allowed(speaks, || format!("that {child:?} is gone in {zone}"))
    }

    /// Whether its owner may sign events for what a zone was asked; if it is told of whom they are, its own.
    pub(super) fn may_sign_event(&self, zone: &ZoneName, agent: Option<&str>) -> Result<(), Refusal> {
        let own = agent.is_none_or(|agent| agent == self.zone.as_str());
        let speaks = self.kind == Kind::Agent && zone.contains(&self.zone) && own;
        self.allowed(speaks, || format!("events of {} in {zone}", agent.unwrap_or("agents")))
    }

    /// Whether its owner may sign a function of this kind for a zone.
    pub(super) fn may_sign_function(&self, scope: &ZoneName, of: &Of) -> Result<(), Refusal> {
        let (need, what) = match of {
            Of::Aggregation => (Need::Install, "functions"),
            Of::Standing(_) => (Need::Subscribe, "standing queries"),
            Of::Announcement => (Need::Announce, "announcements"),
        };
        self.allowed(self.governs(scope) || self.may(scope, need), || format!("{what} for {scope}"))
    }

    /// Whether its owner may revoke what was issued for a zone.
    pub(super) fn may_revoke(&self, zone: &ZoneName) -> Result<(), Refusal> {
        self.allowed(self.governs(zone), || format!("revocations in {zone}"))
    }

    /// Whether its owner may ask for this in a zone.
    pub(super) fn may_request(&self, target: &ZoneName, need: Need<'_>) -> Result<(), Refusal> {
        self.allowed(self.may(target, need), || match need {
            Need::Read => format!("questions to {target}"),
            Need::Write(attribute) => format!("attribute {attribute:?} of {target}"),
            Need::Install => format!("functions for {target}"),
            Need::Subscribe => format!("standing queries for {target}"),
            Need::Announce => format!("announcements for {target}"),
        })
    }

    fn may(&self, target: &ZoneName, need: Need<'_>) -> bool {
        matches!(&self.kind, Kind::Client { may, .. } if may.allows(need)) && self.zone.contains(target)
    }
}

/// Whose it is, as in a sentence.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Zone => write!(f, "the authority of {}", self.zone),
            Kind::Agent => write!(f, "agent {}", self.zone),
            Kind::Client { name, .. } => write!(f, "client {name} in {}", self.zone),
        }
    }
}
