//! [`Lease`]: a standing query for some time, with what takes it away again; [`Sign`] signs both where agents have keys.
//!
//! Both are made at once: whoever has the key may be gone when the query is to end, and the agent that is told has no right to end it.

use std::{fmt, net::SocketAddr, sync::Arc};

use thiserror::Error;

use super::node::SpreadError;
use crate::{
    trust::{FunctionSeal, Identity, Refusal},
    zones::{
        function::{Function, FunctionError, Said},
        kind::{EVENT, Kind, Standing},
        name::ZoneName,
    },
};

/// How long a subscription stands without being renewed, in seconds.
pub const LEASE_S: u64 = 60;
/// And the longest that an agent takes from whoever signs elsewhere: an hour.
pub const LEASE_MAX_S: u64 = 3600;

/// Somebody who signs functions for zones: with a key that is here ([`Identity`]), or by asking for it.
pub trait Sign: fmt::Debug + Send + Sync {
    /// The same, with a seal.
    ///
    /// # Errors
    /// It may not, or others would not take it.
    fn sign(&self, zone: &ZoneName, said: Said) -> Result<Said, Refusal>;
}

impl Sign for Identity {
    fn sign(&self, zone: &ZoneName, said: Said) -> Result<Said, Refusal> {
        self.sign_function(zone, said)
    }
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
        "the agents here have keys: sign it with `gcs-monitor {0} … --sign-with KEY`, whose certificate has the right to {0} (`gcs-monitor ca client --may {0}`)"
    )]
    Keys(&'static str),
    /// It was signed, and does not count.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It was signed elsewhere, and is no lease.
    #[error(
        "this is no lease: it needs a standing query, and what removes it, newer, for as long, by the same name in the same zone; `gcs-monitor subscribe --sign-with` makes both"
    )]
    NoLease,
    /// It would stand for too long without being renewed.
    #[error(
        "the standing query would stand for {0} s without being renewed: sign it for at most {LEASE_MAX_S} s"
    )]
    Long(u64),
    /// There is another one.
    #[error("this agent is told of another standing query `{0}`: take another name")]
    Taken(String),
    /// It is not told of here.
    #[error("nobody is told here of a standing query `{0}`: it has ended, or was asked at another agent")]
    Unknown(String),
}

/// A standing query, and what removes it.
#[derive(Clone, Debug)]
pub struct Lease {
    function: Arc<Function>,
    removal: Arc<Function>,
}

/// Nobody else has it.
pub(super) fn name(prefix: &str) -> Result<String, getrandom::Error> {
    Ok(format!("{prefix}{:016x}", getrandom::u64()?))
}

impl Lease {
    /// For so many seconds from this one on, under a name that no other one has. Signed for the zone, if there is somebody who signs.
    ///
    /// # Errors
    /// There cannot be one like that, or it may not be signed.
    pub fn new(
        zone: &ZoneName,
        standing: Standing,
        sql: String,
        (now_s, seconds): (u64, u64),
        sign: Option<&dyn Sign>,
    ) -> Result<Self, AskError> {
        let (name, kind, seal) = (name(EVENT)?, Kind::Standing(standing), Vec::new());
        let expires_s = now_s.saturating_add(seconds.max(1));
        Self::of(zone, Said { name, kind, text: sql, strong: false, issued_s: now_s, expires_s, seal }, sign)
    }

    fn of(zone: &ZoneName, said: Said, sign: Option<&dyn Sign>) -> Result<Self, AskError> {
        let made = |said: Said| -> Result<Arc<Function>, AskError> {
            // What is wrong with it is said before why it may not be signed.
            let function = Function::new(said)?;
            let Some(sign) = sign else { return Ok(Arc::new(function)) };
            Ok(Arc::new(Function::new(sign.sign(zone, function.said().clone())?)?))
        };
        let removal = said.removal(0);
        Ok(Self { function: made(said)?, removal: made(removal)? })
    }

    /// What takes its place at this second: the same for so many seconds from then on, told to the same agent, which may be reached elsewhere now.
    ///
    /// # Errors
    /// It may not be signed any more.
    pub fn renewed(
        &self,
        zone: &ZoneName,
        own: SocketAddr,
        (now_s, seconds): (u64, u64),
        sign: Option<&dyn Sign>,
    ) -> Result<Self, AskError> {
        // Newer than what would have removed it.
        let issued_s = self.removal.said().issued_s;
        let mut said = Said { issued_s, ..self.function.said().clone() };
        if let Kind::Standing(standing) = &mut said.kind {
            standing.to = own;
        }
        Self::of(zone, said.renewed(now_s, seconds.max(1)), sign)
    }

    /// What was signed elsewhere, and for which zone; whether it is right, agents see who are to take it.
    ///
    /// # Errors
    /// It is none, stands for too long, or tells another agent than the one at `own`.
    pub fn handed(function: Said, removal: Said, own: SocketAddr) -> Result<(ZoneName, Self), AskError> {
        let Kind::Standing(Standing { to, .. }) = function.kind else { return Err(AskError::NoLease) };
        let zone = FunctionSeal::decode(&function.seal)?.zone().clone();
        let fits = removal.text.is_empty()
            && !function.text.is_empty()
            && (&removal.name, &removal.kind) == (&function.name, &function.kind)
            && removal.issued_s > function.issued_s
            && removal.expires_s >= function.expires_s
            && *FunctionSeal::decode(&removal.seal)?.zone() == zone;
        if !fits {
            return Err(AskError::NoLease);
        }
        if to != own {
            return Err(Refusal::OtherContact { to, own }.into());
        }
        let seconds = function.expires_s.saturating_sub(function.issued_s);
        if seconds > LEASE_MAX_S {
            return Err(AskError::Long(seconds));
        }
        let (function, removal) = (Function::new(function)?, Function::new(removal)?);
        Ok((zone, Self { function: Arc::new(function), removal: Arc::new(removal) }))
    }

    /// The standing query.
    #[must_use]
    pub fn function(&self) -> &Arc<Function> {
        &self.function
    }

    /// What removes it.
    #[must_use]
    pub fn removal(&self) -> &Arc<Function> {
        &self.removal
    }

    /// For how many seconds it was made.
    pub(super) fn seconds(&self) -> u64 {
        let said = self.function.said();
        said.expires_s.saturating_sub(said.issued_s)
    }

    /// Whether another one asks the same; the agent that is told may be reached elsewhere by now.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (said, others) = (self.function.said(), other.function.said());
        let how = |said: &Said| match said.kind {
            Kind::Standing(Standing { trigger, delivery, every_ms, .. }) => {
                Some((trigger, delivery, every_ms))
            }
            _ => None,
        };
        (&said.name, how(said), &said.text) == (&others.name, how(others), &others.text)
    }
}
