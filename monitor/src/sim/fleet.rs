//! [`Fleet`]: keys and certificates of all agents of a world, the same every time.

use std::sync::Arc;

use super::Agents;
use crate::{
    trust::{Anchor, Grant, Identity, Keys, Kind, Refusal, SecretKey, Validity},
    zones::{
        function::{Function, FunctionError, Said},
        name::ZoneName,
    },
};

/// How long all certificates are valid, from the beginning of the world on, in seconds.
const VALID_S: u64 = 1 << 40;

/// An authority for the root, one for each zone at the top, and a certificate by the latter for each agent.
#[derive(Debug)]
pub struct Fleet {
    agents: Agents,
    root: Identity,
}

fn key(kind: u8, of: usize) -> SecretKey {
    let mut seed = [kind; 32];
    seed[..8].copy_from_slice(&(of as u64).to_be_bytes());
    SecretKey::from_seed(&seed).expect("32 bytes are a seed")
}

impl Fleet {
    /// That of such a tree.
    #[must_use]
    pub fn new(agents: Agents) -> Self {
        Self { agents, root: Identity::anchor(key(1, 0), ZoneName::root()) }
    }

    /// The authority that all believe in.
    #[must_use]
    pub fn root(&self) -> &Identity {
        &self.root
    }

    fn issued(by: &Identity, kind: Kind, zone: ZoneName, key: SecretKey) -> Identity {
        let grant = Grant { kind, zone, key: key.public(), validity: Validity::new(0, VALID_S) };
        let chain = by.issue(grant).expect("it is in its zone");
        Identity::new(key, chain).expect("it is its key")
    }

    /// The authority of the zone at the top that an agent is in.
    #[must_use]
    pub fn zone(&self, of: usize) -> Identity {
        let each = self.agents.branching.pow(self.agents.levels - 1);
        let zone = self.agents.name(of).ancestor(1);
        Self::issued(&self.root, Kind::Zone, zone, key(2, of / each))
    }

    /// An agent's.
    #[must_use]
    pub fn agent(&self, of: usize) -> Identity {
        let name = self.agents.name(of);
        let by = if self.agents.levels > 1 { &self.zone(of) } else { &self.root };
        Self::issued(by, Kind::Agent, name, key(3, of))
    }

    /// What everybody is told to trust.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        Anchor { zone: ZoneName::root(), key: self.root.key().public() }
    }

    /// What an agent is started with.
    ///
    /// # Errors
    /// Never, as an agent's identity is one.
    pub fn keys(&self, of: usize) -> Result<Keys, Refusal> {
        Keys::new(self.agent(of), vec![self.anchor()])
    }

    /// The same function for the root, signed by its authority.
    ///
    /// # Errors
    /// It is none.
    pub fn signed(&self, function: &Function) -> Result<Arc<Function>, FunctionError> {
        let said = Said { seal: Vec::new(), ..function.said().clone() };
        let name = said.name.clone();
        let said = self.root.sign_function(&ZoneName::root(), said);
        Ok(Arc::new(Function::new(said.map_err(|_| FunctionError::Name(name))?)?))
    }
}
