//! What an endpoint is told at its start.

use crate::{
    frame::{OLDEST_VERSION, WIRE_VERSION},
    guard::Keys,
    id::MAX_MEMBERS,
    layer::Watch,
    properties::Properties,
    stack::Blueprint,
    view::Role,
};
use std::{net::SocketAddr, sync::Arc};

/// How the group comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// Join a group that exists: ask the contacts until one answers.
    Join,
    /// Join a group that the contacts know of; if none answers within the silence time-out, found it alone.
    Found,
    /// Join a group that the contacts know of, or found it together as soon as processes with this many votes have met. The
    /// number must be more than two thirds of the votes of all processes that are ever started for this group. A process
    /// has one vote, unless [`Config::role`] says something else. Witnesses help others to found the group; learners join it.
    Expect(usize),
}

/// An endpoint's settings. Start from [`Config::new`] and change fields.
#[derive(Clone, Debug)]
pub struct Config {
    /// The group's name. Groups with different names never mix.
    pub group: String,
    /// This process's name, for people: unique in the group, 1 to 64 bytes.
    pub name: String,
    /// Well-known addresses: processes to ask at the start. This process's own address among them does no harm.
    pub contacts: Vec<SocketAddr>,
    /// Whether contacts may be given later, too ([`crate::endpoint::Input::Contacts`]).
    pub discovers: bool,
    /// How the group comes into being.
    pub bootstrap: Bootstrap,
    /// What this process counts for when the group decides.
    pub role: Role,
    /// The stack; the same at all members.
    pub stack: Blueprint,
    /// Whether joiners receive the group's state before their first message ([`crate::endpoint::Event::StateRequested`]).
    /// The same at all members.
    pub state_transfer: bool,
    /// Keys that keep strangers out. All processes of a group have them, or none; with keys the stack must encrypt
    /// ([`Properties::ENCRYPTED`]).
    pub keys: Option<Arc<dyn Keys>>,
    /// How members watch each other.
    pub watch: Watch,
    /// Whether every part of the group goes on when the group is cut apart, and the parts merge when they meet again. The
    /// same at all members. Otherwise only a part with a quorum goes on.
    pub partitionable: bool,
    /// How many bytes of its own frames a member may have under way, not yet taken by every receiver's application.
    /// Less where [`Self::receive_bytes`] asks for it.
    pub window_bytes: usize,
    /// How many bytes of datagrams wait at a member until it looks at them; more get lost. The other members together have
    /// no more than that under way, if their windows can be so small. The builder asks the transport.
    pub receive_bytes: usize,
    /// How many bytes of messages a joiner keeps back while it receives the state, before it slows the group down.
    pub backlog_bytes: usize,
    /// Whether to come back as a new incarnation after having been excluded.
    pub rejoin: bool,
    /// The best version of the protocol that this process speaks: [`WIRE_VERSION`], or less to try how it gets on with an
    /// earlier release, which then is the same to the last byte. From [`OLDEST_VERSION`] on.
    pub protocol_max: u8,
    /// How long to look for the group before giving up with [`crate::endpoint::LeaveReason::NoAnswer`]; None: forever.
    pub join_timeout_ms: Option<u64>,
}

impl Config {
    /// Settings with safe defaults: join through contacts that are yet to be filled in.
    #[must_use]
    pub fn new(group: &str, name: &str, stack: Blueprint) -> Self {
        Self {
            group: group.to_owned(),
            name: name.to_owned(),
            contacts: Vec::new(),
            discovers: false,
            bootstrap: Bootstrap::Join,
            role: Role::default(),
            stack,
            state_transfer: false,
            keys: None,
            watch: Watch::default(),
            partitionable: false,
            window_bytes: 1 << 20,
            receive_bytes: usize::MAX,
            backlog_bytes: 256 << 20,
            rejoin: true,
            protocol_max: WIRE_VERSION,
            join_timeout_ms: None,
        }
    }

    /// [`Self::protocol_max`] as it travels: the oldest version says nothing of itself.
    pub(super) fn speaks(&self) -> u32 {
        if self.protocol_max == OLDEST_VERSION { 0 } else { self.protocol_max.into() }
    }

