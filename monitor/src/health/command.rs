//! What can be said to the group of representatives, in total order. Every command can be said twice: the second time changes nothing.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    name::{Label, Who},
    state::limits,
    verdict::{Evidence, Finding},
};

/// The longest command, in bytes.
pub const COMMAND_MAX: usize = 1024;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Time goes on: what the clock of the first representative of the view says, in milliseconds.
    Tick {
        /// Of any epoch.
        at_ms: u64,
    },
    /// There is an instance.
    Register(Registration),
    /// It is not one any more.
    Deregister {
        /// Of which component.
        component: Label,
        /// Which one.
        instance: Label,
    },
    /// Somebody has looked at an instance.
    Observe(Observation),
    /// Somebody has an interest in a component, for so long.
    Interest {
        /// Who.
        who: Who,
        /// In what; it need not exist.
        component: Label,
        /// For how long, in milliseconds; [`limits::LEASE_MS`].
        lease_ms: u32,
    },
    /// All his interests last so long from now on.
    Renew {
        /// Who.
        who: Who,
        /// For how long, in milliseconds.
        lease_ms: u32,
    },
    /// Somebody has no interest any more.
    Drop {
        /// Who.
        who: Who,
        /// In what.
        component: Label,
    },
    /// A component that has no instances is forgotten.
    Forget {
        /// Which one.
        component: Label,
    },
}

/// That there is an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Of which component. It is made, if it is not there.
    pub component: Label,
    /// Which one.
    pub instance: Label,
    /// Where it is reached.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// Who sees it end, so that nobody else has to agree that it has.
    #[serde(default)]
    pub supervisor: Option<Who>,
    /// So many observers must find the same, of all instances of the component; fewer, if fewer have looked. From 1 to
    /// [`limits::OBSERVERS`].
    #[serde(default = "two")]
    pub witnesses: u8,
}

fn two() -> u8 {
    2
}

/// What somebody has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Of which component.
    pub component: Label,
    /// Which instance.
    pub instance: Label,
    /// Who.
    pub observer: Who,
    /// Larger than in what he said before: what is overtaken on its way does not count any more.
    pub serial: u64,
    /// What.
    pub finding: Finding,
    /// Whether there can be no doubt, because he is its supervisor and has seen its process end. Of others it means nothing.
    #[serde(default)]
    pub certain: bool,
    /// What he has seen.
    #[serde(default)]
    pub evidence: Evidence,
}

/// Why a command has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Refusal {
    /// Bytes that are not one.
    #[error("that is not a command of this version")]
    Malformed,
    /// No such component.
    #[error("there is no component {0}: register an instance of it")]
    NoComponent(Label),
    /// No such instance.
    #[error("{0} has no instance {1}: register it")]
    NoInstance(Label, Label),
    /// What somebody has said later is known.
    #[error("{0} has said something later of this instance: what is older does not count")]
    Overtaken(Who),
    /// A number of witnesses.
    #[error("{0} witnesses make no sense: ask for 1 to {max}", max = limits::OBSERVERS)]
    Witnesses(u8),
    /// Too many.
    #[error("there are {0} components, and no more are kept: forget some")]
    Components(u32),
    /// Too many.
    #[error("{0} instances are kept and no more: deregister some")]
    Instances(u32),
    /// Too many.
    #[error("{0} observers look at this instance, and no more are heard")]
    Observers(u32),
    /// Too many.
    #[error("{0} interests are kept and no more: drop some")]
    Interests(u32),
    /// It is still there.
    #[error("{0} has instances: deregister them first")]
    NotEmpty(Label),
    /// No interest.
    #[error("{0} has no interest that could be renewed: the lease has ended")]
    NoInterest(Who),
}

impl Command {
    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Names and texts are short: nothing here can be too long to be written.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// Out of bytes.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > COMMAND_MAX {
            return Err(Refusal::Malformed);
        }
        match postcard::take_from_bytes(bytes) {
            Ok((command, [])) => Ok(command),
            _ => Err(Refusal::Malformed),
        }
    }
}