    /// How many bytes of its own frames a member may have under way in a view of `members`.
    pub(super) fn window(&self, members: usize) -> usize {
        let share = self.receive_bytes / members.saturating_sub(1).max(1);
        self.window_bytes.min(share.max(SMALLEST_WINDOW))
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// Names the first setting that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.group.is_empty() || self.group.len() > 64 {
            return Err(ConfigError::Group);
        }
        if self.name.is_empty() || self.name.len() > 64 {
            return Err(ConfigError::Name);
        }
        if self.role.witness && self.role.weight == 0 {
            return Err(ConfigError::Witness);
        }
        if self.partitionable && (self.role.witness || self.protocol_max < 2) {
            return Err(ConfigError::Partitionable);
        }
        let founds = match self.role.class() {
            0 => self.bootstrap != Bootstrap::Join,
            1 => matches!(self.bootstrap, Bootstrap::Expect(2..)),
            _ => false,
        };
        if self.contacts.is_empty() && !self.discovers && !founds {
            return Err(ConfigError::NoContacts);
        }
        if matches!(self.bootstrap, Bootstrap::Expect(n) if n == 0 || n > MAX_VOTES) {
            return Err(ConfigError::Expect);
        }
        let signs = self.stack.gives().contains(Properties::SIGNED);
        match (&self.keys, self.stack.gives().contains(Properties::ENCRYPTED)) {
            (None, true) => return Err(ConfigError::NoKeys),
            (Some(_), false) => return Err(ConfigError::Unsealed),
            (Some(keys), true) if !keys.fits(&self.name) => return Err(ConfigError::NotForName),
            (Some(keys), true) if signs && keys.signer().is_none() => return Err(ConfigError::NoSigner),
            (Some(_), true) | (None, false) => {}
        }
        let w = self.watch;
        if w.heartbeat_ms == 0 || w.lease_ms >= w.silence_ms || w.silence_ms < 3 * w.heartbeat_ms {
            return Err(ConfigError::Watch);
        }
        if !(OLDEST_VERSION..=WIRE_VERSION).contains(&self.protocol_max) {
            return Err(ConfigError::Protocol);
        }
        if self.window_bytes < SMALLEST_WINDOW {
            return Err(ConfigError::Window);
        }
        Ok(())
    }
}

/// The most votes that all members together can have.
const MAX_VOTES: usize = MAX_MEMBERS * u16::MAX as usize;

/// Room for the largest frame, and for others while it is on its way.
const SMALLEST_WINDOW: usize = 96 << 10;

/// A setting that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The group's name.
    #[error("the group's name must have 1 to 64 bytes")]
    Group,
    /// The process's name.
    #[error("the process's name must have 1 to 64 bytes")]
    Name,
    /// Nobody to ask.
    #[error("there is no contact to join through: name at least one, or found the group")]
    NoContacts,
    /// A witness that is a learner.
    #[error("a witness that does not vote would do nothing: give it a weight of 1 or more")]
    Witness,
    /// A witness, or an earlier version, in a partitionable group.
    #[error(
        "a partitionable group has no witnesses, because every part of it goes on, and needs version 2 of the protocol"
    )]
    Partitionable,
    /// The number of founders.
    #[error("a group can be expected to have founders with 1 to {MAX_VOTES} votes")]
    Expect,
    /// No keys.
    #[error(
        "the stack encrypts, and there is no key: give one with `keys`, or take a stack without `encrypted`"
    )]
    NoKeys,
    /// Keys for nothing.
    #[error(
        "there are keys, and the stack does not encrypt: take one that does, such as total+uniform+encrypted"
    )]
    Unsealed,
    /// Keys that sign nothing.
    #[error(
        "the stack signs, and a key that all share signs for nobody: take certificates, or a stack without `signed`"
    )]
    NoSigner,
    /// A certificate for another process.
    #[error("the certificate is not for this process's name: it must be among its subject alternative names")]
    NotForName,
    /// Time-outs.
    #[error("time-outs must be: lease_ms < silence_ms, and silence_ms at least three times heartbeat_ms")]
    Watch,
    /// The version.
    #[error(
        "protocol_max must be from {OLDEST_VERSION} to {WIRE_VERSION}: this release speaks no other version"
    )]
    Protocol,
    /// The window.
    #[error("window_bytes must be at least 96 KiB")]
    Window,
}
